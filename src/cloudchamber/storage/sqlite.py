"""SQLite behind the `Database` protocol: one writer (groupcommit.py) and readers that never wait for it.

In WAL mode a reader sees the last commit and blocks nobody, so a look-up by index runs on the loop's own thread: it
takes 5 to 16 µs, a fifth of what handing it to another thread would cost. What may return many rows goes to a few
threads with connections of their own.
"""

import asyncio
import contextlib
import os
import queue
import re
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from cloudchamber.storage.database import Row, Transaction, Value
from cloudchamber.storage.errors import (
    BrokenReference,
    Duplicate,
    StorageBusy,
    StorageDamaged,
    StorageRefused,
    StorageUnavailable,
    Unstorable,
)
from cloudchamber.storage.groupcommit import GroupCommit
from cloudchamber.storage.schema import require_head
from cloudchamber.storage.sql import for_sqlite, refuse_nul

T = TypeVar("T")

READER_THREADS: Final = 2
"""Enough that one long listing does not hold up the short ones; Python runs one of them at a time anyway."""

WRITER_BUSY_MS: Final = 5_000
"""How long a writer waits for another process's transaction (the command line works beside a running cloud)."""

LOOP_BUSY_MS: Final = 100
"""A reader is only ever locked out while another process recovers the log; the loop stands still meanwhile."""

FULL_CHECK_UP_TO_BYTES: Final = 16 * 1024 * 1024
QUICK_CHECK_UP_TO_BYTES: Final = 256 * 1024 * 1024
"""How much of a check a start can afford. The full one compares each index with its table and takes a second for
60 MB; the quick one looks at the structure of each page and takes a fifth of that. Past both, a file is read through
only after an unclean stop. Neither sees a bit that flipped in a text that no index holds: SQLite has no checksums."""

READ_AHEAD_BYTES: Final = 128 * 1024
"""Of one request to read ahead. Linux cuts each to what the disk is set to read ahead, 128 KB unless told otherwise."""

# What has no adapter is asked for one of its own at each use, by way of two failing look-ups: 2 µs for a value that is
# bound in a fifth of one.
sqlite3.register_adapter(bytes, bytearray)
sqlite3.register_adapter(type(None), lambda none: none)

_URL = "sqlite:///"

# `table.column, table.column` after "UNIQUE constraint failed: "
_UNIQUE = re.compile(r"UNIQUE constraint failed: (?P<columns>.+)")


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///relative` or `sqlite:////absolute`.

    Raises:
        ValueError: the URL names no file. A database in memory is refused too: nothing in it would be durable.
    """
    name = url.removeprefix(_URL)
    if not url.startswith(_URL) or not name or name == ":memory:":
        raise ValueError("A SQLite database is named sqlite:///relative/path or sqlite:////absolute/path")
    return Path(name)


def connect(path: Path, *, busy_ms: int, read_only: bool, any_thread: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode, with the settings on which the rest of this package relies."""
    # mode=rw: a mistyped path must not leave an empty database behind.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        cached_statements=512,
        timeout=busy_ms / 1000,
        check_same_thread=not any_thread,
    )
    try:
        for pragma in (
            "foreign_keys = ON",
            "synchronous = FULL",  # fsync at every COMMIT: what was answered with 2xx survives a power cut
            "fullfsync = ON",  # macOS alone, where fsync does not reach the platter
            "checkpoint_fullfsync = ON",
            "case_sensitive_like = ON",  # as PostgreSQL has it
            "cell_size_check = ON",  # a damaged page is noticed when it is read, not when it has spread
            "temp_store = MEMORY",  # a sort must not fail because the disk is full
            f"query_only = {'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


async def open_sqlite(url: str) -> "SqliteDatabase":
    """See `open_database`."""
    path = sqlite_path(url)
    try:
        await asyncio.to_thread(_examine, path)
        return SqliteDatabase(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        failure = to_error(error)
        if isinstance(failure, StorageDamaged):
            raise _damaged(path, str(error)) from error
        if isinstance(failure, StorageUnavailable):
            message = f"The database {path} cannot be opened ({error}): is its folder there, writable and not full?"
            raise StorageUnavailable(message) from error
        raise failure from error


def _examine(path: Path) -> None:
    """Is it there, whole, and at head?"""
    if not path.is_file():
        require_head(None, str(path))
    log = path.with_name(path.name + "-wal")
    unclean = log.is_file() and log.stat().st_size > 0  # the last one to close a database removes its log
    connection = connect(path, busy_ms=WRITER_BUSY_MS, read_only=False)
    try:
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StorageUnavailable(
                f"{path} is on a file system without shared memory: SQLite's log needs a local disk."
            )
        size = path.stat().st_size
        if unclean or size <= QUICK_CHECK_UP_TO_BYTES:
            if size <= QUICK_CHECK_UP_TO_BYTES:  # a larger one may not fit into memory, and would be read twice
                _read_ahead(path, size)
            check = "integrity_check" if size <= FULL_CHECK_UP_TO_BYTES else "quick_check"
            findings = [row[0] for row in connection.execute(f"PRAGMA {check}(3)")]
            if findings != ["ok"]:
                raise _damaged(path, "; ".join(findings))
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
        require_head(row[0] if row else None, str(path))
    finally:
        connection.close()


def _read_ahead(path: Path, size: int) -> None:
    """Has the system read an open database in large pieces, where SQLite waits for the disk at each page of 4 KB.

    It is asked by way of the descriptors that are open: to close one of our own would drop the locks that SQLite
    holds on the file (POSIX: a process's locks on a file end when it closes any descriptor of it). What cannot be read
    is left for the check to find.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    wanted = path.stat()
    with contextlib.suppress(OSError):  # /dev/fd is not everywhere
        for descriptor in map(int, os.listdir("/dev/fd")):
            with contextlib.suppress(OSError):  # another thread's, closed meanwhile
                if os.path.samestat(os.fstat(descriptor), wanted):
                    for at in range(0, size, READ_AHEAD_BYTES):
                        os.posix_fadvise(descriptor, at, READ_AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
                    return


def _damaged(path: Path, findings: str) -> StorageDamaged:
    return StorageDamaged(
        f"The database {path} is damaged ({findings}). Keep the file and its -wal as they are, restore the last backup,"
        " and have the disk looked at."
    )


class SqliteDatabase:
    """See `Database`. Belongs to the loop on which it was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = connect(path, busy_ms=LOOP_BUSY_MS, read_only=True)
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="sqlite-reader")
        self._writer = GroupCommit(connect(path, busy_ms=WRITER_BUSY_MS, read_only=False, any_thread=True), to_error)
        self._closed = False

    @property
    def commits(self) -> int:
        """How many times the log was brought to disk; with the number of transactions it tells the size of a batch."""
        return self._writer.commits

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        self._require_open()
        try:
            refuse_nul(args)
            cursor = self._reader.execute(for_sqlite(sql), args)
            try:
                row: Row | None = cursor.fetchone()
            finally:
                cursor.close()  # a statement left half read would hold its snapshot, and every later read with it
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise _read_error(error) from error
        return row

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_all, for_sqlite(sql), args)

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._writer.transaction(body)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._reader.close()
        while not self._readers.empty():
            self._readers.get().close()
        await self._writer.close()  # last, so that it is the writer who folds the log into the file

    def _require_open(self) -> None:
        if self._closed:
            raise StorageUnavailable("The database is closed.")

    def _read_all(self, sql: str, args: tuple[Value, ...]) -> list[Row]:
        connection = self._take_reader()
        try:
            refuse_nul(args)
            return connection.execute(sql, args).fetchall()
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise _read_error(error) from error
        finally:
            self._readers.put(connection)

    def _take_reader(self) -> sqlite3.Connection:
        """Made when it is needed first: each connection reads the schema, and keeps what it has read, for itself."""
        try:
            return self._readers.get_nowait()
        except queue.Empty:
            try:
                return connect(self._path, busy_ms=WRITER_BUSY_MS, read_only=True, any_thread=True)
            except sqlite3.Error as error:
                raise to_error(error) from error


def _read_error(error: Exception) -> Exception:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
        return StorageRefused(
            "The database refused this.", detail="a read wrote; what writes goes through transaction()"
        )
    return to_error(error)


def to_error(error: Exception) -> Exception:
    """What a driver's error means to us; anything that is a mistake in the code stays as it is."""
    if isinstance(error, UnicodeEncodeError):
        return Unstorable("Text must be valid Unicode.")
    if isinstance(error, UnicodeDecodeError):  # a damaged name within SQLite's own message
        return StorageDamaged("The database is damaged.", detail=str(error))
    if not isinstance(error, sqlite3.Error):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    detail = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    match code:
        case sqlite3.SQLITE_CONSTRAINT_UNIQUE | sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY | sqlite3.SQLITE_CONSTRAINT_ROWID:
            return _duplicate(str(error))
        case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return BrokenReference(
                "Something that this refers to, or that refers to this, is in the way.", detail=detail
            )
        case int():
            return _by_primary_code(code & 0xFF, error, detail)
        case _:
            if str(error).startswith("Could not decode"):
                return StorageDamaged("The database is damaged.", detail=detail)
            return error


def _by_primary_code(code: int, error: Exception, detail: str) -> Exception:
    match code:
        case sqlite3.SQLITE_CONSTRAINT:
            return StorageRefused("The database refused this change.", detail=detail)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageBusy("The database is busy. Try again later.", detail=detail)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageDamaged("The database is damaged.", detail=detail)
        case (
            sqlite3.SQLITE_FULL
            | sqlite3.SQLITE_IOERR
            | sqlite3.SQLITE_READONLY
            | sqlite3.SQLITE_CANTOPEN
            | sqlite3.SQLITE_NOMEM
            | sqlite3.SQLITE_PROTOCOL
        ):
            return StorageUnavailable("The database cannot be written or read now. Try again later.", detail=detail)
        case _:
            return error


def _duplicate(message: str) -> Duplicate:
    found = _UNIQUE.match(message)
    names = [name.partition(".") for name in found["columns"].split(", ")] if found else []
    return Duplicate(names[0][0] if names else "", tuple(column for _, _, column in names))
