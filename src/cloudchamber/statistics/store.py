"""SQL of statistics: packed hours of products, and the minutes in which the server looked."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from cloudchamber.clock import Millis
from cloudchamber.ids import ProductId
from cloudchamber.statistics.rules import Hour, Kept, unpack_total
from cloudchamber.storage.database import Reader, Row, Transaction

K = TypeVar("K")
V = TypeVar("V")

_log: Final = logging.getLogger(__name__)
_ALIKE: Final = "ON CONFLICT (product_id, at) DO UPDATE SET packed = excluded.packed"


class StatisticsStore:
    async def put(self, tx: Transaction, rows: Sequence[tuple[ProductId, Millis, bytes, bytes]]) -> None:
        """Products, hours, their grids and their totals; of a product that is gone nothing is kept."""
        for product, at, grid, total in rows:
            for table, packed in (("product_minutes", grid), ("product_hours", total)):
                await tx.execute(
                    f"INSERT INTO {table} (product_id, at, packed) SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), $3"
                    f" WHERE EXISTS (SELECT 1 FROM products WHERE id = $1) {_ALIKE}",
                    *(product, at, packed),
                )

    async def put_looked(self, tx: Transaction, at: Millis, mask: int) -> None:
        await tx.execute(
            "INSERT INTO statistics_minutes (at, mask) VALUES ($1, $2)"
            " ON CONFLICT (at) DO UPDATE SET mask = excluded.mask",
            *(at, mask),
        )

    async def looked(self, db: Reader, since: Millis, until: Millis) -> dict[Millis, int]:
        """By the hour."""
        rows = await db.fetch_all("SELECT at, mask FROM statistics_minutes WHERE at >= $1 AND at < $2", since, until)
        return {Millis(row[0]): row[1] for row in rows}

    async def grids(self, db: Reader, product: ProductId, since: Millis, until: Millis) -> list[Kept]:
        rows = await db.fetch_all(
            "SELECT at, packed FROM product_minutes WHERE product_id = $1 AND at >= $2 AND at < $3",
            *(product, since, until),
        )
        return [Kept(at, grid, ()) for at, grid in _read(rows, Millis, Hour.unpack)]

    async def totals(self, db: Reader, product: ProductId, since: Millis, until: Millis) -> list[Kept]:
        rows = await db.fetch_all(
            "SELECT at, packed FROM product_hours WHERE product_id = $1 AND at >= $2 AND at < $3",
            *(product, since, until),
        )
        return [Kept(at, None, total) for at, total in _read(rows, Millis, unpack_total)]

    async def of_hour(self, db: Reader, at: Millis) -> dict[ProductId, Hour]:
        """Of every product."""
        rows = await db.fetch_all("SELECT product_id, packed FROM product_minutes WHERE at = $1", at)
        return dict(_read(rows, ProductId, Hour.unpack))

    async def delete_older(self, tx: Transaction, minutes_before: Millis, hours_before: Millis) -> int:
        gone = await tx.execute("DELETE FROM product_minutes WHERE at < $1", minutes_before)
        for table in ("product_hours", "statistics_minutes"):
            gone += await tx.execute(f"DELETE FROM {table} WHERE at < $1", hours_before)
        return gone


def _read(rows: Iterable[Row], key: Callable[[int], K], unpack: Callable[[bytes], V]) -> Iterator[tuple[K, V]]:
    """An hour that cannot be read is as good as none: neither a page nor the start of a cloud shall fail for it."""
    for row in rows:
        try:
            yield key(row[0]), unpack(row[1])
        except ValueError:
            _log.warning("statistics of %s cannot be read, and are left out", row[0])
