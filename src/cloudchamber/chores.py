"""What is done again and again while the cloud runs."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from cloudchamber.errors import CloudError

Chore = Callable[[], Awaitable[int]]
"""Tells how much there was to do."""

_log = logging.getLogger(__name__)


class Chores:
    """Use `stop` at the end, before what they work on is gone."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, interval_ms: int, *chores: Chore) -> None:
        """One after the other in each round, and the first time when the interval is over."""
        self._tasks.append(asyncio.create_task(_every(interval_ms / 1000, chores)))

    async def stop(self) -> None:
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _every(interval_s: float, chores: tuple[Chore, ...]) -> None:
    failing = set[Chore]()
    while True:
        await asyncio.sleep(interval_s)
        for chore in chores:
            try:
                await chore()
            except CloudError:
                # Said once: a full disk lasts, and some chores come twice a second.
                if chore not in failing:
                    _log.warning("a chore failed; every round tries again", exc_info=True)
                failing.add(chore)
            else:
                failing.discard(chore)
