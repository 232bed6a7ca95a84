"""OAuth clients, of a user and of a product."""

from typing import Any

from cloudchamber.access.model import ProductResource
from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.fleet.products import Products
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.errors import ClientInvalid


class ClientsResource:
    def __init__(self, clients: Clients, products: Products) -> None:
        self._clients = clients
        self._products = products

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        found = await self._clients.of_user(requester)
        return {"ok": True, "clients": [render.client(each) for each in found]}

    async def list_of_product(self, call: Call, requester: Bearer) -> Any:
        found = await self._clients.of_product(requester, await self._product(call, requester))
        return {"ok": True, "clients": [render.client(each) for each in found]}

    async def create_own(self, call: Call, requester: Bearer) -> Any:
        if call.data.text("organization"):
            raise ClientInvalid("There is no such organization")
        return await self._create(call, requester, None)

    async def create_of_product(self, call: Call, requester: Bearer) -> Any:
        return await self._create(call, requester, await self._product(call, requester))

    async def update_own(self, call: Call, requester: Bearer) -> Any:
        return await self._update(call, requester, None)

    async def update_of_product(self, call: Call, requester: Bearer) -> Any:
        return await self._update(call, requester, await self._product(call, requester))

    async def delete_own(self, call: Call, requester: Bearer) -> Any:
        await self._clients.delete(requester, None, call.params["client"])
        return NO_CONTENT

    async def delete_of_product(self, call: Call, requester: Bearer) -> Any:
        await self._clients.delete(requester, await self._product(call, requester), call.params["client"])
        return NO_CONTENT

    async def _create(self, call: Call, requester: Bearer, product: ProductResource | None) -> Any:
        data = call.data
        made, secret = await self._clients.create(
            requester,
            product,
            name=data.text("name") or "",
            type_=data.text("type") or "",
            redirect_uri=data.text("redirect_uri"),
            scope=_scope(data),
        )
        return Reply({"ok": True, "client": render.client(made, secret)}, headers=NO_STORE)

    async def _update(self, call: Call, requester: Bearer, product: ProductResource | None) -> Any:
        changed = await self._clients.update(
            requester, product, call.params["client"], name=call.data.text("name"), scope=_scope(call.data)
        )
        return {"ok": True, "client": render.client(changed)}

    async def _product(self, call: Call, requester: Bearer) -> ProductResource:
        return await self._products.resource(requester, call.params["product"])


def _scope(data: Fields) -> str | None:
    """A list of names with blanks between them; the SDK's typing allows an array, and an object with them as keys."""
    value = data.get("scope")
    if not isinstance(value, dict | list):
        return data.text("scope")
    names = list(value)
    if not all(isinstance(name, str) for name in names):
        raise FieldInvalid("scope must be a list of names")
    return " ".join(names)
