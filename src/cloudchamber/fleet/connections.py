"""What the fleet learns from a device's connection: its key, its Hello, its description, when it was last heard."""

from cloudchamber.clock import Clock, Millis
from cloudchamber.fleet.model import Description, DeviceRecord, Handshake
from cloudchamber.fleet.provisional import ProvisionalDevices
from cloudchamber.fleet.rules import Trust, trust
from cloudchamber.fleet.service import Devices, key_algorithm
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.ids import DeviceId
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate


class Connections:
    def __init__(
        self,
        db: Database,
        devices: Devices,
        store: DeviceStore,
        keys: KeyStore,
        provisional: ProvisionalDevices,
        clock: Clock,
        *,
        trusts_on_first_use: bool,
        accepts_unknown: bool,
    ) -> None:
        self._db = db
        self._devices = devices
        self._store = store
        self._keys = keys
        self._provisional = provisional
        self._clock = clock
        self._trusts_on_first_use = trusts_on_first_use
        self._accepts_unknown = accepts_unknown

    async def admit(self, device: DeviceId, presented: bytes | None) -> bytes | None:
        """The key to go on with, or None when the device is refused. Nothing is recorded yet: the device has shown
        only that it knows the server's key. `online` records, once the device has proved its own."""
        record = await self._devices.get(device)
        recorded = await self._keys.of_device(self._db, device)
        if self._trust(record, recorded, presented) is Trust.REFUSED:
            return None
        return recorded if recorded is not None else presented

    async def online(self, device: DeviceId, key: bytes, handshake: Handshake) -> DeviceRecord | None:
        """The device proved `key`. Returns its record, None for a device that waits to be imported or claimed.

        Raises KeyRefused when another key went on record in the meantime.
        """
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[Trust, DeviceRecord | None]:
            record = await self._store.by_id(tx, device)
            recorded = await self._keys.of_device(tx, device)
            worth = self._trust(record, recorded, key)
            if worth is Trust.FIRST_USE:
                await self._keys.insert(tx, device, key_algorithm(key), key, "first-use", now)
            if record is None or worth is Trust.REFUSED:
                return worth, None
            await self._store.set_handshake(tx, device, handshake, now)
            return worth, await self._store.by_id(tx, device)

        try:
            worth, record = await self._db.transaction(write)
        except Duplicate as error:
            raise KeyRefused(device) from error
        if worth is Trust.REFUSED:
            raise KeyRefused(device)
        if record is None:
            self._provisional.add(device, handshake, now)
        else:
            self._devices.publish(record)
        return record

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
            self._devices.publish(record)

    async def set_flag(self, device: DeviceId, column: str, *, value: bool) -> None:
        record = await self._devices.get(device)
        if record is None or getattr(record, column) == value:
            return
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord | None:
            await self._store.set_field(tx, device, column, int(value), now)
            return await self._store.by_id(tx, device)

        changed = await self._db.transaction(write)
        if changed is not None:
            self._devices.publish(changed)

    async def offline(self, device: DeviceId, last_heard: Millis) -> DeviceRecord | None:
        self._provisional.remove(device)

        async def write(tx: Transaction) -> DeviceRecord | None:
            await self._store.set_last_heard(tx, device, last_heard)
            return await self._store.by_id(tx, device)

        record = await self._db.transaction(write)
        if record is not None:
            self._devices.publish(record)
        return record

    def _trust(self, record: DeviceRecord | None, recorded: bytes | None, presented: bytes | None) -> Trust:
        return trust(
            record,
            recorded,
            presented,
            on_first_use=self._trusts_on_first_use,
            accepts_unknown=self._accepts_unknown,
        )


class KeyRefused(Exception):
    """The device is known by another key."""
