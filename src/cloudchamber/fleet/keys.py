"""Device keys on record."""

from typing import Final

from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.service import Devices, key_algorithm
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.ids import DeviceId
from cloudchamber.storage.database import Database, Transaction

# A key's time is taken before its transaction ends, and by another process's clock.
_OVERLAP_MS: Final = MINUTE


class DeviceKeys:
    def __init__(
        self, db: Database, store: DeviceStore, keys: KeyStore, devices: Devices, live: LiveDevices, clock: Clock
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._devices = devices
        self._live = live
        self._clock = clock
        self._followed_at = clock.now()

    async def put_on_record(self, device: DeviceId, public_key: bytes, origin: str) -> None:
        """Replaces the device's key; whoever is connected with another one is disconnected. For whoever runs the cloud:
        nobody is asked."""
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord:
            record = await self._store.by_id(tx, device) or await self._devices.register(tx, device, None, now)
            await self._keys.replace(tx, device, key_algorithm(public_key), public_key, origin, now)
            return record

        record = await self._db.transaction(write)
        if self._live.presented_key(device) != public_key:
            self._live.disconnect(device)
        self._devices.publish(record)

    async def follow(self) -> int:
        """Of keys that went on record without this process (the command line is one of its own): whoever is connected
        with another one is disconnected. A session over datagrams would outlive its key for months. How many were."""
        now = self._clock.now()
        put = await self._keys.since(self._db, Millis(self._followed_at - _OVERLAP_MS))
        self._followed_at = now
        stale = [device for device, key in put if self._live.presented_key(device) not in (None, key)]
        for device in stale:
            self._live.disconnect(device)
        return len(stale)
