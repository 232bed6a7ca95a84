"""Versions of a product's firmware: uploading, describing, releasing, deleting."""

from collections.abc import Sequence
from typing import Final

import msgspec

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Requester, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock
from cloudchamber.firmware.binaries import Binaries, hash_of
from cloudchamber.firmware.errors import (
    FirmwareExists,
    FirmwareInvalid,
    FirmwareReleased,
    FirmwareUntested,
    firmware_not_found,
)
from cloudchamber.firmware.model import MAX_BINARY, Firmware
from cloudchamber.firmware.rules import check_upload
from cloudchamber.firmware.store import FirmwareStore
from cloudchamber.fleet.model import Product
from cloudchamber.ids import ProductId, new_id
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate
from cloudchamber.storage.notices import put_notice
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.update.module import Module, parse_module_untrusted

FIRMWARE_CHANGED: Final = "product.firmware_changed"
"""Bus subject; the message is the ProductId. It has another version now, or one less."""
FIRMWARE_RELEASED: Final = "product.firmware_released"
"""Bus subject; the message is a `Release`."""

FIRMWARE_NOTICE: Final = "firmware"
"""Subject of a notice (storage/notices.py), about the id of a product: FIRMWARE_CHANGED."""
RELEASE_NOTICE: Final = "release"
"""About a `Release` in JSON: FIRMWARE_RELEASED."""

_MAX_TITLE: Final = 200
_MAX_DESCRIPTION: Final = 5_000
_MAX_NAME: Final = 200


class Release(msgspec.Struct, frozen=True):
    """`is_intelligent`: devices that are online need not wait for their next connect."""

    product: ProductId
    version: int
    is_intelligent: bool


class Details(msgspec.Struct, frozen=True):
    """What people write about a version; None leaves it as it is."""

    title: str | None = None
    description: str | None = None
    is_mandatory: bool | None = None


class ProductFirmware:
    def __init__(self, db: Database, store: FirmwareStore, binaries: Binaries, bus: InProcessBus, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._binaries = binaries
        self._bus = bus
        self._clock = clock

    async def of_product(self, requester: Requester, product: Product) -> Sequence[Firmware]:
        """Lowest version first. Raises AccessRefused."""
        require(requester, Action.FIRMWARE_LIST, product.resource(requester))
        return await self._store.of_product(self._db, product.id)

    async def get(
        self, requester: Requester, product: Product, version: int | None, action: Action = Action.FIRMWARE_GET
    ) -> Firmware:
        """Raises AccessRefused, FirmwareNotFound."""
        require(requester, action, product.resource(requester))
        found = None if version is None else await self._store.get(self._db, product.id, version)
        if found is None:
            raise firmware_not_found(version)
        return found

    async def binary(self, requester: Requester, product: Product, version: int | None) -> tuple[Firmware, bytes]:
        """Raises AccessRefused, FirmwareNotFound."""
        found = await self.get(requester, product, version, Action.FIRMWARE_BINARY_GET)
        data = await self._binaries.data(found.hash)
        if data is None:
            raise firmware_not_found(version)
        return found, data

    async def upload(
        self,
        requester: Requester,
        product: Product,
        version: int | None,
        file: tuple[str, bytes] | None,
        details: Details,
    ) -> Firmware:
        """`file`: its name and its bytes. Raises AccessRefused, FirmwareInvalid, FirmwareExists."""
        require(requester, Action.FIRMWARE_CREATE, product.resource(requester))
        if file is None:
            raise FirmwareInvalid("The binary is missing: send it as the file part `binary` of a multipart body")
        if version is None:
            raise FirmwareInvalid("version is missing: it is the PRODUCT_VERSION of the binary")
        name, data = file
        _check(details)
        check_upload(read_module(data), product, version)
        now = self._clock.now()
        firmware = Firmware(
            id=new_id(),
            product=product.id,
            version=version,
            title=details.title or "",
            description=details.description or "",
            name=file_name(name),
            size=len(data),
            hash=hash_of(data),
            uploaded_by=requester.id if isinstance(requester, User) else None,
            uploaded_by_name=None,
            uploaded_at=now,
            updated_at=now,
            is_mandatory=details.is_mandatory or False,
            is_product_default=False,
            is_intelligent=False,
            has_run=False,
            released_at=None,
        )

        async def write(tx: Transaction) -> None:
            await self._binaries.keep(tx, firmware.hash, data, now)
            await self._store.insert(tx, firmware)
            await put_notice(tx, FIRMWARE_NOTICE, str(product.id), now)

        try:
            await self._db.transaction(write)
        except Duplicate as error:
            raise FirmwareExists(f"The product has firmware version {version} already") from error
        self._bus.publish(FIRMWARE_CHANGED, product.id)
        found = await self._store.get(self._db, product.id, version)
        return firmware if found is None else found

    async def update(self, requester: Requester, product: Product, version: int | None, details: Details) -> Firmware:
        """Raises AccessRefused, FirmwareNotFound, FirmwareInvalid."""
        require(requester, Action.FIRMWARE_UPDATE, product.resource(requester))
        _check(details)
        now = self._clock.now()

        async def write(tx: Transaction) -> Firmware | None:
            known = None if version is None else await self._store.get(tx, product.id, version)
            if known is None:
                return None
            await self._store.update(
                tx,
                product.id,
                known.version,
                title=known.title if details.title is None else details.title,
                description=known.description if details.description is None else details.description,
                is_mandatory=known.is_mandatory if details.is_mandatory is None else details.is_mandatory,
                now=now,
            )
            return await self._store.get(tx, product.id, known.version)

        changed = await self._db.transaction(write)
        if changed is None:
            raise firmware_not_found(version)
        return changed

    async def delete(self, requester: Requester, product: Product, version: int | None) -> None:
        """What was released once stays: devices may run it.

        Raises AccessRefused, FirmwareNotFound, FirmwareReleased.
        """
        require(requester, Action.FIRMWARE_REMOVE, product.resource(requester))
        now = self._clock.now()

        async def write(tx: Transaction) -> Firmware | None:
            known = None if version is None else await self._store.get(tx, product.id, version)
            if known is not None and known.released_at is None:
                await self._store.delete(tx, product.id, known.version)
                await put_notice(tx, FIRMWARE_NOTICE, str(product.id), now)
            return known

        known = await self._db.transaction(write)
        if known is None:
            raise firmware_not_found(version)
        if known.released_at is not None:
            raise FirmwareReleased(f"Firmware version {version} has been released, so it cannot be deleted")
        self._bus.publish(FIRMWARE_CHANGED, product.id)

    async def release(
        self,
        requester: Requester,
        product: Product,
        version: int | None,
        *,
        to_all: bool,
        groups: Sequence[str],
        is_intelligent: bool,
    ) -> Firmware:
        """Raises AccessRefused, FirmwareNotFound, FirmwareUntested, FirmwareInvalid."""
        require(requester, Action.FIRMWARE_RELEASE, product.resource(requester))
        if version is None:
            raise FirmwareInvalid("version is missing")
        if not (to_all or groups):
            raise FirmwareInvalid("Release to whom? Give product_default, or groups")
        now = self._clock.now()
        release = Release(product.id, version, is_intelligent)

        async def write(tx: Transaction) -> Firmware:
            known = await self._store.get(tx, product.id, version)
            if known is None:
                raise firmware_not_found(version)
            if not (known.has_run or known.device_count):
                raise FirmwareUntested(
                    f"No device of the product has run version {version}: flash it to one first"
                    " (desired_firmware_version with flash), and see that it comes back"
                )
            await self._store.release(tx, product.id, version, is_intelligent=is_intelligent, now=now)
            if to_all:
                await self._store.set_default(tx, product.id, version)
            for group in groups:
                if not await self._store.release_to_group(tx, product.id, group, version):
                    raise FirmwareInvalid(f"The product has no group {group[:80]}")
            await put_notice(tx, RELEASE_NOTICE, msgspec.json.encode(release).decode(), now)
            changed = await self._store.get(tx, product.id, version)
            assert changed is not None
            return changed

        changed = await self._db.transaction(write)
        self._bus.publish(FIRMWARE_RELEASED, release)
        return changed


def read_module(data: bytes) -> Module:
    """Raises FirmwareInvalid."""
    if len(data) > MAX_BINARY:
        raise FirmwareInvalid(f"Firmware has at most {MAX_BINARY} bytes")
    try:
        return parse_module_untrusted(data)
    except WireError as error:
        raise FirmwareInvalid(f"This is not a firmware binary: {error}") from error


def file_name(name: str) -> str:
    """The last part of whatever a client calls a path, in one line."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    shown = "".join(character for character in last if character.isprintable())
    return shown[:_MAX_NAME] or "firmware.bin"


def _check(details: Details) -> None:
    if len(details.title or "") > _MAX_TITLE or len(details.description or "") > _MAX_DESCRIPTION:
        raise FirmwareInvalid(f"A title has at most {_MAX_TITLE} characters, a description {_MAX_DESCRIPTION}")
