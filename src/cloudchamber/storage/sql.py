"""Our one dialect of SQL, as each driver wants to see it. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache

from cloudchamber.storage.errors import Unstorable

# Strings, quoted names and comments are matched first, so that a `$1` within them is passed over. A name may contain
# a dollar sign, hence the look-behind.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(?<![\w$])\$(?P<number>[0-9]+)""", re.DOTALL)


@lru_cache(maxsize=4096)  # the statements are literals of this program, a few hundred
def for_sqlite(sql: str) -> str:
    """`$1` becomes `?1`: SQLite would take `$1` for a name, which cannot be bound by its position."""
    return _TOKEN.sub(lambda token: f"?{token['number']}" if token["number"] else token[0], sql)


def refuse_nul(args: Iterable[object]) -> None:
    """PostgreSQL cannot keep U+0000 in text. SQLite can, and must not: the same request gets the same answer.

    Raises:
        Unstorable: there is one.
    """
    for arg in args:
        if isinstance(arg, str) and "\0" in arg:
            raise Unstorable("Text must not contain the NUL character.")
