"""The device registry: finding devices for whoever asks, and telling everybody of changes.

Records that requests ask for time and again are kept in memory (cache.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hmac import compare_digest
from typing import Any, Final

import msgspec

from cloudchamber.access.model import (
    Action,
    DeviceResource,
    OwnedByUser,
    Owner,
    OwnThings,
    ProductDeviceResource,
)
from cloudchamber.access.requester import Requester
from cloudchamber.access.rules import Refused, decide, owner_of
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Millis
from cloudchamber.fleet.cache import MAX_CACHED, DeviceCache, KeyCache
from cloudchamber.fleet.errors import SerialNumberUnknown, device_not_in_product, device_unknown
from cloudchamber.fleet.groups.service import GROUPS_CHANGED
from cloudchamber.fleet.imports.rules import serial_number_in
from cloudchamber.fleet.model import FIRST_USE, DeviceRecord, KeyAlgorithm, Product, RecordedKey
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.provisional import Provisional, ProvisionalDevices
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.identity.ports import USER_RENAMED
from cloudchamber.ids import DeviceId, ProductId, UserId, parse_device_id
from cloudchamber.storage.database import Database, Transaction

_OWN_THINGS: Final = OwnThings()
# A device that changes each time that we look comes round again with its next change.
_READS: Final = 10

DEVICE_CHANGED: Final = "device.changed"
"""Bus subject; the message is the DeviceRecord as it is now."""


class DeviceView(msgspec.Struct, frozen=True):
    """A record with what only the open connection knows."""

    record: DeviceRecord
    is_online: bool
    last_heard: Millis | None
    owner_name: str | None


class Arrival(msgspec.Struct, frozen=True):
    """A device that is connected without being on record: the key that it proved, and what it said."""

    key: bytes
    waiting: Provisional


class Devices:
    def __init__(
        self,
        db: Database,
        store: DeviceStore,
        keys: KeyStore,
        provisional: ProvisionalDevices,
        live: LiveDevices,
        bus: InProcessBus,
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._provisional = provisional
        self._live = live
        self._bus = bus
        self.cache = self._cache = DeviceCache()
        self._key_cache = KeyCache()
        # Asked some times in each handshake: a call less.
        self.get_now = self._cache.record
        """As `get`, from memory; None where only the database can tell."""
        self.recorded_key_now = self._key_cache.key
        """As `recorded_key`, from memory, which hears half a second late of what the command line put on record. None
        where only the database can tell. May be asked from any thread."""
        self._reading: DeviceId | None = None
        self._names: dict[Owner, str] = {}
        self._renamings = 0
        bus.subscribe(DEVICE_CHANGED, self._changed)
        bus.subscribe(USER_RENAMED, self._renamed)
        bus.subscribe(GROUPS_CHANGED, self._groups_changed)

    # -- finding ------------------------------------------------------------------------------------------------------

    async def get(self, device: DeviceId) -> DeviceRecord | None:
        """A device on record, whoever asks; rights are the caller's question."""
        cached = self._cache.record(device)
        if cached is not None:
            return cached
        version, renamings = self._cache.version, self._renamings
        found = await self._store.named(self._db, device)
        if found is None:
            return None
        record, owner_name = found
        self._cache.keep(record, version)
        # Whoever asks for a device mostly asks next what its owner is called: a read of the database less.
        if record.owner is not None and owner_name is not None:
            self._keep_name(record.owner, owner_name, renamings)
        return record

    async def system_of(self, device: DeviceId) -> Mapping[str, Any] | None:
        """What a device told of its system last (`Describe.system`); None where it never did."""
        found = await self._store.system_of(self._db, device)
        return None if found is None else msgspec.json.decode(found, type=dict[str, Any])

    async def recorded_key(self, device: DeviceId) -> RecordedKey | None:
        """The device's key on record, by the database."""
        version = self._key_cache.version
        found = await self._keys.of_device(self._db, device)
        if found is not None:
            self._key_cache.keep(device, found, version)
        return found

    async def own(self, requester: Requester, reference: str, action: Action) -> DeviceRecord:
        """A device by id or by the name that its owner gave it; an id always wins.

        Raises DeviceUnknown, AccessRefused.
        """
        require(requester, action, _OWN_THINGS)
        device = parse_device_id(reference)
        found = await self.get(device) if device is not None else None
        owner = owner_of(requester)
        if found is None and owner is not None:
            found = await self._store.by_name(self._db, owner, reference)
        if found is None:
            raise device_unknown()
        _require_own(requester, action, found)
        return found

    def own_now(self, requester: Requester, reference: str, action: Action) -> DeviceRecord | None:
        """As `own` by id, from memory; None where only the database can tell. Raises AccessRefused."""
        found = self._recorded(reference)
        # Who may do it to a device of one's own may do it to what is one's own: one question, but for who may not.
        if found is None or isinstance(decide(requester, action, _own_device(found)), Refused):
            require(requester, action, _OWN_THINGS)
            if found is not None:
                _require_own(requester, action, found)
        return found

    def _recorded(self, reference: str) -> DeviceRecord | None:
        """A device by id, from memory, where ids stand as `parse_device_id` writes them: most come so."""
        found = self._cache.record(reference)
        if found is None:
            device = parse_device_id(reference)
            found = self._cache.record(device) if device is not None else None
        return found

    async def in_product(self, requester: Requester, product: Product, reference: str, action: Action) -> DeviceRecord:
        """A device of a product, by id. Raises AccessRefused, DeviceNotInProduct."""
        resource = product.resource(requester)
        require(requester, action, resource)
        device = parse_device_id(reference)
        found = await self.get(device) if device is not None else None
        if found is None or found.product != product.id:
            raise device_not_in_product()
        require(requester, action, ProductDeviceResource(found.id, resource, found.is_quarantined, found.is_denied))
        return found

    def in_product_now(
        self, requester: Requester, product: Product, reference: str, action: Action
    ) -> DeviceRecord | None:
        """As `in_product`, from memory; None where only the database can tell, or there is nothing. Raises
        AccessRefused."""
        resource = product.resource(requester)
        found = self._recorded(reference)
        if found is None or found.product != product.id:
            require(requester, action, resource)
            return None
        of_device = ProductDeviceResource(found.id, resource, found.is_quarantined, found.is_denied)
        # Who may do it to a device of a product may do it in the product: one question, but for who may not.
        if isinstance(decide(requester, action, of_device), Refused):
            require(requester, action, resource)
            require(requester, action, of_device)
        return found

    async def by_serial_number(self, requester: Requester, text: str, mobile_secret: str | None) -> DeviceRecord:
        """The device on which this number is printed, whoever's it is. Where a mobile secret is given, it must be what
        is printed beside it.

        Raises AccessRefused, SerialNumberUnknown.
        """
        require(requester, Action.SERIAL_NUMBERS_GET, OwnThings())
        number = serial_number_in(text)
        found = await self._store.by_serial_number(self._db, number) if number else None
        is_right = found is not None and (
            mobile_secret is None
            or found.mobile_secret is None
            or compare_digest(mobile_secret.encode(), found.mobile_secret.encode())
        )
        if found is None or not is_right:
            raise SerialNumberUnknown("Serial number not found")
        return found

    async def mine(self, requester: Requester) -> Sequence[DeviceRecord]:
        """The devices of whoever asks, newest handshake first; none for a product's token. Raises AccessRefused."""
        require(requester, Action.DEVICES_LIST, _OWN_THINGS)
        owner = owner_of(requester)
        if owner is None:
            return ()
        cached = self._cache.of_owner(owner)
        if cached is not None:
            return cached
        version = self._cache.version
        found = tuple(await self._store.of_owner(self._db, owner))
        self._cache.keep_list(owner, found, version)
        return found

    def mine_now(self, requester: Requester) -> Sequence[DeviceRecord] | None:
        """As `mine`, from memory; None where only the database can tell. Raises AccessRefused."""
        require(requester, Action.DEVICES_LIST, _OWN_THINGS)
        owner = owner_of(requester)
        return () if owner is None else self._cache.of_owner(owner)

    async def of_customers(self, customers: Sequence[str]) -> list[DeviceRecord]:
        """The devices of these customers, for a list of customers that the requester was allowed to see."""
        return await self._store.of_owners(self._db, "customer", customers)

    async def key(self, record: DeviceRecord) -> RecordedKey | None:
        """The public key on record of a device that the requester was given."""
        return await self._keys.of_device(self._db, record.id)

    async def view(self, record: DeviceRecord) -> DeviceView:
        """The record with connection and owner's name."""
        return (await self.views([record]))[0]

    async def views(self, records: Collection[DeviceRecord]) -> list[DeviceView]:
        """As `view`, for a list."""
        names = await self._owners_names({record.owner for record in records if record.owner is not None})
        return [self._view(record, None if record.owner is None else names.get(record.owner)) for record in records]

    def view_now(self, record: DeviceRecord) -> DeviceView | None:
        """As `view`, from memory; None where the owner's name is not in it."""
        name = None if record.owner is None else self._names.get(record.owner)
        return None if name is None and record.owner is not None else self._view(record, name)

    def seen(self, record: DeviceRecord) -> DeviceView:
        """As `view`, for who does not ask for the owner's name."""
        return self._view(record, None)

    def _view(self, record: DeviceRecord, owner_name: str | None) -> DeviceView:
        live = self._live
        heard = live.last_heard(record.id)
        return DeviceView(record, live.is_online(record.id), record.last_heard if heard is None else heard, owner_name)

    async def owner_name(self, owner: Owner | None) -> str | None:
        """None also for an account that is gone."""
        return None if owner is None else (await self._owners_names({owner})).get(owner)

    async def _owners_names(self, owners: Collection[Owner]) -> dict[Owner, str]:
        """A name that was read once is kept, until its account is renamed; no id is used twice."""
        names, unknown = dict[Owner, str](), []
        for owner in owners:
            name = self._names.get(owner)
            if name is None:
                unknown.append(owner)
            else:
                names[owner] = name
        if unknown:
            renamings = self._renamings
            for owner, name in (await self._store.owners_names(self._db, unknown)).items():
                names[owner] = name
                self._keep_name(owner, name, renamings)
        return names

    def _keep_name(self, owner: Owner, name: str, renamings: int) -> None:
        # A new name that was told while we read would have dropped nothing.
        if renamings == self._renamings:
            self._names[owner] = name
            if len(self._names) > MAX_CACHED:
                del self._names[next(iter(self._names))]

    def _renamed(self, user: UserId) -> None:
        self._renamings += 1
        self._names.pop(OwnedByUser(user), None)

    # -- changing -----------------------------------------------------------------------------------------------------

    def arrival(self, device: DeviceId) -> Arrival | None:
        """What a provisionally connected device brought. Ask before the transaction that calls `register`."""
        waiting = self._provisional.get(device)
        key = self._live.presented_key(device)
        return Arrival(key, waiting) if waiting is not None and key is not None else None

    async def register(
        self,
        tx: Transaction,
        device: DeviceId,
        arrival: Arrival | None,
        now: Millis,
        product: ProductId | None = None,
    ) -> DeviceRecord:
        """Puts an unknown device on record, inside the transaction that imports or claims it. If it is connected, its
        key goes on record too and is from now on the only one that will do."""
        await self._store.insert(tx, device, product, now)
        if arrival is not None:
            waiting = arrival.waiting
            await self._keys.insert(tx, device, key_algorithm(arrival.key), arrival.key, FIRST_USE, now)
            await self._store.set_handshake(tx, device, waiting.handshake, waiting.at)
            if waiting.description is not None:
                await self._store.set_described(tx, device, waiting.description)
        record = await self._store.by_id(tx, device)
        assert record is not None
        return record

    def publish(self, record: DeviceRecord, *, is_key_kept: bool = False) -> None:
        """Tells every cache and index of a change that is committed. `is_key_kept`: it was none of the device's key."""
        if not is_key_kept:
            self._key_cache.forget(record.id)
        self._bus.publish(DEVICE_CHANGED, record)

    async def changed_elsewhere(self, device: DeviceId) -> None:
        """Another process changed the device or its key: that is published here, and a connection that would not be let
        in now ends. Raises CloudError."""
        record = await self._read_alone(device)
        if record is None:
            self._cache.clear()
            return
        self.publish(record)
        presented = self._live.presented_key(device)
        if presented is None:
            return
        recorded = await self.recorded_key(device)
        # Who was let in without a key on record, waiting to be named, comes again as well, and brings it then.
        goes_on = not record.is_denied and recorded is not None and recorded.public_key == presented
        if not goes_on and self._live.presented_key(device) == presented:
            self._live.disconnect(device)

    async def imported_elsewhere(self, product: ProductId, connected: Collection[DeviceId], since: Millis) -> None:
        """Another process imported into a product, maybe a hundred thousand devices. Those that are `connected` here
        are told of one by one; all others are forgotten at once. Raises CloudError."""
        self._cache.clear()
        for device in await self._store.changed_in(self._db, product, tuple(connected), since):
            await self.changed_elsewhere(device)

    async def _read_alone(self, device: DeviceId) -> DeviceRecord | None:
        """What is published while we read may be newer than what we read, and must not be undone."""
        found: DeviceRecord | None = None
        for _ in range(_READS):
            self._reading = device
            found = await self._store.by_id(self._db, device)
            if self._reading is not None:
                break
        self._reading = None
        return found

    def will_write(self, devices: Iterable[DeviceId]) -> None:
        """A transaction begins after which `publish_written` is called for some of these. One at a time."""
        self._cache.will_write(devices)

    def publish_written(self, record: DeviceRecord) -> None:
        """As `publish`, of a change that was none of the key. `record` stays in memory, unless something else of the
        device was published since the transaction began, which may be newer."""
        is_newest = self._cache.is_unchanged(record.id)
        self.publish(record, is_key_kept=True)
        if is_newest:
            self._cache.keep(record, self._cache.version)

    def publish_registered(self, record: DeviceRecord, arrival: Arrival | None) -> None:
        """As `publish`, for a device that `register` put on record. Until then any key would do for its id; whoever is
        connected by another one than what went on record has to come again, and shows then whether it is the device."""
        presented = self._live.presented_key(record.id)
        if presented is not None and (arrival is None or arrival.key != presented):
            self._live.disconnect(record.id)
        self.publish(record)

    def _groups_changed(self, _product: ProductId) -> None:
        # A group's members may be a hundred thousand; that its name changes is rare.
        self._cache.clear()

    def _changed(self, record: DeviceRecord) -> None:
        self._provisional.remove(record.id)
        self._cache.changed(record)
        if self._reading == record.id:
            self._reading = None


def _require_own(requester: Requester, action: Action, found: DeviceRecord) -> None:
    """Raises AccessRefused."""
    require(requester, action, _own_device(found))


def _own_device(found: DeviceRecord) -> DeviceResource:
    return DeviceResource(found.id, found.owner, found.product, found.is_quarantined, found.is_denied)


def key_algorithm(public_key: bytes) -> KeyAlgorithm:
    """P-256 SubjectPublicKeyInfos are always 91 bytes long, RSA-1024 ones 162."""
    return "ecc" if len(public_key) == 91 else "rsa"
