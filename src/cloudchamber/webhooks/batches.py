"""Small writes that go to the database many at a time.

On SQLite each statement lets go of the interpreter's lock and waits for it again while the loop works, which costs more
than what the statement does. So what comes while one transaction is at the disk waits, and makes up the next one; what
comes alone goes at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from cloudchamber.storage.errors import StorageBusy

T = TypeVar("T")

# Rows of a transaction: how many a failure takes with it, and how long the first one waits for the last.
MAX_AT_ONCE: Final = 500
# Some ten seconds of a busy disk. Past that an honest refusal beats a queue in which everything times out.
MAX_WAITING: Final = 10_000


class Batches(Generic[T]):
    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        """`write` brings all of them on record, or raises for all of them."""
        self._write = write
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def put(self, item: T) -> "asyncio.Future[None]":
        """Done when the item is on record. It fails as `write` does, or with StorageBusy when too many wait."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(_seen)
        if len(self._waiting) >= MAX_WAITING:
            future.set_exception(StorageBusy("Too many changes are waiting. Try again later."))
            return future
        self._waiting.append((item, future))
        if self._writing is None:
            self._writing = loop.create_task(self._work())
        return future

    async def settle(self) -> None:
        """Until nothing waits."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def _work(self) -> None:
        waiting = self._waiting
        try:
            while waiting:
                batch = [waiting.popleft() for _ in range(min(len(waiting), MAX_AT_ONCE))]
                try:
                    await self._write([item for item, _ in batch])
                except Exception as error:
                    for _, future in batch:
                        if not future.done():  # who waited is gone
                            future.set_exception(error)
                else:
                    for _, future in batch:
                        if not future.done():
                            future.set_result(None)
        finally:
            self._writing = None


def _seen(future: "asyncio.Future[None]") -> None:
    """Whoever awaits it hears of a failure; asking here keeps the loop from reporting it as nobody's."""
    if not future.cancelled():
        future.exception()
