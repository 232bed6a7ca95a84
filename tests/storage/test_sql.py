"""Placeholders for SQLite, and text that no database may be given."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.storage.errors import Unstorable
from cloudchamber.storage.sql import for_sqlite, refuse_nul


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT $1", "SELECT ?1"),
        ("SELECT $1, $12, $1", "SELECT ?1, ?12, ?1"),
        ("SELECT '$1', $1", "SELECT '$1', ?1"),
        ("SELECT 'it''s $1', $2", "SELECT 'it''s $1', ?2"),
        ("SELECT '--', $1", "SELECT '--', ?1"),
        ('SELECT "$1" FROM t WHERE a=$1', 'SELECT "$1" FROM t WHERE a=?1'),
        ('SELECT "say ""$1""", $1', 'SELECT "say ""$1""", ?1'),
        ("SELECT $1 -- not $2\n, $3", "SELECT ?1 -- not $2\n, ?3"),
        ("SELECT /* $1 \n $2 */ $3", "SELECT /* $1 \n $2 */ ?3"),
        ("SELECT price$1 FROM t", "SELECT price$1 FROM t"),
        ("SELECT $name", "SELECT $name"),
    ],
)
def test_only_placeholders_are_translated(sql: str, expected: str) -> None:
    assert for_sqlite(sql) == expected


@given(st.text(alphabet="$12'\"-/* ab", max_size=20))
def test_a_literal_comes_back_as_it_was(text: str) -> None:
    literal = text.replace("'", "''")
    connection = sqlite3.connect(":memory:")
    try:
        assert connection.execute(for_sqlite(f"SELECT '{literal}', $1"), ("x",)).fetchone() == (text, "x")
    finally:
        connection.close()


def test_nul_is_refused_in_text_and_kept_in_bytes() -> None:
    refuse_nul(("a", 1, None, b"\0"))
    with pytest.raises(Unstorable):
        refuse_nul((1, "a\0b"))
