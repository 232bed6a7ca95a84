"""What was there before organizations is in them afterwards, and nothing is lost on the way."""

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory

from cloudchamber.storage.database import open_database
from cloudchamber.storage.migrate import SCRIPTS, migrate
from cloudchamber.storage.sqlite import sqlite_path

BEFORE = "0004"

ROWS = """
INSERT INTO users (id, username, created_at, updated_at) VALUES ('u1', 'Ann@example.com', 1, 1);
INSERT INTO users (id, username, created_at, updated_at) VALUES ('u2', 'ann-example-com', 2, 2);
INSERT INTO users (id, username, created_at, updated_at) VALUES ('u3', 'idle', 3, 3);
INSERT INTO products (id, name, slug, description, platform_id, owner_user_id, settings, created_at, updated_at)
  VALUES (1000, 'P1000', 'p1000', '', 6, 'u1', '{}', 5, 6), (1001, 'P1001', 'p1001', '', 6, 'u1', '{}', 5, 6),
    (1002, 'P1002', 'p1002', '', 6, 'u2', '{}', 5, 6);
INSERT INTO memberships (product_id, user_id, role, created_at) VALUES (1000, 'u3', 'SUPPORT', 1);
INSERT INTO clients (id, name, type, owner_kind, product_id, created_at)
  VALUES ('c-1', 'c', 'installed', 'product', 1000, 1);
INSERT INTO access_tokens (hash, client_id, principal_kind, principal_id, product_id, family, issued_at)
  VALUES (<blob>, 'c-1', 'product', 'c-1', 1000, 'f', 7);
INSERT INTO refresh_tokens (hash, client_id, principal_kind, principal_id, product_id, family, issued_at, expires_at)
  VALUES (<blob>, 'c-1', 'product', 'c-1', 1000, 'f', 7, 8);
INSERT INTO customers (id, product_id, username, created_at, updated_at) VALUES ('k1', 1000, 'kim', 1, 1);
"""


def scripts_up_to(folder: Path, last: str) -> Path:
    copied = Path(shutil.copytree(SCRIPTS, folder / "before", ignore=shutil.ignore_patterns("__pycache__")))
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    for script in ScriptDirectory.from_config(config).walk_revisions():
        if script.revision > last:
            (copied / "versions" / Path(script.path).name).unlink()
    return copied


async def fill(url: str) -> None:
    """Past `open_database`, which takes no old schema."""
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(sqlite_path(url))) as connection:
            connection.executescript("PRAGMA foreign_keys = ON;" + ROWS.replace("<blob>", "x'01'"))
        return
    connection = await asyncpg.connect(url)
    await connection.execute(ROWS.replace("<blob>", r"'\x01'"))
    await connection.close()


async def test_products_get_their_owners_personal_organization(empty_database_url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(migrate, empty_database_url, scripts=scripts_up_to(tmp_path, BEFORE))
    await fill(empty_database_url)
    await asyncio.to_thread(migrate, empty_database_url)

    db = await open_database(empty_database_url)
    organizations = await db.fetch_all(
        "SELECT slug = 'personal-' || substr(id, 1, 12), name, owner_user_id, personal_user_id FROM organizations"
        " ORDER BY owner_user_id"
    )
    assert organizations == [
        (True, "Ann@example.com", "u1", "u1"),
        (True, "ann-example-com", "u2", "u2"),
    ]
    products = await db.fetch_all(
        "SELECT p.id, p.name, o.owner_user_id, p.created_at, p.updated_at FROM products p"
        " JOIN organizations o ON o.id = p.organization_id ORDER BY p.id"
    )
    assert products == [(1000, "P1000", "u1", 5, 6), (1001, "P1001", "u1", 5, 6), (1002, "P1002", "u2", 5, 6)]
    assert await db.fetch_all("SELECT product_id, user_id, role FROM memberships") == [(1000, "u3", "SUPPORT")]
    assert await db.fetch_all("SELECT id, product_id, organization_id FROM clients ORDER BY id") == [
        ("api-user", None, None),
        ("c-1", 1000, None),
    ]
    assert await db.fetch_all("SELECT client_id, product_id, organization_id, issued_at FROM access_tokens") == [
        ("c-1", 1000, None, 7)
    ]
    assert await db.fetch_all("SELECT client_id, product_id, organization_id, expires_at FROM refresh_tokens") == [
        ("c-1", 1000, None, 8)
    ]
    assert await db.fetch_all("SELECT id, product_id, organization_id, username FROM customers") == [
        ("k1", 1000, None, "kim")
    ]

    async def delete(tx):
        await tx.execute("DELETE FROM clients WHERE id = 'c-1'")

    await db.transaction(delete)
    assert await db.fetch_all("SELECT client_id FROM access_tokens") == []  # the references still hold
    await db.close()
