"""PostgreSQL behind the `Database` protocol: an asyncpg pool, and every transaction SERIALIZABLE.

SQLite runs its writers one after the other, and the stores are written for that: they read, decide and write with no
lock of their own. SERIALIZABLE is the isolation level that promises the same here. Its price is that PostgreSQL may
refuse a transaction that could not have run alone at any point in time; such a body is run again from the start,
which is why bodies must bear it. Weaker levels with SELECT … FOR UPDATE would need the right lock in the right place of
every store, where SQLite, on which most tests run, could not tell that one is missing.

Durability is the server's `synchronous_commit`, which is on unless someone turned it off.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from cloudchamber.clock import Millis
from cloudchamber.storage.database import MAX_WAITING, Row, Transaction, Value
from cloudchamber.storage.errors import (
    BrokenReference,
    Duplicate,
    StorageBusy,
    StorageDamaged,
    StorageRefused,
    StorageUnavailable,
    Unstorable,
)
from cloudchamber.storage.notices import write_notices
from cloudchamber.storage.schema import require_head
from cloudchamber.storage.sql import refuse_nul

T = TypeVar("T")

POOL_SIZE: Final = 16
"""Connections of one process. PostgreSQL's own default limit is 100 for all processes together, and a handful
already keep two cores busy."""

ACQUIRE_S: Final = 10.0
"""A request that waited this long for a connection has lost its client; telling it is kinder to those behind it."""

COMMAND_S: Final = 30.0
"""A statement of ours takes milliseconds. This notices a server that vanished without closing its sockets."""

RETRY_FOR_S: Final = 10.0
"""How long a transaction keeps losing to others before it gives up. A serial order always exists, so it takes a
very hot row to get here."""

MAX_PAUSE_S: Final = 0.1

_KEY = re.compile(r"Key \((?P<columns>.*?)\)=")

_RETRIED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,  # a migration changed a table under a prepared statement
)

_UNREACHABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.PostgresSystemError,  # the server's own I/O
    asyncpg.ReadOnlySQLTransactionError,  # after a failover: this server is a standby now
    OSError,
    TimeoutError,
)


PLANNED_ANEW: Final = 8
"""A statement with so many values names rows one by one. PostgreSQL would soon keep one plan for all values; made while
a table is small, it reads all of it for each value, and goes on doing so while the table grows (an import of 100,000
devices took minutes). Planning costs a tenth of a millisecond."""


async def _fetch(connection: asyncpg.Connection, sql: str, args: tuple[Value, ...]) -> Any:
    if len(args) < PLANNED_ANEW:
        return await connection.fetch(sql, *args)
    return await (await connection.prepare(sql)).fetch(*args)


class _Again(Exception):
    """Others were in the way: run the body once more."""


async def open_postgres(url: str) -> "PostgresDatabase":
    """See `open_database`. `url` goes to asyncpg as it is."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=POOL_SIZE,
            command_timeout=COMMAND_S,
            server_settings={"application_name": "cloudchamber"},
            reset=_keep,
        )
    except Exception as error:
        failure = to_error(error)
        if isinstance(failure, StorageUnavailable):
            # The URL stays out of it: it may carry the password.
            raise StorageUnavailable(f"PostgreSQL cannot be reached ({error}). Is it running?") from error
        raise
    database = PostgresDatabase(pool)
    try:
        row = await database.fetch_one("SELECT current_database(), to_regclass('alembic_version') IS NOT NULL")
        name, known = row or ("", False)
        version = await database.fetch_one("SELECT version_num FROM alembic_version") if known else None
        require_head(version[0] if version else None, f"The PostgreSQL database {name}")
    except BaseException:
        await database.close()
        raise
    return database


async def _keep(_connection: asyncpg.Connection) -> None:
    """asyncpg would spend a round trip on each release to reset session state, of which we never make any."""


class PostgresTransaction:
    """Lives on the loop, for as long as its body runs."""

    __slots__ = ("_connection", "failure", "notices")

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection: asyncpg.Connection | None = connection
        self.failure: Exception | None = None
        self.notices: dict[tuple[str, str], tuple[Millis, str]] = {}

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        rows = await self._rows(sql, args)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        return await self._rows(sql, args)

    async def execute(self, sql: str, *args: Value) -> int:
        connection = self._usable()
        try:
            refuse_nul(args)
            # The command tag: "INSERT 0 1", "UPDATE 3", "CREATE TABLE".
            if len(args) < PLANNED_ANEW:
                tag = await connection.execute(sql, *args)
            else:
                statement = await connection.prepare(sql)
                await statement.fetch(*args)
                tag = statement.get_statusmsg()
            count = tag.rpartition(" ")[2]
        except Exception as error:
            raise self._spent(error) from error
        return int(count) if count.isdigit() else 0

    async def _rows(self, sql: str, args: tuple[Value, ...]) -> list[Row]:
        connection = self._usable()
        try:
            refuse_nul(args)
            return [tuple(record) for record in await _fetch(connection, sql, args)]
        except Exception as error:
            raise self._spent(error) from error

    def _usable(self) -> asyncpg.Connection:
        if self._connection is None:
            raise RuntimeError("This transaction is over: its body kept it, or went on after a failure.")
        return self._connection

    def _spent(self, error: Exception) -> Exception:
        self._connection = None
        self.failure = to_error(error)
        return self.failure

    def end(self) -> None:
        self._connection = None


class PostgresDatabase:
    """See `Database`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.retries = 0

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        record = await self._read(lambda connection: connection.fetchrow(sql, *args), args)
        return None if record is None else tuple(record)

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        return [tuple(record) for record in await self._read(lambda connection: _fetch(connection, sql, args), args)]

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._closing:
            raise StorageUnavailable("The database is closed.")
        if self._waiting >= MAX_WAITING:
            raise StorageBusy("Too many changes are waiting. Try again later.")
        self._waiting += 1
        self._idle.clear()
        try:
            return await self._until_it_fits(body)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._idle.set()

    async def close(self) -> None:
        self._closing = True
        await self._idle.wait()  # a closed pool would turn away those who still wait for a connection
        await self._pool.close()

    async def _read(self, query: Callable[[asyncpg.Connection], Awaitable[Any]], args: tuple[Value, ...]) -> Any:
        refuse_nul(args)
        try:
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                return await query(connection)
        except Exception as error:
            raise to_error(error) from error

    async def _until_it_fits(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        clock = asyncio.get_running_loop().time
        give_up = clock() + RETRY_FOR_S
        pause_s = 0.001
        first = True
        while True:
            try:
                return await self._once(body, first=first)
            except _Again as error:
                if clock() > give_up:
                    raise StorageBusy("Others keep changing the same things. Try again later.") from error
            first = False
            self.retries += 1
            await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311  # spreads rivals; no secret
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    async def _once(self, body: Callable[[Transaction], Awaitable[T]], *, first: bool) -> T:
        failure: Exception | None = None  # what a statement of the body met, whatever the body made of it
        of_body: Exception | None = None
        try:
            async with (
                self._pool.acquire(timeout=ACQUIRE_S) as connection,
                connection.transaction(isolation="serializable"),
            ):
                transaction = PostgresTransaction(connection)
                try:
                    result = await body(transaction)
                    if transaction.notices and transaction.failure is None:
                        await write_notices(transaction)
                    if transaction.failure is not None:
                        raise transaction.failure
                except Exception as error:
                    of_body = error
                    raise
                finally:
                    transaction.end()
                    failure = transaction.failure
                return result
        except Exception as error:
            if isinstance(failure, _Again) or isinstance(error, _RETRIED):
                raise _Again from error
            if first and isinstance(failure, Duplicate | BrokenReference):
                # The body may have looked first, in a snapshot in which the other's row was not there yet. One after
                # the other it would have seen it, and perhaps not tried: so it gets to look once more.
                raise _Again from error
            if error is of_body:
                raise
            raise to_error(error) from error


def to_error(error: Exception) -> Exception:
    """What a driver's error means to us; anything that is a mistake in the code stays as it is."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, asyncpg.UniqueViolationError):
        found = _KEY.search(error.detail or "")
        return Duplicate(error.table_name or "", tuple(found["columns"].split(", ")) if found else ())
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return BrokenReference("Something that this refers to, or that refers to this, is in the way.", detail=detail)
    if isinstance(error, asyncpg.IntegrityConstraintViolationError | asyncpg.RaiseError):
        return StorageRefused("The database refused this change.", detail=detail)
    if isinstance(error, UnicodeEncodeError) or isinstance(error.__cause__, UnicodeEncodeError):
        return Unstorable("Text must be valid Unicode.")
    if isinstance(error, asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError):
        return StorageDamaged("The database is damaged.", detail=detail)
    if isinstance(error, _RETRIED):
        return _Again(detail)
    if isinstance(error, _UNREACHABLE) or _says_closed(error):
        return StorageUnavailable("The database cannot be reached now. Try again later.", detail=detail)
    return error


def _says_closed(error: Exception) -> bool:
    """asyncpg has one class for a connection or pool that is gone and for a wrong number of arguments."""
    return isinstance(error, asyncpg.InterfaceError) and any(word in str(error) for word in ("closed", "closing"))
