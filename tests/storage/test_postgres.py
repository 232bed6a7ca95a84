"""What only PostgreSQL can do to a transaction: refuse it, and lose the connection."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cloudchamber.clock import Millis
from cloudchamber.storage import postgres as engine
from cloudchamber.storage.database import Transaction, open_database
from cloudchamber.storage.errors import StorageBusy, StorageUnavailable
from cloudchamber.storage.notices import put_notice
from cloudchamber.storage.postgres import PostgresDatabase, open_postgres
from tests.databases import PostgresServer
from tests.storage.people import INSERT, add, names


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[PostgresDatabase]:
    database = await open_postgres(database_url)
    yield database
    await database.close()


async def increment(transaction: Transaction) -> None:
    row = await transaction.fetch_one("SELECT updated_at FROM users WHERE id = 'ann'")
    assert row
    await transaction.execute("UPDATE users SET updated_at = $1 WHERE id = 'ann'", row[0] + 1)


async def test_a_serialization_failure_is_tried_again(opened: PostgresDatabase) -> None:
    await opened.transaction(add("ann"))
    await asyncio.gather(*(opened.transaction(increment) for _ in range(40)))
    assert await opened.fetch_one("SELECT updated_at FROM users") == (41,)
    assert opened.retries > 0


async def test_who_tells_of_the_same_things_in_another_order_is_in_nobodys_way(
    opened: PostgresDatabase, postgres: PostgresServer
) -> None:
    before = postgres.deadlocks()
    both_have_begun = asyncio.Barrier(2)

    async def tell(first: str, second: str) -> None:
        runs = 0

        async def write(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await put_notice(tx, "device", first, Millis(0))
            if runs == 1:
                await both_have_begun.wait()
            await put_notice(tx, "device", second, Millis(0))

        await opened.transaction(write)

    await asyncio.gather(tell("a", "b"), tell("b", "a"))
    found = await opened.fetch_all("SELECT about FROM notices ORDER BY about")
    assert (found, postgres.deadlocks() - before) == ([("a",), ("b",)], 0)


async def test_a_transaction_that_keeps_losing_gives_up(
    opened: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RETRY_FOR_S", 0.2)
    await opened.transaction(add("ann"))
    runs = 0

    async def always_late(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.fetch_one("SELECT updated_at FROM users WHERE id = 'ann'")
        await opened.transaction(increment)  # which no store may do: it stands for a rival that is always faster
        await increment(transaction)

    with pytest.raises(StorageBusy):
        await opened.transaction(always_late)
    assert runs > 2


async def test_a_lost_connection_is_unavailable_and_the_next_one_works(
    opened: PostgresDatabase, postgres: PostgresServer
) -> None:
    async def cut(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "gone", "gone")
        row = await transaction.fetch_one("SELECT pg_backend_pid()")
        assert row
        await asyncio.to_thread(postgres.sql, f"SELECT pg_terminate_backend({row[0]})")
        await transaction.execute(INSERT, "gone2", "gone2")

    with pytest.raises(StorageUnavailable):
        await opened.transaction(cut)
    await opened.transaction(add("ann"))
    assert await names(opened) == ["ann"]


async def test_an_idle_connection_that_was_cut_is_replaced(opened: PostgresDatabase, postgres: PostgresServer) -> None:
    row = await opened.fetch_one("SELECT pg_backend_pid()")
    assert row
    await asyncio.to_thread(postgres.sql, f"SELECT pg_terminate_backend({row[0]})")
    await asyncio.sleep(0.05)
    assert await names(opened) == []


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path) -> None:
    with pytest.raises(StorageUnavailable) as error:
        await open_database(f"postgresql://me:hunter2@/cloud?host={tmp_path}")
    assert "PostgreSQL" in error.value.message
    assert "hunter2" not in f"{error.value.message} {error.value.detail}"


async def test_too_many_waiting_are_turned_away(opened: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_WAITING", 5)
    bodies = [add(f"u{number}") for number in range(8)]
    results = await asyncio.gather(*map(opened.transaction, bodies), return_exceptions=True)
    assert [isinstance(result, StorageBusy) for result in results] == [False] * 5 + [True] * 3
