"""Products."""

from typing import Any

from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.fields import Fields
from cloudchamber.fleet.errors import ProductInvalid
from cloudchamber.fleet.products import Products
from cloudchamber.ids import MAX_PRODUCT_ID


class ProductsResource:
    def __init__(self, products: Products) -> None:
        self._products = products

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        return render.product_list(await self._products.of_requester(requester))

    async def get(self, call: Call, requester: Bearer) -> Any:
        return {"product": render.product(await self._products.get(requester, call.params["product"]))}

    async def create(self, call: Call, requester: Bearer) -> Any:
        """The fields stand in a `product` object, or flat as old scripts send them."""
        data = Fields(call.data.mapping("product")) if "product" in call.data else call.data
        if not data:
            raise ProductInvalid("You must provide a product")
        platform = data.integer("platform_id", at_least=0, at_most=MAX_PRODUCT_ID)
        name = data.text("name")
        missing = [field for field, value in (("name", name), ("platform_id", platform)) if value in (None, "")]
        if missing:
            raise ProductInvalid(f"Missing fields: {', '.join(missing)}")
        assert name is not None
        assert platform is not None
        made = await self._products.create(
            requester,
            name=name,
            description=data.text("description") or "",
            platform_id=platform,
            type_=data.text("type"),
            hardware_version=data.text("hardware_version"),
            settings=data.mapping("settings"),
        )
        return {"product": render.product(made)}
