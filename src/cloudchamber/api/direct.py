"""Answers out of memory, given while the request is still in the parser's hands.

Most requests of a busy cloud are a few GETs, asked time and again with a token that is known already, for what is in
memory already. The long way (an ASGI scope, a task, the framework's request and response, its router) costs three
times as much as their answers do. So a row of the route table may name a handler that answers `direct`ly: it is
synchronous, takes the requester and the last part of the path, and gives what the row's own handler would give, or
None where it cannot tell without waiting.

Whatever is not plain goes the long way: an error, a refusal, a limit that was reached, a token or a device that is not
in memory, a query, a body, a path with anything unusual in it. Nothing is counted or changed before that is known, so
the long way finds the request as if it were the first to see it, and every refusal is made in one place. What is
answered here passed the same checks in the same order: address, token, principal, kind of requester, scope, and the
rule that the handler asks.

A form with a client's credentials is answered here by the same rules, with two differences: it waits for its body, and
its handler may have something written down before it answers. It is the only one that may change anything, as its last
step, and all of it or nothing: what failed is asked again the long way.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, ClassVar, Final

import msgspec

from cloudchamber.access.requester import ApiUser
from cloudchamber.access.requester import Bearer as BearerRequester
from cloudchamber.api.addresses import Proxies
from cloudchamber.api.auth import FORM, bearer_in_header, client_credentials
from cloudchamber.api.bodies import parse_form
from cloudchamber.api.limits import Limits
from cloudchamber.api.reply import encode_json
from cloudchamber.api.routes import Bearer, ClientCredentials, Route
from cloudchamber.errors import CloudError
from cloudchamber.oauth.tokens import Tokens

Handler = Callable[[BearerRequester, str], Any]
FormHandler = Callable[[tuple[str, str] | None, dict[str, str]], Any]
"""The client's id and secret from the header, and the form. Gives a document; an awaitable of one, where something has
to be written down first, which changes nothing where it fails; None for the long way."""

_BEARER: Final = b"Bearer "
_AUTHORIZATION: Final = b"authorization"
_FORWARDED: Final = b"x-forwarded-for"
_CONTENT_TYPE: Final = b"content-type"
_CONTENT_LENGTH: Final = b"content-length"
# With one of these a request has a body, or wants more than an answer.
_NOT_PLAIN: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
_FORMS: Final = frozenset({FORM.encode(), FORM.encode() + b"; charset=utf-8", FORM.encode() + b";charset=utf-8"})
# The largest honest one has a client's id and secret, a token and an e-mail address.
_MAX_FORM: Final = b"4096"


@dataclass(frozen=True, slots=True)
class Way:
    """A route that can be answered directly."""

    method: ClassVar[str] = "GET"
    template: str
    handler: Handler
    scope: str


@dataclass(frozen=True, slots=True)
class FormWay:
    """A route whose forms can be answered directly."""

    method: ClassVar[str] = "POST"
    template: str
    handler: FormHandler


class Form(msgspec.Struct, frozen=True):
    """A form that is on its way: where it goes, and its Authorization header."""

    way: FormWay
    authorization: str | None


class Asked(msgspec.Struct, frozen=True):
    """What a request says: its way, what its path ends with, its token, and whose address it comes from."""

    way: Way
    last: str
    token: str
    address: str


Watch = Callable[[Way | FormWay, bytes], None]


class DirectAnswers:
    def __init__(
        self,
        routes: Iterable[Route],
        resources: Mapping[str, object],
        tokens: Tokens,
        proxies: Proxies,
        limits: Limits | None,
    ) -> None:
        self._tokens = tokens
        self._proxies = proxies
        self._limits = limits
        self._whole: dict[bytes, Way] = {}
        self._below: dict[bytes, Way] = {}
        self._forms: dict[bytes, FormWay] = {}
        self.watch: Watch | None = None
        """Sees each answer; for tests."""
        for route in routes:
            if route.direct is not None:
                self._add(route, resources)

    def _add(self, route: Route, resources: Mapping[str, object]) -> None:
        assert route.direct is not None
        resource, _, name = route.direct.partition(".")
        handler = getattr(resources[resource], name)
        if isinstance(route.access, ClientCredentials):
            assert route.method == "POST", route
            # Where requests are limited, these come too seldom to be worth a second way past the limits.
            if self._limits is None:
                self._forms.update((path.encode(), FormWay(path, handler)) for path in route.paths)
            return
        # Those who need more than a token, or are limited by more than the common limits, are not for this way.
        assert route.method == "GET", route
        assert isinstance(route.access, Bearer), route
        assert route.limit is None, route
        for path in route.paths:
            way = Way(path, handler, route.access.action.value)
            before, _, last = path.rpartition("/")
            fixed, ways = (before, self._below) if last.startswith("{") else (path, self._whole)
            assert "{" not in fixed, f"{path}: only the end of a path that is answered directly may vary"
            ways[fixed.encode()] = way

    def read(self, target: bytes, headers: Iterable[tuple[bytes, bytes]], peer: str) -> Asked | None:
        """What a GET without a body asks for, if it can be answered here. `headers` have lower-case names; `peer` is
        the connection's other end."""
        way, last = self._whole.get(target), b""
        if way is None:
            before, _, last = target.rpartition(b"/")
            way = self._below.get(before)
            # What is quoted, has a query, or is not ASCII has another meaning than it has letters.
            if way is None or not last.isalnum():
                return None
        authorization = forwarded = None
        for name, value in headers:
            if name == _AUTHORIZATION:
                if authorization is not None:
                    return None
                authorization = value
            elif name == _FORWARDED:
                if forwarded is not None:
                    return None
                forwarded = value
            elif name in _NOT_PLAIN:
                return None
        if authorization is None:
            return None
        if self._proxies and forwarded is not None:
            peer = self._proxies.client(peer, forwarded.decode("latin-1"))
        token = authorization[len(_BEARER) :]
        if authorization.startswith(_BEARER) and token.isalnum():
            return Asked(way, last.decode(), token.decode(), peer)
        try:
            return Asked(way, last.decode(), bearer_in_header(authorization.decode("latin-1")), peer)
        except CloudError:
            return None

    def answer(self, asked: Asked) -> bytes | None:
        """The body of a 200; None for everything else."""
        way, address = asked.way, asked.address
        try:
            requester = self._tokens.cached(asked.token, address, counts=False)
            if requester is None or isinstance(requester, ApiUser) or not requester.scopes.allow(way.scope):
                return None
            document = way.handler(requester, asked.last)
        except CloudError:
            return None
        if document is None or (self._limits is not None and not self._limits.both(address, requester)):
            return None
        self._tokens.used(requester)
        return self._written(way, document)

    def form(self, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Form | None:
        """Where a POST goes, if it may be answered here once its body is there. `headers` as for `read`."""
        way = self._forms.get(target)
        if way is None:
            return None
        authorization = length = kind = None
        for name, value in headers:
            if name == _AUTHORIZATION:
                if authorization is not None:
                    return None
                authorization = value
            elif name == _CONTENT_TYPE:
                if kind is not None:
                    return None
                kind = value
            elif name == _CONTENT_LENGTH:
                length = value
            elif name in _NOT_PLAIN:
                return None
        # The parser has seen that the length is one number, and that there is but one; the longer is the larger.
        if length is None or (len(length), length) > (len(_MAX_FORM), _MAX_FORM):
            return None
        if kind is None or kind.lower() not in _FORMS:
            return None
        return Form(way, None if authorization is None else authorization.decode("latin-1"))

    def answer_form(self, form: Form, body: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The body of a 200 that nobody may store, now or later; None for everything else."""
        try:
            basic, fields = client_credentials(form.authorization, parse_form(body))
            document = form.way.handler(basic, fields)
        except CloudError:
            return None
        if document is None:
            return None
        return self._later(form.way, document) if isawaitable(document) else self._written(form.way, document)

    async def _later(self, way: FormWay, document: Awaitable[Any]) -> bytes | None:
        try:
            return self._written(way, await document)
        except CloudError:
            return None

    def _written(self, way: Way | FormWay, document: Any) -> bytes:
        body = encode_json(document)
        if self.watch is not None:
            self.watch(way, body)
        return body
