"""Which connected devices an event may have to reach: indexes by owner and by product, kept up to date by the bus."""

from collections.abc import Collection

from cloudchamber.access.model import Owner
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import DEVICE_CHANGED
from cloudchamber.ids import DeviceId, ProductId


class Audience:
    def __init__(self, bus: InProcessBus) -> None:
        self._records: dict[DeviceId, DeviceRecord] = {}
        self._by_owner: dict[Owner, set[DeviceId]] = {}
        self._by_product: dict[ProductId, set[DeviceId]] = {}
        self._waiting: set[DeviceId] = set()
        bus.subscribe(DEVICE_CHANGED, self._changed)

    def enter(self, device: DeviceId, record: DeviceRecord | None) -> None:
        """The device is connected; None while it is on no record, and so reached by nothing."""
        self.leave(device)
        if record is None:
            self._waiting.add(device)
        else:
            self._add(record)

    def leave(self, device: DeviceId) -> None:
        self._waiting.discard(device)
        self._drop(device)

    def record(self, device: DeviceId) -> DeviceRecord | None:
        """The record of a connected device, without asking anybody."""
        return self._records.get(device)

    def of_owner(self, owner: Owner) -> Collection[DeviceId]:
        return self._by_owner.get(owner, ())

    def of_product(self, product: ProductId) -> Collection[DeviceId]:
        return self._by_product.get(product, ())

    def _changed(self, record: DeviceRecord) -> None:
        if record.id in self._records or record.id in self._waiting:
            self._waiting.discard(record.id)
            self._drop(record.id)
            self._add(record)

    def _add(self, record: DeviceRecord) -> None:
        self._records[record.id] = record
        if record.owner is not None:
            self._by_owner.setdefault(record.owner, set()).add(record.id)
        if record.product is not None:
            self._by_product.setdefault(record.product, set()).add(record.id)

    def _drop(self, device: DeviceId) -> None:
        known = self._records.pop(device, None)
        if known is None:
            return
        if known.owner is not None:
            members = self._by_owner[known.owner]
            members.discard(device)
            if not members:
                del self._by_owner[known.owner]
        if known.product is not None:
            members = self._by_product[known.product]
            members.discard(device)
            if not members:
                del self._by_product[known.product]
