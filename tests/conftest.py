"""Fixtures for every test package."""

from tests.databases import (
    database,
    database_kind,
    database_url,
    empty_database_url,
    migrated_file,
    postgres,
)

__all__ = ["database", "database_kind", "database_url", "empty_database_url", "migrated_file", "postgres"]
