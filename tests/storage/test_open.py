"""What is refused at the door: databases that are not at head, not there, or not whole."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudchamber.storage import sqlite
from cloudchamber.storage.database import Transaction, open_database
from cloudchamber.storage.errors import SchemaMismatch, StorageDamaged, StorageUnavailable
from cloudchamber.storage.schema import REVISIONS
from tests.storage.people import INSERT


async def set_revision(url: str, revision: str) -> None:
    async def body(transaction: Transaction) -> None:
        await transaction.execute(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608

    database = await open_database(url)
    await database.transaction(body)
    await database.close()


async def test_a_database_without_tables_says_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="cloudchamber migrate"):
        await open_database(empty_database_url)


async def test_an_older_schema_says_what_to_do(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudchamber.storage.schema.REVISIONS", (*REVISIONS, "9998"))
    with pytest.raises(SchemaMismatch, match=f"at schema {REVISIONS[-1]} .* needs 9998.*cloudchamber migrate"):
        await open_database(database_url)


async def test_a_newer_schema_says_what_to_do(database_url: str) -> None:
    await set_revision(database_url, "9999")
    with pytest.raises(SchemaMismatch, match="newer cloudchamber"):
        await open_database(database_url)


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:x.db", "x.db"])
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        await open_database(url)


async def test_opening_leaves_no_file_behind(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="nowhere"):
        await open_database(f"sqlite:///{tmp_path / 'nowhere.db'}")
    assert os.listdir(tmp_path) == []


def overwrite(path: Path, where: float, offset: int, pattern: bytes) -> None:
    """XORs `pattern` into a page, the first for 0.0 and the middle one for 0.5."""
    content = bytearray(path.read_bytes())
    start = int(len(content) / 4096 * where) * 4096 + offset
    for index, flip in enumerate(pattern, start):
        content[index] ^= flip
    path.write_bytes(content)


def find(path: Path, content: bytes) -> int:
    return path.read_bytes().index(content)


class TestSqlite:
    @pytest.fixture
    def database_kind(self) -> str:
        return "sqlite"

    @pytest.fixture
    async def path(self, database_url: str) -> Path:
        async def fill(transaction: Transaction) -> None:
            for number in range(2_000):
                await transaction.execute(INSERT, f"{number:024}", f"user{number}@example.com")

        database = await open_database(database_url)
        await database.transaction(fill)
        await database.close()
        return Path(database_url.removeprefix("sqlite:///"))

    @pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system reads ahead by itself or not at all")
    async def test_all_of_a_file_is_read_ahead_of_its_check(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[int, int]] = []

        def advise(descriptor: int, offset: int, length: int, advice: int) -> None:
            assert advice == os.POSIX_FADV_WILLNEED
            assert os.path.samestat(os.fstat(descriptor), path.stat())
            asked.append((offset, length))

        monkeypatch.setattr(os, "posix_fadvise", advise)
        monkeypatch.setattr(sqlite, "READ_AHEAD_BYTES", 100_000)
        await (await open_database(f"sqlite:///{path}")).close()
        assert [offset for offset, _ in asked] == list(range(0, path.stat().st_size, 100_000))
        assert {length for _, length in asked} == {100_000}

    async def test_opening_a_database_again_leaves_the_locks_of_the_first(self, path: Path) -> None:
        """Or the next process that closes it takes itself for the last, and removes the log that is in use."""
        first = await open_database(f"sqlite:///{path}")
        await first.transaction(lambda transaction: transaction.execute(INSERT, "kept", "kept@example.org"))
        log = path.with_name(path.name + "-wal")
        sqlite._examine(path)
        other = "import sqlite3; c = sqlite3.connect({!r}); c.execute('SELECT 1 FROM users').fetchone(); c.close()"
        command = [sys.executable, "-c", other.format(str(path))]
        await asyncio.to_thread(subprocess.run, command, check=True)
        assert log.stat().st_size > 0
        await first.close()
        assert not log.exists()

    @pytest.mark.parametrize("where", [0.0, 0.5])
    async def test_damage_is_named_at_the_start(self, path: Path, where: float) -> None:
        overwrite(path, where, 0, bytes(range(64)))
        with pytest.raises(StorageDamaged) as error:
            await open_database(f"sqlite:///{path}")
        assert str(path) in error.value.message
        assert "backup" in error.value.message

    async def test_a_flipped_bit_in_the_structure_is_found(self, path: Path) -> None:
        overwrite(path, 0.5, 3, b"\x10")  # the number of cells of a page in the middle
        with pytest.raises(StorageDamaged):
            await open_database(f"sqlite:///{path}")

    async def test_an_index_that_contradicts_its_table_is_found(self, path: Path) -> None:
        # An address in the table is changed by one letter, and the index still has the old one.
        overwrite(path, 0.0, find(path, b"user1000@example.com"), b"\x01")
        with pytest.raises(StorageDamaged):
            await open_database(f"sqlite:///{path}")

    async def test_a_folder_that_is_gone_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(SchemaMismatch, match="no tables"):
            await open_database(f"sqlite:///{tmp_path / 'file' / 'cloud.db'}")

    async def test_a_log_that_cannot_be_made_is_named(self, path: Path) -> None:
        path.with_name(path.name + "-wal").mkdir()
        with pytest.raises(StorageUnavailable, match="cannot be opened"):
            await open_database(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cloudchamber.storage.database", {"sqlalchemy", "alembic", "asyncpg"}),
        ("cloudchamber.storage.sqlite", {"sqlalchemy", "alembic", "asyncpg"}),
        ("cloudchamber.storage.postgres", {"sqlalchemy", "alembic"}),
    ],
)
def test_what_serves_requests_does_not_load_what_migrates(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not heavy & loaded
