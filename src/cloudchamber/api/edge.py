"""From the route table to responders: each guarded as its row says, before its handler can run.

A responder reads what the request carries, finds out who is asking, checks the scope, calls the handler and writes its
answer, in this order. Errors rise to faults.py. A handler of a guarded route takes the requester as its second
argument, so that it cannot be called without one. Whatever is wrong with a request, its reader's complaint or its
handler's, is told to those alone who have the right to make it (rights.py).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import falcon.asgi

from cloudchamber.access.requester import ApiUser
from cloudchamber.access.requester import Bearer as BearerRequester
from cloudchamber.api.auditing import audited
from cloudchamber.api.auth import ACCESS_TOKEN, FORM, client_credentials
from cloudchamber.api.bodies import BodyInvalid, Tree, Upload, media_type
from cloudchamber.api.call import NO_TREE, Call, EdgeRequest, body_of, fields, query_of
from cloudchamber.api.errors import ApiUserRefused, ScopeMissing
from cloudchamber.api.fields import NO_FIELDS
from cloudchamber.api.guards import Guards, require_form
from cloudchamber.api.limits import CheckAddress, CheckPrincipal, Limits
from cloudchamber.api.reply import Reply, encode_json, write_reply
from cloudchamber.api.rights import Rights
from cloudchamber.api.routes import (
    DEFAULT_BODY_LIMIT,
    AnyToken,
    Bearer,
    BearerOrClient,
    BearerOrPassword,
    ClientCredentials,
    Console,
    Page,
    Public,
    Route,
)
from cloudchamber.api.sse import EventStream
from cloudchamber.audit.service import AuditLog
from cloudchamber.errors import CloudError, Forbidden, Invalid, NotFound

# API users belong to a product or an organization; what else there is below /v1 is people's and customers'.
_OPEN_TO_API_USERS: Final = ("/v1/products", "/v1/orgs/", "/v1/binaries")

_NO_FILES: Final[tuple[Upload, ...]] = ()

Responder = Callable[..., Awaitable[None]]
Handler = Callable[..., Awaitable[Any]]


def opens_to_api_users(path: str) -> bool:
    """Is this path of the table one that API users may ask for at all?"""
    return path.startswith(_OPEN_TO_API_USERS)


def responders(
    routes: Iterable[Route],
    resources: Mapping[str, object],
    guards: Guards,
    rights: Rights,
    limits: Limits | None = None,
    audit: AuditLog | None = None,
) -> dict[str, object]:
    """One responder object for each path, with a method for each HTTP method: what Falcon's router takes."""
    methods: dict[str, dict[str, Responder]] = {}
    for route in routes:
        resource, _, name = route.handler.partition(".")
        respond = responder(route, getattr(resources[resource], name), guards, rights, limits)
        if audit is not None:
            respond = audited(route, respond, audit)
        for path in route.paths:
            on = methods.setdefault(path, {})
            assert f"on_{route.method.lower()}" not in on, f"{route.method} {path} stands in the table twice"
            on[f"on_{route.method.lower()}"] = respond
    for on in methods.values():
        if "on_get" in on:
            on.setdefault("on_head", on["on_get"])
    return {path: SimpleNamespace(**on) for path, on in methods.items()}


def responder(
    route: Route, handler: Handler, guards: Guards, rights: Rights, limits: Limits | None = None
) -> Responder:
    """The responder of one route."""
    check_address, check_principal = (None, None) if limits is None else limits.of_route(route.limit)
    respond = _by_access(route, handler, guards, rights, check_principal)
    if limits is not None and isinstance(route.access, ClientCredentials):
        respond = _counting_guesses(respond, limits)
    if limits is not None and route.limit == "search":
        respond = _counting_misses(respond, limits)
    if limits is not None and route.limit == "stream":
        respond = _counting_streams(respond, limits)
    return respond if check_address is None else _checking_first(respond, check_address)


def _by_access(
    route: Route, handler: Handler, guards: Guards, rights: Rights, check_principal: CheckPrincipal | None
) -> Responder:
    match route.access:
        case Console():
            return _console(handler)
        case Page():
            return _page(route, handler)
        case Public():
            return _public(route, handler)
        case ClientCredentials():
            return _client_credentials(route, handler)
        case AnyToken() | Bearer() | BearerOrClient() | BearerOrPassword():
            return _guarded(route, route.access, handler, guards, rights, check_principal)


def _checking_first(respond: Responder, check: CheckAddress) -> Responder:
    async def checking(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        check(req)
        await respond(req, resp, **params)

    return checking


def _counting_guesses(respond: Responder, limits: Limits) -> Responder:
    """For routes on which a secret is tried; those with a password in a Basic header are counted by Guards."""

    async def counting(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        limits.check_guess(req)
        try:
            await respond(req, resp, **params)
        except CloudError as error:
            if error.is_wrong_guess:
                limits.guessed(req, right=False)
            raise
        limits.guessed(req, right=True)

    return counting


def _counting_misses(respond: Responder, limits: Limits) -> Responder:
    """For routes on which ids are tried."""

    async def counting(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        try:
            await respond(req, resp, **params)
        except (NotFound, Forbidden):
            limits.missed(req)
            raise

    return counting


def _counting_streams(respond: Responder, limits: Limits) -> Responder:
    async def counting(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        close = limits.open_stream(req)
        try:
            await respond(req, resp, **params)
        except BaseException:
            close()
            raise
        if isinstance(resp.stream, EventStream):
            resp.stream.on_close = close
        else:
            close()

    return counting


def _public(route: Route, handler: Handler) -> Responder:
    async def respond(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        body, files = await body_of(req, route.body_limit)
        write(req, resp, await handler(Call(req, params, fields(query_of(req)), fields(body), files)))

    return respond


def _page(route: Route, handler: Handler) -> Responder:
    public = _public(route, handler)

    async def respond(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        resp.delete_header("access-control-allow-origin")
        await public(req, resp, **params)

    return respond


def _console(handler: Handler) -> Responder:
    """The handler reads query and body itself, when it knows who is signed in and what they may (console/frame.py)."""

    async def respond(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        resp.delete_header("access-control-allow-origin")
        write(req, resp, await handler(Call(req, params, NO_FIELDS, NO_FIELDS, ())))

    return respond


def _client_credentials(route: Route, handler: Handler) -> Responder:
    async def respond(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        require_form(req)
        body, _ = await body_of(req, route.body_limit)
        basic, form = client_credentials(req.auth, body)
        write(req, resp, await handler(Call(req, params, NO_FIELDS, NO_FIELDS, ()), basic, form))

    return respond


def _guarded(
    route: Route,
    access: AnyToken | Bearer | BearerOrClient | BearerOrPassword,
    handler: Handler,
    guards: Guards,
    rights: Rights,
    check_principal: CheckPrincipal | None,
) -> Responder:
    action = None if isinstance(access, AnyToken) else access.action
    scope = None if action is None else action.value
    takes_bare_bearer = isinstance(access, Bearer | AnyToken)

    async def respond(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        complaint: BodyInvalid | None = None
        requester: BearerRequester
        if takes_bare_bearer and not req.raw_query and not req.has_body and (auth := req.auth) is not None:
            # Most requests: a token in the header, and nothing else that would have to be read.
            requester = await guards.bearer_in_header(req, auth)
            call = Call(req, params, NO_FIELDS, NO_FIELDS, ())
        else:
            said = await _read(req, route, guards)
            query, body, complaint = said.query, said.body, said.in_query or said.in_body
            if complaint is not None and _may_hide_credentials(req, access, said):
                raise complaint
            implicit = None
            match access:
                case BearerOrPassword():
                    requester = await guards.password(req, query, body)
                case BearerOrClient():
                    requester, implicit = await guards.client(req, query, body)
                case _:
                    requester = await guards.bearer(req, query, body)
            call = Call(req, params, fields(query), fields(body), said.files, implicit)
        req.requester = requester
        if check_principal is not None:
            check_principal(requester)
        if isinstance(requester, ApiUser) and not opens_to_api_users(req.uri_template or ""):
            raise ApiUserRefused
        names = requester.scopes.names
        if names is not None and action is not None and scope not in names:
            raise ScopeMissing(action)
        try:
            if complaint is not None:
                raise complaint
            answer = await handler(call, requester)
        except Invalid:
            if action is not None:
                await rights.ask(call, requester, action)
            raise
        write(req, resp, answer)

    return respond


class _Said(NamedTuple):
    """What a request says, and what is wrong with its query and its body where one cannot be read: it counts as empty
    then."""

    query: Tree
    body: Tree
    files: tuple[Upload, ...]
    in_query: BodyInvalid | None
    in_body: BodyInvalid | None


async def _read(req: EdgeRequest, route: Route, guards: Guards) -> _Said:
    """Raises OAuthError, BodyTooLarge."""
    query, body, files = NO_TREE, NO_TREE, _NO_FILES
    in_query = in_body = None
    try:
        query = query_of(req)
    except BodyInvalid as error:
        in_query = error
    try:
        body, files = await _body_before_knowing_who(req, route, guards)
    except BodyInvalid as error:
        in_body = error
    return _Said(query, body, files, in_query, in_body)


def _may_hide_credentials(
    req: EdgeRequest, access: AnyToken | Bearer | BearerOrClient | BearerOrPassword, said: _Said
) -> bool:
    """Can what cannot be read be what says who is asking? Then no more can be told than that it cannot be read,
    whatever the path names: "no token" would make an app log out that has one."""
    if req.auth is not None or ACCESS_TOKEN in said.query:
        return False
    if said.in_query is not None and ACCESS_TOKEN.encode() in req.raw_query:
        return True
    return said.in_body is not None and (isinstance(access, BearerOrClient) or media_type(req.content_type) == FORM)


async def _body_before_knowing_who(req: EdgeRequest, route: Route, guards: Guards) -> tuple[Tree, tuple[Upload, ...]]:
    """The body can hold the token, so it is read first; a large one only for those whose header holds a good token,
    because parsing one holds up everybody. Raises OAuthError, BodyInvalid, BodyTooLarge."""
    limit = route.body_limit
    if limit > DEFAULT_BODY_LIMIT and req.has_body:
        if req.auth is not None:
            await guards.bearer_in_header(req, req.auth)
        else:
            limit = DEFAULT_BODY_LIMIT
    return await body_of(req, limit)


def write(req: EdgeRequest, resp: falcon.asgi.Response, answer: Any) -> None:
    """Plain JSON with 200, unless the handler said otherwise."""
    if isinstance(answer, Reply):
        write_reply(resp, answer)
    elif isinstance(answer, EventStream):
        answer.start(req, resp)
    else:
        resp.data = encode_json(answer)
