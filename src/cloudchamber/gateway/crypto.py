"""RSA for many handshakes: in threads of its own, or on the loop's where there is no core for another.

An operation takes a third of a millisecond, in which the library lets go of the interpreter's lock. An executor, with a
future on each side of it, takes as long as all else in a handshake. So results come back together here: the loop is
woken once for all that are there by then.

Where a process has a single core, a thread only adds switches to it. Then the loop does one operation in each of its
turns, between whatever else is to be done. What lies between the operations is little beside them, but takes several
times as long when the operations have driven its code and data out of the processor's caches each time. So it is done
for some handshakes together, in a turn of its own.
"""

import asyncio
import logging
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[[], Any]
Work = Generator[Operation, Any, T]
"""Yields each operation that takes long, is sent what comes of it, and returns the result. Neither it nor an operation
may raise: nobody would hear of it but the log."""
_Job = tuple[Work[Any], Callable[[Any], None]]

TOLD_AT_ONCE: Final = 8
"""Handshakes that go on in one turn of the loop."""

_STOP_TIMEOUT_S: Final = 5.0


class Crypto:
    """Belongs to the loop on which it was made. Who asks bounds how much waits."""

    def __init__(self, threads: int) -> None:
        """`threads` 0: on the loop's own."""
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False
        self._waiting: deque[tuple[Operation, _Job]] = deque()
        """For the loop; else they are in `_jobs`, and with their results in `_done`."""
        self._operated: list[tuple[Any, _Job]] = []
        """What came of an operation that the loop did, for whom."""
        self._turns = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._is_told = False
        self._threads = [
            threading.Thread(target=self._work, name=f"crypto-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, done: Callable[[T], None], work: Work[T]) -> None:
        """`done` is called with what `work` returns, on the loop and never before this returns."""
        if self._threads:
            self._jobs.put((work, done))
            return
        try:
            operation = next(work)
        except StopIteration as end:
            self._loop.call_soon(done, end.value)
            return
        self._waiting.append((operation, (work, done)))
        if not self._turns:
            self._turns = True
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        """What waits is not done any more, and nobody is called."""
        self._is_stopped = True
        self._waiting.clear()
        self._operated.clear()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT_S)

    # --- on the loop ---

    def _turn(self) -> None:
        """One operation, or what lies between them for those that have come so far."""
        if self._is_stopped:
            return
        if self._waiting and len(self._operated) < TOLD_AT_ONCE:
            operation, job = self._waiting.popleft()
            try:
                self._operated.append((operation(), job))
            except Exception:
                log.exception("RSA of a handshake failed")
        else:
            self._go_on()
        self._turns = bool(self._waiting or self._operated)
        if self._turns:
            self._loop.call_soon(self._turn)

    def _go_on(self) -> None:
        operated, self._operated = self._operated, []
        following = []
        for result, job in operated:
            if self._is_stopped:
                return
            work, done = job
            try:
                following.append((work.send(result), job))
            except StopIteration as end:
                self._tell_one(done, end.value)
            except Exception:
                log.exception("RSA of a handshake failed")
        # Whoever is half through comes first: it waits shorter, and so is here for a shorter time.
        self._waiting.extendleft(reversed(following))

    def _tell_one(self, done: Callable[[Any], None], result: Any) -> None:
        try:
            done(result)
        except Exception:
            log.exception("what came of a handshake's RSA could not be used")

    def _tell(self) -> None:
        # Each goes on with a handshake, so all others have their turn in between.
        for _ in range(TOLD_AT_ONCE):
            if not self._done or self._is_stopped:
                break
            self._tell_one(*self._done.popleft())
        # Not told before it is looked whether there is more: a thread that is done in between tells anew.
        self._is_told = False
        if self._done and not self._is_stopped and not self._is_told:
            self._is_told = True
            self._loop.call_soon(self._tell)

    # --- in a thread ---

    def _work(self) -> None:
        while self._do(self._jobs.get()):
            """What is done is not held while there is nothing to do."""

    def _do(self, job: _Job | None) -> bool:
        if job is None or self._is_stopped:
            return False
        work, done = job
        try:
            self._done.append((done, _through(work)))
        except Exception:
            log.exception("RSA of a handshake failed")
            return True
        if not self._is_told:
            self._is_told = True
            try:
                self._loop.call_soon_threadsafe(self._tell)
            except RuntimeError:  # the loop is closed
                return False
        return True


def _through(work: Work[T]) -> T:
    result: Any = None
    while True:
        try:
            operation = work.send(result)
        except StopIteration as end:
            found: T = end.value
            return found
        result = operation()


def threads_for(wanted: int) -> int:
    """No thread where the process has one core, whatever is wanted."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return 0 if cores == 1 else wanted
