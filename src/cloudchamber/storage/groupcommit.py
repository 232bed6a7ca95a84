"""One thread that writes, and many transactions to a COMMIT.

A durable commit on SQLite costs one fsync, which is dearer than fifty small transactions together. So the event loop
hands over whatever transactions one turn of it brought, the thread takes everything that piled up while the last
COMMIT was at the disk, runs the bodies one after the other inside one SQL transaction, commits once, and only then
wakes the callers, all with one call into the loop. Nothing waits for a batch to fill: a lone transaction is
committed at once, and the busier the disk, the larger the batches.

Each body of several runs inside a SAVEPOINT, so that one which fails is undone alone. What a body was told, be it
success or failure, may rest on what an earlier body of its batch wrote, so nobody hears anything before COMMIT; and
when COMMIT fails, all of the batch hears that instead.

A body is a coroutine whose awaits never suspend: the methods of its transaction are `async` so that the same body
runs on PostgreSQL, but here they finish within the call. So the thread needs no loop: it steps the coroutine once,
and it either ends or has awaited something foreign, which would hold up everyone's commit and is refused.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from cloudchamber.clock import Millis
from cloudchamber.errors import Unavailable
from cloudchamber.storage.database import MAX_WAITING, Row, Transaction, Value
from cloudchamber.storage.errors import StorageBusy, StorageUnavailable
from cloudchamber.storage.notices import write_notices
from cloudchamber.storage.sql import for_sqlite, refuse_nul

T = TypeVar("T")

MAX_BATCH: Final = 1_000
"""Bodies to a COMMIT. The fsync is long paid for by then; this bounds how long the first of a batch waits for the
last (some 30 ms) and how many a failing disk takes with it."""

WOKEN_AT_ONCE: Final = 32
"""Callers in one turn of the loop: each goes on with what it waited for, and all others have their turn in between."""

_Body = Callable[[Transaction], Awaitable[Any]]


class SqliteTransaction:
    """Lives on the writer's thread, for as long as its body runs."""

    __slots__ = ("_connection", "_to_error", "failure", "notices")

    def __init__(self, connection: sqlite3.Connection, to_error: Callable[[Exception], Exception]) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._to_error = to_error
        self.failure: Exception | None = None
        self.notices: dict[tuple[str, str], tuple[Millis, str]] = {}

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        # All rows are taken, since RETURNING is only done with its work when its last row is out.
        rows = self._run(sql, args).fetchall()
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        return self._run(sql, args).fetchall()

    async def execute(self, sql: str, *args: Value) -> int:
        cursor = self._run(sql, args)
        if cursor.description is not None:
            cursor.fetchall()
        if cursor.rowcount >= 0:
            return cursor.rowcount
        # The driver counts only for statements whose first word is INSERT, UPDATE or DELETE, and not for WITH.
        return int(cursor.execute("SELECT changes()").fetchone()[0]) if sql.lstrip()[:4].upper() == "WITH" else 0

    def _run(self, sql: str, args: tuple[Value, ...]) -> sqlite3.Cursor:
        if self._connection is None:
            raise RuntimeError("This transaction is over: its body kept it, or went on after a failure.")
        try:
            refuse_nul(args)
            return self._connection.execute(for_sqlite(sql), args)
        except Exception as error:
            # PostgreSQL takes no further statement after a failed one, so neither do we: a body that lives on past
            # a Duplicate would work here and break there.
            self._connection = None
            self.failure = self._to_error(error)
            if self.failure is error:
                raise
            raise self.failure from error

    def end(self) -> None:
        self._connection = None


class _Job:
    __slots__ = ("body", "error", "future", "result")

    def __init__(self, body: _Body, future: asyncio.Future[Any]) -> None:
        self.body = body
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class GroupCommit:
    """The writer's thread and the queue to it. Everything public is called on the loop that made it."""

    def __init__(self, connection: sqlite3.Connection, to_error: Callable[[Exception], Exception]) -> None:
        """`connection` is in autocommit mode, may be used on another thread, and is closed in the end."""
        self._loop = asyncio.get_running_loop()
        self._to_error = to_error
        self._connection = connection
        self._gathered: list[_Job] = []
        self._queue: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._done: deque[_Job] = deque()
        """On record or failed, and not woken yet; in the order of their commits, which callers rely on."""
        self._is_waking = False
        """Some were woken in this turn of the loop."""
        self._closing = False
        self.commits = 0
        self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._closing:
            raise StorageUnavailable("The database is closed.")
        if self._waiting >= MAX_WAITING:
            raise StorageBusy("Too many changes are waiting. Try again later.")
        self._waiting += 1
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(_Job(body, future))
        return await future

    async def close(self) -> None:
        """Commits what was accepted, then ends the thread and its connection."""
        self._closing = True
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        while self._done:
            self._wake_some()

    # On the loop.

    def _hand_over(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    def _wake(self, batch: list[_Job]) -> None:
        self._waiting -= len(batch)
        self._done += batch
        if not self._is_waking:
            self._wake_some()

    def _wake_some(self) -> None:
        self._is_waking = bool(self._done)
        if not self._is_waking:
            return
        for _ in range(min(len(self._done), WOKEN_AT_ONCE)):
            job = self._done.popleft()
            if job.future.done():  # its caller was cancelled
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)
        # With nobody left as well: a batch that comes in this very turn has the next one.
        self._loop.call_soon(self._wake_some)

    # On the thread.

    def _work(self) -> None:
        backlog: deque[_Job] = deque()
        closing = False
        try:
            while True:
                while not closing and (not backlog or not self._queue.empty()):
                    jobs = self._queue.get()
                    if jobs is None:
                        closing = True
                    else:
                        backlog.extend(jobs)
                        del jobs  # a list kept while the thread sleeps would keep its callers' objects alive
                if not backlog:
                    return
                self._carry_out([backlog.popleft() for _ in range(min(len(backlog), MAX_BATCH))])
        finally:
            self._connection.close()

    def _carry_out(self, batch: list[_Job]) -> None:
        try:
            self._commit(batch)
        except Exception as error:  # whatever it is, the callers must hear of it, and the thread must live
            failure = self._to_error(error)
            for job in batch:
                job.error = _again(failure)
            self._recover()
        try:
            self._loop.call_soon_threadsafe(self._wake, batch)
        except RuntimeError:  # the loop was closed under us; nobody is left who could be told
            return

    def _commit(self, batch: list[_Job]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        if len(batch) == 1:
            # Each statement lets go of the interpreter's lock and waits for it again while the loop works. So a lone
            # body gets no savepoint: there is nobody whom its failure must leave untouched.
            self._run_body(batch[0])
            self._connection.execute("COMMIT" if batch[0].error is None else "ROLLBACK")
        else:
            for job in batch:
                self._connection.execute("SAVEPOINT body")
                self._run_body(job)
                if job.error is not None:
                    self._connection.execute("ROLLBACK TO body")
                self._connection.execute("RELEASE body")
            self._connection.execute("COMMIT")
        self.commits += 1

    def _run_body(self, job: _Job) -> None:
        transaction = SqliteTransaction(self._connection, self._to_error)
        try:
            job.result = _drive(job.body(transaction), transaction)
            if transaction.notices and transaction.failure is None:
                _drive(write_notices(transaction), transaction)
            if transaction.failure is not None:
                raise transaction.failure
        except BaseException as error:
            job.error = error
        finally:
            transaction.end()
        if not self._connection.in_transaction:  # SQLite gave up all of it, not just a statement
            raise StorageUnavailable("The database cannot be written now. Try again later.", detail=repr(job.error))

    def _recover(self) -> None:
        """After a failed batch: no transaction may stay open, or every later BEGIN would fail."""
        with contextlib.suppress(sqlite3.Error):  # it ends the transaction even when it complains
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _drive(awaitable: Awaitable[T], transaction: SqliteTransaction) -> T:
    steps: Any = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what a coroutine returned rides on StopIteration
    transaction.end()
    if hasattr(steps, "close"):
        steps.close()
    raise RuntimeError(
        "A transaction's body awaited something other than its transaction. It runs on the writer's thread, with no"
        " event loop, while everyone's commit waits for it: fetch what it needs before, and act on its result after."
    )


def _again(failure: Exception) -> Exception:
    """Its own object for each caller: a traceback grows on an exception wherever it is raised."""
    return type(failure)(failure.message, detail=failure.detail) if isinstance(failure, Unavailable) else failure
