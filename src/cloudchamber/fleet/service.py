"""The device registry: finding devices for whoever asks, importing, renaming, removing them.

Records that requests ask for time and again are kept in memory (cache.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cloudchamber.access.model import (
    Action,
    DeviceResource,
    OwnedByUser,
    Owner,
    OwnThings,
    ProductDeviceResource,
)
from cloudchamber.access.requester import Requester, describe
from cloudchamber.access.rules import owner_of
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.errors import TooLarge
from cloudchamber.fleet.cache import MAX_CACHED, DeviceCache
from cloudchamber.fleet.errors import UpdateEmpty, UpdateInvalid, device_not_in_product, device_unknown
from cloudchamber.fleet.model import Change, Custody, DeviceRecord, ImportReport, KeyAlgorithm, Product
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.provisional import Provisional, ProvisionalDevices
from cloudchamber.fleet.rules import DeviceFilter, Verdict, import_verdict, in_order, unique
from cloudchamber.fleet.store import CustodyLog, DeviceStore, KeyStore
from cloudchamber.identity.ports import USER_RENAMED
from cloudchamber.identity.service import Customers, Users
from cloudchamber.ids import DeviceId, UserId, parse_device_id
from cloudchamber.storage.database import Database, Transaction

DEVICE_CHANGED: Final = "device.changed"
"""Bus subject; the message is the DeviceRecord as it is now."""

# An import is one transaction for each batch: all of its ids or none. Batches keep other writers' waits short.
_BATCH: Final = 500
# A key's time is taken before its transaction ends, and by another process's clock.
_KEYS_OVERLAP_MS: Final = MINUTE
MAX_IMPORT: Final = 100_000
_MAX_NAME_LENGTH: Final = 64
_MAX_NOTES_LENGTH: Final = 5_000


@dataclass(frozen=True, slots=True)
class DeviceChanges:
    """What a request wants changed; None leaves a field as it is."""

    name: str | None = None
    notes: str | None = None
    is_development: bool | None = None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A record with what only the open connection knows."""

    record: DeviceRecord
    is_online: bool
    last_heard: Millis | None
    owner_name: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A device that is connected without being on record: the key that it proved, and what it said."""

    key: bytes
    waiting: Provisional


class Devices:
    def __init__(
        self,
        db: Database,
        store: DeviceStore,
        keys: KeyStore,
        custody: CustodyLog,
        users: Users,
        customers: Customers,
        provisional: ProvisionalDevices,
        live: LiveDevices,
        bus: InProcessBus,
        clock: Clock,
        *,
        accepts_unknown: bool,
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._custody = custody
        self._users = users
        self._customers = customers
        self._provisional = provisional
        self._live = live
        self._bus = bus
        self._clock = clock
        self._accepts_unknown = accepts_unknown
        self._cache = DeviceCache()
        self._names: dict[Owner, str] = {}
        self._keys_followed_at = clock.now()
        bus.subscribe(DEVICE_CHANGED, self._changed)
        bus.subscribe(USER_RENAMED, self._renamed)

    # -- finding ------------------------------------------------------------------------------------------------------

    async def get(self, device: DeviceId) -> DeviceRecord | None:
        """A device on record, whoever asks; rights are the caller's question."""
        cached = self._cache.record(device)
        if cached is not None:
            return cached
        version = self._cache.version
        found = await self._store.by_id(self._db, device)
        if found is not None:
            self._cache.keep(found, version)
        return found

    async def own(self, requester: Requester, reference: str, action: Action) -> DeviceRecord:
        """A device by id or by the name that its owner gave it; an id always wins.

        Raises DeviceUnknown, AccessRefused.
        """
        require(requester, action, OwnThings())
        device = parse_device_id(reference)
        found = await self.get(device) if device is not None else None
        owner = owner_of(requester)
        if found is None and owner is not None:
            found = await self._store.by_name(self._db, owner, reference)
        if found is None:
            raise device_unknown()
        require(
            requester,
            action,
            DeviceResource(found.id, found.owner, found.product, found.is_quarantined, found.is_denied),
        )
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

    async def mine(self, requester: Requester) -> Sequence[DeviceRecord]:
        """The devices of whoever asks, newest handshake first; none for a product's token. Raises AccessRefused."""
        require(requester, Action.DEVICES_LIST, OwnThings())
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

    async def of_product(
        self,
        requester: Requester,
        product: Product,
        wanted: DeviceFilter,
        *,
        sort: str = "lastConnection",
        descending: bool = True,
        page: int = 1,
        per_page: int = 25,
    ) -> tuple[list[DeviceRecord], int]:
        """One page (from 1), and the number of all that match. Raises AccessRefused."""
        require(requester, Action.DEVICES_LIST, product.resource(requester))
        found = [device for device in await self._store.of_product(self._db, product.id) if wanted.matches(device)]
        found = in_order(found, sort, descending=descending)
        return found[(page - 1) * per_page : page * per_page], len(found)

    async def of_customers(self, customers: Sequence[str]) -> list[DeviceRecord]:
        """The devices of these customers, for a list of customers that the requester was allowed to see."""
        return await self._store.of_owners(self._db, "customer", customers)

    async def view(self, record: DeviceRecord) -> DeviceView:
        """The record with connection and owner's name."""
        return (await self.views([record]))[0]

    async def views(self, records: Iterable[DeviceRecord]) -> list[DeviceView]:
        """As `view`, for a list."""
        views = []
        for record in records:
            name = await self.owner_name(record.owner)
            heard = self._live.last_heard(record.id)
            views.append(
                DeviceView(
                    record,
                    self._live.is_online(record.id),
                    heard if heard is not None else record.last_heard,
                    name,
                )
            )
        return views

    async def owner_name(self, owner: Owner | None) -> str | None:
        """A name that was read once is kept, until its account is renamed; no id is used twice."""
        if owner is None:
            return None
        name = self._names.get(owner)
        if name is None:
            account = await (
                self._users.get(owner.id) if isinstance(owner, OwnedByUser) else self._customers.get(owner.id)
            )
            if account is None:
                return None
            name = self._names[owner] = account.username
            if len(self._names) > MAX_CACHED:
                del self._names[next(iter(self._names))]
        return name

    def _renamed(self, user: UserId) -> None:
        self._names.pop(OwnedByUser(user), None)

    # -- changing -----------------------------------------------------------------------------------------------------

    async def update(self, record: DeviceRecord, changes: DeviceChanges) -> DeviceRecord:
        """For a record that `own` or `in_product` gave for DEVICES_UPDATE.

        Raises UpdateEmpty, UpdateInvalid, DeviceUnknown.
        """
        fields = {
            "name": changes.name,
            "notes": changes.notes,
            "is_development": None if changes.is_development is None else int(changes.is_development),
        }
        wanted = {column: value for column, value in fields.items() if value is not None}
        if not wanted:
            raise UpdateEmpty("Nothing to do?")
        if changes.name is not None and not 0 < len(changes.name.strip()) <= _MAX_NAME_LENGTH:
            raise UpdateInvalid(f"A device's name has 1 to {_MAX_NAME_LENGTH} characters")
        if changes.notes is not None and len(changes.notes) > _MAX_NOTES_LENGTH:
            raise UpdateInvalid(f"A device's notes have at most {_MAX_NOTES_LENGTH} characters")
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord | None:
            known = await self._store.by_id(tx, record.id)
            # Whoever was allowed to change it may have lost it since: nothing of the next owner's may change.
            if known is None or (known.owner, known.product) != (record.owner, record.product):
                return None
            for column, value in wanted.items():
                await self._store.set_field(tx, record.id, column, value, now)
            return await self._store.by_id(tx, record.id)

        changed = await self._db.transaction(write)
        if changed is None:
            raise device_unknown()
        self.publish(changed)
        return changed

    async def import_(self, requester: Requester, product: Product, ids: Iterable[str]) -> ImportReport:
        """Adds devices to a product. A second run of the same import changes nothing.

        Raises AccessRefused, TooLarge.
        """
        require(requester, Action.DEVICES_IMPORT, product.resource(requester))
        # One more than may be: a file of millions of lines must not hold up everybody before it is refused.
        given = list(islice(ids, MAX_IMPORT + 1))
        if len(given) > MAX_IMPORT:
            raise TooLarge(f"One import takes at most {MAX_IMPORT} ids: split it")
        parsed = [(text, parse_device_id(text.strip())) for text in given]
        wanted = unique(device for _, device in parsed if device is not None)
        verdicts: dict[Verdict, list[DeviceId]] = {verdict: [] for verdict in Verdict}
        for start in range(0, len(wanted), _BATCH):
            for device, verdict in await self._import_batch(requester, product, wanted[start : start + _BATCH]):
                verdicts[verdict].append(device)
        return ImportReport(
            updated=(*verdicts[Verdict.CREATE], *verdicts[Verdict.ADD], *verdicts[Verdict.APPROVE]),
            existing=tuple(verdicts[Verdict.PRESENT]),
            nonmember=tuple(verdicts[Verdict.NONMEMBER]),
            invalid=(
                *dict.fromkeys(text.strip().lower() for text, device in parsed if device is None),
                *verdicts[Verdict.INVALID],
            ),
        )

    async def _import_batch(
        self, requester: Requester, product: Product, ids: Sequence[DeviceId]
    ) -> list[tuple[DeviceId, Verdict]]:
        now = self._clock.now()
        actor = describe(requester)
        arrivals = {device: arrival for device in ids if (arrival := self.arrival(device)) is not None}

        async def write(tx: Transaction) -> list[tuple[DeviceId, Verdict, DeviceRecord | None]]:
            results: list[tuple[DeviceId, Verdict, DeviceRecord | None]] = []
            # In one order whoever asks: two imports that met from both ends would lock each other out.
            for device in sorted(ids):
                known = await self._store.by_id(tx, device)
                verdict = import_verdict(known, product, accepts_unknown=self._accepts_unknown)
                changed: DeviceRecord | None = None
                if verdict in {Verdict.CREATE, Verdict.ADD, Verdict.APPROVE}:
                    if known is None:
                        known = await self.register(tx, device, arrivals.get(device), now)
                    await self._store.set_product(tx, device, product.id, now)
                    if verdict is not Verdict.APPROVE:
                        after = Custody.of(product.id, known.owner)
                        await self._custody.append(tx, known, after, Change.IMPORTED, actor, now)
                    changed = await self._store.by_id(tx, device)
                results.append((device, verdict, changed))
            return results

        done = await self._db.transaction(write)
        for device, verdict, changed in done:
            if changed is not None and verdict is Verdict.CREATE:
                self.publish_registered(changed, arrivals.get(device))
            elif changed is not None:
                self.publish(changed)
        return [(device, verdict) for device, verdict, _ in done]

    def arrival(self, device: DeviceId) -> Arrival | None:
        """What a provisionally connected device brought. Ask before the transaction that calls `register`."""
        waiting = self._provisional.get(device)
        key = self._live.presented_key(device)
        return Arrival(key, waiting) if waiting is not None and key is not None else None

    async def register(self, tx: Transaction, device: DeviceId, arrival: Arrival | None, now: Millis) -> DeviceRecord:
        """Puts an unknown device on record, inside the transaction that imports or claims it. If it is connected, its
        key goes on record too and is from now on the only one that will do."""
        await self._store.insert(tx, device, None, now)
        if arrival is not None:
            waiting = arrival.waiting
            await self._keys.insert(tx, device, key_algorithm(arrival.key), arrival.key, "first-use", now)
            await self._store.set_handshake(tx, device, waiting.handshake, waiting.at)
            if waiting.description is not None:
                await self._store.set_described(tx, device, waiting.description)
        record = await self._store.by_id(tx, device)
        assert record is not None
        return record

    async def remove(self, requester: Requester, product: Product, reference: str) -> DeviceRecord:
        """Takes a device out of its product; it keeps an owner who is a user, and loses one who is the product's
        customer. Raises AccessRefused, DeviceNotInProduct."""
        found = await self.in_product(requester, product, reference, Action.DEVICES_REMOVE)
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord | None:
            known = await self._store.by_id(tx, found.id)
            if known is None or known.product != product.id:
                return None
            owner = known.owner if isinstance(known.owner, OwnedByUser) else None
            await self._store.set_product(tx, found.id, None, now)
            await self._store.set_owner(tx, found.id, owner, now)
            await self._custody.append(tx, known, Custody.of(None, owner), Change.REMOVED, describe(requester), now)
            return await self._store.by_id(tx, found.id)

        changed = await self._db.transaction(write)
        if changed is None:
            raise device_not_in_product()
        self.publish(changed)
        return changed

    async def put_key_on_record(self, device: DeviceId, public_key: bytes, origin: str) -> None:
        """Replaces the device's key; whoever is connected with another one is disconnected."""
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord:
            record = await self._store.by_id(tx, device) or await self.register(tx, device, None, now)
            await self._keys.replace(tx, device, key_algorithm(public_key), public_key, origin, now)
            return record

        record = await self._db.transaction(write)
        if self._live.presented_key(device) != public_key:
            self._live.disconnect(device)
        self.publish(record)

    async def follow_keys(self) -> int:
        """Of keys that went on record without this process (the command line is one of its own): whoever is connected
        with another one is disconnected. A session over datagrams would outlive its key for months. How many were."""
        now = self._clock.now()
        put = await self._keys.since(self._db, Millis(self._keys_followed_at - _KEYS_OVERLAP_MS))
        self._keys_followed_at = now
        stale = [device for device, key in put if self._live.presented_key(device) not in (None, key)]
        for device in stale:
            self._live.disconnect(device)
        return len(stale)

    def publish(self, record: DeviceRecord) -> None:
        """Tells every cache and index of a change that is committed."""
        self._bus.publish(DEVICE_CHANGED, record)

    def publish_registered(self, record: DeviceRecord, arrival: Arrival | None) -> None:
        """As `publish`, for a device that `register` put on record. Until then any key would do for its id; whoever is
        connected by another one than what went on record has to come again, and shows then whether it is the device."""
        presented = self._live.presented_key(record.id)
        if presented is not None and (arrival is None or arrival.key != presented):
            self._live.disconnect(record.id)
        self.publish(record)

    def _changed(self, record: DeviceRecord) -> None:
        self._provisional.remove(record.id)
        self._cache.changed(record)


def key_algorithm(public_key: bytes) -> KeyAlgorithm:
    """P-256 SubjectPublicKeyInfos are always 91 bytes long, RSA-1024 ones 162."""
    return "ecc" if len(public_key) == 91 else "rsa"
