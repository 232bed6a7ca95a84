"""Fixtures for every test package."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.contract import watch_applications
from tests.databases import (
    database,
    database_kind,
    database_url,
    empty_database_url,
    migrated_file,
    postgres,
)
from tests.loops import Uvloop
from tests.matrix import count

__all__ = ["database", "database_kind", "database_url", "empty_database_url", "migrated_file", "postgres"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(count)
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(count.Workers())


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that `cloudchamber serve` takes: its transports differ from asyncio's own."""
    return {"uvloop": Uvloop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def _faults() -> Iterator[list[str]]:
    """What answers had that the route table does not declare, of every application that is made in this process."""
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        watch_applications(found.append, patch.setattr)
        yield found


@pytest.fixture(autouse=True)
def contract(_faults: list[str]) -> Iterator[list[str]]:
    """Fails a test in which a cloud answered something that the route table does not declare. A test that makes one
    do so on purpose clears the list."""
    _faults.clear()
    yield _faults
    assert not _faults, "answers that the route table does not declare:\n" + "\n".join(_faults)
