"""Looks at the fleet once a minute, writes down what it saw, and shows it.

The hour that runs is in memory, one grid for each product in which anything happened (3.4 KB); what is older is in the
database and is read when somebody looks at it: a thousand products' history of a day would take 80 MB of memory for
pages that are mostly shut. What is new is written every five minutes and at the end, some products a transaction, and
the minutes in which the server ran come last: after a crash, what was not written is a gap of at most five minutes, and
never a wrong zero. A look takes two microseconds for each product, however many devices it has.

One process counts all that happens. Where several will serve one database, each has to write under a name of its own.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from cloudchamber.access.requester import Requester
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import HOUR, MINUTE, Clock, Millis
from cloudchamber.errors import CloudError
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import PRODUCT_REMOVED
from cloudchamber.ids import ProductId
from cloudchamber.messaging.audience import Audience
from cloudchamber.statistics.model import HOURS_KEPT_MS, MINUTES_KEPT_MS, Course, Metric, Window
from cloudchamber.statistics.rules import Hour, Kept, buckets, hour_of, pack_total
from cloudchamber.statistics.rules import window as window_of
from cloudchamber.statistics.store import StatisticsStore
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.tally import Tally

_log: Final = logging.getLogger(__name__)

_WRITE_EVERY: Final = 5  # minutes
# Others must not wait long behind a transaction, nor behind the packing of its rows: 1 ms.
_ROWS_AT_ONCE: Final = 25
# Hours that are held while they cannot be written. A disk that is full for longer leaves a gap.
_MOST_HOURS: Final = 3


class Statistics:
    def __init__(
        self, db: Database, store: StatisticsStore, audience: Audience, tally: Tally, bus: InProcessBus, clock: Clock
    ) -> None:
        self._db = db
        self._store = store
        self._audience = audience
        self._tally = tally
        self._clock = clock
        self._hours: dict[Millis, dict[ProductId, Hour]] = {}
        self._current = Millis(0)
        """The hour of the last look."""
        self._looked: dict[Millis, int] = {}
        self._unwritten: dict[Millis, set[ProductId]] = {}
        self._writing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        bus.subscribe(PRODUCT_REMOVED, self._removed)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Goes on with the hour that an earlier start began. Raises CloudError."""
        hour = hour_of(self._clock.now())
        self._hours[hour] = await self._store.of_hour(self._db, hour)
        self._looked |= await self._store.looked(self._db, hour, Millis(hour + HOUR))
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self._ending.is_set():
            now = self._clock.now()
            with contextlib.suppress(TimeoutError):
                # A little after the minute's end, so that it has surely ended.
                async with asyncio.timeout((MINUTE - now % MINUTE) / 1000 + 0.01):
                    await self._ending.wait()
                    return
            now = self._clock.now()
            try:
                self.look(now)
            except Exception:
                # One minute is lost, and not all that come after it.
                _log.exception("what the fleet did in a minute could not be kept")
            if now // MINUTE % _WRITE_EVERY == 0:
                await self._write_or_log()

    def look(self, now: Millis) -> None:
        """Takes what was counted, and what is online, for the minute that has just ended."""
        at = now - now % MINUTE - MINUTE
        self._put(Millis(at))

    def _put(self, at: Millis) -> None:
        hour, minute = hour_of(at), at % HOUR // MINUTE
        self._current = hour
        counts, online = self._tally.take(), self._audience.products()
        grids = self._hours.setdefault(hour, {})
        self._looked[hour] = self._looked.get(hour, 0) | 1 << minute
        self._unwritten.setdefault(hour, set()).update(counts, online)
        for product, devices in online.items():
            grid = grids.get(product)
            if grid is None:
                grid = grids[product] = Hour()
            grid.set_online(minute, len(devices))
        for product, each in counts.items():
            grid = grids.get(product)
            if grid is None:
                grid = grids[product] = Hour()
            grid.add(minute, each)

    def _removed(self, product: Product) -> None:
        for grids in self._hours.values():
            grids.pop(product.id, None)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def _write_or_log(self) -> None:
        try:
            await self.write()
        except CloudError:
            _log.warning("statistics could not be written; the next round tries again", exc_info=True)

    async def write(self) -> int:
        """Puts what is new on record; returns how many products' hours that were. Raises CloudError, and keeps them."""
        async with self._writing:
            unwritten, self._unwritten = self._unwritten, {}
            looked = dict(self._looked)
            try:
                for hour, products in unwritten.items():
                    todo = list(products)
                    for first in range(0, len(todo), _ROWS_AT_ONCE):
                        await self._write_some(hour, todo[first : first + _ROWS_AT_ONCE])

                async def write_looked(tx: Transaction) -> None:
                    for hour, mask in looked.items():
                        await self._store.put_looked(tx, hour, mask)

                if looked:
                    await self._db.transaction(write_looked)
            except CloudError:
                for hour, products in unwritten.items():
                    self._unwritten.setdefault(hour, set()).update(products)
                while len(self._hours) > _MOST_HOURS:
                    self._drop(min(hour for hour in self._hours if hour != self._current))
                raise
            for hour, mask in looked.items():
                if hour != self._current and mask == self._looked[hour] and hour not in self._unwritten:
                    self._drop(hour)
            return sum(map(len, unwritten.values()))

    async def _write_some(self, hour: Millis, products: Sequence[ProductId]) -> None:
        grids = self._hours.get(hour, {})
        found = [(product, grids[product]) for product in products if product in grids]
        rows = [(product, hour, grid.pack(), pack_total(grid.total())) for product, grid in found]

        async def put(tx: Transaction) -> None:
            await self._store.put(tx, rows)

        await self._db.transaction(put)

    def _drop(self, hour: Millis) -> None:
        self._hours.pop(hour, None)
        self._looked.pop(hour, None)
        self._unwritten.pop(hour, None)

    async def purge(self) -> int:
        now = self._clock.now()
        minutes, hours = Millis(now - MINUTES_KEPT_MS - HOUR), Millis(now - HOURS_KEPT_MS - HOUR)

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_older(tx, minutes, hours)

        return await self._db.transaction(delete)

    async def close(self) -> None:
        """What the minute that runs has seen so far is written, too."""
        self._ending.set()
        if self._running is not None:
            await self._running
        now = self._clock.now()
        self._put(Millis(now - now % MINUTE))
        await self._write_or_log()

    # -- showing ------------------------------------------------------------------------------------------------------

    def window(self, since: Millis | None, until: Millis | None, bucket_s: int | None) -> Window:
        """Raises WindowInvalid."""
        return window_of(self._clock.now(), since, until, bucket_s)

    def check(self, requester: Requester, product: Product, *metrics: Metric) -> None:
        """Asked before anything of the request is looked at: what is wrong with it must not tell that the product is
        there. Raises AccessRefused."""
        for metric in metrics:
            require(requester, metric.action, product.resource(requester))

    async def course(self, requester: Requester, product: Product, window: Window, *metrics: Metric) -> Course:
        """How `metrics` of the product went. Raises AccessRefused."""
        self.check(requester, product, *metrics)
        since, until = hour_of(window.since), window.until
        read = self._store.totals if window.is_by_hours else self._store.grids
        kept = {each.at: each for each in await read(self._db, product.id, since, until)}
        looked = await self._store.looked(self._db, since, until)
        # What memory holds is newer than what is on record of the same hour.
        for hour, grids in self._hours.items():
            if since <= hour < until and product.id in grids:
                kept[hour] = Kept(hour, grids[product.id], grids[product.id].total())
        looked |= {hour: mask for hour, mask in self._looked.items() if since <= hour < until}
        return Course(window, tuple(buckets(window, kept.values(), looked)))
