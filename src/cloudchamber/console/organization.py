"""Organizations: those of whoever is signed in, and each with its products, its settings and its end. What an
organization has as a product has it (customers, clients, team, ...) is in the sections of those."""

from typing import Any, Final

from cloudchamber.access.model import Account, Action, Role
from cloudchamber.console import home
from cloudchamber.console.frame import Ask, Frame, organization_url
from cloudchamber.console.section import ORGANIZATION, PREFIX, Nav, Section, form, page
from cloudchamber.errors import CloudError, Invalid

_ALL: Final = f"{PREFIX}/orgs"
_SETTINGS: Final = f"{ORGANIZATION}/settings"
ROUTES: Final = (
    page(_ALL, Action.ORGANIZATIONS_LIST, "organizations.list", "Shows the organizations of whoever is signed in."),
    form(_ALL, Action.ORGANIZATIONS_CREATE, "organizations.create", "Makes an organization."),
)
OVERVIEW_ROUTES: Final = (
    page(ORGANIZATION, Action.ORGANIZATIONS_GET, "organization.show", "Shows an organization with its products."),
    form(ORGANIZATION, Action.PRODUCTS_CREATE, "organization.create_product", "Makes a product of an organization."),
)
SETTINGS_ROUTES: Final = (
    page(_SETTINGS, Action.ORGANIZATIONS_UPDATE, "organization_settings.show", "Shows an organization's settings."),
    form(_SETTINGS, Action.ORGANIZATIONS_UPDATE, "organization_settings.save", "Renames an organization."),
    form(
        f"{_SETTINGS}/owner",
        Action.ORGANIZATIONS_REMOVE,
        "organization_settings.hand_over",
        "Makes another member the owner of an organization.",
    ),
    form(
        f"{_SETTINGS}/remove",
        Action.ORGANIZATIONS_REMOVE,
        "organization_settings.remove",
        "Removes an organization without products.",
    ),
)


class OrganizationsPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def list(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def create(self, ask: Ask) -> Any:
        name = ask.form.get("name", "").strip()
        try:
            made = await self._services.organizations.create(ask.requester, name=name, slug=None)
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, organization_url(made), f"{made.name} is there. Make its first product next.")

    async def _page(self, ask: Ask, error: CloudError | None = None) -> Any:
        rows = []
        for each in await self._services.organizations.of_requester(ask.requester):
            role = each.resource(ask.requester).role
            products = await self._services.products.of_organization(ask.requester, each)
            rows.append((each.name, organization_url(each), len(products), role.title if role is not None else ""))
        return await self._frame.page(
            ask,
            "organizations.html",
            title="Organizations",
            section="organizations",
            error=error,
            rows=rows,
            may_make=ask.may(Action.ORGANIZATIONS_CREATE, Account()),
        )


class OverviewPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def create_product(self, ask: Ask) -> Any:
        try:
            return await home.create(self._frame, ask, ask.the_organization)
        except CloudError as error:
            return await self._page(ask, error)

    async def _page(self, ask: Ask, error: CloudError | None = None) -> Any:
        organization, requester = ask.the_organization, ask.requester
        role = organization.resource(requester).role
        return await self._frame.page(
            ask,
            "organization.html",
            title=organization.name,
            section="organization",
            error=error,
            rows=[
                await home.row(self._frame, ask, product)
                for product in await self._services.products.of_organization(requester, organization)
            ],
            action=ask.base,
            platforms=home.PLATFORMS,
            places=[],
            organization=organization,
            role=role.title if role is not None else "",
        )


class SettingsPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def save(self, ask: Ask) -> Any:
        organization, name = ask.the_organization, ask.form.get("name", "").strip()
        try:
            await self._services.organizations.rename(ask.requester, organization.id, name)
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, f"{ask.base}/settings", "Saved.")

    async def hand_over(self, ask: Ask) -> Any:
        name = ask.form.get("username", "")
        try:
            await self._services.teams.change_role(ask.requester, ask.owner, name, Role.OWNER.title)
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, ask.base, f"{name} owns it now, and you are an Administrator.")

    async def remove(self, ask: Ask) -> Any:
        organization = ask.the_organization
        try:
            if ask.form.get("confirm", "").strip() != organization.name:
                raise Invalid(f"Type the organization's name, {organization.name}, to remove it.")
            await self._services.organizations.remove(ask.requester, organization.id)
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, _ALL, f"{organization.name} is removed.")

    async def _page(self, ask: Ask, error: CloudError | None = None) -> Any:
        organization = ask.the_organization
        place = organization.resource(ask.requester)
        team = await self._services.teams.of(ask.requester, place)
        return await self._frame.page(
            ask,
            "organization_settings.html",
            title="Settings",
            section="organization_settings",
            error=error,
            organization=organization,
            products=len(await self._services.products.of_organization(ask.requester, organization)),
            heirs=[member.username for member in team.members if member.id != organization.owner],
        )


SECTION: Final = Section(
    "organizations",
    "Organizations",
    Nav("account", "orgs", Action.ORGANIZATIONS_LIST),
    ROUTES,
    OrganizationsPages,
)
OVERVIEW: Final = Section(
    "organization", "Overview", Nav("organization", "", Action.ORGANIZATIONS_GET), OVERVIEW_ROUTES, OverviewPages
)
SETTINGS: Final = Section(
    "organization_settings",
    "Settings",
    Nav("organization", "settings", Action.ORGANIZATIONS_UPDATE),
    SETTINGS_ROUTES,
    SettingsPages,
)
