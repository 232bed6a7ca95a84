"""The writer's thread on SQLite: who shares a commit, and what a failing body or a failing disk does to the others."""

import asyncio
import contextlib
import gc
import resource
import sqlite3
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloudchamber.storage import groupcommit
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import StorageBusy, StorageRefused, StorageUnavailable
from cloudchamber.storage.sqlite import SqliteDatabase, open_sqlite
from tests.loops import Turns
from tests.storage.people import INSERT, add, names


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
async def path(database_url: str) -> Path:
    return Path(database_url.removeprefix("sqlite:///"))


@pytest.fixture
async def sqlite(database_url: str) -> AsyncIterator[SqliteDatabase]:
    opened = await open_sqlite(database_url)
    yield opened
    await opened.close()


async def outcomes(database: Database, bodies) -> list[object]:
    return await asyncio.gather(*map(database.transaction, bodies), return_exceptions=True)


async def test_many_transactions_share_a_commit(sqlite: SqliteDatabase) -> None:
    await asyncio.gather(*(sqlite.transaction(add(f"u{number:03}")) for number in range(200)))
    assert len(await names(sqlite)) == 200
    assert sqlite.commits <= 4


async def test_what_arrives_during_a_commit_shares_the_next(sqlite: SqliteDatabase) -> None:
    async def client(name: str) -> None:
        for number in range(20):
            await sqlite.transaction(add(f"{name}.{number}"))

    await asyncio.gather(*(client(f"c{number}") for number in range(40)))
    assert len(await names(sqlite)) == 800
    assert sqlite.commits <= 200


async def test_a_batch_has_an_end(sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groupcommit, "MAX_BATCH", 10)
    await asyncio.gather(*(sqlite.transaction(add(f"u{number:03}")) for number in range(95)))
    assert sqlite.commits == 10


async def test_bodies_of_a_batch_see_each_other_in_order(sqlite: SqliteDatabase) -> None:
    async def count(transaction: Transaction) -> int:
        row = await transaction.fetch_one("SELECT COUNT(*) FROM users")
        assert row
        await transaction.execute(INSERT, f"u{row[0]}", f"u{row[0]}")
        return row[0]

    assert await outcomes(sqlite, [count] * 50) == list(range(50))


async def test_nobody_is_woken_before_the_commit(sqlite: SqliteDatabase, path: Path) -> None:
    async def look_from_outside(name: str) -> None:
        await sqlite.transaction(add(name))
        with contextlib.closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT 1 FROM users WHERE id = ?", (name,)).fetchone() == (1,)

    await asyncio.gather(*(look_from_outside(f"u{number}") for number in range(20)))


async def test_those_who_are_woken_together_leave_others_their_turn_and_keep_their_order(
    sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groupcommit, "MAX_BATCH", 150)
    turns, woken = Turns(), list[tuple[int, str]]()

    async def write(name: str) -> None:
        await sqlite.transaction(add(name))
        woken.append((turns.number, name))

    expected = [f"u{number:03}" for number in range(400)]
    with turns:
        await asyncio.gather(*map(write, expected))
    assert [name for _, name in woken] == expected
    assert max(Counter(turn for turn, _ in woken).values()) <= groupcommit.WOKEN_AT_ONCE


async def test_closing_wakes_everybody(sqlite: SqliteDatabase) -> None:
    tasks = [asyncio.create_task(sqlite.transaction(add(f"u{number:03}"))) for number in range(200)]
    await asyncio.sleep(0)
    await sqlite.close()
    async with asyncio.timeout(5):
        assert len(await asyncio.gather(*tasks)) == 200


async def test_a_body_that_suspends_is_refused_and_undone(sqlite: SqliteDatabase) -> None:
    closed = []

    async def suspends(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "gone", "gone")
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    results = await outcomes(sqlite, [add("ann"), suspends, add("bob")])
    assert isinstance(results[1], RuntimeError)
    assert "writer's thread" in str(results[1])
    assert closed == [True]
    assert await names(sqlite) == ["ann", "bob"]


async def test_a_body_that_clings_to_life_is_refused_and_undone(sqlite: SqliteDatabase) -> None:
    async def clings(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "gone", "gone")
        for _ in range(2):
            with contextlib.suppress(GeneratorExit):
                await asyncio.sleep(0)

    with pytest.raises(RuntimeError):
        await sqlite.transaction(clings)
    await sqlite.transaction(add("ann"))
    assert await names(sqlite) == ["ann"]


async def test_a_queue_without_end_is_refused(sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groupcommit, "MAX_WAITING", 5)
    results = await outcomes(sqlite, [add(f"u{number}") for number in range(8)])
    assert [isinstance(result, StorageBusy) for result in results] == [False] * 5 + [True] * 3
    assert await outcomes(sqlite, [add(f"v{number}") for number in range(5)]) == [f"v{number}" for number in range(5)]


async def test_a_read_that_writes_is_refused(sqlite: SqliteDatabase) -> None:
    for read in (sqlite.fetch_one, sqlite.fetch_all):
        with pytest.raises(StorageRefused):
            await read("DELETE FROM users RETURNING id")


async def test_a_half_read_result_holds_no_snapshot(sqlite: SqliteDatabase) -> None:
    await outcomes(sqlite, [add("ann"), add("bob")])
    assert await sqlite.fetch_one("SELECT id FROM users ORDER BY id") == ("ann",)
    await sqlite.transaction(add("aaa"))
    assert await sqlite.fetch_one("SELECT id FROM users ORDER BY id") == ("aaa",)


async def test_another_process_is_waited_for(sqlite: SqliteDatabase, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(sqlite.transaction(add("ann")))
        await asyncio.sleep(0.05)
        assert not task.done()
        assert await sqlite.fetch_one("SELECT COUNT(*) FROM users") == (0,)
        other.execute("COMMIT")
        assert await task == "ann"


async def test_what_a_body_held_is_let_go(sqlite: SqliteDatabase) -> None:
    class Held:
        pass

    held = Held()
    alive = weakref.ref(held)

    async def body(_transaction: Transaction, held: Held = held) -> None:
        assert held

    await sqlite.transaction(body)
    del held, body
    await asyncio.sleep(0.01)
    gc.collect()
    assert alive() is None


# A failing disk. A limit on file sizes makes the kernel refuse the log's next bytes, which SQLite meets at COMMIT, like
# an I/O error; a limit on the number of pages is met inside a statement, as "database or disk is full".


@contextlib.contextmanager
def no_file_may_grow_past(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_failing_commit_fails_its_batch_alone(sqlite: SqliteDatabase, path: Path) -> None:
    before = [f"a{number}" for number in range(10)]
    assert await outcomes(sqlite, map(add, before)) == before

    async def refuses(_transaction: Transaction) -> None:
        raise LookupError

    log = path.with_name(path.name + "-wal")
    with no_file_may_grow_past(log.stat().st_size):
        lost = await outcomes(sqlite, [*(add(f"b{number}") for number in range(10)), refuses])
        # The one that refused did so after looking at what was never committed, so it too hears of the disk.
        assert {type(error) for error in lost} == {StorageUnavailable}
        assert len(set(map(id, lost))) == 11
        assert all(error.status == 503 for error in lost if isinstance(error, StorageUnavailable))
        assert await names(sqlite) == before
        assert await sqlite.fetch_one("SELECT COUNT(*) FROM users") == (10,)

    after = [f"c{number}" for number in range(10)]
    assert await outcomes(sqlite, map(add, after)) == after
    assert await names(sqlite) == before + after
    assert await sqlite.fetch_one("PRAGMA integrity_check") == ("ok",)


async def test_a_full_disk_refuses_writes_until_there_is_room(sqlite: SqliteDatabase) -> None:
    async def fill(transaction: Transaction) -> None:
        await transaction.execute("UPDATE users SET account_info = $1 WHERE id = 'ann'", "x" * 200_000)

    await sqlite.transaction(add("ann"))
    connection = sqlite._writer._connection  # the limit belongs to a connection, and only this one writes
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 10}")
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await sqlite.transaction(fill)
    assert await sqlite.fetch_one("SELECT account_info FROM users") == ("{}",)
    connection.execute("PRAGMA max_page_count = 1000000")
    await sqlite.transaction(fill)
    assert await sqlite.fetch_one("SELECT length(account_info) FROM users") == (200_000,)
