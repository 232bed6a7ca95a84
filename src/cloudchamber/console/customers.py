"""Customers of a product or an organization: from the moment they exist, with what is theirs."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.access.model import Action, OrganizationResource, OwnedByCustomer, ProductResource
from cloudchamber.access.service import require
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import Nav, Section, either, form, page
from cloudchamber.console.words import counted
from cloudchamber.errors import CloudError
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.identity.model import CustomerAccount

PER_PAGE: Final = 50
_MAX_SEARCH: Final = 100

_CUSTOMER: Final = "/customers/{customer}"
ROUTES: Final = (
    page(either("/customers"), Action.CUSTOMERS_LIST, "customers.list", "Shows customers."),
    page(either(_CUSTOMER), Action.CUSTOMERS_LIST, "customers.show", "Shows a customer, by the account's id."),
    form(
        either(f"{_CUSTOMER}/mail"),
        Action.CUSTOMERS_UPDATE,
        "customers.mail",
        "Mails a customer a link for a new password.",
    ),
    form(either(f"{_CUSTOMER}/password"), Action.CUSTOMERS_UPDATE, "customers.password", "Sets a customer's password."),
    form(
        either(f"{_CUSTOMER}/revoke"), Action.CUSTOMERS_UPDATE, "customers.revoke", "Ends one of a customer's log-ins."
    ),
    form(either(f"{_CUSTOMER}/remove"), Action.CUSTOMERS_REMOVE, "customers.remove", "Removes a customer's account."),
)


class CustomerPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def list(self, ask: Ask) -> Any:
        pool = ask.owner
        search = ask.query.get("q", "").strip()[:_MAX_SEARCH]
        with_devices = ask.query.get("with") == "devices"
        number = ask.call.query.integer("page", at_least=1, at_most=1_000_000) or 1
        found, total = await self._services.customers.of(
            ask.requester, pool, page=number, per_page=PER_PAGE, everybody=not with_devices, text=search or None
        )
        owned: dict[str, int] = {}
        for record in await devices_of(self._frame, ask, found):
            if isinstance(record.owner, OwnedByCustomer):
                owned[record.owner.id] = owned.get(record.owner.id, 0) + 1
        kept = {name: value for name, value in (("q", search), ("with", "devices" if with_devices else "")) if value}
        return await self._frame.page(
            ask,
            "customers.html",
            title="Customers",
            section="customers",
            customers=[(customer, owned.get(customer.id, 0)) for customer in found],
            total=total,
            number=number,
            pages=-(-total // PER_PAGE),
            search=search,
            with_devices=with_devices,
            page_url=f"{ask.base}/customers?{urlencode({**kept, 'page': ''})}",
        )

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask, await self._customer(ask))

    async def mail(self, ask: Ask) -> Any:
        customer = await self._customer(ask)
        await self._check(ask, customer, Action.CUSTOMERS_UPDATE)
        brand = ask.product.brand if ask.product is not None else ask.the_organization.name
        await self._services.customer_accounts.request_reset(
            customer.product, customer.organization, customer.username, brand
        )
        return self._frame.redirect(ask, self._url(ask, customer), f"A link is on its way to {customer.username}.")

    async def password(self, ask: Ask) -> Any:
        customer = await self._customer(ask)
        try:
            await self._services.customer_accounts.set_password(
                ask.requester, await self._pool(ask, customer), customer.username, ask.form.get("password", "")
            )
        except CloudError as error:
            return await self._page(ask, customer, error)
        done = "The password is set, and the log-ins of before have ended."
        return self._frame.redirect(ask, self._url(ask, customer), done)

    async def revoke(self, ask: Ask) -> Any:
        customer = await self._customer(ask)
        pool = await self._pool(ask, customer)
        listed = ask.form.get("token", "")
        await self._services.tokens.end_one_of_customer(ask.requester, pool, customer, listed)
        return self._frame.redirect(ask, self._url(ask, customer), "This log-in has ended.")

    async def remove(self, ask: Ask) -> Any:
        customer = await self._customer(ask)
        pool = await self._pool(ask, customer)
        await self._services.customer_accounts.remove(ask.requester, pool, customer.username)
        done = f"{customer.username} is removed."
        return self._frame.redirect(ask, f"{ask.base}/customers", done)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _customer(self, ask: Ask) -> CustomerAccount:
        return await self._services.customers.visible(ask.requester, ask.owner, ask.params["customer"])

    async def _pool(self, ask: Ask, customer: CustomerAccount) -> ProductResource | OrganizationResource:
        """Whose customer it is: that of an organization is not the product's to change."""
        if customer.organization is None or ask.product is None:
            return ask.owner
        return (await self._services.organizations.by_id(customer.organization)).resource(ask.requester)

    async def _check(self, ask: Ask, customer: CustomerAccount, action: Action) -> None:
        """For what no service asks by itself. Raises AccessRefused."""
        require(ask.requester, action, await self._pool(ask, customer))

    def _url(self, ask: Ask, customer: CustomerAccount) -> str:
        return f"{ask.base}/customers/{customer.id}"

    async def _page(self, ask: Ask, customer: CustomerAccount, error: CloudError | None = None) -> Any:
        pool = await self._pool(ask, customer)
        records = await devices_of(self._frame, ask, [customer])
        may_see_tokens = ask.may(Action.CUSTOMERS_UPDATE, pool)
        tokens = await self._services.tokens.of_customer(ask.requester, pool, customer) if may_see_tokens else []
        return await self._frame.page(
            ask,
            "customer.html",
            title=customer.username,
            section="customers",
            back=(f"{ask.base}/customers", "Customers"),
            error=error,
            customer=customer,
            pool=pool,
            views=await self._services.devices.views(records),
            tokens=tokens,
            may_see_tokens=may_see_tokens,
            url=self._url(ask, customer),
            will_happen=_what_will_happen(
                len(records), len(tokens), "product" if ask.product is not None else "organization"
            ),
        )


async def devices_of(frame: Frame, ask: Ask, customers: Sequence[CustomerAccount]) -> list[DeviceRecord]:
    """What is theirs here: an organization's customer may own devices of its other products, too."""
    found = await frame.services.devices.of_customers([customer.id for customer in customers])
    return [each for each in found if ask.product is None or each.product == ask.product.id]


def _what_will_happen(devices: int, tokens: int, where: str) -> list[str]:
    """When the account is removed."""
    become = "becomes" if devices == 1 else "become"
    end = "ends" if tokens == 1 else "end"
    return [
        f"{counted(devices, 'device')} of this {where} {become} nobody's, and can be claimed by others",
        f"{counted(tokens, 'token')} {end} at once",
        "claim codes that are still open are worth nothing any more",
    ]


SECTION: Final = Section(
    "customers", "Customers", Nav("either", "customers", Action.CUSTOMERS_LIST), ROUTES, CustomerPages
)
