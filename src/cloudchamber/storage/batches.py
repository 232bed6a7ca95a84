"""Small writes that go to the database many at a time.

On SQLite each statement lets go of the interpreter's lock and waits for it again while the loop works, which costs more
than what the statement does. So what comes while one transaction is at the disk waits, and makes up the next one; what
comes alone goes at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from cloudchamber.storage.errors import StorageBusy

T = TypeVar("T")

Ended = Callable[[Exception | None], None]
"""Told how the write of an item ended: None, when it is on record."""

# Rows of a transaction: how many a failure takes with it, and how long the first one waits for the last.
MAX_AT_ONCE: Final = 500
# Some ten seconds of a busy disk. Past that an honest refusal beats a queue in which everything times out.
MAX_WAITING: Final = 10_000
# Who is told in one turn of the loop: each may answer a device and tell an event to streams.
MAX_TOLD_AT_ONCE: Final = 64

_log = logging.getLogger(__name__)


class Batches(Generic[T]):
    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        """`write` brings all of them on record, or raises for all of them."""
        self._write = write
        self._waiting: deque[tuple[T, Ended]] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._over: deque[tuple[Ended, Exception | None]] = deque()

    def put_and_tell(self, item: T, ended: Ended) -> None:
        """`ended` is called once, in the order of the items, with what `write` raised. Raises StorageBusy when too many
        wait."""
        if len(self._waiting) >= MAX_WAITING:
            raise StorageBusy("Too many changes are waiting. Try again later.")
        self._waiting.append((item, ended))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._work())

    def put(self, item: T) -> "asyncio.Future[None]":
        """Done when the item is on record. It fails as `write` does, or with StorageBusy when too many wait."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        try:
            self.put_and_tell(item, partial(_resolve, future))
        except StorageBusy as error:
            future.set_exception(error)
        return future

    async def settle(self) -> None:
        """Until nothing waits, and everybody was told."""
        while self._writing is not None or self._over:
            if self._writing is not None:
                await asyncio.wait([self._writing])
            else:
                await asyncio.sleep(0)

    async def _work(self) -> None:
        waiting = self._waiting
        try:
            while waiting:
                batch = [waiting.popleft() for _ in range(min(len(waiting), MAX_AT_ONCE))]
                error = None
                try:
                    await self._write([item for item, _ in batch])
                except Exception as raised:
                    error = raised
                # The next ones are on their way to the disk before these are told.
                if not self._over:
                    asyncio.get_running_loop().call_soon(self._tell)
                self._over.extend((ended, error) for _, ended in batch)
        finally:
            self._writing = None

    def _tell(self) -> None:
        over = self._over
        for _ in range(min(len(over), MAX_TOLD_AT_ONCE)):
            ended, error = over[0]
            try:
                ended(error)
            except Exception:
                _log.exception("who waited for a record could not be told of it")
            over.popleft()
        if over:
            asyncio.get_running_loop().call_soon(self._tell)


def _resolve(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return  # who waited is gone
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _seen(future: "asyncio.Future[None]") -> None:
    """Whoever awaits it hears of a failure; asking here keeps the loop from reporting it as nobody's."""
    if not future.cancelled():
        future.exception()
