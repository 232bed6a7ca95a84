"""Transfers of devices from one owner to the next: `/v1/transfers`."""

from typing import Any

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.clock import iso
from cloudchamber.ownership.transfers.model import TransferView
from cloudchamber.ownership.transfers.service import Transfers


class TransfersResource:
    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        return {"transfers": [_transfer(view) for view in await self._transfers.mine(requester)]}

    async def get(self, call: Call, requester: Bearer) -> Any:
        return {"transfer": _transfer(await self._transfers.get(requester, call.params["transfer"]))}

    async def decide(self, call: Call, requester: Bearer) -> Any:
        await self._transfers.decide(requester, call.params["transfer"], call.data.text("action"))
        return {"ok": True}

    async def cancel(self, call: Call, requester: Bearer) -> Any:
        await self._transfers.cancel(requester, call.params["transfer"])
        return {"ok": True}


def _transfer(view: TransferView) -> dict[str, Any]:
    transfer = view.transfer
    body = {
        "id": transfer.id,
        "device_id": transfer.device,
        "direction": "incoming" if view.is_incoming else "outgoing",
        "status": transfer.status.value,
        "created_at": iso(transfer.created_at),
        "expires_at": iso(transfer.expires_at),
    }
    return body | {"requested_by": view.requested_by} if view.is_incoming else body
