"""Order without a standing task: for each device, what is to be told happens one after the other.

A mailbox belongs to the device, not to a connection: what an older connection still had to tell comes before what its
successor tells. A task exists only while something waits that has to be done; what is under way elsewhere and only has
its place here takes none.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from cloudchamber.ids import DeviceId

Errand = Callable[[], Coroutine[Any, Any, None]]

PATIENCE_S: Final = 30.0
"""What is under way for longer holds up its device no more."""
_LOOK_S: Final = 5.0
_POLL_S: Final = 0.01


class Elsewhere(Protocol):
    """What is under way, and will be over."""

    @property
    def is_over(self) -> bool: ...

    def then(self, call: Callable[[], None]) -> None:
        """`call` is called when it is over: at once where it is."""
        ...


class _Place:
    __slots__ = ("ended", "since", "work")

    def __init__(self, work: Elsewhere, ended: Callable[[bool], None], since: float) -> None:
        self.work = work
        self.ended = ended
        self.since = since


class _Box:
    __slots__ = ("is_busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Errand | _Place] = deque()
        self.is_busy = False
        """What comes next is seen to by whoever is at it."""


class Mailboxes:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._boxes: dict[DeviceId, _Box] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._looking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Devices for which something waits or runs."""
        return len(self._boxes)

    def has(self, device: DeviceId) -> bool:
        """Something waits or runs for it."""
        return device in self._boxes

    def post(self, device: DeviceId, errand: Errand) -> None:
        """`errand` must not raise: the one that posts it knows whom its failure concerns."""
        box = self._box(device)
        box.waiting.append(errand)
        self._go_on(device)

    def keep_place(self, device: DeviceId, work: Elsewhere, ended: Callable[[bool], None]) -> None:
        """`ended` is called once `work` is over and all that came before was told, and must not raise: with True, or
        with False when it took longer than anybody waits."""
        self._box(device).waiting.append(_Place(work, ended, self._loop.time()))
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_S, self._look)
        work.then(partial(self._go_on, device))

    async def drain(self, timeout_s: float) -> bool:
        """Waits until nothing waits any more; False when the time was too short, and what still runs is cancelled."""
        deadline = self._loop.time() + timeout_s
        while self._boxes:
            left = deadline - self._loop.time()
            if left <= 0:
                for worker in self._workers:
                    worker.cancel()
                await asyncio.gather(*self._workers, return_exceptions=True)
                self._boxes.clear()
                return False
            if self._workers:
                await asyncio.wait(self._workers, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(min(left, _POLL_S))
        return True

    def _box(self, device: DeviceId) -> _Box:
        box = self._boxes.get(device)
        if box is None:
            box = self._boxes[device] = _Box()
        return box

    def _go_on(self, device: DeviceId) -> None:
        """As far as it goes: what was waited for is over, or something has come."""
        box = self._boxes.get(device)
        if box is None or box.is_busy:
            return
        box.is_busy = True
        waiting = box.waiting
        while waiting:
            first = waiting[0]
            if not isinstance(first, _Place):
                worker = self._loop.create_task(self._work(device, box))
                self._workers.add(worker)
                worker.add_done_callback(self._workers.discard)
                return
            if not first.work.is_over:
                box.is_busy = False
                return
            waiting.popleft()
            first.ended(True)
        del self._boxes[device]

    async def _work(self, device: DeviceId, box: _Box) -> None:
        waiting = box.waiting
        try:
            while waiting and not isinstance(waiting[0], _Place):
                errand = waiting.popleft()
                assert not isinstance(errand, _Place)
                await errand()
        except asyncio.CancelledError:
            self._boxes.pop(device, None)
            raise
        finally:
            box.is_busy = False
            self._go_on(device)

    def _look(self) -> None:
        """Whether something is under way for too long."""
        self._looking = None
        late = self._loop.time() - PATIENCE_S
        for device, box in list(self._boxes.items()):
            if box.is_busy:
                continue
            box.is_busy = True
            while box.waiting and isinstance(first := box.waiting[0], _Place) and first.since < late:
                box.waiting.popleft()
                first.ended(first.work.is_over)
            box.is_busy = False
            self._go_on(device)
        if self._boxes:
            self._looking = self._loop.call_later(_LOOK_S, self._look)
