"""RSA for many handshakes: in threads of its own, or on the loop's where there is no core for another.

An operation takes a third of a millisecond, in which the library lets go of the interpreter's lock. An executor, with a
future on each side of it, takes as long as all else in a handshake. So results come back together here: the loop is
woken once for all that are there by then.

Where a process has a single core, a thread only adds switches to it. Then the loop does one piece of work in each of
its turns, between whatever else is to be done: one operation, or both of a device whose key is in memory.
"""

import asyncio
import logging
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
_Job = tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], None]]

TOLD_AT_ONCE: Final = 8
"""Results in one turn of the loop."""

_STOP_TIMEOUT_S: Final = 5.0


class Crypto:
    """Belongs to the loop on which it was made. Who asks bounds how much waits."""

    def __init__(self, threads: int) -> None:
        """`threads` 0: on the loop's own."""
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False
        self._waiting: deque[_Job] = deque()
        """For the loop; else they are in `_jobs`, and with their results in `_done`."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._is_told = False
        self._threads = [
            threading.Thread(target=self._work, name=f"crypto-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, done: Callable[[T], None], work: Callable[..., T], *args: Any) -> None:
        """`done` is called with what `work(*args)` gives, on the loop and never before this returns. `work` must not
        raise: nobody would hear of it but the log."""
        job = (work, args, done)
        if self._threads:
            self._jobs.put(job)
            return
        self._waiting.append(job)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        """What waits is not done any more, and nobody is called."""
        self._is_stopped = True
        self._waiting.clear()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT_S)

    # --- on the loop ---

    def _turn(self) -> None:
        if not self._waiting:
            return
        work, args, done = self._waiting[0]
        try:
            done(work(*args))
        finally:
            # Last, so that `submit` in between begins no second chain.
            if self._waiting:
                self._waiting.popleft()
            if self._waiting:
                self._loop.call_soon(self._turn)

    def _tell(self) -> None:
        # Each goes on with a handshake, so all others have their turn in between.
        for _ in range(TOLD_AT_ONCE):
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
        while self._do(self._jobs.get()):
            """What is done is not held while there is nothing to do."""

    def _do(self, job: _Job | None) -> bool:
        if job is None or self._is_stopped:
            return False
        work, args, done = job
        try:
            self._done.append((done, work(*args)))
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


def threads_for(wanted: int) -> int:
    """No thread where the process has one core, whatever is wanted."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return 0 if cores == 1 else wanted
