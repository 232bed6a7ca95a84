"""Writing the audit log. Nobody waits for it: entries are noted in memory and written together, some times a second and
at the end. A process that is killed loses the last fraction of a second of it, and nothing else."""

import logging
from collections import deque
from typing import Final

from cloudchamber.audit.model import Entry, Outcome
from cloudchamber.audit.rules import PURGED
from cloudchamber.audit.store import AuditStore
from cloudchamber.clock import DAY, Clock, Millis
from cloudchamber.errors import CloudError
from cloudchamber.storage.database import Database, Transaction

_log = logging.getLogger(__name__)

# About 300 bytes each. What comes while the database cannot take more is counted, and the count is written down.
MAX_WAITING: Final = 20_000
# How many are written in one transaction: others must not wait long behind it.
_AT_ONCE: Final = 500
_MAX_TEXT: Final = 300


class AuditLog:
    def __init__(self, db: Database, store: AuditStore, clock: Clock, keep_days: int = 0) -> None:
        """`keep_days` 0: lines are kept for ever."""
        self._db = db
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._waiting: deque[Entry] = deque()
        self._lost = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def note(
        self,
        event: str,
        outcome: Outcome,
        actor: str,
        *,
        token: str | None = None,
        ip: str | None = None,
        subject: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Never waits and never fails. Texts that come from outside are cut."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        subject = subject[:_MAX_TEXT] if subject else None
        detail = detail[:_MAX_TEXT] if detail else None
        self._waiting.append(Entry(self._clock.now(), event, outcome, actor, token, ip, subject, detail))

    async def write(self) -> int:
        """Writes down what was noted; returns how many. Raises CloudError; then it stays noted."""
        written = 0
        if self._lost:
            lost, self._lost = self._lost, 0
            _log.error("%d entries of the audit log were lost: the database did not take them in time", lost)
            self._waiting.append(Entry(self._clock.now(), "audit.lost", Outcome.DONE, "cloud", detail=str(lost)))
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]

            async def append(tx: Transaction, some: list[Entry] = some) -> None:
                await self._store.append(tx, some)

            try:
                await self._db.transaction(append)
            except CloudError:
                self._waiting.extendleft(reversed(some))
                raise
            written += len(some)
        return written

    async def purge(self) -> int:
        """Removes lines that are older than they are kept, but for the newest of them, on which the rest stands; a line
        says so."""
        if not self._keep_days:
            return 0
        now = self._clock.now()
        first = await self._store.newest_before(self._db, Millis(now - self._keep_days * DAY))
        if first is None or first == 1:
            return 0
        entry = Entry(now, PURGED, Outcome.DONE, "cloud", subject=str(first))

        async def delete(tx: Transaction) -> int:
            removed = await self._store.delete_before(tx, first)
            if removed:
                await self._store.append(tx, [entry])
            return removed

        return await self._db.transaction(delete)
