"""One request, as handlers see it."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import falcon.asgi

from cloudchamber.access.requester import Requester
from cloudchamber.api.auth import ACCESS_TOKEN
from cloudchamber.api.bodies import BodyInvalid, Tree, Upload, parse_body, parse_form
from cloudchamber.api.errors import BodyTooLarge
from cloudchamber.api.fields import NO_FIELDS, Fields
from cloudchamber.oauth.model import Client

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class EdgeRequest(falcon.asgi.Request):
    """Falcon's request with what the edge needs besides.

    Falcon sees no query string: it would be parsed at once, for every request and by other rules than forms, and it
    must never get near a log, as tokens stand in it.
    """

    def __init__(self, scope: dict[str, Any], receive: Receive, first_event: Any = None, options: Any = None) -> None:
        self.raw_query: bytes = scope["query_string"]
        if self.raw_query:
            scope = {**scope, "query_string": b""}
        super().__init__(scope, receive, first_event=first_event, options=options)
        self.receive = receive
        self.first_event: MutableMapping[str, Any] = first_event or {"type": "http.request"}
        self.request_id = ""
        self.token = ""
        """The bearer token in use; for revoking it. Never logged."""
        self.requester: Requester | None = None
        client = scope.get("client")
        self.client_ip: str = client[0] if client else ""
        """Of the connection, until the edge has asked trusted proxies (app.py)."""

    @property
    def has_body(self) -> bool:
        return bool(self.first_event.get("body") or self.first_event.get("more_body"))


@dataclass(frozen=True, slots=True)
class Implicit:
    """A web client that showed its id alone. `redirect_uri` None: the answer is JSON."""

    client: Client
    redirect_uri: str | None
    state: str | None


class Call:
    """Path parameters, query and body of a request. The token, wherever it stood, is not among them."""

    __slots__ = ("data", "files", "implicit", "params", "query", "req")

    def __init__(
        self,
        req: EdgeRequest,
        params: dict[str, str],
        query: Fields,
        data: Fields,
        files: tuple[Upload, ...],
        implicit: Implicit | None = None,
    ) -> None:
        self.req = req
        self.params = params
        self.query = query
        self.data = data
        self.files = files
        self.implicit = implicit

    @property
    def last_segment(self) -> str:
        """The end of the path, for routes in which it is both a keyword and a name."""
        return self.req.path.rpartition("/")[2]


NO_TREE: Final[Tree] = {}


def query_of(req: EdgeRequest) -> Tree:
    """Raises BodyInvalid."""
    return parse_form(req.raw_query) if req.raw_query else NO_TREE


async def body_of(req: EdgeRequest, limit: int) -> tuple[Tree, tuple[Upload, ...]]:
    """Raises BodyInvalid, BodyTooLarge."""
    if not req.has_body:
        return NO_TREE, ()
    return parse_body(req.content_type, await read_body(req, limit))


async def read_body(req: EdgeRequest, limit: int) -> bytes:
    """The whole body, unless it says or shows that it is larger than `limit` bytes.

    Raises BodyTooLarge before another byte is read; BodyInvalid when the client went away before the end, because
    half a form can mean something else than the whole.
    """
    length = req.get_header("content-length")
    too_large = BodyTooLarge(f"The request body is larger than {limit} bytes")
    if length is not None and length.isdecimal() and int(length) > limit:
        raise too_large
    event = req.first_event
    chunks: list[bytes] = []
    size = 0
    while True:
        if event["type"] == "http.disconnect":
            raise BodyInvalid("The request body ended too early")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
        if not event.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        event = await req.receive()


def fields(tree: Tree) -> Fields:
    """The tree as data: without the token, which would otherwise end up as an argument or in a webhook."""
    if not tree:
        return NO_FIELDS
    if ACCESS_TOKEN in tree:
        tree = {name: value for name, value in tree.items() if name != ACCESS_TOKEN}
    return Fields(tree)
