"""Password hashing, off the event loop, in a bounded pool of its own.

A hash takes about 23 ms of a core and 47 MiB (argon2id with OWASP's first parameter set). In the loop it would stop
every device and every request for that long; in an unbounded pool a log-in flood would take all memory. So there is a
small pool, a bounded queue in front of it, and a clear refusal when that is full. The pool's threads give way to the
rest of the process where both want the same core.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cloudchamber.identity.errors import PasswordsBusy

T = TypeVar("T")

# Two seconds of work for one worker: whoever waits longer has given up.
_MAX_WAITING = 100


@cache
def common_words() -> frozenset[str]:
    """The packaged list of what is guessed first."""
    text = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


# Against a thread of the usual priority that wants the same core all the time it still gets a tenth of it: then a
# log-in takes a quarter of a second.
_NICENESS = 10


def _give_way() -> None:
    """Of the thread that calls it; on Linux each has a priority of its own. Elsewhere it would be the process's."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it started nicer than that, and may not go back
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class Passwords:
    def __init__(self, workers: int) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="password", initializer=_give_way)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises PasswordsBusy."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """False for a wrong password and for an account without one, in the same time.

        Raises PasswordsBusy.
        """
        right = await self._run(self._verify, stored, password)
        return right and stored is not None

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @cached_property
    def _nobody(self) -> str:
        """Checked in place of an account that does not exist, so that both answers take the same time."""
        return self._hasher.hash("nobody has this password")

    def _verify(self, stored: str | None, password: str) -> bool:
        nobody = self._nobody  # made by the first check of all, whichever account that is about
        try:
            return self._hasher.verify(stored or nobody, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *args: str | None) -> T:
        if self._waiting >= _MAX_WAITING:
            raise PasswordsBusy("Too many log-ins at once: try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        finally:
            self._waiting -= 1
