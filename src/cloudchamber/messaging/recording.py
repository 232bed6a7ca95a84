"""Events on their way to the record, which devices and applications wait for.

A device's event waits there without a future and a task of its own: that took longer than to write it down.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator
from functools import partial
from typing import Any


class Recording:
    """Ends once, well when `error` is None. One may wait for it: by `await`, which raises the error, or by `then`."""

    __slots__ = ("_then", "error", "is_over")

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_over = False
        self._then: Callable[[], None] | None = None

    def end(self, error: Exception | None = None) -> None:
        assert not self.is_over
        self.is_over, self.error = True, error
        then, self._then = self._then, None
        if then is not None:
            then()

    def then(self, call: Callable[[], None]) -> None:
        """`call` is called when it is over: at once where it is."""
        assert self._then is None
        if self.is_over:
            call()
        else:
            self._then = call

    def __await__(self) -> Generator[Any, None, None]:
        if not self.is_over:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(partial(_wake, future))
            yield from future
        if self.error is not None:
            raise self.error


class Kept:
    """A device's event that is being put on record. Once `recording` is over, `finish` does the rest, and gives whether
    the event was taken; to call this waits for the one and does the other."""

    __slots__ = ("finish", "recording")

    def __init__(self, recording: Recording, finish: Callable[[], bool]) -> None:
        self.recording = recording
        self.finish = finish

    async def __call__(self) -> bool:
        with contextlib.suppress(Exception):  # `finish` knows of it
            await self.recording
        return self.finish()


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():  # who waited may be gone
        future.set_result(None)
