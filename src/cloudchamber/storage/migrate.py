"""Brings a database to head. The only module that loads SQLAlchemy and Alembic, which cost a second to import.

All pending revisions run in one transaction, on SQLite as well, so a failure in the middle leaves the old schema. Two
processes that start at once take turns. A new revision is a file in migrations/versions, its number in schema.py, and
the change in tables.py; tests hold the three together.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cloudchamber.errors import CloudError, Unavailable
from cloudchamber.storage import postgres, sqlite
from cloudchamber.storage.errors import SchemaMismatch, StorageRefused, StorageUnavailable

SCRIPTS: Final = Path(__file__).parent / "migrations"

_LOCK: Final = 0x636C6F7564636862
"""Of our own choosing; PostgreSQL's advisory locks are numbers."""


def migrate(url: str, *, scripts: Path = SCRIPTS) -> None:
    """Brings the database at `url` (as for `open_database`) to head, and makes a SQLite file that is not there yet.

    Blocks, and runs a loop of its own for PostgreSQL: call it before the program's loop starts, or in a thread.

    Raises:
        SchemaMismatch: a newer version has migrated it.
        StorageUnavailable, StorageBusy: it cannot be reached or written. The old schema is still there.
    """
    try:
        if url.startswith("sqlite:"):
            _migrate_sqlite(sqlite.sqlite_path(url), scripts)
        else:
            asyncio.run(_migrate_postgres(url, scripts))
    except CommandError as error:
        raise SchemaMismatch(
            f"This version does not know the schema that the database has ({error}): a newer cloudchamber has migrated"
            " it. Install that version again, or go back to a backup from before."
        ) from error
    except DBAPIError as error:
        driver: Any = error.orig
        failure = sqlite.to_error(driver) if url.startswith("sqlite:") else postgres.to_error(driver.__cause__)
        if isinstance(failure, Unavailable):
            raise failure from error
        raise


def _migrate_sqlite(path: Path, scripts: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite itself would let everyone read it
    except OSError as error:
        raise StorageUnavailable(f"The database {path} can be neither opened nor made: {error.strerror}.") from error
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)

    # The driver opens transactions by itself, but only before INSERT and its like, so that tables would be made
    # outside of any. These two lines take the matter out of its hands.
    @event.listens_for(engine, "connect")
    def _autocommit(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        _upgrade(connection, scripts)
        # Foreign keys are off here, since a table that is rebuilt is dropped in between.
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            tables = ", ".join(sorted({row[0] for row in broken}))
            raise StorageRefused("The migration would break references and was undone.", detail=f"in {tables}")


async def _migrate_postgres(url: str, scripts: Path) -> None:
    async def connect() -> Any:
        try:
            return await asyncpg.connect(url)
        except Exception as error:
            raise postgres.to_error(error) from error

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade, scripts)


def _upgrade(connection: Connection, scripts: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main(url: str) -> None:
    """For a process of its own: what goes wrong stands on standard output, in one line for a person."""
    try:
        migrate(url)
    except CloudError as error:
        print(error.message)  # noqa: T201
        sys.exit(1)
