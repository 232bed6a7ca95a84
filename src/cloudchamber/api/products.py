"""Products and their settings."""

from typing import Any, Final

from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.fields import Fields
from cloudchamber.api.reply import NO_CONTENT
from cloudchamber.fleet.errors import ProductInvalid
from cloudchamber.fleet.products import ProductChanges, Products
from cloudchamber.ids import MAX_PRODUCT_ID
from cloudchamber.organizations.model import Organization

# What a change may set; `quarantine` is a truth value besides.
_SETTINGS: Final = ("location", "known_application", "branding")


class ProductsResource:
    def __init__(self, products: Products) -> None:
        self._products = products

    async def list_all(self, _call: Call, requester: Bearer) -> Any:
        return render.product_list(await self._products.of_requester(requester))

    async def list_outside_organizations(self, _call: Call, requester: Bearer) -> Any:
        found = await self._products.of_requester(requester)
        return render.product_list([product for product in found if product.is_personal])

    async def get(self, call: Call, requester: Bearer) -> Any:
        return {"product": render.product(await self._products.get(requester, call.params["product"]))}

    async def create(self, call: Call, requester: Bearer) -> Any:
        return await create_product(self._products, call, requester, None)

    async def update(self, call: Call, requester: Bearer) -> Any:
        data = _fields(call)
        settings = Fields(data.mapping("settings"))
        wanted: dict[str, Any] = {name: settings.mapping(name) for name in _SETTINGS if name in settings}
        quarantine = settings.flag("quarantine")
        if quarantine is not None:
            wanted["quarantine"] = quarantine
        changed = await self._products.update(
            requester,
            call.params["product"],
            ProductChanges(
                name=data.text("name"),
                description=data.text("description"),
                type=data.text("type"),
                hardware_version=data.text("hardware_version"),
                settings=wanted,
            ),
        )
        return {"product": render.product(changed)}

    async def remove(self, call: Call, requester: Bearer) -> Any:
        await self._products.remove(requester, call.params["product"])
        return NO_CONTENT


async def create_product(
    products: Products, call: Call, requester: Bearer, organization: Organization | None
) -> dict[str, Any]:
    data = _fields(call)
    if not data:
        raise ProductInvalid("You must provide a product")
    platform = data.integer("platform_id", at_least=0, at_most=MAX_PRODUCT_ID)
    name = data.text("name")
    missing = [field for field, value in (("name", name), ("platform_id", platform)) if value in (None, "")]
    if missing:
        raise ProductInvalid(f"Missing fields: {', '.join(missing)}")
    assert name is not None
    assert platform is not None
    made = await products.create(
        requester,
        name=name,
        description=data.text("description") or "",
        platform_id=platform,
        type_=data.text("type"),
        hardware_version=data.text("hardware_version"),
        settings=data.mapping("settings"),
        organization=organization,
    )
    return {"product": render.product(made)}


def _fields(call: Call) -> Fields:
    """They stand in a `product` object, or flat as old scripts send them."""
    return Fields(call.data.mapping("product")) if "product" in call.data else call.data
