"""The kinds of column that both databases give back alike, for tables.py and the migrations.

Whole numbers (times in milliseconds since 1970 UTC, truth as 0 or 1), text (ids, JSON) and bytes (hashes, keys). On
SQLite the tables are STRICT, so that a wrong type is refused there too; on PostgreSQL text has the collation "C", so
that it sorts by code point as on SQLite.

The migrations stand on these, so what a function here makes must not change; add another beside it.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import postgresql

NAMES: Final = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
"""A later migration has to name the constraint that it drops, on both databases."""

_WHOLE = BigInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def text(name: str, *rules: Any, null: bool = False, default: str | None = None, key: bool = False) -> Column[Any]:
    return Column(name, _TEXT, *rules, nullable=null, server_default=default, primary_key=key)


def whole(name: str, *rules: Any, null: bool = False, key: bool = False) -> Column[Any]:
    """64 bits, signed."""
    return Column(name, _WHOLE, *rules, nullable=null, primary_key=key, autoincrement=False)


def blob(name: str, *rules: Any, null: bool = False, key: bool = False) -> Column[Any]:
    return Column(name, LargeBinary, *rules, nullable=null, primary_key=key)


def flag(name: str, default: int = 0) -> Column[Any]:
    """0 or 1."""
    return Column(
        name, _WHOLE, CheckConstraint(f"{name} IN (0, 1)", name=name), nullable=False, server_default=str(default)
    )


def sequence(name: str) -> Column[Any]:
    """A primary key that the database counts up, with gaps but no number given twice."""
    return Column(name, _WHOLE, Identity(always=True), primary_key=True)


def table(metadata: MetaData, name: str, *parts: Any, counts: bool = False) -> Table:
    """`counts`: its key is a `sequence`."""
    return Table(name, metadata, *parts, sqlite_strict=True, sqlite_autoincrement=counts)
