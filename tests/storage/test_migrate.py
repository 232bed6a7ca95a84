"""Migrations: from nothing, from the middle, twice at a time, and with a failure half way."""

import asyncio
import contextlib
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from cloudchamber.storage.database import open_database
from cloudchamber.storage.errors import SchemaMismatch, StorageUnavailable
from cloudchamber.storage.migrate import SCRIPTS, migrate
from cloudchamber.storage.schema import REVISIONS, head
from cloudchamber.storage.tables import metadata
from tests.databases import in_thread
from tests.storage.people import add, names

NEXT = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "{revision}", "{down}"
def upgrade():
{body}
"""

# Compares what the migrations made with tables.py, as `alembic check` does.
COMPARES = """
    from alembic.autogenerate import compare_metadata
    from cloudchamber.storage.tables import metadata
    assert (found := compare_metadata(op.get_context(), metadata)) == [], found
"""

HALF_WAY = """
    op.create_table("half", sa.Column("id", sa.Text, primary_key=True))
    op.execute("INSERT INTO half VALUES ('x')")
    op.execute("UPDATE users SET account_info = 'changed'")
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("half", sa.Text))
    raise RuntimeError("half way")
"""

ADDS = """
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("motto", sa.Text))
"""

DEVICES_OF_BEFORE = """
    devices = sa.table("devices", *map(sa.column, ("id", "name", "owner_kind", "owner_id", "functions", "variables",
        "system_describe", "firmware_updates_enabled", "created_at", "updated_at")))
    op.bulk_insert(devices, [
        dict(id="a", name="Lamp", owner_kind="user", owner_id="ann", functions='["f"]', variables="{}",
             system_describe="{}", firmware_updates_enabled=0, created_at=1, updated_at=2),
        dict(id="b", name=None, owner_kind=None, owner_id=None, functions=None, variables=None,
             system_describe=None, firmware_updates_enabled=1, created_at=1, updated_at=2),
    ])
    keys = sa.table("device_keys", *map(sa.column, ("device_id", "algorithm", "origin", "created_at")),
        sa.column("public_key", sa.LargeBinary))
    op.bulk_insert(keys, [dict(device_id="a", algorithm="rsa", public_key=b"k", origin="first-use", created_at=1)])
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A copy of the migrations, to add revisions to."""
    return Path(shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__")))


def add_revision(scripts: Path, revision: str, down: str, body: str) -> None:
    (scripts / "versions" / f"{revision}.py").write_text(NEXT.format(revision=revision, down=down, body=body))


def test_the_list_of_revisions_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    directory = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in reversed(list(directory.walk_revisions()))) == REVISIONS
    assert directory.get_current_head() == head()


async def test_from_nothing(empty_database_url: str) -> None:
    await asyncio.to_thread(migrate, empty_database_url)
    await asyncio.to_thread(migrate, empty_database_url)  # nothing more to do
    database = await open_database(empty_database_url)
    await database.transaction(add("ann"))
    assert await names(database) == ["ann"]
    await database.close()


def test_the_migrations_make_the_tables(database_url: str, scripts: Path) -> None:
    add_revision(scripts, "9998", head(), COMPARES)
    in_thread(migrate, database_url, scripts=scripts)


def test_the_migrations_make_the_tables_to_the_letter(migrated_file: Path, tmp_path: Path) -> None:
    """CHECKs, defaults and STRICT too, which the comparison above passes over."""
    engine = create_engine(f"sqlite:///{tmp_path / 'tables.db'}")
    metadata.create_all(engine)
    engine.dispose()

    def statements(path: Path) -> list[tuple[str, str]]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute(
                "SELECT name, sql FROM sqlite_master"
                " WHERE type IN ('table', 'index') AND name <> 'alembic_version' AND sql IS NOT NULL ORDER BY name"
            ).fetchall()

    assert statements(migrated_file) == statements(tmp_path / "tables.db")


async def test_a_failure_half_way_leaves_the_old_schema(database_url: str, scripts: Path) -> None:
    database = await open_database(database_url)
    await database.transaction(add("ann"))
    await database.close()
    add_revision(scripts, "9998", head(), ADDS)
    add_revision(scripts, "9999", "9998", HALF_WAY)
    with pytest.raises(RuntimeError, match="half way"):
        await asyncio.to_thread(migrate, database_url, scripts=scripts)

    database = await open_database(database_url)  # which it could not be with revision 9998
    assert await database.fetch_all("SELECT * FROM users") == [("ann", "ann", None, "{}", 0, 1, 1)]
    with pytest.raises(Exception, match="half"):
        await database.fetch_all("SELECT id FROM half")
    await database.transaction(add("bob"))
    await database.close()

    (scripts / "versions" / "9999.py").unlink()
    await asyncio.to_thread(migrate, database_url, scripts=scripts)
    with pytest.raises(SchemaMismatch, match="9998"):
        await open_database(database_url)


def test_two_at_a_time_take_turns(empty_database_url: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(migrate, empty_database_url) for _ in range(2)]:
            done.result()


def test_a_newer_schema_is_left_alone(database_url: str, scripts: Path) -> None:
    add_revision(scripts, "9998", head(), ADDS)
    in_thread(migrate, database_url, scripts=scripts)
    with pytest.raises(SchemaMismatch, match="newer cloudchamber"):
        in_thread(migrate, database_url)


def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        migrate(f"postgresql://nobody@/cloud?host={tmp_path}")
    with pytest.raises(StorageUnavailable):
        migrate(f"sqlite:///{tmp_path / 'missing' / 'cloud.db'}")


def test_only_its_keeper_may_read_the_file(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / '50%?.db'}")
    assert (tmp_path / "50%?.db").stat().st_mode & 0o777 == 0o600


async def test_devices_of_before_keep_what_is_known_of_them(empty_database_url: str, scripts: Path) -> None:
    """0009 rebuilds their table, and moves what they told of themselves out of it."""
    later = sorted(path for path in (scripts / "versions").glob("*.py") if path.name[:4] > "0008")
    kept = {path: path.read_text() for path in later}
    for path in later:
        path.unlink()
    await asyncio.to_thread(migrate, empty_database_url, scripts=scripts)
    add_revision(scripts, "0008x", "0008", DEVICES_OF_BEFORE)
    await asyncio.to_thread(migrate, empty_database_url, scripts=scripts)
    for path, text in kept.items():
        path.write_text(text.replace('down_revision = "0008"', 'down_revision = "0008x"'))
    await asyncio.to_thread(migrate, empty_database_url, scripts=scripts)

    database = await open_database(empty_database_url)
    assert await database.fetch_all(
        "SELECT id, name, name_key, owned_since, reports_updates_enabled, allows_updates FROM devices ORDER BY id"
    ) == [("a", "Lamp", "lamp", 2, 0, 1), ("b", None, None, None, 1, 1)]
    assert await database.fetch_all("SELECT device_id, functions FROM descriptions") == [("a", '["f"]')]
    assert await database.fetch_all("SELECT device_id FROM device_keys") == [("a",)]

    async def remove(tx) -> None:
        await tx.execute("DELETE FROM devices WHERE id = 'a'")

    await database.transaction(remove)
    assert await database.fetch_all("SELECT device_id FROM device_keys") == []
    assert await database.fetch_all("SELECT device_id FROM descriptions") == []
    await database.close()
