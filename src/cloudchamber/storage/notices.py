"""What a change in one process of a database makes untrue in the memory of the others, by rows that they read.

A process tells its own parts of a change over the bus, at once. The others (a second one behind a balancer, the command
line) read here, twice a second, what was changed without them, and tell their parts the same. A row is written in the
transaction that makes the change, so that what was answered is never untold. It names what is to be forgotten, and not
what is true now: each thing has one row, however often it changes, and whoever reads late reads it once.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Final

from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.storage.database import Database, Reader, Transaction

# How far back `follow` looks again: clocks of two machines differ, and a transaction takes its time.
_OVERLAP_MS: Final = MINUTE
_ORIGIN: Final = secrets.token_hex(8)
"""Of this process: what it changed itself it has told itself."""

_log = logging.getLogger(__name__)

Notice = tuple[str, str, int, str]
"""Subject, about, time, origin."""


async def put_notice(tx: Transaction, subject: str, about: str, now: Millis, origin: str = _ORIGIN) -> None:
    await tx.execute(
        "INSERT INTO notices (subject, about, at, origin) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (subject, about) DO UPDATE SET at = excluded.at, origin = excluded.origin",
        *(subject, about, now, origin),
    )


class Notices:
    """What other processes changed."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._heard: dict[str, Callable[[str], None]] = {}
        self._followed: frozenset[Notice] = frozenset()
        self._followed_at = clock.now()

    def on(self, subject: str, hear: Callable[[str], None]) -> None:
        """`hear` is told what was changed, once for each time that somebody else changed it."""
        self._heard[subject] = hear

    async def follow(self) -> int:
        """How many there were."""
        now = self._clock.now()
        found = frozenset(await _since(self._db, Millis(self._followed_at - _OVERLAP_MS)))
        new = found - self._followed
        self._followed, self._followed_at = found, now
        for subject, about, _, _ in new:
            # Another version of the program may tell of things that this one does not know.
            if (hear := self._heard.get(subject)) is None:
                continue
            try:
                hear(about)
            except Exception:
                # One that cannot be understood must not keep the others, and what ends by them, from being heard.
                _log.exception("a notice of %s could not be followed", subject)
        return len(new)

    async def purge(self) -> int:
        """Removes rows that everybody has read; returns how many."""
        before = self._clock.now() - 10 * _OVERLAP_MS

        async def delete(tx: Transaction) -> int:
            return await tx.execute("DELETE FROM notices WHERE at < $1", before)

        return await self._db.transaction(delete)


async def _since(db: Reader, since: Millis) -> list[Notice]:
    rows = await db.fetch_all(
        "SELECT subject, about, at, origin FROM notices WHERE at >= $1 AND origin <> $2", since, _ORIGIN
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]
