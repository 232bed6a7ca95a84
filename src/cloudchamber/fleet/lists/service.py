"""Pages of a product's devices.

How a page stays fast, whatever the fleet's size:

* Without a filter, it is a walk along the index of its order, which finds ids; their records are taken from memory, as
  far as they are there. How many devices there are is kept in memory until the
  fleet's membership changes. The next page is found by the last device of this one, so that whoever reads a fleet from
  its first page to its last does not walk over what was read before; only a jump does.
* A filter that finds few is read whole from an index that holds what it compares, and sorted here.
* A filter that finds many finds a page's worth soon on the walk along the index.
* Of given devices (those that are online), few or many, each is looked up by its id and asked whether the filter lets
  it through; of very many, what the filter lets through of the whole product is read from an index, and a page is found
  soon on the walk. How many there are is exact either way.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Requester
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import SECOND, Clock, Millis
from cloudchamber.fleet.cache import DeviceCache
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.lists.model import DeviceFilter, Hit, Order, Span
from cloudchamber.fleet.lists.rules import in_order, matches, rest
from cloudchamber.fleet.lists.store import Conditions, ListStore
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.storage.database import Database

MEMBERSHIP_CHANGED: Final = "product.membership_changed"
"""Bus subject; the message is the ProductId whose devices are others now: one came, left, was shut out or let in."""

# Found at once and sorted in memory; a filter that lets more through is walked along.
FEW: Final = 1_000
# Looked up one by one, at 10 µs each; reading an index of a hundred thousand from end to end takes as long.
MANY: Final = 5_000
_STEP: Final = 5_000
_MAX_COUNTED: Final = 1_000
_MAX_BOOKMARKS: Final = 1_000
# Other processes may change a fleet; and devices that connect move in their list.
_KEPT_MS: Final = 30 * SECOND

Position = tuple[ProductId, DeviceFilter, Order, bool, int]


@dataclass(frozen=True, slots=True)
class _Bookmark:
    last: Hit
    at: Millis


class DeviceLists:
    def __init__(
        self,
        db: Database,
        store: ListStore,
        groups: GroupStore,
        cache: DeviceCache,
        bus: InProcessBus,
        clock: Clock,
    ) -> None:
        self._db = db
        self._store = store
        self._groups = groups
        self._cache = cache
        self._clock = clock
        self._counts: OrderedDict[ProductId, tuple[int, Millis]] = OrderedDict()
        self._bookmarks: OrderedDict[Position, _Bookmark] = OrderedDict()
        self._version = 0
        bus.subscribe(MEMBERSHIP_CHANGED, self._changed)

    async def of_product(
        self,
        requester: Requester,
        product: Product,
        wanted: DeviceFilter,
        *,
        order: Order = Order.CONNECTION,
        descending: bool = True,
        page: int = 1,
        per_page: int = 25,
        among: Collection[DeviceId] | None = None,
    ) -> tuple[list[DeviceRecord], int]:
        """One page (from 1), and the number of all that match: of the whole product, or of the devices `among`.

        Raises AccessRefused.
        """
        require(requester, Action.DEVICES_LIST, product.resource(requester))
        groups = await self._groups.ids(self._db, product.id, wanted.groups) if wanted.groups else ()
        if wanted.groups and not groups:
            return [], 0
        offset = (page - 1) * per_page
        if among is not None and FEW < len(among) <= MANY and not wanted.is_all:
            at_hand = Conditions(product.id, wanted, groups, are_at_hand=True)
            hits = await self._store.hits_among(self._db, at_hand, order, tuple(among))
            shown = in_order(hits, descending=descending)[offset : offset + per_page]
            return await self._store.by_ids(self._db, shown), len(hits)
        conditions = Conditions(product.id, wanted, groups)
        if wanted.text is not None and (among is None or len(among) > FEW):
            named = await self._store.named(self._db, product.id, wanted.text, FEW + 1)
            if len(named) <= FEW:
                among = named if among is None else named & frozenset(among)
        if among is not None:
            return await self._among(conditions, wanted, order, descending, offset, per_page, frozenset(among))
        if not wanted.is_all:
            hits = await self._store.hits(self._db, conditions, order, FEW + 1)
            if len(hits) <= FEW:
                shown = in_order(hits, descending=descending)[offset : offset + per_page]
                return await self._store.by_ids(self._db, shown), len(hits)
        version = self._version
        total = await self._count(product.id, wanted, conditions)
        if offset >= total:
            return [], total
        start: Position = (product.id, wanted, order, descending, offset)
        found = await self._walk(conditions, start, per_page, total)
        if found and version == self._version:
            self._mark((product.id, wanted, order, descending, offset + len(found)), found[-1])
        return await self._records(product.id, found), total

    async def _records(self, product: ProductId, hits: Sequence[Hit]) -> list[DeviceRecord]:
        """Those that have not left the product meanwhile."""
        cache = self._cache
        found = {hit.id: record for hit in hits if (record := cache.record(hit.id)) is not None}
        missing = [hit.id for hit in hits if hit.id not in found]
        if missing:
            version = cache.version
            for record in await self._store.by_ids(self._db, missing):
                found[record.id] = record
                cache.keep_listed(record, version)
        records = (found.get(hit.id) for hit in hits)
        return [record for record in records if record is not None and record.product == product]

    async def _among(
        self,
        conditions: Conditions,
        wanted: DeviceFilter,
        order: Order,
        descending: bool,
        offset: int,
        limit: int,
        among: frozenset[DeviceId],
    ) -> tuple[list[DeviceRecord], int]:
        if len(among) <= FEW:
            records = await self._store.by_ids(self._db, tuple(among))
            found = {record.id: record for record in records if matches(record, conditions.product, wanted)}
            hits = [Hit(record.id, key_of(record, order)) for record in found.values()]
            return [found[id_] for id_ in in_order(hits, descending=descending)[offset : offset + limit]], len(hits)
        if not wanted.is_all:
            among = among.intersection(await self._store.all_ids(self._db, conditions))
        if offset >= len(among):
            return [], len(among)
        # Many of the product's, then: a page is found soon on the walk along the index.
        everything = Conditions(conditions.product, DeviceFilter(), ())
        ids: list[DeviceId] = []
        for known in (True, False):
            start, step = 0, [Hit(DeviceId(""), None)] * _STEP
            while len(step) == _STEP and len(ids) < offset + limit:
                span = Span(known, start, _STEP)
                step = await self._store.span(self._db, everything, order, span, descending=descending)
                ids += [hit.id for hit in step if hit.id in among]
                start += _STEP
        return await self._store.by_ids(self._db, ids[offset : offset + limit]), len(among)

    async def _walk(self, conditions: Conditions, start: Position, limit: int, total: int) -> list[Hit]:
        _, _, order, descending, offset = start
        mark = self._bookmarks.get(start)
        if mark is not None and mark.at + _KEPT_MS >= self._clock.now():
            found = await self._store.after(self._db, conditions, order, mark.last, limit, descending=descending)
            if mark.last.key is None or len(found) == limit or order is Order.ID:
                return found
            remaining = Span(False, 0, limit - len(found))
        else:
            span = Span(True, offset, limit)
            found = await self._store.span(self._db, conditions, order, span, descending=descending)
            if len(found) == limit or order is Order.ID:  # everything has an id
                return found
            known = total - await self._store.count_unknown(self._db, conditions, order)
            remaining = rest(offset, limit, len(found), known)
        return found + await self._store.span(self._db, conditions, order, remaining, descending=descending)

    async def _count(self, product: ProductId, wanted: DeviceFilter, conditions: Conditions) -> int:
        if not wanted.is_all:
            return await self._store.count(self._db, conditions)
        kept = self._counts.get(product)
        if kept is not None and kept[1] + _KEPT_MS >= self._clock.now():
            return kept[0]
        version = self._version
        count = await self._store.count(self._db, conditions)
        if version == self._version:
            self._counts[product] = (count, self._clock.now())
            if len(self._counts) > _MAX_COUNTED:
                self._counts.popitem(last=False)
        return count

    def _mark(self, position: Position, last: Hit) -> None:
        self._bookmarks.pop(position, None)
        self._bookmarks[position] = _Bookmark(last, self._clock.now())
        if len(self._bookmarks) > _MAX_BOOKMARKS:
            self._bookmarks.popitem(last=False)

    def _changed(self, product: ProductId) -> None:
        self._version += 1
        self._counts.pop(product, None)
        for position in [position for position in self._bookmarks if position[0] == product]:
            del self._bookmarks[position]


def key_of(record: DeviceRecord, order: Order) -> str | int | None:
    """What a list in this order sorts the device by."""
    match order:
        case Order.ID:
            return record.id
        case Order.NAME:
            return record.name.lower() if record.name is not None else None
        case Order.FIRMWARE:
            return record.firmware_version
        case Order.CONNECTION:
            return record.last_handshake_at
