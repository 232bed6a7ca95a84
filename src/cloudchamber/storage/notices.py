"""What a change in one process of a database makes untrue in the memory of the others, by rows that they read.

A process tells its own parts of a change over the bus, at once. The others (a second one behind a balancer, the command
line) read here, twice a second, what was changed without them, and tell their parts the same. A row is written in the
transaction that makes the change, so that what was answered is never untold. It names what is to be forgotten, and not
what is true now: each thing has one row, however often it changes, and whoever reads late reads it once.

Two transactions that change one thing meet in its row. The rows of a transaction are its last statement, in one order
everywhere: so who waits for a row of another one holds nothing that this one still needs. (PostgreSQL takes a second to
find two that wait for each other, and ends one of them.)
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.errors import Unavailable
from cloudchamber.storage.database import Database, Reader, Transaction
from cloudchamber.storage.sql import in_steps, rows_of_places

# How far back `follow` looks again: clocks of two machines differ, and a transaction takes its time.
_OVERLAP_MS: Final = MINUTE
ORIGIN: Final = secrets.token_hex(8)
"""Of this process: what it changed itself it has told itself."""

_log = logging.getLogger(__name__)

Notice = tuple[str, str, int, str]
"""Subject, about, time, origin."""

Hear = Callable[[str, Millis], Awaitable[object] | None]
"""Is told what a notice is about, and when it was written."""


async def put_notice(tx: Transaction, subject: str, about: str, now: Millis, origin: str = ORIGIN) -> None:
    """In the transaction that makes the change. What another process of the same thing wrote is replaced: where the one
    does not include the other, `about` names who made it, too."""
    tx.notices[subject, about] = (now, origin)


async def write_notices(tx: Transaction) -> None:
    """For databases, at the end of each transaction that has some."""
    for part in in_steps(sorted(tx.notices.items())):
        await tx.execute(
            f"INSERT INTO notices (subject, about, at, origin) VALUES {rows_of_places(len(part), 4)}"  # noqa: S608
            " ON CONFLICT (subject, about) DO UPDATE SET at = excluded.at, origin = excluded.origin",
            *(value for key, said in part for value in (*key, *said)),
        )


class Notices:
    """What other processes changed."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._heard: dict[str, Hear] = {}
        self._followed: frozenset[Notice] = frozenset()
        self._followed_at = clock.now()

    def on(self, subject: str, hear: Hear) -> None:
        """`hear` is told what was changed, once for each time that somebody else changed it. Subjects are told in the
        order in which they were named here: first those that take away. Where it raises Unavailable, it is told
        again."""
        self._heard[subject] = hear

    async def follow(self) -> int:
        """How many there were. Raises Unavailable, and goes on with the rest the next time."""
        now = self._clock.now()
        found = frozenset(await _since(self._db, Millis(self._followed_at - _OVERLAP_MS)))
        new = found - self._followed
        # Another version of the program may tell of things that this one does not know.
        known = [notice for notice in new if notice[0] in self._heard]
        if known:
            ranks = {subject: rank for rank, subject in enumerate(self._heard)}
            known.sort(key=lambda notice: ranks[notice[0]])
            left = set(known)
            try:
                for notice in known:
                    await self._tell(notice)
                    left.discard(notice)
            finally:
                self._followed = found - left
        self._followed, self._followed_at = found, now
        return len(new)

    async def _tell(self, notice: Notice) -> None:
        subject, about, at, _ = notice
        try:
            waits = self._heard[subject](about, Millis(at))
            if waits is not None:
                await waits
        except Unavailable:
            raise
        except Exception:
            # One that cannot be understood must not keep the others, and what ends by them, from being heard.
            _log.exception("a notice of %s could not be followed", subject)

    async def purge(self) -> int:
        """Removes rows that everybody has read; returns how many."""
        before = self._clock.now() - 10 * _OVERLAP_MS

        async def delete(tx: Transaction) -> int:
            return await tx.execute("DELETE FROM notices WHERE at < $1", before)

        return await self._db.transaction(delete)


async def _since(db: Reader, since: Millis) -> list[Notice]:
    rows = await db.fetch_all(
        "SELECT subject, about, at, origin FROM notices WHERE at >= $1 AND origin <> $2", since, ORIGIN
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]
