"""No route without a declaration of who may call it, and no handler that runs before that was decided."""

import functools
import importlib
import inspect
import pkgutil
import re
from typing import Any, Literal, get_args, get_origin

import falcon.asgi
import msgspec
import pytest

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer as BearerRequester
from cloudchamber.api import routes as table
from cloudchamber.api import schemas
from cloudchamber.api.app import resources
from cloudchamber.api.edge import responders
from cloudchamber.api.routes import (
    ROUTES,
    AnyToken,
    Bearer,
    BearerOrClient,
    BearerOrPassword,
    ClientCredentials,
    Page,
    Public,
    Raw,
    Stream,
)
from cloudchamber.api.routes.paths import FIELDS
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.settings import Compat

METHODS = {"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"}
GUARDED = (AnyToken, Bearer, BearerOrClient, BearerOrPassword)

# What may be called without any credentials; a new one is a decision, so it is repeated here.
OPEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /version",
    "GET /openapi.json",
    "GET /docs/api",
    "POST /v1/users",
    "POST /v1/user/password-reset",
    "PUT /v1/user/password-reset",
    "DELETE /v1/access_tokens/{token}",
    "GET /.well-known/oauth-authorization-server",
    "GET /pages/static/{name}",
    "GET /v1/server_keys/{algorithm}",
}
# Hosted pages, on which people sign in; each is a page and its form, but for the last.
PAGES = {
    "/oauth/authorize",
    "/oauth/applications",
    "/device",
    "/oauth/forgot",
    "/oauth/reset",
    "/oauth/invitation",
    "/setup",
}
SCRIPTS_OWN = {"POST /setup/token"}


class Anything:
    """Stands for every service: the guards are what is looked at, and they must not get as far as a service."""

    def __getattr__(self, name: str) -> Any:
        if name == "public_url":
            return ""
        return Anything()


class RefusingGuards:
    """Every requester is refused."""

    def __getattr__(self, name: str) -> Any:
        async def refuse(*_args: object) -> None:
            raise OAuthError("invalid_token", "refused")

        return refuse


NO_RIGHTS: Any = Anything()


@functools.cache
def modules() -> dict[str, object]:
    return resources(Anything(), RefusingGuards(), Anything(), Compat())


def handler_of(route: table.Route) -> Any:
    module, _, name = route.handler.partition(".")
    return getattr(modules()[module], name)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.paths[0]} {route.handler}")
def test_every_route_declares_who_may_call_it(route: table.Route) -> None:
    assert route.method in METHODS
    match route.access:
        case Public(reason=reason):
            assert reason
        case ClientCredentials() | AnyToken():
            pass
        case Bearer(action=action) | BearerOrClient(action=action) | BearerOrPassword(action=action):
            assert isinstance(action, Action), "a guarded route names the scope that it takes"
        case other:
            pytest.fail(f"{route} declares {other}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.paths[0]} {route.handler}")
def test_a_guarded_handler_takes_its_requester(route: table.Route) -> None:
    """It cannot be called without one: the parameter is there, is required, and is typed as somebody with a token."""
    parameters = list(inspect.signature(handler_of(route)).parameters.values())
    if isinstance(route.access, GUARDED):
        assert len(parameters) == 2
        assert parameters[1].name == "requester"
        assert parameters[1].annotation == BearerRequester
        assert parameters[1].default is inspect.Parameter.empty
    else:
        assert "requester" not in {parameter.name for parameter in parameters}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.paths[0]} {route.handler}")
def test_every_route_says_what_it_reads_and_answers(route: table.Route) -> None:
    """In one sentence, and in documents of api/schemas; the package's docstring tells how."""
    assert re.fullmatch(r"[A-Z].*\.", route.summary), "a summary is one sentence"
    assert route.answer, "each success is declared: answer=Document, or answer={status: Document, 204: None}"
    for status, answer in route.answer.items():
        for document in answer if isinstance(answer, tuple) else (answer,):
            assert document is None or isinstance(document, Raw | Stream) or is_document(document), (status, document)
    assert not set(route.errors) & set(route.answer)
    if route.method in {"POST", "PUT", "PATCH"} and min(route.answer) < 400:
        assert route.request is not None, "name a request; `Nothing` is an empty object or no body at all"
    for document in route.request if isinstance(route.request, tuple) else (route.request,):
        assert document is None or is_document(document)
    assert route.query is None or is_document(route.query)
    for path in route.paths:
        for name in re.findall(r"{(\w+)(?::path)?}", path):
            assert name in FIELDS, f"explain {{{name}}} in routes/paths.py"


def is_document(found: Any) -> bool:
    if get_origin(found) is Literal:  # a bare JSON string
        return True
    (inner,) = get_args(found) if get_origin(found) is list else (found,)
    return (
        isinstance(inner, type)
        and issubclass(inner, msgspec.Struct)
        and inner.__module__.startswith("cloudchamber.api.schemas.")
    )


def test_each_document_has_a_name_of_its_own() -> None:
    """Names are what the OpenAPI document refers to."""
    by_name: dict[str, set[str]] = {}
    for info in pkgutil.iter_modules(schemas.__path__, "cloudchamber.api.schemas."):
        for name, found in vars(importlib.import_module(info.name)).items():
            if isinstance(found, type) and issubclass(found, msgspec.Struct) and found is not msgspec.Struct:
                by_name.setdefault(name, set()).add(found.__module__)
    assert len(by_name) > 40
    assert {name: modules for name, modules in by_name.items() if len(modules) > 1} == {}


def test_a_keyword_hides_no_function_and_no_variable() -> None:
    """The router takes `/ping` before `/{name}`: what is not the keyword's own method must be there as a name's."""
    methods: dict[str, set[str]] = {}
    for route in ROUTES:
        for path in route.paths:
            methods.setdefault(path, set()).add(route.method)
    for path, found in methods.items():
        parent, _, last = path.rpartition("/")
        if last != "{name}":
            assert methods.get(f"{parent}/{{name}}", set()) <= found, f"{path} hides {parent}/{{name}}; see paths.py"


def test_what_is_open_to_everybody_is_a_short_known_list() -> None:
    found = {f"{r.method} {path}" for r in ROUTES if isinstance(r.access, Public) for path in r.paths}
    assert found == OPEN | {f"{method} {path}" for path in PAGES for method in ("GET", "POST")} | SCRIPTS_OWN
    assert {path for r in ROUTES if isinstance(r.access, Page) for path in r.paths} == PAGES | {"/setup/token"}


def test_the_router_reaches_what_the_table_declares_and_nothing_else() -> None:
    app = falcon.asgi.App()
    for compat in (Compat(), Compat(unauthenticated_revoke=False)):
        on = responders(table.enabled(ROUTES, compat), modules(), RefusingGuards(), NO_RIGHTS)
        declared = {(r.method, path) for r in table.enabled(ROUTES, compat) for path in r.paths}
        reachable = {
            (name.removeprefix("on_").upper(), path)
            for path, responder in on.items()
            for name in dir(responder)
            # HEAD comes with GET.
            if name.startswith("on_") and (name != "on_head" or ("HEAD", path) in declared)
        }
        assert reachable == declared
    for path, responder in on.items():
        app.add_route(path, responder)
    for _, path in declared:
        found = app._router.find(re.sub(r"{\w+:path}", "x/y", path).replace("{", "").replace("}", ""))
        assert found is not None
        assert found[3] == path, f"{path} is hidden by {found[3]}"


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if isinstance(route.access, GUARDED)],
    ids=lambda route: f"{route.method} {route.paths[0]}",
)
async def test_the_edge_refuses_before_the_handler_runs(route: table.Route) -> None:
    ran = []

    async def handler(*_args: object) -> None:
        ran.append(route)

    class Module:
        def __getattr__(self, name: str) -> Any:
            return handler

    everything = {r.handler.partition(".")[0]: Module() for r in ROUTES}
    (responder, *_) = responders([route], everything, RefusingGuards(), NO_RIGHTS).values()
    respond = getattr(responder, f"on_{route.method.lower()}")
    for headers in ([], [(b"authorization", b"Bearer 0123456789")], [(b"authorization", b"Basic eDp5")]):
        with pytest.raises(OAuthError, match="refused"):
            await respond(request(route.method, headers), falcon.asgi.Response())
    assert not ran


def request(method: str, headers: list[tuple[bytes, bytes]]) -> Any:
    from cloudchamber.api.call import EdgeRequest

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
    }
    return EdgeRequest(scope, receive, {"type": "http.request", "body": b"", "more_body": False})
