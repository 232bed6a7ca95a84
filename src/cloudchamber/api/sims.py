"""SIM cards, of which there are none."""

from typing import Any

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.access.service import require
from cloudchamber.api.call import Call
from cloudchamber.api.reply import NO_CONTENT
from cloudchamber.fleet.products import Products

_NONE = {"sims": [], "meta": {"total_pages": 0}}


class SimsResource:
    def __init__(self, products: Products) -> None:
        self._products = products

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        return _NONE

    async def list_of_product(self, call: Call, requester: Bearer) -> Any:
        product = await self._products.resource(requester, call.params["product"])
        require(requester, Action.SIMS_LIST, product)
        return _NONE

    async def check(self, _call: Call, requester: Bearer) -> Any:
        return NO_CONTENT
