"""Device keys on record."""

from cloudchamber.access.model import Action, DeviceResource, OwnThings, ProductDeviceResource
from cloudchamber.access.requester import Requester
from cloudchamber.access.rules import ALLOWED, decide
from cloudchamber.access.service import require
from cloudchamber.clock import Clock
from cloudchamber.fleet.errors import device_unknown
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.rules import KeyChange, key_change
from cloudchamber.fleet.service import Devices, key_algorithm
from cloudchamber.fleet.store import KEY_NOTICE, DeviceStore, KeyStore
from cloudchamber.ids import DeviceId
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.notices import put_notice


class DeviceKeys:
    """For whoever runs the cloud: nobody is asked."""

    def __init__(
        self, db: Database, store: DeviceStore, keys: KeyStore, devices: Devices, live: LiveDevices, clock: Clock
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._devices = devices
        self._live = live
        self._clock = clock

    async def put_on_record(self, device: DeviceId, public_key: bytes, origin: str) -> None:
        """Replaces the device's key; whoever is connected with another one is disconnected."""
        now = self._clock.now()

        async def write(tx: Transaction) -> DeviceRecord:
            record = await self._store.by_id(tx, device) or await self._devices.register(tx, device, None, now)
            await self._keys.replace(tx, device, key_algorithm(public_key), public_key, origin, now)
            await put_notice(tx, KEY_NOTICE, device, now)
            return record

        record = await self._db.transaction(write)
        if self._live.presented_key(device) != public_key:
            self._live.disconnect(device)
        self._devices.publish(record)


class Provisioning:
    """Keys that people send."""

    def __init__(
        self,
        db: Database,
        store: DeviceStore,
        keys: KeyStore,
        devices: Devices,
        products: Products,
        live: LiveDevices,
        clock: Clock,
        *,
        trusts_on_first_use: bool,
        accepts_unknown: bool,
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._devices = devices
        self._products = products
        self._live = live
        self._clock = clock
        self._trusts_on_first_use = trusts_on_first_use
        self._accepts_unknown = accepts_unknown

    def check(self, requester: Requester, product: Product | None) -> None:
        """May `requester` send keys at all, or those of the product's devices? Raises AccessRefused."""
        require(requester, Action.KEYS_UPDATE, product.resource(requester) if product else OwnThings())

    async def provision(
        self, requester: Requester, device: DeviceId, public_key: bytes, product: Product | None = None
    ) -> KeyChange:
        """The device goes by this key from now on, if it is for `requester` to say so; whoever is connected with
        another one is disconnected. `product`: it shall be in this one, into which it was imported before.

        Raises AccessRefused, DeviceUnknown.
        """
        self.check(requester, product)
        seen = await self._devices.get(device)
        if product is not None and (seen is None or seen.product != product.id):
            raise device_unknown()
        is_theirs = seen is not None and await self._is_theirs(requester, seen)
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[KeyChange, DeviceRecord | None]:
            record = await self._store.by_id(tx, device)
            change = key_change(
                record,
                await self._keys.of_device(tx, device),
                is_theirs=is_theirs and _holder(record) == _holder(seen),
                on_first_use=self._trusts_on_first_use,
                accepts_unknown=self._accepts_unknown,
            )
            if change is KeyChange.RECORD:
                await self._keys.replace(tx, device, key_algorithm(public_key), public_key, "api", now)
                await put_notice(tx, KEY_NOTICE, device, now)
            return change, record

        change, record = await self._db.transaction(write)
        if change is KeyChange.REFUSED:
            raise device_unknown()
        if change is KeyChange.RECORD:
            assert record is not None
            if self._live.presented_key(device) not in (None, public_key):
                self._live.disconnect(device)
            self._devices.publish(record)
        return change

    async def _is_theirs(self, requester: Requester, record: DeviceRecord) -> bool:
        own = DeviceResource(record.id, record.owner, record.product)
        if decide(requester, Action.KEYS_UPDATE, own) is ALLOWED:
            return True
        if record.product is None:
            return False
        product = (await self._products.by_id(record.product)).resource(requester)
        return decide(requester, Action.KEYS_UPDATE, ProductDeviceResource(record.id, product)) is ALLOWED


def _holder(record: DeviceRecord | None) -> tuple[object, ...] | None:
    return None if record is None else (record.owner, record.product)
