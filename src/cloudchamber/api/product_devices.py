"""Devices as their product sees them: `/v1/products/:product/devices`."""

from dataclasses import replace
from itertools import chain
from typing import Any, Final

from cloudchamber.access.model import Action, OwnedByCustomer
from cloudchamber.access.requester import Bearer
from cloudchamber.access.service import require
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.devices import Written, own_changes, signal_answer, update_answer
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.firmware import Flasher
from cloudchamber.api.paging import paging
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.firmware.rules import released_version
from cloudchamber.firmware.updates import FirmwareUpdates
from cloudchamber.fleet.groups.service import Groups
from cloudchamber.fleet.imports.rules import ids_in_file
from cloudchamber.fleet.imports.service import Imports
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.lists.rules import order_of
from cloudchamber.fleet.lists.service import DeviceLists
from cloudchamber.fleet.model import UNCHANGED, Product, Unchanged
from cloudchamber.fleet.service import Devices, DeviceView
from cloudchamber.fleet.updates import DeviceChanges, DeviceUpdates
from cloudchamber.ids import MAX_PRODUCT_ID
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import SignalTimedOut
from cloudchamber.ownership.service import Ownership

_GET: Final = Action.DEVICES_GET


class ProductDevicesResource:
    def __init__(
        self,
        devices: Devices,
        lists: DeviceLists,
        updates: DeviceUpdates,
        imports: Imports,
        groups: Groups,
        places: Places,
        ownership: Ownership,
        calls: Calls,
        firmware_updates: FirmwareUpdates,
        flasher: Flasher,
    ) -> None:
        self._devices = devices
        self._listed = Written(render.product_device)
        self._detailed = Written(render.product_device_detail)
        self._lists = lists
        self._updates = updates
        self._imports = imports
        self._groups = groups
        self._places = places
        self._ownership = ownership
        self._calls = calls
        self._firmware_updates = firmware_updates
        self._flasher = flasher

    async def list(self, call: Call, requester: Bearer) -> Any:
        query = call.query
        page, per_page = paging(query)
        wanted = DeviceFilter(
            device_id=query.text("deviceId"),
            name=query.text("deviceName"),
            groups=tuple(query.texts("groups")),
            serial_number=query.text("serialNumber"),
            is_quarantined=query.flag("quarantined"),
            is_denied=query.flag("denied"),
        )
        found, total = await self._lists.of_product(
            requester,
            await self._product(call),
            wanted,
            order=order_of(query.text("sortAttr")),
            descending=(query.text("sortDir") or "desc").lower() != "asc",
            page=page,
            per_page=per_page,
        )
        views = await self._devices.views(found)
        customers = {
            view.record.owner.id: view.owner_name for view in views if isinstance(view.record.owner, OwnedByCustomer)
        }
        return {
            "devices": [self._listed.of(view, await self._released(view)) for view in views],
            "customers": [{"id": id_, "username": name} for id_, name in customers.items()],
            "meta": render.pages(total, per_page),
        }

    async def get(self, call: Call, requester: Bearer) -> Any:
        product = await self._places.holding(call, requester, Action.DEVICES_GET)
        record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_GET)
        view = await self._devices.view(record)
        return render.product_device_detail(view, await self._released(view))

    def get_now(self, requester: Bearer, product: str, device: str) -> Any:
        found = self._places.product_now(product)
        record = None if found is None else self._devices.in_product_now(requester, found, device, _GET)
        if record is None:
            return None
        view, releases = self._devices.view_now(record), self._firmware_updates.releases_now(record.product)
        if view is None or releases is None:
            return None
        return self._detailed.of(view, released_version(record, releases))

    async def import_(self, call: Call, requester: Bearer) -> Any:
        """One `id`, an array `ids`, or a file with one id on each line."""
        product = await self._product(call)
        given = chain(
            call.data.texts("id"),
            call.data.texts("ids"),
            *(ids_in_file(file.content.decode("utf-8", "replace")) for file in call.files),
        )
        claim_user = call.data.text("claim_user") or call.query.text("claim_user")
        report = await self._imports.import_(requester, product, given, claim_user=claim_user)
        return render.import_report(report)

    async def update_many(self, call: Call, requester: Bearer) -> Any:
        """One action on many devices; `groups` is the only one."""
        product = await self._product(call)
        require(requester, Action.DEVICES_UPDATE, product.resource(requester))
        if call.data.text("action") != "groups":
            raise FieldInvalid("action must be groups")
        metadata = Fields(call.data.mapping("metadata"))
        await self._groups.change_members(
            requester, product, call.data.texts("devices"), add=metadata.texts("add"), remove=metadata.texts("remove")
        )
        return {"ok": True}

    async def update(self, call: Call, requester: Bearer) -> Any:
        if self._flasher.is_meant(call):
            product = await self._places.holding(call, requester, Action.DEVICES_UPDATE)
            record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_UPDATE)
            return await self._flasher.flash(call, record)
        on = call.data.flag("signal")
        action = Action.DEVICES_UPDATE if on is None else Action.DEVICES_SIGNAL
        product = await self._places.holding(call, requester, action)
        if on is not None:
            record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_SIGNAL)
            with WhileConnected(call.req, SignalTimedOut):
                await self._calls.signal(record, on=on)
            return signal_answer(record, on=on)
        record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_UPDATE)
        changes = _changes(call.data)
        return update_answer(await self._updates.update(requester, record, changes, through="product"), changes)

    async def remove(self, call: Call, requester: Bearer) -> Any:
        act = self._updates.deny if call.data.flag("deny") else self._updates.remove
        await act(requester, await self._product(call), call.params["device"])
        return NO_CONTENT

    async def release(self, call: Call, requester: Bearer) -> Any:
        await self._ownership.release(requester, await self._product(call), call.params["device"])
        return {"ok": True}

    async def _released(self, view: DeviceView) -> int | None:
        return await self._firmware_updates.released_version(view.record)

    async def _product(self, call: Call) -> Product:
        return await self._places.product(call)


def _changes(data: Fields) -> DeviceChanges:
    """What a product may change of its devices. Raises FieldInvalid."""
    development, denied, quarantined = data.flag("development"), data.flag("denied"), data.flag("quarantined")
    wanted: int | Unchanged | None = UNCHANGED
    if "desired_firmware_version" in data:
        wanted = data.integer("desired_firmware_version", at_least=0, at_most=MAX_PRODUCT_ID)
    return replace(
        own_changes(data),
        is_development=UNCHANGED if development is None else development,
        desired_firmware_version=wanted,
        flashes=data.flag("flash") or False,
        groups=tuple(data.texts("groups")) if "groups" in data else UNCHANGED,
        is_denied=UNCHANGED if denied is None else denied,
        is_quarantined=UNCHANGED if quarantined is None else quarantined,
        serial_number=data.text("serial_number") if "serial_number" in data else UNCHANGED,
        mobile_secret=data.text("mobile_secret") if "mobile_secret" in data else UNCHANGED,
    )
