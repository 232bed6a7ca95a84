"""RSA for many handshakes, in threads of its own.

An operation takes a third of a millisecond, in which the library lets go of the interpreter's lock. An executor, with a
future on each side of it, takes as long as all else in a handshake. And what lies between two operations is little, but
takes several times as long when they have driven its code and data out of the processor's caches each time. So a thread
takes some handshakes in hand together: the first operation of each, what follows it in each, and so on. Results come
back together, and the loop is woken once for all that are there by then.

A thread steps back after each operation: these take whatever time a core has, and where it is shared with the loop,
nobody there has to wait for longer than one of them takes. So there is a thread on a single core as well.
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

TOGETHER: Final = 16
"""Handshakes that a thread has in hand at a time, 5 ms for an operation of each; and that go on in one turn of the
loop."""

_STOP_TIMEOUT_S: Final = 5.0
_CAN_STEP_BACK: Final = hasattr(os, "sched_yield")


class Crypto:
    """Belongs to the loop on which it was made. Who asks bounds how much waits."""

    def __init__(self, threads: int) -> None:
        """`threads`: 1 or more."""
        assert threads > 0
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False
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
        self._jobs.put((work, done))

    def stop(self) -> None:
        """What waits is not done any more, and nobody is called."""
        self._is_stopped = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT_S)

    # --- on the loop ---

    def _tell(self) -> None:
        # Each goes on with a handshake, so all others have their turn in between.
        for _ in range(TOGETHER):
            if not self._done or self._is_stopped:
                break
            done, result = self._done.popleft()
            try:
                done(result)
            except Exception:
                log.exception("what came of a handshake's RSA could not be used")
        # Not told before it is looked whether there is more: a thread that is done in between tells anew.
        self._is_told = False
        if self._done and not self._is_stopped and not self._is_told:
            self._is_told = True
            self._loop.call_soon(self._tell)

    # --- in a thread ---

    def _work(self) -> None:
        while self._do(self._some()):
            """What is done is not held while there is nothing to do."""

    def _some(self) -> list[tuple[_Job, Any]]:
        """A thread's share of what waits, each with what it is sent first. Empty: it is over."""
        job = self._jobs.get()
        if job is None:
            return []
        some: list[tuple[_Job, Any]] = [(job, None)]
        for _ in range(min(self._jobs.qsize() // len(self._threads), TOGETHER - 1)):
            try:
                job = self._jobs.get(block=False)
            except queue.Empty:
                break
            if job is None:
                return []
            some.append((job, None))
        return some

    def _do(self, some: list[tuple[_Job, Any]]) -> bool:
        """False: it is over."""
        if not some:
            return False
        while some:
            operations = self._go_on(some)
            if self._done and not self._is_told:
                self._is_told = True
                try:
                    self._loop.call_soon_threadsafe(self._tell)
                except RuntimeError:  # the loop is closed
                    return False
            some = []
            for operation, job in operations:
                if self._is_stopped:
                    return False
                try:
                    some.append((job, operation()))
                except Exception:
                    log.exception("RSA of a handshake failed")
                if _CAN_STEP_BACK:
                    os.sched_yield()
        return True

    def _go_on(self, some: list[tuple[_Job, Any]]) -> list[tuple[Operation, _Job]]:
        """The next operations; who has none is done."""
        operations: list[tuple[Operation, _Job]] = []
        for job, result in some:
            try:
                operations.append((job[0].send(result), job))
            except StopIteration as end:
                self._done.append((job[1], end.value))
            except Exception:
                log.exception("RSA of a handshake failed")
        return operations


def threads_for(wanted: int) -> int:
    """One where the process has one core, whatever is wanted; and never none."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return 1 if cores == 1 else max(wanted, 1)
