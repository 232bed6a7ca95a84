"""SQL of statistics: packed hours of products, and the minutes in which the server looked."""

from collections.abc import Sequence
from typing import Final

from cloudchamber.clock import Millis
from cloudchamber.ids import ProductId
from cloudchamber.statistics.rules import Hour, Kept, unpack_total
from cloudchamber.storage.database import Reader, Transaction

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
        return [Kept(Millis(row[0]), Hour.unpack(row[1]), ()) for row in rows]

    async def totals(self, db: Reader, product: ProductId, since: Millis, until: Millis) -> list[Kept]:
        rows = await db.fetch_all(
            "SELECT at, packed FROM product_hours WHERE product_id = $1 AND at >= $2 AND at < $3",
            *(product, since, until),
        )
        return [Kept(Millis(row[0]), None, unpack_total(row[1])) for row in rows]

    async def of_hour(self, db: Reader, at: Millis) -> dict[ProductId, Hour]:
        """Of every product."""
        rows = await db.fetch_all("SELECT product_id, packed FROM product_minutes WHERE at = $1", at)
        return {ProductId(row[0]): Hour.unpack(row[1]) for row in rows}

    async def delete_older(self, tx: Transaction, minutes_before: Millis, hours_before: Millis) -> int:
        gone = await tx.execute("DELETE FROM product_minutes WHERE at < $1", minutes_before)
        for table in ("product_hours", "statistics_minutes"):
            gone += await tx.execute(f"DELETE FROM {table} WHERE at < $1", hours_before)
        return gone
