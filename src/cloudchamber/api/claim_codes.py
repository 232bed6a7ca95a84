"""Claim codes, which a device presents when it first connects to become its owner's."""

from typing import Any

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.places import Places
from cloudchamber.ownership.service import NewClaimCode, Ownership


class ClaimCodesResource:
    def __init__(self, ownership: Ownership, places: Places) -> None:
        self._ownership = ownership
        self._places = places

    async def create_own(self, _call: Call, requester: Bearer) -> Any:
        return _answer(await self._ownership.issue_code(requester))

    async def create_of_product(self, call: Call, requester: Bearer) -> Any:
        product = await self._places.product(call)
        return _answer(await self._ownership.issue_code(requester, product))


def _answer(made: NewClaimCode) -> dict[str, Any]:
    return {"claim_code": made.code, "device_ids": made.device_ids}
