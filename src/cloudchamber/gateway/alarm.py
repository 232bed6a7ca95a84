"""One timer that follows a core's deadline."""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` at the deadline that was set last, or earlier: a core takes an early call for nothing.

    Deadlines mostly move away with each message. The timer then stays as it is, and whoever set it looks again when it
    rings; so a busy connection does not make a timer for each of its messages.
    """

    __slots__ = ("_at", "_loop", "_ring", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def set(self, deadline: float | None) -> None:
        """`deadline` in the loop's time; None: there is none."""
        if self._timer is not None:
            if deadline is not None and deadline >= self._at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._rings)
            self._at = deadline

    def _rings(self) -> None:
        self._timer = None
        self._ring()
