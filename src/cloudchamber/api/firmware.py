"""Firmware of a product: `/v1/products/:product/firmware`; and flashing, which is an update of one device."""

from typing import Any, Final
from urllib.parse import quote

from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.compiling import NOT_COMPILED
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.firmware.apps import KnownApps
from cloudchamber.firmware.errors import FirmwareInvalid
from cloudchamber.firmware.model import MAX_VERSION
from cloudchamber.firmware.rules import is_binary
from cloudchamber.firmware.service import Details, ProductFirmware
from cloudchamber.firmware.updates import FirmwareUpdates
from cloudchamber.fleet.model import DeviceRecord, Product

# The reference says the first, the SDK the second.
_PARTS: Final = ("binary", "file")
_DIGITS: Final = len(str(MAX_VERSION))


class FirmwareResource:
    def __init__(self, firmware: ProductFirmware, places: Places) -> None:
        self._firmware = firmware
        self._places = places

    async def list(self, call: Call, requester: Bearer) -> Any:
        found = await self._firmware.of_product(requester, await self._product(call))
        return [render.firmware(each) for each in found]

    async def get(self, call: Call, requester: Bearer) -> Any:
        return render.firmware(await self._firmware.get(requester, await self._product(call), _version(call)))

    async def upload(self, call: Call, requester: Bearer) -> Any:
        product = await self._product(call)
        version = call.data.integer("version", at_least=0, at_most=MAX_VERSION)
        file = next((file for part in _PARTS for file in call.files if file.field == part), None)
        sent = None if file is None else (file.filename, file.content)
        made = await self._firmware.upload(requester, product, version, sent, _details(call))
        return Reply(render.firmware(made), 201)

    async def update(self, call: Call, requester: Bearer) -> Any:
        product = await self._product(call)
        return render.firmware(await self._firmware.update(requester, product, _version(call), _details(call)))

    async def delete(self, call: Call, requester: Bearer) -> Any:
        await self._firmware.delete(requester, await self._product(call), _version(call))
        return NO_CONTENT

    async def binary(self, call: Call, requester: Bearer) -> Any:
        found, data = await self._firmware.binary(requester, await self._product(call), _version(call))
        return Reply(
            data,
            headers=(
                ("content-type", "application/octet-stream"),
                ("content-disposition", f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"),
            ),
        )

    async def release(self, call: Call, requester: Bearer) -> Any:
        product = await self._product(call)
        version = call.data.integer("version", at_least=0, at_most=MAX_VERSION)
        released = await self._firmware.release(
            requester,
            product,
            version,
            to_all=call.data.flag("product_default") or False,
            groups=call.data.texts("groups"),
            is_intelligent=call.data.flag("intelligent") or False,
        )
        return render.firmware(released)

    async def _product(self, call: Call) -> Product:
        return await self._places.product(call)


class Flasher:
    """What the two paths of a device have in common when a file is sent to it."""

    def __init__(self, updates: FirmwareUpdates, apps: KnownApps) -> None:
        self._updates = updates
        self._apps = apps

    @staticmethod
    def is_meant(call: Call) -> bool:
        return bool(call.files) or "app" in call.data or "app_id" in call.data

    async def flash(self, call: Call, record: DeviceRecord) -> Any:
        """For a record that the registry gave for DEVICES_UPDATE."""
        if call.files:
            file = call.files[0]
            if not is_binary(file.filename, call.data.text("file_type"), file.content):
                return Reply({"ok": False, "errors": [NOT_COMPILED]}, 501)
            if file.filename.lower().endswith(".zip"):
                raise FirmwareInvalid("Bundles with assets cannot be flashed on this server yet: send the .bin in it")
            name, data = file.filename, file.content
        else:
            app = call.data.text("app") or call.data.text("app_id") or ""
            name, data = await self._apps.file_for(record, app)
        await self._updates.flash(record, name, data)
        return {"id": record.id, "status": "Update started"}


def _version(call: Call) -> int | None:
    """None for what no version can be."""
    text = call.params["version"]
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def _details(call: Call) -> Details:
    return Details(call.data.text("title"), call.data.text("description"), call.data.flag("mandatory"))
