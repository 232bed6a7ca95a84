"""What a cloud has loaded when it is ready and nobody has asked it for anything: its memory is what it has loaded."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

# What is loaded when it is first needed, and what only other commands need.
_LATER: Final = (
    "aiohttp",
    "alembic",
    "asyncpg",
    "click",
    "cloudchamber.api.docs_page",
    "cloudchamber.api.openapi",
    "cloudchamber.api.schemas",
    "cloudchamber.console",
    "cloudchamber.simulator",
    "cloudchamber.webhooks.sender",
    "cloudchamber.wire.dtls.client",
    "cloudchamber.wire.session.device",
    "cloudchamber.wire.session.profile",
    "cloudchamber.wire.update.device",
    "csv",
    "httpx",
    "importlib.metadata",
    "importlib.resources",
    "jinja2",
    "mako",
    "prometheus_client",
    "sqlalchemy",
    "tomllib",
    "zipfile",
)

_IDLE: Final = """
import asyncio, sys
from pathlib import Path
from cloudchamber.cli import serving
from cloudchamber.settings import Address, Settings

async def idle():
    anywhere = Address("127.0.0.1", 0)
    settings = Settings(data=Path(sys.argv[1]), http=anywhere, tcp=anywhere, udp=anywhere, metrics=anywhere)
    async with serving.Cloud(settings, migrate=serving.migrate_apart):
        await asyncio.sleep(0)
        print(*sys.modules)

asyncio.run(idle())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    return _loaded(tmp_path_factory.mktemp("idle") / "data")


def _loaded(data: Path) -> frozenset[str]:
    command = [sys.executable, "-c", _IDLE, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return frozenset(done.stdout.split())


def test_the_cloud_was_there(loaded: frozenset[str]) -> None:
    assert {"cloudchamber.app", "cloudchamber.gateway.udp", "cloudchamber.storage.sqlite"} <= loaded


@pytest.mark.parametrize("module", _LATER)
def test_what_nobody_asked_for_is_not_loaded(module: str, loaded: frozenset[str]) -> None:
    assert {found for found in loaded if found == module or found.startswith(f"{module}.")} == set()
