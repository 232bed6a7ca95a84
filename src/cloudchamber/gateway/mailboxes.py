"""Order without a standing task: for each device, what is to be told happens one after the other.

A mailbox belongs to the device, not to a connection: what an older connection still had to tell comes before what its
successor tells. A task exists only while something waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from cloudchamber.ids import DeviceId

Errand = Callable[[], Coroutine[Any, Any, None]]


class Mailboxes:
    def __init__(self) -> None:
        self._waiting: dict[DeviceId, deque[Errand]] = {}
        self._workers: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Devices for which something waits or runs."""
        return len(self._waiting)

    def has(self, device: DeviceId) -> bool:
        """Something waits or runs for it."""
        return device in self._waiting

    def post(self, device: DeviceId, errand: Errand) -> None:
        """`errand` must not raise: the one that posts it knows whom its failure concerns."""
        waiting = self._waiting.get(device)
        if waiting is not None:
            waiting.append(errand)
            return
        self._waiting[device] = deque((errand,))
        worker = asyncio.get_running_loop().create_task(self._work(device))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self, device: DeviceId) -> None:
        waiting = self._waiting[device]
        try:
            while waiting:
                await waiting.popleft()()
        finally:
            del self._waiting[device]

    async def drain(self, timeout_s: float) -> bool:
        """Waits until nothing waits any more; False when the time was too short, and what still runs is cancelled."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._workers:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                for worker in self._workers:
                    worker.cancel()
                await asyncio.gather(*self._workers, return_exceptions=True)
                return False
            await asyncio.wait(self._workers, timeout=left)
        return True
