"""Changing devices: their fields, their groups, whether they may take part, and taking them out of their product."""

from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from cloudchamber.access.model import Action, OwnedByCustomer, OwnedByUser
from cloudchamber.access.requester import Requester, describe
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.fleet.errors import (
    SerialNumberTaken,
    UpdateEmpty,
    UpdateInvalid,
    device_not_in_product,
    device_unknown,
)
from cloudchamber.fleet.groups.rules import check_names
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.imports.rules import serial_number_in
from cloudchamber.fleet.lists.service import MEMBERSHIP_CHANGED
from cloudchamber.fleet.model import UNCHANGED, Change, Custody, DeviceRecord, Product, Unchanged
from cloudchamber.fleet.ports import FirmwareTargets, LiveDevices
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.store import DEVICE_NOTICE, CustodyLog, DeviceStore, KeyStore
from cloudchamber.ids import DeviceId, new_id
from cloudchamber.storage.database import Database, Transaction, Value
from cloudchamber.storage.errors import Duplicate
from cloudchamber.storage.notices import put_notice

UPDATES_FORCED_EVENT: Final = "particle/device/updates/forced"
"""The only one of its settings that a device is told: it then takes an update even where its application forbids it."""

_MAX_NAME_LENGTH: Final = 64
_MAX_NOTES_LENGTH: Final = 5_000
_MAX_SECRET_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class DeviceChanges:
    """What a request wants changed; UNCHANGED leaves a field as it is. What only a product may change, the edge takes
    from the product's path alone."""

    name: str | Unchanged = UNCHANGED
    notes: str | Unchanged | None = UNCHANGED
    allows_updates: bool | Unchanged = UNCHANGED
    firmware_updates_forced: bool | Unchanged = UNCHANGED
    is_development: bool | Unchanged = UNCHANGED
    desired_firmware_version: int | Unchanged | None = UNCHANGED
    groups: tuple[str, ...] | Unchanged = UNCHANGED
    is_denied: bool | Unchanged = UNCHANGED
    is_quarantined: bool | Unchanged = UNCHANGED
    serial_number: str | Unchanged | None = UNCHANGED
    mobile_secret: str | Unchanged | None = UNCHANGED
    flashes: bool = False
    """The wanted firmware at once, not when the device next connects."""

    @property
    def is_empty(self) -> bool:
        return all(getattr(self, item.name) is UNCHANGED for item in fields(self) if item.name != "flashes")


# What is written as it is.
_COLUMNS: Final = (
    *("name", "notes", "allows_updates", "firmware_updates_forced", "is_development", "desired_firmware_version"),
    *("serial_number", "mobile_secret"),
)


class DeviceUpdates:
    def __init__(
        self,
        db: Database,
        store: DeviceStore,
        keys: KeyStore,
        groups: GroupStore,
        custody: CustodyLog,
        devices: Devices,
        firmware: FirmwareTargets,
        live: LiveDevices,
        bus: InProcessBus,
        clock: Clock,
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._groups = groups
        self._custody = custody
        self._devices = devices
        self._firmware = firmware
        self._live = live
        self._bus = bus
        self._clock = clock

    async def update(
        self,
        requester: Requester,
        record: DeviceRecord,
        changes: DeviceChanges,
        *,
        through: Literal["owner", "product"],
    ) -> DeviceRecord:
        """For a record that `own` or `in_product` gave for DEVICES_UPDATE; `through` says which of the two.

        Raises UpdateEmpty, UpdateInvalid, GroupInvalid, SerialNumberTaken, DeviceUnknown, and what the firmware's
        keeper says of a version that the product does not have.
        """
        if changes.is_empty:
            raise UpdateEmpty("Nothing to do?")
        changes = _checked(changes)
        groups = changes.groups if isinstance(changes.groups, tuple) else ()
        named = [(new_id(), name) for name in check_names(groups)]
        if isinstance(changes.desired_firmware_version, int) and record.product is not None:
            await self._firmware.check_version(record.product, changes.desired_firmware_version)
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord | None:
            known = await self._store.by_id(tx, record.id)
            # Whoever was allowed to change it may have lost it since: nothing of the next owner's may change.
            if known is None or (known.owner, known.product) != (record.owner, record.product):
                return None
            await put_notice(tx, DEVICE_NOTICE, record.id, now)
            await self._set_columns(tx, record.id, changes, now)
            if changes.name is not UNCHANGED:
                await self._store.set_field(tx, record.id, "is_name_private", through == "owner", now)
            if changes.groups is not UNCHANGED and known.product is not None:
                await self._groups.assign(tx, record.id, await self._groups.ensure(tx, known.product, named, now))
            await self._shut_out(tx, known, changes, describe(requester), now)
            return await self._store.by_id(tx, record.id)

        try:
            changed = await self._db.transaction(write)
        except Duplicate as error:
            raise SerialNumberTaken("Another device has this serial number") from error
        if changed is None:
            raise device_unknown()
        await self._announce(record, changed, changes)
        return changed

    async def deny(self, requester: Requester, product: Product, reference: str) -> DeviceRecord:
        """Puts the device on its product's deny list: it stays there, without its owner if that is a customer, and may
        not connect. Raises AccessRefused, DeviceNotInProduct."""
        found = await self._devices.in_product(requester, product, reference, Action.DEVICES_REMOVE)
        now = self._clock.now()
        changes = DeviceChanges(is_denied=True)

        async def write(tx: Transaction) -> DeviceRecord | None:
            known = await self._store.by_id(tx, found.id)
            if known is None or known.product != product.id:
                return None
            await self._shut_out(tx, known, changes, describe(requester), now)
            return await self._store.by_id(tx, found.id)

        changed = await self._db.transaction(write)
        if changed is None:
            raise device_not_in_product()
        await self._announce(found, changed, changes)
        return changed

    async def remove(self, requester: Requester, product: Product, reference: str) -> DeviceRecord:
        """Takes a device out of its product; it keeps an owner who is a user, and loses one who is the product's
        customer. Raises AccessRefused, DeviceNotInProduct."""
        found = await self._devices.in_product(requester, product, reference, Action.DEVICES_REMOVE)
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord | None:
            known = await self._store.by_id(tx, found.id)
            if known is None or known.product != product.id:
                return None
            owner = known.owner if isinstance(known.owner, OwnedByUser) else None
            await self._store.set_product(tx, found.id, None, now)
            await self._store.set_field(tx, found.id, "desired_firmware_version", None, now)
            await self._store.set_owner(tx, found.id, owner, now)
            await self._custody.append(tx, known, Custody.of(None, owner), Change.REMOVED, describe(requester), now)
            return await self._store.by_id(tx, found.id)

        changed = await self._db.transaction(write)
        if changed is None:
            raise device_not_in_product()
        self._devices.publish(changed)
        self._bus.publish(MEMBERSHIP_CHANGED, product.id)
        return changed

    async def _set_columns(self, tx: Transaction, device: DeviceId, changes: DeviceChanges, now: Millis) -> None:
        for column in _COLUMNS:
            value = getattr(changes, column)
            if value is not UNCHANGED:
                stored: Value = int(value) if isinstance(value, bool) else value
                await self._store.set_field(tx, device, column, stored, now)

    async def _shut_out(
        self, tx: Transaction, known: DeviceRecord, changes: DeviceChanges, actor: str, now: Millis
    ) -> None:
        """Deny list and quarantine, with what follows from them."""
        custody = Custody.of(known.product, known.owner)
        if changes.is_denied is not UNCHANGED and changes.is_denied != known.is_denied:
            await self._store.set_field(tx, known.id, "is_denied", int(changes.is_denied), now)
            if changes.is_denied and isinstance(known.owner, OwnedByCustomer):
                await self._store.set_owner(tx, known.id, None, now)
                custody = Custody.of(known.product, None)
            change = Change.DENIED if changes.is_denied else Change.APPROVED
            await self._custody.append(tx, known, custody, change, actor, now)
        if changes.is_quarantined is not UNCHANGED and changes.is_quarantined != known.is_quarantined:
            await self._store.set_field(tx, known.id, "is_quarantined", int(changes.is_quarantined), now)
            if not changes.is_quarantined:
                await self._store.set_field(tx, known.id, "is_seen_only", 0, now)
                await self._keys.confirm(tx, [known.id])
            change = Change.QUARANTINED if changes.is_quarantined else Change.APPROVED
            await self._custody.append(tx, known, custody, change, actor, now)

    async def _announce(self, before: DeviceRecord, after: DeviceRecord, changes: DeviceChanges) -> None:
        self._devices.publish(after)
        if after.product is not None and (before.is_denied, before.is_quarantined) != (
            after.is_denied,
            after.is_quarantined,
        ):
            self._bus.publish(MEMBERSHIP_CHANGED, after.product)
        if after.is_denied:
            self._live.disconnect(after.id)
        if before.firmware_updates_forced != after.firmware_updates_forced:
            self._live.send_system_event(
                after.id, UPDATES_FORCED_EVENT, b"true" if after.firmware_updates_forced else b"false"
            )
        if changes.desired_firmware_version is not UNCHANGED or changes.groups is not UNCHANGED:
            await self._firmware.target_changed(after, at_once=changes.flashes)


def _checked(changes: DeviceChanges) -> DeviceChanges:
    """Raises UpdateInvalid."""
    if isinstance(changes.name, str) and not 0 < len(changes.name.strip()) <= _MAX_NAME_LENGTH:
        raise UpdateInvalid(f"A device's name has 1 to {_MAX_NAME_LENGTH} characters")
    if isinstance(changes.notes, str) and len(changes.notes) > _MAX_NOTES_LENGTH:
        raise UpdateInvalid(f"A device's notes have at most {_MAX_NOTES_LENGTH} characters")
    if isinstance(changes.mobile_secret, str) and not 0 < len(changes.mobile_secret) <= _MAX_SECRET_LENGTH:
        raise UpdateInvalid(f"A mobile secret has 1 to {_MAX_SECRET_LENGTH} characters")
    if not isinstance(changes.serial_number, str):
        return changes
    serial = serial_number_in(changes.serial_number)
    if serial is None:
        raise UpdateInvalid("A serial number has 4 to 64 letters, digits, dots, hyphens and underscores")
    return replace(changes, serial_number=serial)
