"""Which connected devices an event may have to reach: indexes by owner and by product, kept up to date by the bus.

Of each device no more is kept than its events need: there are as many as are connected, asleep or not.
"""

from collections.abc import Collection, Mapping
from typing import Self

import msgspec

from cloudchamber.access.model import Owner
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import DEVICE_CHANGED
from cloudchamber.ids import DeviceId, ProductId


class Member(msgspec.Struct, frozen=True, gc=False):
    """A connected device that is on record."""

    id: DeviceId
    name: str | None
    owner: Owner | None
    product: ProductId | None
    firmware_version: int | None
    is_shut_out: bool
    """In quarantine, or denied: nobody shall hear it."""

    @classmethod
    def of(cls, device: DeviceId, record: DeviceRecord) -> Self:
        """`device` is the id as its connection has it: one string for all."""
        return cls(device, record.name, record.owner, record.product, record.firmware_version, record.is_shut_out)


class Audience:
    def __init__(self, bus: InProcessBus) -> None:
        self._members: dict[DeviceId, Member] = {}
        self._by_owner: dict[Owner, set[DeviceId]] = {}
        self._by_product: dict[ProductId, set[DeviceId]] = {}
        self._versions: dict[ProductId, dict[int | None, int]] = {}
        self._waiting: set[DeviceId] = set()
        bus.subscribe(DEVICE_CHANGED, self._changed)

    def enter(self, device: DeviceId, record: DeviceRecord | None) -> None:
        """The device is connected; None while it is on no record, and so reached by nothing."""
        self.leave(device)
        if record is None:
            self._waiting.add(device)
        else:
            self._add(Member.of(device, record))

    def leave(self, device: DeviceId) -> None:
        self._waiting.discard(device)
        self._drop(device)

    def member(self, device: DeviceId) -> Member | None:
        """A connected device, without asking anybody; None for one that is on no record."""
        return self._members.get(device)

    def is_reached(self, device: DeviceId) -> bool:
        """On record, and not shut out."""
        member = self._members.get(device)
        return member is not None and not member.is_shut_out

    def of_owner(self, owner: Owner) -> Collection[DeviceId]:
        return self._by_owner.get(owner, ())

    def of_product(self, product: ProductId) -> Collection[DeviceId]:
        return self._by_product.get(product, ())

    def products(self) -> Mapping[ProductId, Collection[DeviceId]]:
        """Those that have a connected device; a view, so copy it before awaiting."""
        return self._by_product

    def versions(self, product: ProductId) -> Mapping[int | None, int]:
        """How many of the product's connected devices run which firmware version; None where they told none."""
        return self._versions.get(product, {})

    def _changed(self, record: DeviceRecord) -> None:
        known = self._members.get(record.id)
        if known is not None or record.id in self._waiting:
            device = record.id if known is None else known.id
            self._waiting.discard(device)
            self._drop(device)
            self._add(Member.of(device, record))

    def _add(self, member: Member) -> None:
        self._members[member.id] = member
        if member.is_shut_out:
            return
        if member.owner is not None:
            self._by_owner.setdefault(member.owner, set()).add(member.id)
        if member.product is not None:
            self._by_product.setdefault(member.product, set()).add(member.id)
            versions = self._versions.setdefault(member.product, {})
            versions[member.firmware_version] = versions.get(member.firmware_version, 0) + 1

    def _drop(self, device: DeviceId) -> None:
        known = self._members.pop(device, None)
        if known is None or known.is_shut_out:
            return
        if known.owner is not None:
            members = self._by_owner[known.owner]
            members.discard(device)
            if not members:
                del self._by_owner[known.owner]
        if known.product is not None:
            members = self._by_product[known.product]
            members.discard(device)
            versions = self._versions[known.product]
            versions[known.firmware_version] -= 1
            if not versions[known.firmware_version]:
                del versions[known.firmware_version]
            if not members:
                del self._by_product[known.product]
                del self._versions[known.product]
