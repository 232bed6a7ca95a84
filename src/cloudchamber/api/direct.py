"""Answers out of memory, given while the request is still in the parser's hands.

Most requests of a busy cloud are a few kinds, asked time and again with a token that is known already, for what is in
memory already, or for what a device that is connected has to tell. The long way (an ASGI scope, a task, the framework's
request and response, its router) costs three times as much as their answers do. So a row of the route table may name a
handler that answers `direct`ly: it is synchronous, takes the requester, what varies in the path and, where the row has
a body, its fields, and gives what the row's own handler would give, or None where it cannot tell without waiting.

Whatever is not plain goes the long way: an error, a limit that was reached, a token or a device that is not in memory,
a query, a token anywhere but in the header, a path with anything unusual in it. Nothing is counted or changed before
that is known, so the long way finds the request as if it were the first to see it. What is answered here passed the
same checks in the same order: address, token, principal, kind of requester, scope, and the rule that the handler asks.

What the rule refuses is answered here as well: a flood of refused requests must not cost more than one of good ones.
The handler asks the rule in the order of the row's own handler, so it raises the same AccessRefused, and
`api/faults.py` renders, counts and logs it. Every other refusal is made on the long way alone.

Where a device has to be asked, or an event published, the handler gives a `Soon`: all that can be checked is checked by
then, and nothing has happened. From its beginning on there is no other way to go, for no device must be asked twice:
what comes of it is the answer, errors among them.

A form with a client's credentials is answered here by the same rules, with two differences: it waits for its body, and
its handler may have something written down before it answers, as its last step, and all of it or nothing: what failed
is asked again the long way.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import isawaitable, signature
from typing import Any, Final

import msgspec

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import ApiUser
from cloudchamber.api.addresses import Proxies
from cloudchamber.api.auditing import event_of
from cloudchamber.api.auth import ACCESS_TOKEN, FORM, bearer_in_header, client_credentials
from cloudchamber.api.bodies import parse_body, parse_form
from cloudchamber.api.call import fields
from cloudchamber.api.edge import opens_to_api_users
from cloudchamber.api.errors import Header
from cloudchamber.api.faults import Faults
from cloudchamber.api.limits import Limits
from cloudchamber.api.reply import encode_json
from cloudchamber.api.routes import Bearer, ClientCredentials, Route
from cloudchamber.api.soon import Soon
from cloudchamber.api.waiting import client_gone
from cloudchamber.errors import CloudError
from cloudchamber.ids import SecretHash, hash_secret
from cloudchamber.oauth.tokens import Tokens

_log = logging.getLogger(__name__)

Handler = Callable[..., Any]
FormHandler = Callable[[tuple[str, str] | None, dict[str, str]], Any]
"""The client's id and secret from the header, and the form. Gives a document; an awaitable of one, where something has
to be written down first, which changes nothing where it fails; None for the long way."""

_BEARER: Final = b"Bearer "
_AUTHORIZATION: Final = b"authorization"
_FORWARDED: Final = b"x-forwarded-for"
_CONTENT_TYPE: Final = b"content-type"
_CONTENT_LENGTH: Final = b"content-length"
# With one of these a request has a body that does not say how long it is, or wants more than an answer.
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
_FORMS: Final = frozenset({FORM.encode(), FORM.encode() + b"; charset=utf-8", FORM.encode() + b";charset=utf-8"})
# The largest honest form has a client's id and secret, a token and an e-mail address; a function's argument and an
# event's data are seldom longer than what fits into a message for a device.
_MAX_BODY: Final = b"4096"
_DATA: Final = "data"
_NO_DOCUMENTS: Final = (Soon, AccessRefused)


class Way(msgspec.Struct, frozen=True):
    """A row's path that can be answered directly. `fixed` are the parts of the path that do not vary, by place."""

    method: str
    template: str
    handler: Handler
    scope: str
    fixed: tuple[tuple[int, bytes], ...]
    varying: tuple[int, ...]
    not_meant: tuple[frozenset[bytes], ...]
    """What at each of the varying places makes another path of the table than this one."""
    is_open_to_api_users: bool


class FormWay(msgspec.Struct, frozen=True):
    """A row whose forms can be answered directly."""

    method: str
    template: str
    handler: FormHandler


class Form(msgspec.Struct, frozen=True):
    """A form that is on its way: where it goes, and its Authorization header."""

    way: FormWay
    authorization: str | None


class Asked(msgspec.Struct, frozen=True):
    """What a request says: its way, what varies in its path, its token's hash, and whose address it comes from."""

    way: Way
    params: tuple[str, ...]
    token: SecretHash
    address: str


class Read(msgspec.Struct, frozen=True):
    """A GET that was read: what was said in it, and what it asks. For the connection that it came on alone."""

    target: bytes
    authorization: bytes
    forwarded: bytes | None
    asked: Asked


class Posted(msgspec.Struct, frozen=True):
    """The same, of a request whose body is on its way."""

    asked: Asked
    content_type: str | None


class _Said(msgspec.Struct):
    """What a request's headers say that counts here."""

    authorization: bytes | None = None
    forwarded: bytes | None = None
    kind: bytes | None = None
    length: bytes | None = None


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: tuple[Header, ...]
    body: bytes


Watch = Callable[[Way | FormWay, int, bytes], None]


class DirectAnswers:
    def __init__(
        self,
        routes: Iterable[Route],
        resources: Mapping[str, object],
        tokens: Tokens,
        proxies: Proxies,
        limits: Limits | None,
        faults: Faults,
    ) -> None:
        self._tokens = tokens
        self._proxies = proxies
        self._limits = limits
        self._faults = faults
        self._whole: dict[tuple[bytes, bytes], Way] = {}
        self._varying: dict[tuple[bytes, int], list[Way]] = {}
        self._forms: dict[bytes, FormWay] = {}
        self.watch: Watch | None = None
        """Sees each answer; for tests."""
        routes = list(routes)
        paths = [path.split("/") for route in routes for path in route.paths]
        for route in routes:
            if route.direct is not None:
                self._add(route, resources, paths)

    def _add(self, route: Route, resources: Mapping[str, object], paths: list[list[str]]) -> None:
        assert route.direct is not None
        resource, _, name = route.direct.partition(".")
        handler = getattr(resources[resource], name)
        if isinstance(route.access, ClientCredentials):
            assert route.method == "POST", route
            # Where requests are limited, these come too seldom to be worth a second way past the limits.
            if self._limits is None:
                self._forms.update((path.encode(), FormWay("POST", path, handler)) for path in route.paths)
            return
        # Those who need more than a token, are limited by more than the common limits, or stand in the audit log, are
        # not for this way.
        assert route.method in {"GET", "POST"}, route
        assert isinstance(route.access, Bearer), route
        assert route.limit is None, route
        assert event_of(route) is None, route
        takes = [each for each in signature(handler).parameters if each not in {"requester", _DATA}]
        ways = [
            way
            for path in route.paths
            if (way := _way(route.method, path, takes, handler, route.access.action.value, paths)) is not None
        ]
        assert ways, f"{route.direct}: takes what varies in none of the row's paths"
        for way in ways:
            method, path = way.method.encode(), way.template.encode()
            if way.varying:
                self._varying.setdefault((method, path.count(b"/")), []).append(way)
            else:
                self._whole[method, path] = way

    def read(
        self, target: bytes, headers: Iterable[tuple[bytes, bytes]], peer: str, last: Read | None = None
    ) -> Read | None:
        """What a GET without a body asks for, if it can be answered here. `headers` have lower-case names; `peer` is
        the connection's other end, and `last` what was read on it before: who says again what was said then is not
        looked for again, nor is the token hashed."""
        if last is not None and target == last.target:
            found: tuple[Way, tuple[str, ...]] | None = last.asked.way, last.asked.params
        else:
            found = self._find(b"GET", target)
        if found is None:
            return None
        said = _said(headers)
        if said is None or said.length is not None or said.authorization is None:
            return None
        authorization, forwarded = said.authorization, said.forwarded
        if last is not None and authorization == last.authorization and forwarded == last.forwarded:
            if target == last.target:
                return last
            return Read(target, authorization, forwarded, Asked(*found, last.asked.token, last.asked.address))
        asked = self._asked(*found, authorization, forwarded, peer)
        return None if asked is None else Read(target, authorization, forwarded, asked)

    def another(self, target: bytes, known: Asked) -> Asked | None:
        """As `read`, of a request whose headers and whose connection are those of the GET that `known` was read from.
        None for a target that has anything but letters, digits, `_`, `-` and `/`, among others."""
        found = self._find(b"GET", target)
        return None if found is None else Asked(*found, known.token, known.address)

    def another_post(self, target: bytes, known: Posted) -> Posted | None:
        """As `another`, of a POST."""
        found = None if target in self._forms else self._find(b"POST", target)
        return (
            None if found is None else Posted(Asked(*found, known.asked.token, known.asked.address), known.content_type)
        )

    def read_post(self, target: bytes, headers: Iterable[tuple[bytes, bytes]], peer: str) -> Posted | Form | None:
        """What a POST asks for, if it may be answered here once its body is there. Arguments as for `read`."""
        form = self._forms.get(target)
        found = self._find(b"POST", target) if form is None else None
        if form is None and found is None:
            return None
        said = _said(headers)
        if said is None:
            return None
        length, kind = said.length, said.kind
        # The parser has seen that the length is a number: the longer is the larger.
        if length is None or (len(length), length) > (len(_MAX_BODY), _MAX_BODY):
            return None
        if found is not None:
            asked = self._asked(*found, said.authorization, said.forwarded, peer)
            return None if asked is None else Posted(asked, None if kind is None else kind.decode("latin-1"))
        if form is None or kind is None or kind.lower() not in _FORMS:
            return None
        return Form(form, None if said.authorization is None else said.authorization.decode("latin-1"))

    def _find(self, method: bytes, target: bytes) -> tuple[Way, tuple[str, ...]] | None:
        way = self._whole.get((method, target))
        if way is not None:
            return way, ()
        ways = self._varying.get((method, target.count(b"/")))
        if ways is None:
            return None
        parts = target.split(b"/")
        for way in ways:
            for place, part in way.fixed:
                if parts[place] != part:
                    break
            else:
                params = []
                for place, others in zip(way.varying, way.not_meant, strict=True):
                    part = parts[place]
                    # What is quoted, has a query, or is not ASCII has another meaning than it has letters.
                    if part in others or not (part.isalnum() or part.replace(b"_", b"0").replace(b"-", b"0").isalnum()):
                        return None
                    params.append(part.decode())
                return way, tuple(params)
        return None

    def _asked(
        self, way: Way, params: tuple[str, ...], authorization: bytes | None, forwarded: bytes | None, peer: str
    ) -> Asked | None:
        if authorization is None:
            return None
        if self._proxies and forwarded is not None:
            peer = self._proxies.client(peer, forwarded.decode("latin-1"))
        token = authorization[len(_BEARER) :]
        if authorization.startswith(_BEARER) and token.isalnum():
            return Asked(way, params, hash_secret(token.decode()), peer)
        try:
            token_text = bearer_in_header(authorization.decode("latin-1"))
        except CloudError:
            return None
        return Asked(way, params, hash_secret(token_text), peer)

    def answer(self, asked: Asked) -> bytes | Soon | AccessRefused | None:
        """The body of a 200, what has to begin for an answer, or why there is none; None for the long way."""
        return self._answer(asked, ())

    def answer_post(self, posted: Posted, body: bytes) -> bytes | Soon | AccessRefused | None:
        """As `answer`, to a request with a body."""
        try:
            tree, files = parse_body(posted.content_type, body)
        except CloudError:
            return None
        return None if files or ACCESS_TOKEN in tree else self._answer(posted.asked, (fields(tree),))

    def _answer(self, asked: Asked, data: tuple[Any, ...]) -> bytes | Soon | AccessRefused | None:
        way, address = asked.way, asked.address
        try:
            requester = self._tokens.cached_by_hash(asked.token, address, counts=False)
            if requester is None or not requester.scopes.allow(way.scope):
                return None
            if isinstance(requester, ApiUser) and not way.is_open_to_api_users:
                return None
            try:
                document = way.handler(requester, *asked.params, *data)
            except AccessRefused as error:
                # Without its frames, of which this is one: they would be a circle.
                document = error.with_traceback(None)
        except CloudError:
            return None
        except Exception:
            # Our own bug. Nothing has happened yet, and the long way may not have it.
            _log.exception("%s %s could not be answered directly", way.method, way.template)
            return None
        if document is None or (self._limits is not None and not self._limits.both(address, requester)):
            return None
        self._tokens.used(requester)
        return document if isinstance(document, _NO_DOCUMENTS) else self._written(way, document)

    def refused(self, asked: Asked, error: AccessRefused, request_id: str) -> Answer:
        rendered = self._faults.expected(error, asked.way.template, request_id)
        return Answer(rendered.status, rendered.headers, self._written(asked.way, rendered.body, rendered.status))

    def said(self, asked: Asked, soon: Soon, told: Any, request_id: str) -> Answer:
        """The answer to a request, of what was told."""
        way = asked.way
        try:
            if isinstance(told, Exception):
                raise told
            return Answer(200, (), self._written(way, soon.shown(told)))
        except CloudError as error:
            rendered = self._faults.expected(error, way.template, request_id)
        except Exception as error:
            rendered = self._faults.unexpected(error, way.template, request_id)
        return Answer(rendered.status, rendered.headers, self._written(way, rendered.body, rendered.status))

    def unheard(self, asked: Asked, soon: Soon, request_id: str) -> None:
        """The client went before it was told anything: for the log alone."""
        if soon.unheard is not None:
            self._faults.expected(client_gone(soon.unheard), asked.way.template, request_id)

    def answer_form(self, form: Form, body: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The body of a 200 that nobody may store, now or later; None for everything else."""
        try:
            basic, said = client_credentials(form.authorization, parse_form(body))
            document = form.way.handler(basic, said)
        except CloudError:
            return None
        except Exception:
            _log.exception("%s %s could not be answered directly", form.way.method, form.way.template)
            return None
        if document is None:
            return None
        return self._later(form.way, document) if isawaitable(document) else self._written(form.way, document)

    async def _later(self, way: FormWay, document: Awaitable[Any]) -> bytes | None:
        try:
            return self._written(way, await document)
        except CloudError:
            return None

    def _written(self, way: Way | FormWay, document: Any, status: int = 200) -> bytes:
        body = encode_json(document)
        if self.watch is not None:
            self.watch(way, status, body)
        return body


def _said(headers: Iterable[tuple[bytes, bytes]]) -> _Said | None:
    """None: something is said twice, or asks for more than an answer. Of lengths the parser lets no second one by."""
    said = _Said()
    for name, value in headers:
        if name == _AUTHORIZATION:
            if said.authorization is not None:
                return None
            said.authorization = value
        elif name == _FORWARDED:
            if said.forwarded is not None:
                return None
            said.forwarded = value
        elif name == _CONTENT_TYPE:
            if said.kind is not None:
                return None
            said.kind = value
        elif name == _CONTENT_LENGTH:
            said.length = value
        elif name in _NOT_PLAIN:
            return None
    return said


def _way(method: str, path: str, takes: list[str], handler: Handler, scope: str, paths: list[list[str]]) -> Way | None:
    """None where the handler takes other things than what varies in the path."""
    parts = path.split("/")
    varying = tuple(place for place, part in enumerate(parts) if part.startswith("{"))
    if [parts[place].strip("{}") for place in varying] != takes:
        return None
    return Way(
        method,
        path,
        handler,
        scope,
        tuple((place, part.encode()) for place, part in enumerate(parts) if place not in varying),
        varying,
        tuple(_others(parts, place, paths) for place in varying),
        opens_to_api_users(path),
    )


def _others(parts: list[str], place: int, paths: list[list[str]]) -> frozenset[bytes]:
    """What paths of the table have at this place as it is, that begin like this one: a router takes it for theirs."""
    return frozenset(
        path[place].encode()
        for path in paths
        if len(path) > place
        and not path[place].startswith("{")
        and all(one == other or "{" in one or "{" in other for one, other in zip(parts[:place], path, strict=False))
    )
