"""What a row of the route table says."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloudchamber.access.model import Action

KIB: Final = 1024
MIB: Final = 1024 * KIB

# The largest honest JSON body is an event with its data, or a webhook with its template: some kilobytes.
DEFAULT_BODY_LIMIT: Final = 1 * MIB
# A file of 100,000 device ids, one on each line, has 2.6 MB.
IMPORT_BODY_LIMIT: Final = 8 * MIB
# The largest firmware (`firmware.model.MAX_BINARY`), in a multipart body.
FIRMWARE_BODY_LIMIT: Final = 5 * MIB + 64 * KIB


class Public(msgspec.Struct, frozen=True):
    """Open to everybody, and why. No credentials are looked at: a stale token that an SDK sends along is ignored."""

    reason: str


class Page(Public, frozen=True):
    """A hosted page. Whoever comes signs in on it; a form counts only when it came from the page itself, and no page of
    another origin may read it."""


class Console(Page, frozen=True):
    """A page of the console, for a user who is signed in; everybody else is sent to sign in. `action` is what the user
    needs on the product or organization of the path, and where there is neither, on their account. The body is left
    unread until the user is known."""

    action: Action


class ClientCredentials(msgspec.Struct, frozen=True):
    """A client's id and secret, checked by the handler's service in the order that clients can tell."""


class Bearer(msgspec.Struct, frozen=True):
    """A token. `action` is the scope that a limited token needs; the service decides on whose things it may act."""

    action: Action


class AnyToken(msgspec.Struct, frozen=True):
    """A token of any kind, whatever its scopes: for what answers everybody alike."""


class BearerOrClient(msgspec.Struct, frozen=True):
    """A client's id and secret, or the bare id of a web client, or else a token."""

    action: Action


class BearerOrPassword(msgspec.Struct, frozen=True):
    """A user's name and password by Basic, or else a token."""

    action: Action


Access = Public | ClientCredentials | Bearer | AnyToken | BearerOrClient | BearerOrPassword


class Raw(msgspec.Struct, frozen=True):
    """An answer that is not JSON: a file's bytes, a page. `content_type` is its media type."""

    content_type: str


class Stream(msgspec.Struct, frozen=True):
    """An answer that goes on until one side hangs up: server-sent events."""

    content_type: str = "text/event-stream"


# The name of a document of `api/schemas/`, or `list[NAME]`: JSON. A tuple means "one of these".
Named = str
Answer = Named | Raw | Stream | tuple[Named | Raw | Stream, ...] | None
"""None: no body."""


class Route(msgspec.Struct, frozen=True):
    """One row. Written with `route(...)`; see the package's docstring for how.

    `switch` names a setting under `compat` that must be on for this route to be there, or with a leading `not `, off.
    `limit` names the class of requests that this one counts for where they are limited by address. `errors` are
    statuses of errors beyond those that every route with its kind of access can give (`errors_of`). `direct` names a
    handler that answers without an ASGI request (api/direct.py).

    Documents are named, because nothing that serves requests looks at them: `query`, `request` and `answer` load them.
    """

    method: str
    paths: tuple[str, ...]
    access: Access
    handler: str
    summary: str = ""
    query_name: Named | None = None
    request_name: Named | tuple[Named, ...] | None = None
    answer_names: Mapping[int, Answer] | None = None
    errors: tuple[int, ...] = ()
    body_limit: int = DEFAULT_BODY_LIMIT
    limit: str | None = None
    switch: str | None = None
    direct: str | None = None

    @property
    def query(self) -> Any:
        return document(self.query_name)

    @property
    def request(self) -> Any:
        return document(self.request_name)

    @property
    def answer(self) -> Mapping[int, Any] | None:
        names = self.answer_names
        return None if names is None else {status: document(name) for status, name in names.items()}


def document(name: Any) -> Any:
    """The Struct that is named, or a list of one; of a tuple, each. What is no name is given back."""
    if isinstance(name, tuple):
        return tuple(document(each) for each in name)
    if not isinstance(name, str):
        return name
    from cloudchamber.api.schemas import documents

    inner = name.removeprefix("list[").removesuffix("]")
    return documents()[name] if inner == name else list[documents()[inner]]  # type: ignore[misc]


class Family(msgspec.Struct, frozen=True):
    """Routes that are read together: a heading of the documentation, a tag of the OpenAPI document."""

    name: str
    about: str
    routes: tuple[Route, ...]


def route(
    method: str,
    path: str | tuple[str, ...],
    access: Access,
    handler: str,
    summary: str = "",
    *,
    query: Named | None = None,
    request: Named | tuple[Named, ...] | None = None,
    answer: Answer | Mapping[int, Answer] = None,
    errors: tuple[int, ...] = (),
    body_limit: int = DEFAULT_BODY_LIMIT,
    limit: str | None = None,
    switch: str | None = None,
    direct: str | None = None,
) -> Route:
    """A row. `answer` may be the name of a plain 200's document alone."""
    paths = (path,) if isinstance(path, str) else path
    answers = answer if answer is None or isinstance(answer, Mapping) else {200: answer}
    return Route(
        *(method, paths, access, handler, summary, query, request, answers, errors, body_limit, limit, switch, direct)
    )


def errors_of(row: Route) -> tuple[int, ...]:
    """The statuses of errors that a route can give, whatever it does, and its own.

    What any of them means stands in `api/schemas/errors.py`.
    """
    # A request that cannot be read; one that is too large; a database that is not there; too many requests.
    found = {400, 413, 429, 503, *row.errors}
    if not isinstance(row.access, Public):
        found |= {401, 403}
    if any("{" in path for path in row.paths):
        found.add(404)
    return tuple(sorted(found))
