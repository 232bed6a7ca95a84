"""The first page: one's products, how many devices they have and how many are online; and making a product."""

from typing import Any, Final

from cloudchamber.access.model import Account, Action
from cloudchamber.console.frame import Ask, Frame, organization_url, product_url
from cloudchamber.console.section import PREFIX, PRODUCT, Nav, Section, form, page
from cloudchamber.errors import CloudError
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.model import Product
from cloudchamber.organizations.model import Organization

PLATFORMS: Final = (
    (6, "Photon"),
    (8, "P1"),
    (10, "Electron, E Series"),
    (12, "Argon"),
    (13, "Boron"),
    (23, "B Series SoM"),
    (25, "B Series SoM (B5xx)"),
    (26, "Tracker"),
    (28, "Tracker M"),
    (32, "Photon 2, P2"),
    (35, "M SoM"),
    (0, "Core"),
)

ROUTES: Final = (
    page(PREFIX, Action.PRODUCTS_LIST, "home.products", "Shows the products of whoever is signed in."),
    form(PREFIX, Action.PRODUCTS_CREATE, "home.create", "Makes a product."),
)
OVERVIEW_ROUTES: Final = (page(PRODUCT, Action.PRODUCTS_GET, "overview.product", "Shows a product at a glance."),)


class HomePages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def products(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def create(self, ask: Ask) -> Any:
        slug = ask.form.get("organization", "")
        try:
            return await create(self._frame, ask, await self._services.organizations.find(slug) if slug else None)
        except CloudError as error:
            return await self._page(ask, error)

    async def _page(self, ask: Ask, error: CloudError | None = None) -> Any:
        organizations = await self._services.organizations.of_requester(ask.requester)
        products = await self._services.products.of_requester(ask.requester)
        places: list[dict[str, str]] = []
        if ask.may(Action.PRODUCTS_CREATE, Account()):
            places.append({"slug": "", "name": "Personal"})
        places += [
            {"slug": each.slug, "name": each.name}
            for each in organizations
            if ask.may(Action.PRODUCTS_CREATE, each.resource(ask.requester))
        ]
        return await self._frame.page(
            ask,
            "home.html",
            title="Products",
            section="home",
            action=PREFIX,
            error=error,
            rows=[await row(self._frame, ask, product) for product in products],
            organizations=[(each.name, organization_url(each)) for each in organizations],
            places=places,
            platforms=PLATFORMS,
        )


async def create(frame: Frame, ask: Ask, organization: Organization | None) -> Any:
    """What the form of a new product asks for; without an organization it is a personal one. Raises CloudError."""
    made = await frame.services.products.create(
        ask.requester,
        name=ask.form.get("name", "").strip(),
        description="",
        platform_id=ask.call.data.integer("platform_id", at_least=0, at_most=65_535) or 0,
        organization=organization,
    )
    return frame.redirect(ask, product_url(made), f"{made.name} is there. Import its devices next.")


async def row(frame: Frame, ask: Ask, product: Product) -> dict[str, Any]:
    """A product in a list."""
    _, total = await frame.services.device_lists.of_product(ask.requester, product, DeviceFilter(), per_page=1)
    role = product.resource(ask.requester).role
    return {
        "product": product,
        "devices": total,
        "online": len(frame.services.presence.online_in(ask.requester, product)),
        "organization": await frame.organization_name(product),
        "role": role.title if role is not None else "",
    }


class OverviewPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def product(self, ask: Ask) -> Any:
        product, requester = ask.the_product, ask.requester
        lists, customers = self._services.device_lists, self._services.customers
        _, devices = await lists.of_product(requester, product, DeviceFilter(), per_page=1)
        _, waiting = await lists.of_product(requester, product, DeviceFilter(is_quarantined=True), per_page=1)
        _, people = await customers.of(requester, product.resource(requester), page=1, per_page=1, everybody=True)
        return await self._frame.page(
            ask,
            "overview.html",
            title=product.name,
            section="overview",
            devices=devices,
            waiting=waiting,
            customers=people,
            online=len(self._services.presence.online_in(requester, product)),
            hardware=dict(PLATFORMS).get(product.platform_id, f"platform {product.platform_id}"),
            organization=await self._frame.organization_name(product),
            organization_url=await self._organization_url(ask),
        )

    async def _organization_url(self, ask: Ask) -> str | None:
        """For those in its team."""
        if ask.the_product.is_personal:
            return None
        found = await self._services.organizations.by_id(ask.the_product.organization)
        is_in = ask.may(Action.ORGANIZATIONS_GET, found.resource(ask.requester))
        return organization_url(found) if is_in else None


OVERVIEW: Final = Section(
    "overview", "Overview", Nav("product", "", Action.PRODUCTS_GET), OVERVIEW_ROUTES, OverviewPages
)
SECTION: Final = Section("home", "Products", Nav("account", "", Action.PRODUCTS_LIST), ROUTES, HomePages)
