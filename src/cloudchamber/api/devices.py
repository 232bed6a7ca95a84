"""Devices of whoever asks: `/v1/devices`."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.fields import Fields
from cloudchamber.api.firmware import Flasher
from cloudchamber.api.reply import encode_json
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.clock import iso
from cloudchamber.fleet.imports.service import Imports
from cloudchamber.fleet.model import UNCHANGED, DeviceRecord
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices, DeviceView
from cloudchamber.fleet.updates import DeviceChanges, DeviceUpdates
from cloudchamber.ids import DeviceId, new_id, parse_device_id
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import SignalTimedOut
from cloudchamber.ownership.errors import BelongsToAnother
from cloudchamber.ownership.service import Ownership
from cloudchamber.ownership.transfers.service import Transfers

_GET: Final = Action.DEVICES_GET


# About 1.5 kB each; as many as there are records in memory (fleet/cache.py): who asks for all of a fleet in turn finds
# nothing in a cache that holds a part of it.
MAX_WRITTEN: Final = 20_000


class Written:
    """Devices as `shown` makes them, in JSON already. Nothing has to drop them: each is kept with all that it was made
    of, and compared with what is true now."""

    def __init__(self, shown: Callable[..., Any]) -> None:
        """`shown` takes a DeviceView and what else is given to `of`."""
        self._shown = shown
        self._kept: OrderedDict[DeviceId, tuple[DeviceView, tuple[object, ...], msgspec.Raw]] = OrderedDict()

    def of(self, view: DeviceView, *more: object) -> msgspec.Raw:
        device = view.record.id
        kept = self._kept.get(device)
        if kept is not None:
            old, other, written = kept
            # Records are never altered, only replaced.
            if (
                old.record is view.record
                and old.last_heard == view.last_heard
                and old.is_online is view.is_online
                and old.owner_name == view.owner_name
                and other == more
            ):
                return written
        written = msgspec.Raw(encode_json(self._shown(view, *more)))
        self._kept[device] = (view, more, written)
        self._kept.move_to_end(device)
        if len(self._kept) > MAX_WRITTEN:
            self._kept.popitem(last=False)
        return written


class DevicesResource:
    def __init__(
        self,
        devices: Devices,
        updates: DeviceUpdates,
        ownership: Ownership,
        transfers: Transfers,
        calls: Calls,
        flasher: Flasher,
        imports: Imports,
        products: Products,
    ) -> None:
        self._devices = devices
        self._updates = updates
        self._ownership = ownership
        self._transfers = transfers
        self._calls = calls
        self._flasher = flasher
        self._imports = imports
        self._products = products
        self._listed = Written(render.device)
        self._detailed = Written(render.device_detail)

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        records = await self._devices.mine(requester)
        return [render.device(view) for view in await self._devices.views(records)]

    async def get_own(self, call: Call, requester: Bearer) -> Any:
        record = await self._devices.own(requester, call.params["device"], Action.DEVICES_GET)
        return render.device_detail(await self._devices.view(record))

    def list_own_now(self, requester: Bearer) -> Any:
        records = self._devices.mine_now(requester)
        if records is None:
            return None
        shown = []
        for record in records:
            view = self._devices.view_now(record)
            if view is None:
                return None
            shown.append(self._listed.of(view))
        return shown

    def get_own_now(self, requester: Bearer, device: str) -> Any:
        record = self._devices.own_now(requester, device, _GET)
        view = None if record is None else self._devices.view_now(record)
        return None if view is None else self._detailed.of(view)

    async def claim(self, call: Call, requester: Bearer) -> Any:
        """Where the device is somebody else's and `request_transfer` is set, its owner is asked for it. With a
        `product_id` and no `id`, the product gets a new id, for hardware that came without one."""
        reference, product = call.data.text("id"), call.data.text("product_id")
        if not reference and product:
            return await self._new_id(requester, product)
        try:
            record = await self._ownership.claim(requester, reference)
        except BelongsToAnother:
            device = parse_device_id((reference or "").strip())
            if not call.data.flag("request_transfer") or device is None:
                raise
            transfer = await self._transfers.request(requester, device)
            return {"ok": True, "id": device, "transfer_id": transfer.id, "expires_at": iso(transfer.expires_at)}
        return render.claimed(await self._devices.view(record))

    async def _new_id(self, requester: Bearer, product: str) -> Any:
        device = DeviceId(new_id())
        await self._imports.import_(requester, await self._products.find(product), [device])
        record = await self._devices.get(device)
        assert record is not None, "it was just made, and nobody else knows its id"
        return render.device_detail(await self._devices.view(record))

    async def update_own(self, call: Call, requester: Bearer) -> Any:
        if self._flasher.is_meant(call):
            record = await self._devices.own(requester, call.params["device"], Action.DEVICES_UPDATE)
            return await self._flasher.flash(call, record)
        on = call.data.flag("signal")
        if on is not None:
            record = await self._devices.own(requester, call.params["device"], Action.DEVICES_SIGNAL)
            with WhileConnected(call.req, SignalTimedOut):
                await self._calls.signal(record, on=on)
            return signal_answer(record, on=on)
        record = await self._devices.own(requester, call.params["device"], Action.DEVICES_UPDATE)
        changes = own_changes(call.data)
        return update_answer(await self._updates.update(requester, record, changes, through="owner"), changes)

    async def release_own(self, call: Call, requester: Bearer) -> Any:
        await self._ownership.unclaim(requester, call.params["device"])
        return {"ok": True}


def own_changes(data: Fields) -> DeviceChanges:
    """What an owner may change. Raises FieldInvalid."""
    enabled, forced = data.flag("firmware_updates_enabled"), data.flag("firmware_updates_forced")
    name = data.text("name")
    return DeviceChanges(
        name=UNCHANGED if name is None else name,
        notes=data.text("notes") if "notes" in data else UNCHANGED,
        allows_updates=UNCHANGED if enabled is None else enabled,
        firmware_updates_forced=UNCHANGED if forced is None else forced,
    )


def update_answer(record: DeviceRecord, changes: DeviceChanges) -> dict[str, Any]:
    """What was changed, as it is now."""
    shown = {
        "name": (changes.name, record.name),
        "notes": (changes.notes, record.notes),
        "firmware_updates_enabled": (changes.allows_updates, record.firmware_updates_enabled),
        "firmware_updates_forced": (changes.firmware_updates_forced, record.firmware_updates_forced),
        "development": (changes.is_development, record.is_development),
        "desired_firmware_version": (changes.desired_firmware_version, record.desired_firmware_version),
        "groups": (changes.groups, list(record.groups)),
        "denied": (changes.is_denied, record.is_denied),
        "quarantined": (changes.is_quarantined, record.is_quarantined),
        "serial_number": (changes.serial_number, record.serial_number),
        "mobile_secret": (changes.mobile_secret, record.mobile_secret),
    }
    body: dict[str, Any] = {"id": record.id, "updated_at": iso(record.updated_at)}
    return body | {name: value for name, (asked, value) in shown.items() if asked is not UNCHANGED}


def signal_answer(record: DeviceRecord, *, on: bool) -> dict[str, Any]:
    return {"id": record.id, "connected": True, "signaling": on}
