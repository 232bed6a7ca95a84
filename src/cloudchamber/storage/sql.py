"""Our one dialect of SQL, as each driver wants to see it. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Final, TypeVar

from cloudchamber.storage.errors import Unstorable

T = TypeVar("T")

_STEPS: Final = (250, 125, 50, 25, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)

# Strings, quoted names and comments are matched first, so that a `$1` within them is passed over. A name may contain
# a dollar sign, hence the look-behind.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(?<![\w$])\$(?P<number>[0-9]+)|\bstring_agg(?=\()""",
    re.DOTALL,
)


@lru_cache(maxsize=4096)  # the statements are literals of this program, a few hundred
def for_sqlite(sql: str) -> str:
    """`$1` becomes `?1`: SQLite would take `$1` for a name, which cannot be bound by its position. Before 3.44 it knows
    `string_agg` by another name."""
    return _TOKEN.sub(_token, sql)


def _token(found: re.Match[str]) -> str:
    if found["number"]:
        return f"?{found['number']}"
    return "group_concat" if found[0] == "string_agg" else found[0]


def refuse_nul(args: Iterable[object]) -> None:
    """PostgreSQL cannot keep U+0000 in text. SQLite can, and must not: the same request gets the same answer.

    Raises:
        Unstorable: there is one.
    """
    for arg in args:
        if isinstance(arg, str) and "\0" in arg:
            raise Unstorable("Text must not contain the NUL character.")


def in_steps(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts of a list for statements that take many values: of few different lengths, because each length makes a
    statement of its own, to be translated, prepared and kept. What few requests bring at once is one part, though."""
    start = 0
    for step in _STEPS:
        while len(items) - start >= step:
            yield items[start : start + step]
            start += step


def places(how_many: int, first: int = 1) -> str:
    """`$1, $2, $3` for an IN."""
    return ", ".join(f"${number}" for number in range(first, first + how_many))


def rows_of_places(rows: int, columns: int, first: int = 1) -> str:
    """`($1, $2), ($3, $4)` for a VALUES of many rows."""
    return ", ".join(f"({places(columns, first + row * columns)})" for row in range(rows))


def rows_of_types(rows: int, *types: str) -> str:
    """`(CAST($1 AS TEXT), CAST($2 AS BIGINT))` and so on, for a VALUES that is read as a table: no column decides the
    types. Its columns are `column1`, `column2`, ..."""
    numbers = count(1)
    return ", ".join("(" + ", ".join(f"CAST(${next(numbers)} AS {each})" for each in types) + ")" for _ in range(rows))
