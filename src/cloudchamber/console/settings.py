"""A product's settings: what it is called, whom it lets in, and its end."""

from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import PREFIX, PRODUCT, Nav, Section, form, page
from cloudchamber.errors import CloudError
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.products import ProductChanges

_HERE: Final = f"{PRODUCT}/settings"
ROUTES: Final = (
    page(_HERE, Action.PRODUCTS_UPDATE, "settings.show", "Shows the settings of a product."),
    form(_HERE, Action.PRODUCTS_UPDATE, "settings.save", "Changes the settings of a product."),
    form(f"{_HERE}/remove", Action.PRODUCTS_REMOVE, "settings.remove", "Removes a product without devices."),
)


class SettingsPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def save(self, ask: Ask) -> Any:
        product, given = ask.the_product, ask.form
        brand = given.get("brand", "").strip()
        try:
            await self._services.products.update(
                ask.requester,
                str(product.id),
                ProductChanges(
                    name=given.get("name", "").strip(),
                    description=given.get("description", "").strip(),
                    settings={
                        "quarantine": given.get("quarantine") == "1",
                        "branding": {"name": brand} if brand else {},
                    },
                ),
            )
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, f"{ask.base}/settings", "Saved.")

    async def remove(self, ask: Ask) -> Any:
        product = ask.the_product
        if ask.form.get("confirm", "").strip() != product.name:
            return await self._page(ask, _WrongName(f"Type the product's name, {product.name}, to remove it."))
        try:
            await self._services.products.remove(ask.requester, str(product.id))
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, PREFIX, f"{product.name} is removed.")

    async def _page(self, ask: Ask, error: CloudError | None = None) -> Any:
        product = ask.the_product
        _, devices = await self._services.device_lists.of_product(ask.requester, product, DeviceFilter(), per_page=1)
        return await self._frame.page(
            ask,
            "settings.html",
            title="Settings",
            section="settings",
            error=error,
            devices=devices,
            brand_name=(product.settings.get("branding") or {}).get("name", ""),
        )


class _WrongName(CloudError):
    status = 400
    code = "name_wrong"


SECTION: Final = Section(
    "settings", "Settings", Nav("product", "settings", Action.PRODUCTS_UPDATE), ROUTES, SettingsPages
)
