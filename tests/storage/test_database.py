"""What the stores rely on, the same on SQLite and PostgreSQL."""

import asyncio

import pytest

from cloudchamber.errors import CloudError
from cloudchamber.storage.database import Database, Transaction, open_database
from cloudchamber.storage.errors import (
    BrokenReference,
    Duplicate,
    StorageRefused,
    StorageUnavailable,
    Unstorable,
)
from tests.storage.people import INSERT, add, names

PRODUCT = (
    "INSERT INTO products (id, name, slug, description, platform_id, organization_id, created_at, updated_at)"
    " VALUES ($1, $2, $2, '', 6, $3, 1, 1)"
)
ORGANIZATION = (
    "INSERT INTO organizations (id, slug, name, owner_user_id, created_at, updated_at) VALUES ($1, $1, $1, $1, 1, 1)"
)


async def test_a_transaction_is_seen_when_it_returns(database: Database) -> None:
    assert await database.transaction(add("ann")) == "ann"
    assert await database.fetch_one("SELECT username FROM users WHERE id = $1", "ann") == ("ann",)
    assert await database.fetch_all("SELECT id FROM users") == [("ann",)]
    assert await database.fetch_one("SELECT id FROM users WHERE id = $1", "bob") is None
    assert await database.fetch_all("SELECT id FROM users WHERE id = $1", "bob") == []


async def test_values_come_back_alike(database: Database) -> None:
    async def body(transaction: Transaction) -> None:
        await transaction.execute(
            "INSERT INTO users (id, username, is_admin, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
            *("ann", "änn🚀", True, 1_600_000_000_000),
        )
        await transaction.execute(
            "INSERT INTO device_keys (device_id, algorithm, public_key, origin, created_at)"
            " SELECT id, $1, $2, $1, 0 FROM devices WHERE id = $3",
            *("rsa", b"\0\xff", "none"),
        )
        await transaction.execute(
            "INSERT INTO password_resets (hash, user_id, created_at, expires_at) VALUES ($1, $2, 1, 2)",
            *(b"\0\xff\x80", "ann"),
        )

    await database.transaction(body)
    row = await database.fetch_one("SELECT username, password_hash, account_info, is_admin, created_at FROM users")
    assert row == ("änn🚀", None, "{}", 1, 1_600_000_000_000)
    assert type(row) is tuple
    assert [type(value) for value in row] == [str, type(None), str, int, int]
    assert await database.fetch_one("SELECT hash, used_at FROM password_resets") == (b"\0\xff\x80", None)


async def test_rows_are_counted_and_returned(database: Database) -> None:
    async def body(transaction: Transaction) -> list[object]:
        ignore = "INSERT INTO users (id, username, created_at, updated_at) VALUES ($1, $2, 1, 1) ON CONFLICT DO NOTHING"
        return [
            await transaction.execute(INSERT, "ann", "ann"),
            await transaction.execute(INSERT, "bob", "bob"),
            await transaction.execute(ignore, "ann", "x"),
            await transaction.execute("UPDATE users SET updated_at = $1", 9),
            await transaction.fetch_one("UPDATE users SET created_at = 2 WHERE id = 'ann' RETURNING id, created_at"),
            sorted(await transaction.fetch_all("UPDATE users SET created_at = 3 RETURNING id")),
            await transaction.execute("UPDATE users SET created_at = 4 RETURNING id"),
            await transaction.fetch_one("SELECT created_at FROM users WHERE id = 'bob'"),
            await transaction.execute(
                "WITH one AS (SELECT 'bob' AS id) DELETE FROM users WHERE id IN (SELECT id FROM one)"
            ),
            await transaction.execute("DELETE FROM users WHERE id = 'nobody'"),
            await transaction.fetch_one(
                "INSERT INTO users (id, username, created_at, updated_at) VALUES ($1, $1, 1, 1)"
                " ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at RETURNING id, updated_at",
                "ann",
            ),
        ]

    expected = [1, 1, 0, 2, ("ann", 2), [("ann",), ("bob",)], 2, (4,), 1, 0, ("ann", 1)]
    assert await database.transaction(body) == expected


async def test_a_failing_body_leaves_nothing_and_its_error_rises(database: Database) -> None:
    class Mine(CloudError):
        pass

    async def body(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "ann", "ann")
        raise Mine("no")

    with pytest.raises(Mine):
        await database.transaction(body)
    with pytest.raises(TimeoutError, match="mine"):
        await database.transaction(_raises(TimeoutError("mine")))
    assert await names(database) == []


def _raises(error: Exception):
    async def body(_transaction: Transaction) -> None:
        raise error

    return body


async def test_a_failing_body_does_not_hurt_its_neighbours(database: Database) -> None:
    async def fails(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "gone", "gone")
        raise LookupError

    bodies = [fails if number % 3 == 0 else add(f"u{number}") for number in range(30)]
    results = await asyncio.gather(*map(database.transaction, bodies), return_exceptions=True)
    assert [isinstance(result, LookupError) for result in results] == [number % 3 == 0 for number in range(30)]
    assert await names(database) == sorted(f"u{number}" for number in range(30) if number % 3)


async def test_a_duplicate_names_its_constraint_and_no_value(database: Database) -> None:
    await database.transaction(add("secret-name"))

    async def same_key(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "secret-name", "other")

    with pytest.raises(Duplicate) as by_key:
        await database.transaction(same_key)
    assert (by_key.value.table, by_key.value.columns) == ("users", ("id",))

    async def same_name(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "other", "secret-name")

    with pytest.raises(Duplicate) as by_name:
        await database.transaction(same_name)
    assert (by_name.value.table, by_name.value.columns) == ("users", ("username",))
    assert by_name.value.status == 409
    assert "secret-name" not in f"{by_name.value} {by_name.value.detail}"

    async def customers(transaction: Transaction) -> None:
        await transaction.execute(ORGANIZATION, "secret-name")
        await transaction.execute(PRODUCT, 1, "p", "secret-name")
        for key in ("c1", "c2"):
            await transaction.execute(
                "INSERT INTO customers (id, product_id, username, created_at, updated_at) VALUES ($1, 1, 'x', 1, 1)",
                key,
            )

    with pytest.raises(Duplicate) as by_two:
        await database.transaction(customers)
    assert (by_two.value.table, by_two.value.columns) == ("customers", ("product_id", "username"))


async def test_references_hold(database: Database) -> None:
    async def orphan(transaction: Transaction) -> None:
        await transaction.execute(PRODUCT, 1, "p", "nobody")

    async def owned(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "ann", "ann")
        await transaction.execute(ORGANIZATION, "ann")
        await transaction.execute(PRODUCT, 1, "p", "ann")

    async def leave(transaction: Transaction) -> None:
        await transaction.execute("DELETE FROM users WHERE id = 'ann'")

    with pytest.raises(BrokenReference):
        await database.transaction(orphan)
    await database.transaction(owned)
    with pytest.raises(BrokenReference):
        await database.transaction(leave)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users (id, username, is_admin, created_at, updated_at) VALUES ('a', 'a', 2, 1, 1)",
        "INSERT INTO users (id, username, created_at) VALUES ('a', 'a', 1)",
        "INSERT INTO devices (id, owner_kind, created_at, updated_at) VALUES ('d', 'user', 1, 1)",
        "INSERT INTO clients (id, name, type, owner_kind, created_at) VALUES ('c', 'c', 'web', 'product', 1)",
    ],
)
async def test_rules_of_the_schema_hold(database: Database, statement: str) -> None:
    async def body(transaction: Transaction) -> None:
        await transaction.execute(statement)

    with pytest.raises(StorageRefused):
        await database.transaction(body)


async def test_custody_is_append_only(database: Database) -> None:
    async def append(transaction: Transaction) -> tuple[int] | None:
        return await transaction.fetch_one(
            "INSERT INTO custody (at, device_id, change, actor, before, after)"
            " VALUES (1, 'd', 'claimed', 'user:a', '{}', '{}') RETURNING seq"
        )

    numbers = [(await database.transaction(append))[0] for _ in range(3)]
    assert numbers == sorted(set(numbers))
    for statement in ("UPDATE custody SET actor = 'user:b'", "DELETE FROM custody"):

        async def tamper(transaction: Transaction, statement: str = statement) -> None:
            await transaction.execute(statement)

        with pytest.raises(StorageRefused):
            await database.transaction(tamper)
    assert await database.fetch_one("SELECT COUNT(*), MIN(actor) FROM custody") == (3, "user:a")


async def test_a_hidden_failure_still_undoes_the_transaction(database: Database) -> None:
    await database.transaction(add("ann"))

    async def hides(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "bob", "bob")
        try:
            await transaction.execute(INSERT, "ann", "ann")
        except Duplicate:
            return

    async def goes_on(transaction: Transaction) -> None:
        try:
            await transaction.execute(INSERT, "ann", "ann")
        except Duplicate:
            await transaction.execute(INSERT, "bob", "bob")

    with pytest.raises(Duplicate):
        await database.transaction(hides)
    with pytest.raises(RuntimeError, match="over"):
        await database.transaction(goes_on)
    assert await names(database) == ["ann"]


async def test_a_body_may_name_a_failure_in_its_own_words(database: Database) -> None:
    class Taken(CloudError):
        pass

    async def body(transaction: Transaction) -> None:
        try:
            await transaction.execute(INSERT, "ann", "ann")
        except Duplicate as error:
            raise Taken("taken") from error

    await database.transaction(body)
    with pytest.raises(Taken):
        await database.transaction(body)


async def test_a_transaction_cannot_be_kept(database: Database) -> None:
    async def body(transaction: Transaction) -> Transaction:
        return transaction

    kept = await database.transaction(body)
    with pytest.raises(RuntimeError, match="over"):
        await kept.execute(INSERT, "ann", "ann")


async def test_transactions_behave_as_if_one_after_the_other(database: Database) -> None:
    await database.transaction(add("ann"))

    async def increment(transaction: Transaction) -> None:
        row = await transaction.fetch_one("SELECT updated_at FROM users WHERE id = 'ann'")
        assert row
        await transaction.execute("UPDATE users SET updated_at = $1 WHERE id = 'ann'", row[0] + 1)

    await asyncio.gather(*(database.transaction(increment) for _ in range(25)))
    assert await database.fetch_one("SELECT updated_at FROM users") == (26,)


async def test_no_write_skew(database: Database) -> None:
    """Each looks that there is no administrator and becomes one: a snapshot alone would let several in."""

    def become(name: str):
        async def body(transaction: Transaction) -> bool:
            if await transaction.fetch_one("SELECT 1 FROM users WHERE is_admin = 1"):
                return False
            await transaction.execute(
                "INSERT INTO users (id, username, is_admin, created_at, updated_at) VALUES ($1, $1, 1, 1, 1)", name
            )
            return True

        return body

    became = await asyncio.gather(*(database.transaction(become(f"u{number}")) for number in range(12)))
    assert became.count(True) == 1
    assert await database.fetch_one("SELECT COUNT(*) FROM users") == (1,)


async def test_who_looks_first_never_meets_a_duplicate(database: Database) -> None:
    def register(number: int):
        async def body(transaction: Transaction) -> str:
            row = await transaction.fetch_one("SELECT id FROM users WHERE username = 'ann'")
            if row:
                return row[0]
            await transaction.execute(INSERT, f"u{number}", "ann")
            return f"u{number}"

        return body

    ids = await asyncio.gather(*(database.transaction(register(number)) for number in range(12)))
    assert len(set(ids)) == 1


async def test_a_cancelled_caller_leaves_the_database_usable(database: Database) -> None:
    task = asyncio.create_task(database.transaction(add("maybe")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.transaction(add("zoe"))
    assert (await names(database))[-1] == "zoe"


async def test_text_that_cannot_be_kept_is_refused(database: Database) -> None:
    for text in ("a\0b", "\ud800"):
        with pytest.raises(Unstorable):
            await database.transaction(add(text))
        with pytest.raises(Unstorable):
            await database.fetch_one("SELECT id FROM users WHERE id = $1", text)
        with pytest.raises(Unstorable):
            await database.fetch_all("SELECT id FROM users WHERE id = $1", text)


async def test_dialect(database: Database) -> None:
    for name in ("b", "B", "a", "é", "z", "Z"):
        await database.transaction(add(name))
    assert await names(database) == ["B", "Z", "a", "b", "z", "é"]
    assert await database.fetch_all("SELECT id FROM users WHERE id LIKE $1", "b%") == [("b",)]
    assert await database.fetch_all("SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2", "a", 2) == [
        ("b",),
        ("z",),
    ]
    literal = await database.fetch_one("SELECT '$1', CAST($1 AS TEXT), CAST($2 AS BIGINT) + 1, $1 || 'x'", "v", 2**40)
    assert literal == ("$1", "v", 2**40 + 1, "vx")
    assert await database.fetch_one(
        "SELECT CAST(SUM(created_at) AS BIGINT), COUNT(*), MAX(password_hash) FROM users"
    ) == (6, 6, None)
    missing = "SELECT COUNT(*) FROM users WHERE password_hash IS NOT DISTINCT FROM CAST($1 AS TEXT)"
    assert await database.fetch_one(missing, None) == (6,)
    ordered = "SELECT id FROM users ORDER BY password_hash DESC NULLS LAST, id DESC LIMIT 1"
    assert await database.fetch_one(ordered) == ("é",)


async def test_a_mistake_in_sql_is_not_taken_for_a_fault_of_the_database(database: Database) -> None:
    for sql, args in (("SELECT nonsense FROM users", ()), ("SELECT id FROM users WHERE id = $1", ())):
        with pytest.raises(Exception) as error:
            await database.fetch_one(sql, *args)
        assert not isinstance(error.value, CloudError)


async def test_closing_finishes_what_was_accepted(database: Database, database_url: str) -> None:
    task = asyncio.gather(*(database.transaction(add(f"u{number}")) for number in range(5)))
    await asyncio.sleep(0)
    await database.close()
    await task
    with pytest.raises(StorageUnavailable):
        await database.transaction(add("late"))
    with pytest.raises(StorageUnavailable):
        await database.fetch_one("SELECT 1")
    again = await open_database(database_url)
    assert len(await names(again)) == 5
    await again.close()
