"""Organizations and their products."""

from typing import Any

from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.places import Places
from cloudchamber.api.products import create_product
from cloudchamber.api.reply import NO_CONTENT
from cloudchamber.fleet.products import Products
from cloudchamber.organizations.model import Organization
from cloudchamber.organizations.service import Organizations


class OrganizationsResource:
    def __init__(self, organizations: Organizations, products: Products, places: Places) -> None:
        self._organizations = organizations
        self._products = products
        self._places = places

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        found = await self._organizations.of_requester(requester)
        return {"organizations": [_organization(each) for each in found]}

    async def get(self, call: Call, requester: Bearer) -> Any:
        return _answer(await self._organizations.get(requester, call.params["organization"]))

    async def create(self, call: Call, requester: Bearer) -> Any:
        data = call.data
        made = await self._organizations.create(requester, name=data.text("name") or "", slug=data.text("slug") or None)
        return _answer(made)

    async def update(self, call: Call, requester: Bearer) -> Any:
        name = call.data.text("name") or ""
        return _answer(await self._organizations.rename(requester, call.params["organization"], name))

    async def remove(self, call: Call, requester: Bearer) -> Any:
        await self._organizations.remove(requester, call.params["organization"])
        return NO_CONTENT

    async def list_products(self, call: Call, requester: Bearer) -> Any:
        organization = await self._places.organization(call)
        return render.product_list(await self._products.of_organization(requester, organization))

    async def create_product(self, call: Call, requester: Bearer) -> Any:
        return await create_product(self._products, call, requester, await self._places.organization(call))


def _answer(found: Organization) -> dict[str, Any]:
    return {"organization": _organization(found)}


def _organization(found: Organization) -> dict[str, Any]:
    return {"id": found.id, "name": found.name, "slug": found.slug}
