"""The ASGI application: Falcon over the route table, and what every answer has in common."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import falcon.asgi
import msgspec

from cloudchamber.access.requester import describe
from cloudchamber.api.access_tokens import AccessTokensResource
from cloudchamber.api.addresses import Proxies
from cloudchamber.api.call import EdgeRequest
from cloudchamber.api.calls import CallsResource
from cloudchamber.api.claim_codes import ClaimCodesResource
from cloudchamber.api.clients import ClientsResource
from cloudchamber.api.compiling import CompilingResource
from cloudchamber.api.customers import CustomersResource
from cloudchamber.api.devices import DevicesResource
from cloudchamber.api.diagnostics import DiagnosticsResource
from cloudchamber.api.direct import DirectAnswers
from cloudchamber.api.docs import DocsResource
from cloudchamber.api.edge import responders
from cloudchamber.api.events import EventsResource
from cloudchamber.api.faults import FailurePages, Faults, add_error_handlers
from cloudchamber.api.firmware import FirmwareResource, Flasher
from cloudchamber.api.groups import GroupsResource
from cloudchamber.api.guards import Guards
from cloudchamber.api.health import HealthResource
from cloudchamber.api.keys import KeysResource
from cloudchamber.api.later import LaterResource
from cloudchamber.api.limits import Limits
from cloudchamber.api.locations import LocationsResource
from cloudchamber.api.metrics import MetricsResource
from cloudchamber.api.oauth import OAuthResource
from cloudchamber.api.organizations import OrganizationsResource
from cloudchamber.api.pages.account import People
from cloudchamber.api.pages.applications import ApplicationPages
from cloudchamber.api.pages.assets import AssetPages
from cloudchamber.api.pages.authorize import AuthorizePages
from cloudchamber.api.pages.consent import Consents
from cloudchamber.api.pages.devices import DevicePages
from cloudchamber.api.pages.invitation import InvitationPages
from cloudchamber.api.pages.passwords import PasswordPages
from cloudchamber.api.pages.setup import SetupPages
from cloudchamber.api.pages.shell import Shell
from cloudchamber.api.pages.sign_in import SignIn
from cloudchamber.api.places import Places
from cloudchamber.api.product_devices import ProductDevicesResource
from cloudchamber.api.products import ProductsResource
from cloudchamber.api.reply import JSON, request_id
from cloudchamber.api.rights import Rights
from cloudchamber.api.router import Router
from cloudchamber.api.routes import ROUTES, Page, Route, enabled
from cloudchamber.api.services import Services
from cloudchamber.api.sims import SimsResource
from cloudchamber.api.teams import TeamsResource
from cloudchamber.api.transfers import TransfersResource
from cloudchamber.api.users import UsersResource
from cloudchamber.api.web_oauth import WebOAuthResource
from cloudchamber.api.webhooks import WebhooksResource
from cloudchamber.clock import Millis
from cloudchamber.fleet.through import OrganizationDevices
from cloudchamber.settings import Compat, Settings, networks

_access_log = logging.getLogger("cloudchamber.access_log")

_METHODS: Final = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_HEADERS: Final = "Authorization, Content-Type, Accept, X-Particle-Tool, X-Particle-Project, User-Agent"
_MAX_ECHO: Final = 1_000


class App(falcon.asgi.App[EdgeRequest, falcon.asgi.Response]):
    """`direct` answers what needs no ASGI request at all; None where each one has to be seen, for a line in the log.
    `late` are the parts that are made when they are asked for."""

    direct: DirectAnswers | None = None
    late: "tuple[LateApp, ...]" = ()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # type: ignore[override]  # as Falcon's own
        for part in self.late:
            if part.holds(scope["path"]):
                await part(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class Part(msgspec.Struct, frozen=True):
    """Routes of another package that the same server answers, the objects that their handlers name, what ends the
    work that they began, and what errors look like below them."""

    routes: tuple[Route, ...]
    objects: Mapping[str, object]
    stop: Callable[[], Awaitable[None]]
    failures: FailurePages | None = None


class LatePart:
    """A part that is made with the first request for one of its paths: it takes memory that few clouds need."""

    def __init__(self, holds: Callable[[str], bool], make: Callable[[], Part]) -> None:
        """`holds`: is this path, of a request, this part's? `make` is called on a thread, once."""
        self.holds = holds
        self._make = make
        self._part: Part | None = None

    def made(self) -> Part:
        self._part = self._part or self._make()
        return self._part

    async def stop(self) -> None:
        if self._part is not None:
            await self._part.stop()


class LateApp:
    """The application of a LatePart."""

    def __init__(self, part: LatePart, application: Callable[[Part], App]) -> None:
        self.holds = part.holds
        self.on_made: Callable[[App], None] | None = None
        """For tests."""
        self._part = part
        self._application = application
        self._app: App | None = None
        self._making: asyncio.Task[App] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            making = self._making = self._making or asyncio.create_task(asyncio.to_thread(self._made))
            try:
                # Whoever does not wait any more must not take it away from the others.
                self._app = await asyncio.shield(making)
            finally:
                if making.done():
                    self._making = None
        await self._app(scope, receive, send)

    def _made(self) -> App:
        app = self._application(self._part.made())
        if self.on_made is not None:
            self.on_made(app)
        return app


def create_app(services: Services, settings: Settings, *parts: LatePart) -> App:
    end = settings.query_tokens_end_at
    guards = Guards(
        services.tokens,
        services.clients,
        services.token_endpoint,
        services.users,
        services.factors,
        settings.compat,
        services.compat_uses,
        services.limits,
        None if end is None else Millis(int(end.timestamp() * 1000)),
    )
    proxies = Proxies(networks(settings.trusted_proxies))
    places = Places(services.products, services.organizations, OrganizationDevices(services.devices, services.products))
    rights = Rights(places, services.products, services.devices)
    faults = Faults(vendor_statuses=settings.compat.vendor_statuses, compat_uses=services.compat_uses)

    def application(rows: Iterable[Route], objects: Mapping[str, object], *failures: FailurePages) -> App:
        rows = enabled(rows, settings.compat)
        pages = frozenset(path for row in rows if isinstance(row.access, Page) for path in row.paths)
        common = Common(proxies, services.limits, pages)
        router: Any = Router()  # Falcon types its own alone
        app = App(
            media_type=JSON,
            request_type=EdgeRequest,
            router=router,
            # The log first: a preflight's answer is complete in Common, and what comes after it does not see the
            # request.
            middleware=[*([AccessLog()] if settings.access_log else []), common],
        )
        # iOS posts to /v1/users/.
        app.req_options.strip_url_path_trailing_slash = True
        add_error_handlers(app, faults, failures)
        for path, responder in responders(rows, objects, guards, rights, services.limits, services.audit).items():
            app.add_route(path, responder)
        return app

    def late(part: Part) -> App:
        return application(part.routes, part.objects, *([part.failures] if part.failures is not None else []))

    objects = resources(services, guards, places, settings.compat)
    app = application(ROUTES, objects)
    app.late = tuple(LateApp(part, late) for part in parts)
    if not settings.access_log:
        routes = enabled(ROUTES, settings.compat)
        app.direct = DirectAnswers(routes, objects, services.tokens, proxies, services.limits, faults)
    return app


def resources(services: Services, guards: Guards, places: Places, compat: Compat) -> dict[str, object]:
    """The objects whose methods the route table names."""
    s = services
    shell = Shell(s.public_url)
    people = people_on(shell, s)
    sign_in = SignIn(shell, people)
    consents = Consents(shell, people, s.devices)
    flasher = Flasher(s.firmware_updates, s.apps)
    return {
        "application_pages": ApplicationPages(shell, people, sign_in, s.authorization),
        "invitation_pages": InvitationPages(shell, people, sign_in, s.teams),
        "asset_pages": AssetPages(shell),
        "authorize_pages": AuthorizePages(shell, people, sign_in, consents, s.authorization),
        "device_pages": DevicePages(shell, people, sign_in, consents, s.device_grants, s.authorization, s.limits),
        "password_pages": PasswordPages(shell, people, s.resets, s.customer_accounts),
        "setup_pages": SetupPages(shell, people, sign_in, s.tokens),
        "web_oauth": WebOAuthResource(s.token_endpoint, s.device_grants, compat, s.public_url),
        "access_tokens": AccessTokensResource(s.tokens, places, guards),
        "calls": CallsResource(s.calls, s.devices, places),
        "claim_codes": ClaimCodesResource(s.ownership, places),
        "clients": ClientsResource(s.clients, s.organizations, places),
        "compiling": CompilingResource(),
        "customers": CustomersResource(s.customers, s.customer_accounts, places, s.devices, s.clients, s.tokens),
        "devices": DevicesResource(
            s.devices, s.updates, s.ownership, s.transfers, s.calls, flasher, s.imports, s.products
        ),
        "diagnostics": DiagnosticsResource(s.diagnostics, s.devices, places),
        "docs": DocsResource(compat),
        "events": EventsResource(s.events, places),
        "firmware": FirmwareResource(s.firmware, places),
        "groups": GroupsResource(s.groups, places),
        "health": HealthResource(s.ready),
        "keys": KeysResource(s.provisioning, s.imports, s.products, s.devices, s.server_keys),
        "later": LaterResource(),
        "locations": LocationsResource(s.diagnostics, s.devices, s.device_lists, places),
        "metrics": MetricsResource(s.statistics, places),
        "oauth": OAuthResource(s.token_endpoint, s.audit),
        "organizations": OrganizationsResource(s.organizations, s.products, places),
        "product_devices": ProductDevicesResource(
            s.devices,
            s.device_lists,
            s.updates,
            s.imports,
            s.groups,
            places,
            s.ownership,
            s.calls,
            s.firmware_updates,
            flasher,
        ),
        "products": ProductsResource(s.products),
        "sims": SimsResource(s.products),
        "teams": TeamsResource(s.teams, places),
        "transfers": TransfersResource(s.transfers),
        "users": UsersResource(s.users, s.accounts, s.factors, s.resets, s.devices, guards),
        "webhooks": WebhooksResource(s.webhooks, places, s.public_url),
    }


def people_on(shell: Shell, s: Services) -> People:
    """Who signs in on the pages that `shell` sends."""
    return People(
        shell,
        s.users,
        s.customers,
        s.factors,
        s.clients,
        s.products,
        s.organizations,
        s.browser_sessions,
        s.user_passwords,
        s.limits,
        s.audit,
    )


class Common:
    """The headers of every answer, the client's address and what it may, and the answer to every preflight."""

    def __init__(self, proxies: Proxies, limits: Limits | None, pages: frozenset[str]) -> None:
        """`pages` are the paths that no other origin's script may read."""
        self._pages = frozenset(path for path in pages if "{" not in path)
        # Up to its first field: nothing of the API begins like a page.
        self._below = tuple(path.partition("{")[0] for path in pages if "{" in path)
        self._proxies = proxies
        self._limits = limits

    async def process_request(self, req: EdgeRequest, resp: falcon.asgi.Response) -> None:
        req.request_id = request_id()
        resp.set_header("x-request-id", req.request_id)
        # No credentials mode: a page of another origin can use only the token that it holds itself.
        resp.set_header("access-control-allow-origin", "*")
        if self._proxies:
            req.client_ip = self._proxies.client(req.client_ip, req.get_header("x-forwarded-for"))
        if self._limits is not None:
            self._limits.any_route(req)
        if req.method == "OPTIONS":
            if req.path in self._pages or req.path.startswith(self._below):
                resp.delete_header("access-control-allow-origin")
            _preflight(req, resp)


def _preflight(req: EdgeRequest, resp: falcon.asgi.Response) -> None:
    """204 for every path, before any authentication: browsers send no credentials with it."""
    wanted = req.get_header("access-control-request-headers")
    resp.set_header("access-control-allow-methods", _METHODS)
    resp.set_header(
        "access-control-allow-headers", wanted if wanted and len(wanted) <= _MAX_ECHO and wanted.isascii() else _HEADERS
    )
    resp.set_header("access-control-max-age", "86400")
    resp.status = 204
    resp.complete = True


class AccessLog:
    """One line for each request. Neither query strings nor paths are in it, only the route: both carry tokens."""

    async def process_request(self, req: EdgeRequest, _resp: falcon.asgi.Response) -> None:
        req.context.started = time.perf_counter()

    async def process_response(
        self,
        req: EdgeRequest,
        resp: falcon.asgi.Response,
        _resource: Any,
        _succeeded: bool,
    ) -> None:
        _access_log.info(
            "method=%s route=%s status=%s ms=%.1f ip=%s requester=%s request=%s",
            req.method,
            req.uri_template or "-",
            resp.status_code,
            (time.perf_counter() - req.context.started) * 1000,
            req.client_ip,
            describe(req.requester) if req.requester else "-",
            req.request_id,
        )
