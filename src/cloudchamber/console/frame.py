"""What every page of the console goes through.

Nobody gets to a handler who is not signed in, whose role does not allow the row's action in the product or the
organization of the path, or whose form did not come from its page; what the query and the form say is read after that
is known. A handler gets an `Ask`, made anew for each request.
"""

import asyncio
import base64
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote, unquote, urlencode

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OrganizationResource,
    ProductDeviceResource,
    ProductResource,
    Resource,
)
from cloudchamber.access.requester import User
from cloudchamber.access.rules import Allowed, Reason, decide
from cloudchamber.access.service import require
from cloudchamber.api.app import people_on
from cloudchamber.api.call import Call, EdgeRequest, body_of, fields, query_of
from cloudchamber.api.fields import NO_FIELDS
from cloudchamber.api.pages.account import BRAND
from cloudchamber.api.pages.shell import FormForged, Realm, Shell, Visit
from cloudchamber.api.pages.templates import templates
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.api.routes import Console, Route, Stream
from cloudchamber.api.services import Services
from cloudchamber.console import words
from cloudchamber.console.live import LiveSessions
from cloudchamber.console.section import PREFIX, Section
from cloudchamber.errors import CloudError, NotFound, TooManyRequests
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.ids import UserId
from cloudchamber.oauth.clients import CONSOLE
from cloudchamber.oauth.model import PrincipalKind
from cloudchamber.oauth.web.model import BrowserSession
from cloudchamber.organizations.model import Organization

if TYPE_CHECKING:
    import jinja2

SIGN_IN: Final = f"{PREFIX}/sign-in"
STATIC: Final = f"{PREFIX}/static"
REALM: Final = Realm("users", BRAND)
THEMES: Final = ("auto", "light", "dark")

_NOTE_COOKIE: Final = "cc_note"
THEME_COOKIE: Final = "cc_theme"
# Above what any sentence of ours has; what others put into the cookie is cut.
_MAX_NOTE: Final = 300
# The switcher is for going back and forth; whoever has more products finds them on the first page.
_MAX_SWITCHER: Final = 40

_OUTSIDE: Final = frozenset({Reason.NOT_IN_TEAM, Reason.OTHER_PRODUCT, Reason.OTHER_ORGANIZATION})
# One text for what is not there and for what is others': nobody learns here which it is.
_NOWHERE: Final = "There is no such page, or you are not in its team."
_TITLES: Final = {
    403: "That is not for you to do",
    404: "Nothing is here",
    405: "This is no page to look at",
    413: "That is too large",
    429: "That was too often",
    500: "That went wrong on our side",
    503: "Not now",
}
_TEXTS: Final = {404: _NOWHERE, 405: "What a form sends goes to this address. Go back to the page with the form."}
# Who is too fast for us, or comes while the database is away, is not looked up.
_NOT_LOOKED_UP: Final = frozenset({429, 503})

_log = logging.getLogger(__name__)

_NO_CALL: Final[Any] = None

Handler = Callable[["Ask"], Awaitable[Any]]


@dataclass(slots=True)
class Switch:
    """An organization in the frame's list, or the personal products. `url`: its pages, for those in its team."""

    name: str
    url: str | None
    is_here: bool = False
    products: list[Product] = field(default_factory=list)


class PageNotFound(NotFound):
    code: ClassVar[str] = "page_not_found"


@dataclass(slots=True)
class Ask:
    """One request of somebody who is signed in, allowed to do what its row says."""

    visit: Visit
    session: BrowserSession
    requester: User
    username: str
    product: Product | None = None
    organization: Organization | None = None

    @property
    def the_product(self) -> Product:
        assert self.product is not None, "the row's path names no product"
        return self.product

    @property
    def call(self) -> Call:
        return self.visit.call

    @property
    def params(self) -> Mapping[str, str]:
        return self.visit.call.params

    @property
    def form(self) -> Mapping[str, str]:
        return self.visit.form

    @property
    def query(self) -> Mapping[str, str]:
        return self.visit.query

    @property
    def place(self) -> ProductResource | OrganizationResource | Account:
        if self.product is not None:
            return self.product.resource(self.requester)
        return self.organization.resource(self.requester) if self.organization is not None else Account()

    @property
    def owner(self) -> ProductResource | OrganizationResource:
        """The product or organization of the path, for the services of what both have."""
        place = self.place
        assert not isinstance(place, Account), "the row's path names neither a product nor an organization"
        return place

    @property
    def the_organization(self) -> Organization:
        assert self.organization is not None, "the row's path names no organization"
        return self.organization

    @property
    def base(self) -> str:
        """Below which the pages of the path's product or organization are."""
        if self.product is not None:
            return product_url(self.product)
        return organization_url(self.organization) if self.organization is not None else PREFIX

    @property
    def api_base(self) -> str:
        """The same in the API."""
        if self.product is not None:
            return f"/v1/products/{self.product.id}"
        return f"/v1/orgs/{self.the_organization.slug}"

    def may(self, action: Action, on: Resource | DeviceRecord | None = None) -> bool:
        """Would `action` be allowed: on the product or organization of the path, or on a device of it?"""
        resource: Resource
        if isinstance(on, DeviceRecord):
            shut_out = (on.is_quarantined, on.is_denied)
            if self.product is not None:
                resource = ProductDeviceResource(on.id, self.product.resource(self.requester), *shut_out)
            else:
                resource = DeviceResource(on.id, on.owner, on.product, *shut_out)
        else:
            resource = on if on is not None else self.place
        return isinstance(decide(self.requester, action, resource), Allowed)


class Frame:
    def __init__(self, services: Services, sections: Sequence[Section]) -> None:
        self.services = services
        self.shell = Shell(services.public_url)
        self.people = people_on(self.shell, services)
        self.live = LiveSessions(services.browser_sessions, services.clock)
        self._sections = sections
        rows = [row for section in sections for row in section.routes]
        self._pages = {path for row in rows if row.method == "GET" for path in row.paths}
        self._tasks: set[asyncio.Task[None]] = set()
        self._static = {entry.name: entry.read_bytes() for entry in Path(__file__).with_name("static").iterdir()}

    @cached_property
    def _templates(self) -> "jinja2.Environment":
        made = templates("cloudchamber.console", lstrip_blocks=True)
        made.globals |= {
            "A": Action,
            "PREFIX": PREFIX,
            "brand": BRAND,
            "clock": words.clock_tag,
            "counted": words.counted,
            "grouped": words.grouped,
            "static": self.static_url,
            "themes": THEMES,
            "version": words.version,
            "when": lambda at, never="never": words.time_tag(at, self.services.clock.now(), never),
        }
        return made

    # -- in -----------------------------------------------------------------------------------------------------------

    def guarded(self, row: Route, access: Console, handler: Handler) -> Callable[[Call], Awaitable[Any]]:
        """The handler of a row, as the edge calls it."""
        is_live = isinstance((row.answer_names or {}).get(200), Stream)

        async def respond(call: Call) -> Any:
            visit = self.shell.begin(call)
            ask: Ask | None = None
            try:
                session = await self.people.current(visit, REALM)
                if session is None or session.principal.kind is not PrincipalKind.USER:
                    return NO_CONTENT if is_live else self._to_sign_in(visit)
                ask = await self._ask(visit, session)
                await self._enter_place(ask)
                require(ask.requester, access.action, ask.place)
                visit.call = await _read(call, row.body_limit)
                self.shell.check_form(visit)
                return await handler(ask)
            except CloudError as error:
                if is_live and error.status < 429:
                    return NO_CONTENT
                return await self.failure(visit, ask, error)

        return respond

    async def _ask(self, visit: Visit, session: BrowserSession) -> Ask:
        requester = User(UserId(session.principal.id), CONSOLE)
        visit.call.req.requester = requester
        if self.services.limits is not None:
            self.services.limits.principal(requester)
        username = await self.people.username(session.principal)
        return Ask(visit, session, requester, username or "")

    async def _enter_place(self, ask: Ask) -> None:
        """Raises PageNotFound."""
        try:
            if "product" in ask.params:
                ask.product = await self.services.products.find(ask.params["product"])
            elif "organization" in ask.params:
                ask.organization = await self.services.organizations.find(ask.params["organization"])
                # A personal one holds somebody's own products, and is no organization in people's eyes.
                if ask.organization.is_personal:
                    raise PageNotFound(_NOWHERE)
        except NotFound as error:
            raise PageNotFound(_NOWHERE) from error

    def _to_sign_in(self, visit: Visit) -> Reply:
        """And back to the page that was asked for; after a form, to the page on which it stands."""
        req = visit.call.req
        path = self._page_at(req)
        if req.method == "GET" and req.raw_query:
            path += "?" + req.raw_query.decode("ascii", "replace")
        return self.shell.redirect(visit, f"{SIGN_IN}?{urlencode({'to': path})}")

    def _page_at(self, req: EdgeRequest) -> str:
        """The page to look at where `req` went: a form's address is one part longer than that of its page, or the
        same."""
        return req.path if req.uri_template in self._pages else req.path.rpartition("/")[0]

    # -- out ----------------------------------------------------------------------------------------------------------

    async def page(
        self,
        ask: Ask,
        template: str,
        *,
        title: str,
        section: str | None = None,
        status: int = 200,
        error: CloudError | str | None = None,
        done: str | None = None,
        back: tuple[str, str] | None = None,
        **values: Any,
    ) -> Reply:
        """A page in the frame. `section` is the key of the navigation's entry; `back` a link above the title, URL and
        text; `error` and `done` say what came of a form, and with an error `filled(name)` is what was sent."""
        if isinstance(error, CloudError):
            status, error = error.status, error.message
        content = self._templates.get_template(template).render(
            title=title,
            section=section,
            error=error,
            done=done or self._note(ask.visit),
            back=back,
            csrf=ask.visit.csrf,
            theme=_theme(ask.visit),
            here=ask.call.req.path,
            username=ask.username,
            product=ask.product,
            whose=ask.product or ask.organization,
            base=ask.base,
            may=ask.may,
            filled=lambda name, default="": (ask.form if error is not None else {}).get(name, default),
            nav=self._nav(ask),
            switcher=await self._switcher(ask),
            **values,
        )
        return self.shell.html(ask.visit, content, status)

    def redirect(self, ask: Ask, url: str, done: str | None = None) -> Reply:
        """After a form that has done its work; `done` is said once, on the page that comes next."""
        if done is not None:
            self.shell.set_cookie(ask.visit, _NOTE_COOKIE, quote(done[:_MAX_NOTE]), 60)
        return self.shell.redirect(ask.visit, url)

    def render(self, template: str, **values: Any) -> str:
        """A piece of a page, for what comes live."""
        return self._templates.get_template(template).render(**values)

    # -- work that outlives its request -------------------------------------------------------------------------------

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """`work` keeps what comes of it, its errors too, for a page that is asked for later."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """What still runs is ended between two of its steps."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what went wrong ----------------------------------------------------------------------------------------------

    async def failure(self, visit: Visit, ask: Ask | None, error: CloudError) -> Reply:
        """A page that says so, and leads on."""
        if ask is None:
            return self.outside(visit, error)
        status = getattr(error, "http_status", error.status)
        text = error.message
        if isinstance(error, AccessRefused) and error.reason in _OUTSIDE:
            status, text = 404, _NOWHERE
        # What the path names may be what is missing.
        if status in {403, 404} and not ask.may(
            Action.PRODUCTS_GET if ask.product is not None else Action.ORGANIZATIONS_GET
        ):
            ask.product = ask.organization = None
        again = self._page_at(visit.call.req) if isinstance(error, FormForged) else None
        return _with_wait(await self._failure_page(ask, _title(status, error), status, text, again), error)

    def outside(self, visit: Visit | None, error: CloudError) -> Reply:
        """The same for somebody of whom we do not know who it is."""
        if error.status >= 500:
            _log.error("a page failed: %s: %s", error.code, error.detail or error)
        status = getattr(error, "http_status", error.status)
        return _with_wait(self._outside_page(visit, _title(status, error), status, error.message), error)

    async def failed(self, req: EdgeRequest, status: int, text: str) -> Reply:
        """For what no handler was reached by, and for our own bugs (api/faults.py). It does not fail itself."""
        visit: Visit | None = None
        text = _TEXTS.get(status, text)
        try:
            visit = self.shell.begin(Call(req, {}, NO_FIELDS, NO_FIELDS, ()))
            session = None if status in _NOT_LOOKED_UP else await self.people.current(visit, REALM)
            if session is not None and session.principal.kind is PrincipalKind.USER:
                again = self._page_at(req) if status == 405 and req.method == "GET" else None
                return await self._failure_page(await self._ask(visit, session), _title(status), status, text, again)
        except Exception as error:
            _log.error("request %s: no page for its error: %r", req.request_id, error)
        return self._outside_page(visit, _title(status), status, text)

    async def _failure_page(self, ask: Ask, title: str, status: int, text: str, again: str | None) -> Reply:
        return await self.page(ask, "failure.html", title=title, status=status, error=text, again=again)

    def _outside_page(self, visit: Visit | None, title: str, status: int, text: str) -> Reply:
        visit = visit or Visit(_NO_CALL, {}, "")
        nothing = dict.fromkeys(("product", "whose", "done", "back", "again"))
        values = {"title": title, "error": text, "csrf": visit.csrf, "theme": _theme(visit)}
        content = self.render("outside.html", **nothing, **values)
        return self.shell.html(visit, content, status)

    def static_url(self, name: str) -> str:
        """With what is in the file, so that browsers keep it until it changes."""
        digest = hashlib.sha256(self._static[name]).digest()
        return f"{STATIC}/{name}?v={base64.urlsafe_b64encode(digest[:6]).decode()}"

    def static(self, name: str) -> bytes | None:
        return self._static.get(name)

    def _note(self, visit: Visit) -> str | None:
        found = visit.cookies.get(_NOTE_COOKIE)
        if not found or visit.call.req.method != "GET":
            return None
        self.shell.set_cookie(visit, _NOTE_COOKIE, "", 0)
        return unquote(found)[:_MAX_NOTE]

    def _nav(self, ask: Ask) -> list[dict[str, str]]:
        here = "product" if ask.product is not None else "organization" if ask.organization is not None else None
        base: str
        place: Resource
        found = []
        for section in self._sections:
            nav = section.nav
            if nav is None:
                continue
            if nav.place == "account":
                base, place = PREFIX, Account()
            elif here is not None and nav.place in {here, "either"}:
                base, place = ask.base, ask.place
            else:
                continue
            if ask.may(nav.action, place):
                url = f"{base}/{nav.path}".rstrip("/")
                found.append({"key": section.key, "title": section.title, "url": url, "place": nav.place})
        return found

    async def _switcher(self, ask: Ask) -> list[Switch]:
        """The organizations and products of whoever asks, each product below what it belongs to."""
        found: dict[str, Switch] = {}
        organizations = await self.services.organizations.of_requester(ask.requester)
        for each in organizations[:_MAX_SWITCHER]:
            found[each.id] = Switch(each.name, organization_url(each), is_here=each == ask.organization)
        for product in (await self.services.products.of_requester(ask.requester))[:_MAX_SWITCHER]:
            name = await self.organization_name(product)
            # Somebody may be in a product's team and not in its organization's.
            key = name if product.is_personal else product.organization
            found.setdefault(key, Switch(name, None)).products.append(product)
        # One's own first, as long as there is something in it.
        return sorted(found.values(), key=lambda switch: switch.url is not None)

    async def organization_name(self, product: Product) -> str:
        if product.is_personal:
            return "Personal" if product.owner_name else product.organization_slug
        return (await self.services.organizations.by_id(product.organization)).name


async def _read(call: Call, body_limit: int) -> Call:
    """`call` with its query, and with its body where it is a form. Raises BodyInvalid, BodyTooLarge."""
    req = call.req
    query = fields(query_of(req))
    if req.method != "POST":
        return Call(req, call.params, query, NO_FIELDS, ())
    body, uploads = await body_of(req, body_limit)
    return Call(req, call.params, query, fields(body), uploads)


def _title(status: int, error: CloudError | None = None) -> str:
    return "That form is too old" if isinstance(error, FormForged) else _TITLES.get(status, "That did not work")


def _with_wait(reply: Reply, error: CloudError) -> Reply:
    if isinstance(error, TooManyRequests):
        return Reply(reply.body, reply.status, (*reply.headers, ("retry-after", str(error.retry_after_s))))
    return reply


def product_url(product: Product) -> str:
    return f"{PREFIX}/products/{product.id}"


def organization_url(organization: Organization) -> str:
    return f"{PREFIX}/orgs/{organization.slug}"


def _theme(visit: Visit) -> str:
    found = visit.cookies.get(THEME_COOKIE, "")
    return found if found in THEMES else "auto"
