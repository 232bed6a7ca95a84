"""What the fleet learns from a device's connection: its key, its Hello, its description, when it was last heard.

A device that connects and that nobody has named is in one of three places: on no record and waiting; in the quarantine
of the product whose number its firmware says; or in that product at once, where it takes whoever comes (fleet/rules.py,
`place`). Where it stands follows its firmware at each connect, until somebody names it.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import msgspec

from cloudchamber.access.requester import Device, describe
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.fleet.errors import ProductNotFound
from cloudchamber.fleet.lists.service import MEMBERSHIP_CHANGED
from cloudchamber.fleet.model import (
    FIRST_USE,
    SEEN_ONLY,
    Change,
    Custody,
    Description,
    DeviceRecord,
    Handshake,
    Product,
)
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.presence import NOT_WRITTEN, Came, Left, Presence
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.provisional import ProvisionalDevices
from cloudchamber.fleet.rules import Place, Trust, is_nobodys, place, trust
from cloudchamber.fleet.service import DEVICE_CHANGED, Devices, key_algorithm
from cloudchamber.fleet.store import CustodyLog, DeviceStore, KeyStore
from cloudchamber.fleet.updates import UPDATES_FORCED_EVENT
from cloudchamber.ids import MAX_PRODUCT_ID, DeviceId, ProductId
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate
from cloudchamber.tally import Figure, Tally

MAX_QUARANTINED: Final = 10_000
"""In one product. Whoever reaches the listener can bring ids and keys of their own; what is beyond this waits on no
record, as it would without a product."""


class _Seen(msgspec.Struct, frozen=True):
    worth: Trust
    record: DeviceRecord | None
    moved: tuple[ProductId | None, ProductId | None] | None = None
    """Of products: it left the first one for the second."""


class Connections:
    def __init__(
        self,
        db: Database,
        devices: Devices,
        products: Products,
        store: DeviceStore,
        keys: KeyStore,
        custody: CustodyLog,
        provisional: ProvisionalDevices,
        live: LiveDevices,
        bus: InProcessBus,
        clock: Clock,
        *,
        trusts_on_first_use: bool,
        accepts_unknown: bool,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._db = db
        self._devices = devices
        self._products = products
        self._store = store
        self._keys = keys
        self._custody = custody
        self._provisional = provisional
        self._live = live
        self._bus = bus
        self._clock = clock
        self._trust = partial(trust, on_first_use=trusts_on_first_use, accepts_unknown=accepts_unknown)
        self._presence = Presence(db, store, keys, self._trust, devices)
        bus.subscribe(DEVICE_CHANGED, self._presence.changed)

    async def admit(self, device: DeviceId, presented: bytes | None) -> bytes | None:
        """The key to go on with, or None when the device is refused. Nothing is recorded yet: the device has shown
        only that it knows the server's key. `online` records, once the device has proved its own."""
        record = await self._devices.get(device)
        recorded = self._devices.recorded_key_now(device)
        worth = self._trust(record, recorded, presented) if recorded is not None else Trust.REFUSED
        if worth is not Trust.KNOWN:
            # The command line may have put another key on record a moment ago.
            recorded = await self._devices.recorded_key(device)
            worth = self._trust(record, recorded, presented)
        if worth is Trust.REFUSED:
            self._tally.note(record.product if record is not None else None, Figure.REFUSED)
            return None
        return recorded.public_key if worth is Trust.KNOWN and recorded is not None else presented

    def admit_now(self, device: DeviceId, presented: bytes | None) -> bytes | None:
        """As `admit`, for a device and its key that are in memory. None: only `admit` can tell."""
        recorded = self._devices.recorded_key_now(device)
        if recorded is None:
            return None
        record = self._devices.get_now(device)
        if record is None or self._trust(record, recorded, presented) is not Trust.KNOWN:
            return None
        return recorded.public_key

    def goes_by(self, device: DeviceId, presented: bytes) -> bool:
        """Memory has this key for the device. May be asked from any thread."""
        recorded = self._devices.recorded_key_now(device)
        return recorded is not None and recorded.public_key == presented

    def unproven(self, device: DeviceId) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Who was admitted as the device went away, or was sent away, before it proved the key. None: that is noted;
        otherwise call what is left to do."""
        record = self._devices.get_now(device)
        if record is None:
            return partial(self._note_unproven, device)
        self._tally.note(record.product, Figure.REFUSED)
        return None

    async def _note_unproven(self, device: DeviceId) -> None:
        record = await self._devices.get(device)
        self._tally.note(record.product if record is not None else None, Figure.REFUSED)

    async def online(self, device: DeviceId, key: bytes, handshake: Handshake) -> DeviceRecord | None:
        """The device proved `key`. Returns its record, None for a device that waits to be imported or claimed.

        Raises KeyRefused when another key went on record in the meantime.
        """
        now = self._clock.now()
        # Who has no key on record is not one of the many.
        is_known = self._devices.recorded_key_now(device) is not None
        written = await self._presence.put(Came(device, key, handshake, now)) if is_known else NOT_WRITTEN
        if written is NOT_WRITTEN:
            return await self._come_closer(device, key, handshake, now)
        if written.record is None:
            raise KeyRefused(device)
        return written.record

    async def _come_closer(
        self, device: DeviceId, key: bytes, handshake: Handshake, now: Millis
    ) -> DeviceRecord | None:
        """Of a device whose key is not on record, or that nobody has named: it may change where it stands."""
        product = await self._said_product(handshake)
        where = place(product, handshake.platform_id)

        async def write(tx: Transaction) -> _Seen:
            record = await self._store.by_id(tx, device)
            recorded = await self._keys.of_device(tx, device)
            worth = self._trust(record, recorded, key)
            if worth is Trust.REFUSED:
                return _Seen(worth, None)
            moved = None
            if record is None or is_nobodys(record):
                target = await self._target(tx, record, product, where)
                if record is None and target is None:
                    return _Seen(worth, None)
                moved = await self._move(tx, device, record, target, where, now)
            record = await self._store.by_id(tx, device)
            assert record is not None
            if worth is not Trust.KNOWN:
                # What nobody has named yet binds nobody to its key.
                origin = SEEN_ONLY if is_nobodys(record) else FIRST_USE
                await self._keys.replace(tx, device, key_algorithm(key), key, origin, now)
            await self._store.set_handshake(tx, device, handshake, now)
            return _Seen(worth, await self._store.by_id(tx, device), moved)

        try:
            seen = await self._db.transaction(write)
        except Duplicate as error:
            raise KeyRefused(device) from error
        if seen.worth is Trust.REFUSED:
            raise KeyRefused(device)
        if seen.record is None:
            self._provisional.add(device, handshake, now)
            return None
        self._devices.publish(seen.record, is_key_kept=seen.worth is Trust.KNOWN)
        for changed in seen.moved or ():
            if changed is not None:
                self._bus.publish(MEMBERSHIP_CHANGED, changed)
        return seen.record

    async def _said_product(self, handshake: Handshake) -> Product | None:
        if handshake.product_id is None or not 0 < handshake.product_id <= MAX_PRODUCT_ID:
            return None
        try:
            return await self._products.by_id(ProductId(handshake.product_id))
        except ProductNotFound:
            return None

    async def _target(
        self, tx: Transaction, record: DeviceRecord | None, product: Product | None, where: Place
    ) -> Product | None:
        """The product in which a device stands from now on that nobody has named."""
        if product is None or where is Place.NOWHERE:
            return None
        if where is Place.MEMBER or (record is not None and record.product == product.id):
            return product
        return product if await self._store.quarantined_in(tx, product.id, MAX_QUARANTINED) < MAX_QUARANTINED else None

    async def _move(
        self,
        tx: Transaction,
        device: DeviceId,
        record: DeviceRecord | None,
        target: Product | None,
        where: Place,
        now: Millis,
    ) -> tuple[ProductId | None, ProductId | None] | None:
        is_quarantined = target is not None and where is Place.QUARANTINE
        product = target.id if target is not None else None
        if record is not None and (record.product, record.is_quarantined) == (product, is_quarantined):
            return None
        if record is None:
            record = await self._devices.register(tx, device, None, now)
        await self._store.set_product(tx, device, product, now, is_quarantined=is_quarantined)
        change = Change.LEFT if product is None else Change.QUARANTINED if is_quarantined else Change.JOINED
        actor = describe(Device(device))
        await self._custody.append(tx, record, Custody.of(product, None), change, actor, now)
        return record.product, product

    async def described(self, device: DeviceId, description: Description) -> None:
        """Kept, because a device that resumes its session does not describe itself again."""
        # Both, because the device may be going on record now: either that finds the description here, or it is done
        # before the write below, which for a device on no record changes nothing.
        self._provisional.describe(device, description)

        async def write(tx: Transaction) -> DeviceRecord | None:
            await self._store.set_described(tx, device, description)
            return await self._store.by_id(tx, device)

        record = await self._db.transaction(write)
        if record is not None:
            self._devices.publish(record, is_key_kept=True)

    async def set_flag(self, device: DeviceId, column: str, *, value: bool) -> None:
        await self._set(device, column, int(value))

    async def _set(self, device: DeviceId, column: str, value: str | int) -> None:
        record = await self._devices.get(device)
        if record is None or getattr(record, column) == value:
            return
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord | None:
            await self._store.set_field(tx, device, column, value, now)
            return await self._store.by_id(tx, device)

        changed = await self._db.transaction(write)
        if changed is not None:
            self._devices.publish(changed, is_key_kept=True)

    async def forced_updates(self, device: DeviceId, *, reported: bool) -> None:
        """The device says whether updates are forced. That is people's to say, so it is told when it is wrong."""
        record = await self._devices.get(device)
        if record is not None and record.firmware_updates_forced != reported:
            said = b"true" if record.firmware_updates_forced else b"false"
            self._live.send_system_event(device, UPDATES_FORCED_EVENT, said)

    async def set_cc3000_patch_version(self, device: DeviceId, version: str) -> None:
        await self._set(device, "cc3000_patch_version", version)

    async def offline(self, device: DeviceId, last_heard: Millis) -> DeviceRecord | None:
        self._provisional.remove(device)
        return (await self._presence.put(Left(device, last_heard))).record


class KeyRefused(Exception):
    """The device is known by another key."""
