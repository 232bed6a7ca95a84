"""Fixtures for every test package."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from tests.databases import (
    database,
    database_kind,
    database_url,
    empty_database_url,
    migrated_file,
    postgres,
)

__all__ = ["database", "database_kind", "database_url", "empty_database_url", "migrated_file", "postgres"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that `cloudchamber serve` takes: its transports differ from asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}
