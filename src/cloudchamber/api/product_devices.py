"""Devices as their product sees them: `/v1/products/:product/devices`."""

from itertools import chain
from typing import Any

from cloudchamber.access.model import Action, OwnedByCustomer
from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.devices import changes_of, refuse_flashing, signal_answer, update_answer
from cloudchamber.api.fields import FieldInvalid
from cloudchamber.api.paging import paging
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.rules import DeviceFilter, ids_in_file
from cloudchamber.fleet.service import Devices
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import SignalTimedOut
from cloudchamber.ownership.service import Ownership


class ProductDevicesResource:
    def __init__(self, devices: Devices, places: Places, ownership: Ownership, calls: Calls) -> None:
        self._devices = devices
        self._places = places
        self._ownership = ownership
        self._calls = calls

    async def list(self, call: Call, requester: Bearer) -> Any:
        query = call.query
        page, per_page = paging(query)
        wanted = DeviceFilter(
            device_id=query.text("deviceId"),
            name=query.text("deviceName"),
            groups=tuple(query.texts("groups")),
            serial_number=query.text("serialNumber"),
            is_quarantined=query.flag("quarantined"),
        )
        found, total = await self._devices.of_product(
            requester,
            await self._product(call),
            wanted,
            sort=query.text("sortAttr") or "lastConnection",
            descending=(query.text("sortDir") or "desc").lower() != "asc",
            page=page,
            per_page=per_page,
        )
        views = await self._devices.views(found)
        customers = {
            view.record.owner.id: view.owner_name for view in views if isinstance(view.record.owner, OwnedByCustomer)
        }
        return {
            "devices": [render.product_device(view) for view in views],
            "customers": [{"id": id_, "username": name} for id_, name in customers.items()],
            "meta": render.pages(total, per_page),
        }

    async def get(self, call: Call, requester: Bearer) -> Any:
        product = await self._places.holding(call, requester, Action.DEVICES_GET)
        record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_GET)
        return render.product_device_detail(await self._devices.view(record))

    async def import_(self, call: Call, requester: Bearer) -> Any:
        """One `id`, an array `ids`, or a file with one id on each line."""
        product = await self._product(call)
        given = chain(
            call.data.texts("id"),
            call.data.texts("ids"),
            *(ids_in_file(file.content.decode("utf-8", "replace")) for file in call.files),
        )
        return render.import_report(await self._devices.import_(requester, product, given))

    async def update(self, call: Call, requester: Bearer) -> Any:
        refuse_flashing(call)
        on = call.data.flag("signal")
        action = Action.DEVICES_UPDATE if on is None else Action.DEVICES_SIGNAL
        product = await self._places.holding(call, requester, action)
        if on is not None:
            record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_SIGNAL)
            with WhileConnected(call.req, SignalTimedOut):
                await self._calls.signal(record, on=on)
            return signal_answer(record, on=on)
        record = await self._devices.in_product(requester, product, call.params["device"], Action.DEVICES_UPDATE)
        changes = changes_of(call.data, in_product=True)
        return update_answer(await self._devices.update(record, changes), changes)

    async def remove(self, call: Call, requester: Bearer) -> Any:
        if call.data.flag("deny"):
            raise FieldInvalid("deny is not available on this server yet: remove the device without it")
        await self._devices.remove(requester, await self._product(call), call.params["device"])
        return NO_CONTENT

    async def release(self, call: Call, requester: Bearer) -> Any:
        await self._ownership.release(requester, await self._product(call), call.params["device"])
        return {"ok": True}

    async def _product(self, call: Call) -> Product:
        return await self._places.product(call)
