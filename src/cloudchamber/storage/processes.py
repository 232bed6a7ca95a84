"""Which other processes serve from this database, so that a set-up that cannot work is said where somebody may read it.

Nothing is written while nothing starts: a process that starts says so by a notice, and whoever hears it answers. An
answer is proof that somebody is alive, which a row that was left behind is not.
"""

import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from cloudchamber.clock import Clock, Millis
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.notices import put_notice

PROCESS_NOTICE: Final = "process"
"""Subject of a notice, about a `Process` in JSON."""

_log = logging.getLogger(__name__)


class Process(msgspec.Struct, frozen=True, omit_defaults=True):
    """`keys` maps the files that all processes should have alike to fingerprints. `to`: it answers that process."""

    origin: str
    host: str
    data: str
    keys: Mapping[str, str]
    to: str | None = None


class Processes:
    def __init__(self, db: Database, clock: Clock, own: Process) -> None:
        """`own.origin` is what its notices have, too."""
        self._db = db
        self._clock = clock
        self._own = own
        self._answered: set[str] = set()

    async def start(self) -> None:
        """Asks who else is there."""
        await self._put(self._own)

    async def hear(self, about: str, _at: Millis) -> None:
        """Raises CloudError."""
        other = msgspec.json.decode(about, type=Process)
        if other.to not in (None, self._own.origin):
            return
        if other.origin not in self._answered:
            await self._put(msgspec.structs.replace(self._own, to=other.origin))
            self._answered.add(other.origin)
        if other.to is not None:
            self._warn(other)

    def _warn(self, other: Process) -> None:
        _log.warning(
            "Another process serves from this database: on %s, data folder %s. Devices, event streams and statistics"
            " are each process's own: have devices, and all who listen to them, go to one of the two"
            " (docs/decisions/0017-several-processes.md).",
            other.host,
            other.data,
        )
        differing = [name for name, print_ in self._own.keys.items() if other.keys.get(name, print_) != print_]
        if differing:
            _log.error(
                "The other process (%s, %s) has another %s: what one encrypts the other cannot read, and devices that"
                " know one refuse the other. Stop one of the two, and copy the file there from the other data folder.",
                other.host,
                other.data,
                ", another ".join(differing),
            )

    async def _put(self, process: Process) -> None:
        about, now = msgspec.json.encode(process).decode(), self._clock.now()

        async def write(tx: Transaction) -> None:
            await put_notice(tx, PROCESS_NOTICE, about, now, process.origin)

        await self._db.transaction(write)
