"""Real sockets on the loopback, on both event loops."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from cloudchamber.storage.migrate import migrate
from tests.gateway.cloud import SmallCloud, start_cloud
from tests.gateway.udp_cloud import UdpCloud, start_udp_cloud
from tests.loops import Uvloop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "logs_errors: the test means something to go wrong")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each test here runs on both loops; the cloud runs on uvloop where there is one."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": Uvloop}


@pytest.fixture(scope="session")
def server_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def device_key() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)


@pytest.fixture(scope="session")
def other_device_key() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)


@pytest.fixture
async def cloud(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> AsyncIterator[SmallCloud]:
    async with start_cloud(server_key, device_key) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def nothing_logged_as_error(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if not request.node.get_closest_marker("logs_errors"):
        errors = [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
        assert not errors


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "cloudchamber.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def store_file(migrated_file: Path, tmp_path: Path) -> Path:
    """A fresh database."""
    return Path(shutil.copy(migrated_file, tmp_path / "cloudchamber.db"))


@pytest.fixture
async def udp(store_file: Path) -> AsyncIterator[UdpCloud]:
    async with start_udp_cloud(store_file) as cloud:
        yield cloud
