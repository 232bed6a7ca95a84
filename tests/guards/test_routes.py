"""No route without a declaration of who may call it, and no handler that runs before that was decided."""

import inspect
from typing import Any

import falcon.asgi
import pytest

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer as BearerRequester
from cloudchamber.api import routes as table
from cloudchamber.api.app import resources
from cloudchamber.api.edge import responders
from cloudchamber.api.routes import ROUTES, Bearer, BearerOrClient, BearerOrPassword, ClientCredentials, Public
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.settings import Compat

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
GUARDED = (Bearer, BearerOrClient, BearerOrPassword)

# What may be called without any credentials; a new one is a decision, so it is repeated here.
OPEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /version",
    "POST /v1/users",
    "POST /v1/user/password-reset",
    "PUT /v1/user/password-reset",
    "DELETE /v1/access_tokens/{token}",
}


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


def modules() -> dict[str, object]:
    return resources(Anything(), RefusingGuards())


def handler_of(route: table.Route) -> Any:
    module, _, name = route.handler.partition(".")
    return getattr(modules()[module], name)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.paths[0]} {route.handler}")
def test_every_route_declares_who_may_call_it(route: table.Route) -> None:
    assert route.method in METHODS
    match route.access:
        case Public(reason=reason):
            assert reason
        case ClientCredentials():
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


def test_what_is_open_to_everybody_is_a_short_known_list() -> None:
    found = {f"{r.method} {path}" for r in ROUTES if isinstance(r.access, Public) for path in r.paths}
    assert found == OPEN


def test_the_router_reaches_what_the_table_declares_and_nothing_else() -> None:
    app = falcon.asgi.App()
    for compat in (Compat(), Compat(unauthenticated_revoke=False)):
        on = responders(table.enabled(ROUTES, compat), modules(), RefusingGuards())
        declared = {(r.method, path) for r in table.enabled(ROUTES, compat) for path in r.paths}
        reachable = {
            (name.removeprefix("on_").upper(), path)
            for path, responder in on.items()
            for name in dir(responder)
            if name.startswith("on_") and name != "on_head"
        }
        assert reachable == declared
    for path, responder in on.items():
        app.add_route(path, responder)
    for _, path in declared:
        found = app._router.find(path.replace("{prefix:path}", "x/y").replace("{", "").replace("}", ""))
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
    (responder, *_) = responders([route], everything, RefusingGuards()).values()
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
