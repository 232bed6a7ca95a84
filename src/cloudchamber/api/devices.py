"""Devices of whoever asks: `/v1/devices`."""

from typing import Any

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.clock import iso
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import DeviceChanges, Devices
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import SignalTimedOut
from cloudchamber.ownership.service import Ownership


class DevicesResource:
    def __init__(self, devices: Devices, ownership: Ownership, calls: Calls) -> None:
        self._devices = devices
        self._ownership = ownership
        self._calls = calls

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        records = await self._devices.mine(requester)
        return [render.device(view) for view in await self._devices.views(records)]

    async def get_own(self, call: Call, requester: Bearer) -> Any:
        record = await self._devices.own(requester, call.params["device"], Action.DEVICES_GET)
        return render.device_detail(await self._devices.view(record))

    async def claim(self, call: Call, requester: Bearer) -> Any:
        record = await self._ownership.claim(requester, call.data.text("id"))
        return render.claimed(await self._devices.view(record))

    async def update_own(self, call: Call, requester: Bearer) -> Any:
        refuse_flashing(call)
        on = call.data.flag("signal")
        if on is not None:
            record = await self._devices.own(requester, call.params["device"], Action.DEVICES_SIGNAL)
            with WhileConnected(call.req, SignalTimedOut):
                await self._calls.signal(record, on=on)
            return signal_answer(record, on=on)
        record = await self._devices.own(requester, call.params["device"], Action.DEVICES_UPDATE)
        changes = changes_of(call.data, in_product=False)
        return update_answer(await self._devices.update(record, changes), changes)

    async def release_own(self, call: Call, requester: Bearer) -> Any:
        await self._ownership.unclaim(requester, call.params["device"])
        return {"ok": True}


def changes_of(data: Fields, *, in_product: bool) -> DeviceChanges:
    """Raises FieldInvalid."""
    return DeviceChanges(
        name=data.text("name"),
        notes=data.text("notes"),
        is_development=data.flag("development") if in_product else None,
    )


def update_answer(record: DeviceRecord, changes: DeviceChanges) -> dict[str, Any]:
    """What was changed, as it is now."""
    body: dict[str, Any] = {"id": record.id, "updated_at": iso(record.updated_at)}
    if changes.name is not None:
        body["name"] = record.name
    if changes.notes is not None:
        body["notes"] = record.notes
    if changes.is_development is not None:
        body["development"] = record.is_development
    return body


def signal_answer(record: DeviceRecord, *, on: bool) -> dict[str, Any]:
    return {"id": record.id, "connected": True, "signaling": on}


def refuse_flashing(call: Call) -> None:
    if call.files or "app" in call.data or "app_id" in call.data:
        raise FieldInvalid("Updates over the air are not available on this server yet")
