"""Groups of a product, and who is in them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Requester
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock
from cloudchamber.fleet.errors import DeviceNotInProduct
from cloudchamber.fleet.groups.errors import GroupExists, GroupInvalid, group_not_found
from cloudchamber.fleet.groups.model import Group, GroupChanges
from cloudchamber.fleet.groups.rules import MAX_GROUPS_OF_PRODUCT, check_looks, check_name, check_names, too_many_groups
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.model import Product
from cloudchamber.ids import DeviceId, ProductId, new_id, parse_device_id
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate
from cloudchamber.storage.notices import put_notice

GROUPS_CHANGED: Final = "product.groups_changed"
"""Bus subject; the message is the ProductId. A group has another name now or is gone, or many devices changed groups:
what is kept of the product's devices may name groups that are others now."""

GROUPS_NOTICE: Final = "groups"
"""Subject of a notice (storage/notices.py), about the id of a product: GROUPS_CHANGED."""

MAX_BATCH_DEVICES: Final = 10_000
_MAX_BATCH_GROUPS: Final = 20


class Groups:
    def __init__(self, db: Database, store: GroupStore, bus: InProcessBus, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._bus = bus
        self._clock = clock

    async def of_product(self, requester: Requester, product: Product, name: str | None = None) -> list[Group]:
        """All of them, or those with `name` in theirs. Raises AccessRefused."""
        require(requester, Action.GROUPS_LIST, product.resource(requester))
        found = await self._store.of_product(self._db, product.id)
        return found if name is None else [group for group in found if name.lower() in group.name.lower()]

    async def get(self, requester: Requester, product: Product, name: str) -> Group:
        """Raises AccessRefused, GroupNotFound."""
        require(requester, Action.GROUPS_GET, product.resource(requester))
        found = await self._store.by_name(self._db, product.id, name)
        if found is None:
            raise group_not_found()
        return found

    async def create(self, requester: Requester, product: Product, new: GroupChanges) -> Group:
        """Raises AccessRefused, GroupInvalid, GroupExists."""
        require(requester, Action.GROUPS_CREATE, product.resource(requester))
        check_looks(new.description, new.color)
        now = self._clock.now()
        name = check_name((new.name or "").strip())
        group = Group(new_id(), product.id, name, new.description, new.color, None, 0, now, now)

        async def insert(tx: Transaction) -> bool:
            if await self._store.count(tx, product.id) >= MAX_GROUPS_OF_PRODUCT:
                return False
            await self._store.insert(tx, group)
            return True

        if not await self._write(insert, name):
            raise too_many_groups()
        return group

    async def update(self, requester: Requester, product: Product, name: str, changes: GroupChanges) -> Group:
        """Raises AccessRefused, GroupNotFound, GroupInvalid, GroupExists."""
        require(requester, Action.GROUPS_UPDATE, product.resource(requester))
        check_looks(changes.description, changes.color)
        new_name = None if changes.name is None else check_name(changes.name.strip())
        now = self._clock.now()

        async def write(tx: Transaction) -> bool:
            found = await self._store.by_name(tx, product.id, name)
            if found is None:
                return False
            changed = replace(
                found,
                name=new_name or found.name,
                description=found.description if changes.description is None else changes.description,
                color=found.color if changes.color is None else changes.color,
                updated_at=now,
            )
            await self._store.update(tx, changed)
            await put_notice(tx, GROUPS_NOTICE, str(product.id), now)
            return True

        if not await self._write(write, new_name or name):
            raise group_not_found()
        self._publish(product.id)
        found = await self._store.by_name(self._db, product.id, new_name or name)
        if found is None:
            raise group_not_found()
        return found

    async def remove(self, requester: Requester, product: Product, name: str) -> None:
        """Its devices are in it no more. Raises AccessRefused, GroupNotFound."""
        require(requester, Action.GROUPS_REMOVE, product.resource(requester))

        now = self._clock.now()

        async def delete(tx: Transaction) -> bool:
            if not await self._store.delete(tx, product.id, name):
                return False
            await put_notice(tx, GROUPS_NOTICE, str(product.id), now)
            return True

        if not await self._db.transaction(delete):
            raise group_not_found()
        self._publish(product.id)

    async def change_members(
        self,
        requester: Requester,
        product: Product,
        devices: Sequence[str],
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
    ) -> None:
        """Puts devices of the product into groups, and takes them out of others; groups that are missing are made.
        Nothing is changed when one of the devices is not in the product.

        Raises AccessRefused, DeviceNotInProduct, GroupInvalid.
        """
        require(requester, Action.DEVICES_UPDATE, product.resource(requester))
        added, removed = check_names(add), check_names(remove)
        if not devices or not (added or removed):
            raise GroupInvalid("Name devices, and groups to add or to remove")
        if len(devices) > MAX_BATCH_DEVICES or len(added) + len(removed) > _MAX_BATCH_GROUPS:
            raise GroupInvalid(f"At most {MAX_BATCH_DEVICES} devices and {_MAX_BATCH_GROUPS} groups at a time")
        ids = _device_ids(devices)
        named = [(new_id(), name) for name in added]
        now = self._clock.now()

        async def write(tx: Transaction) -> set[DeviceId]:
            strangers = await self._store.strangers(tx, product.id, ids)
            if not strangers:
                await self._store.add(tx, ids, await self._store.ensure(tx, product.id, named, now))
                await self._store.remove(tx, ids, await self._store.ids(tx, product.id, removed))
                await put_notice(tx, GROUPS_NOTICE, str(product.id), now)
            return strangers

        strangers = await self._db.transaction(write)
        if strangers:
            raise DeviceNotInProduct(f"Device not found: {min(strangers)} is not in the product; nothing was changed")
        self._publish(product.id)

    async def _write(self, body: Callable[[Transaction], Awaitable[bool]], name: str) -> bool:
        try:
            return await self._db.transaction(body)
        except Duplicate as error:
            raise GroupExists(f"The product has a group {name} already") from error

    def _publish(self, product: ProductId) -> None:
        self._bus.publish(GROUPS_CHANGED, product)


def _device_ids(texts: Sequence[str]) -> list[DeviceId]:
    """Each once. Raises DeviceNotInProduct."""
    found: dict[DeviceId, None] = {}
    for text in texts:
        device = parse_device_id(text.strip())
        if device is None:
            raise DeviceNotInProduct(f"Device not found: {text[:80]!r} is no device id; nothing was changed")
        found[device] = None
    return list(found)
