"""What the stores see of a database: rows, transactions, and one dialect of SQL for SQLite and PostgreSQL.

**Transactions.** A body is a coroutine function that takes the transaction and awaits nothing else. It may run on
another thread (SQLite's writer) and more than once (PostgreSQL, after a serialization failure), so it
- awaits only its transaction: no sleep, no lock, no future, no other database call;
- touches nothing of the event loop, and changes nothing outside itself: it takes values in and hands a value back;
- gives the same result when it is run again from the start: draw ids, secrets and `now` before it, not in it.

`transaction()` returns only when the change is on disk. Transactions behave as if they ran one after the other, on
both databases, so a body may read, decide and write with no lock of its own. When the body raises, nothing of it
stays, and the error rises unchanged; so it does when a statement failed and the body hid the error. A caller that is
cancelled while it waits cannot know whether the change was made.

**The dialect.** What both databases read alike:
- `$1, $2, …` for values, each as often as wanted. A value stands where a column decides its type (`id = $1`,
  `VALUES ($1, …)`); where none does, say `CAST($1 AS TEXT)` or `CAST($1 AS BIGINT)`.
- `string_agg(x, ',')`, in no order that counts.
- RETURNING, `ON CONFLICT (…) DO NOTHING | DO UPDATE SET x = excluded.x`, `IS NOT DISTINCT FROM`, CASE, COALESCE, WITH.
- text compares and sorts by code point and LIKE minds the case; `lower()` only promises ASCII.
- say `NULLS FIRST` or `NULLS LAST` wherever a sorted column may be NULL, and `CAST(SUM(x) AS BIGINT)`.
- times are INTEGER milliseconds since 1970 UTC, truth is INTEGER 0 or 1 (`is_admin = 1`; a Python bool may be given),
  ids and JSON are TEXT, hashes and keys bytes.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from cloudchamber.clock import Millis

T = TypeVar("T")

Value = str | int | float | bytes | bool | None
"""What may be bound to a placeholder."""

Row = tuple[Any, ...]
"""One result row: str, int, float, bytes or None, in the order of the SELECT."""

MAX_WAITING: Final = 10_000
"""Transactions that may wait at a time. Ten thousand devices that come back at once fit; past that, an honest 503
beats a queue in which every request times out at its client while its work is still done."""


class Reader(Protocol):
    """Reads what is committed."""

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        """The first row, or None. Meant for look-ups by an index: on SQLite it runs on the loop's own thread."""
        ...

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        """Every row. Put a LIMIT where a table may be large."""
        ...


class Transaction(Reader, Protocol):
    """Reads also what it has itself written. RETURNING goes through `fetch_one` or `fetch_all`."""

    @property
    def notices(self) -> dict[tuple[str, str], tuple[Millis, str]]:
        """See notices.py: by subject and what it is about, when and by whom. Written when the body is done."""
        ...

    async def execute(self, sql: str, *args: Value) -> int:
        """Runs one statement and returns how many rows it inserted, updated or deleted.

        Raises:
            Duplicate, BrokenReference: a constraint was hit; the transaction is spent.
        """
        ...


class Database(Reader, Protocol):
    async def transaction(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Runs `body` as the header says and returns its result once that is durable.

        Raises:
            StorageUnavailable: the disk or the connection failed.
            StorageBusy: more than `MAX_WAITING` transactions wait, or others kept winning the same rows.
            RuntimeError: the body waited for something other than its transaction (told on SQLite only).
        """
        ...

    async def close(self) -> None:
        """Lets what was accepted finish, then lets go of everything."""
        ...


async def open_database(url: str) -> Database:
    """Opens `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://…`.

    Raises:
        ValueError: no such kind of URL.
        SchemaMismatch: the database is not at head; the message says which command brings it there.
        StorageDamaged: the file is damaged; the message names it.
        StorageUnavailable: it cannot be reached.
    """
    # Each driver is imported by those who use it: a maker's single process never loads asyncpg.
    if url.startswith("sqlite:"):
        from cloudchamber.storage.sqlite import open_sqlite

        return await open_sqlite(url)
    if url.startswith(("postgresql:", "postgres:")):
        from cloudchamber.storage.postgres import open_postgres

        return await open_postgres(url)
    raise ValueError("A database URL starts with sqlite:/// or postgresql://")
