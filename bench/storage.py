"""What a transaction and a look-up cost: `.venv/bin/python bench/storage.py sqlite:////tmp/bench.db`, or a postgresql://
URL.

The database is migrated first and gets rows of its own; give it one that nobody needs.
"""

import asyncio
import itertools
import secrets
import sys
import time

import uvloop

from cloudchamber.storage.database import Database, Transaction, open_database
from cloudchamber.storage.migrate import migrate

SECONDS = 2.0
_INSERT = (
    "INSERT INTO claim_codes (hash, principal_kind, principal_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
)


async def writes(database: Database, concurrent: int) -> None:
    count = itertools.count(1)
    end = time.perf_counter() + SECONDS

    async def client() -> None:
        while time.perf_counter() < end:
            key = secrets.token_bytes(32)

            async def body(transaction: Transaction, key: bytes = key) -> None:
                await transaction.execute(_INSERT, key, "user", "a" * 24, 1_600_000_000_000, 1_600_000_060_000)

            await database.transaction(body)
            next(count)

    commits, started, cpu = getattr(database, "commits", 0), time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(concurrent)))
    rows, took = next(count) - 1, time.perf_counter() - started
    cpu_us = (time.process_time() - cpu) / rows * 1e6
    commits = getattr(database, "commits", 0) - commits
    per = f", {rows / commits:.0f} to a commit" if commits else ""
    print(f"{concurrent:5} concurrent: {rows / took:8,.0f} rows/s, {cpu_us:5.0f} us CPU a row{per}")


async def reads(database: Database) -> None:
    key = secrets.token_bytes(32)

    async def body(transaction: Transaction) -> None:
        await transaction.execute(_INSERT, key, "user", "b" * 24, 1, 2)

    await database.transaction(body)
    sql = "SELECT principal_kind, principal_id, product_id, expires_at, used_at FROM claim_codes WHERE hash = $1"
    for name, read in (("fetch_one", database.fetch_one), ("fetch_all", database.fetch_all)):
        number, started = 0, time.perf_counter()
        while time.perf_counter() < started + SECONDS / 2:
            for _ in range(50):
                await read(sql, key)
            number += 50
        print(f"{name}: {(time.perf_counter() - started) / number * 1e6:.1f} us")


async def main(url: str) -> None:
    database = await open_database(url)
    for concurrent in (1, 50, 200):
        await writes(database, concurrent)
    await reads(database)
    await database.close()


if __name__ == "__main__":
    migrate(sys.argv[1])
    uvloop.run(main(sys.argv[1]))
