"""Timers that follow the deadlines of cores, one for each connection."""

import asyncio
import heapq
import logging
from collections.abc import Callable
from itertools import count
from typing import Final

log = logging.getLogger(__name__)

EARLY_S: Final = 0.001
"""Loops count in milliseconds, and may wake us before the time. A core takes an early call for nothing."""

RUNG_AT_ONCE: Final = 32
"""Then the loop does what else there is to do: the deadlines of a fleet that came online together come together."""

MAX_EMPTY: Final = 256
"""Places of cancelled alarms that are not worth a sweep."""


class AlarmClock:
    """One timer of the event loop for any number of alarms: a timer of its own would take half a kilobyte for each.

    The place of one that is cancelled stays in the heap until its time, or until half of the places are empty.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int]] = []
        self._alarms: dict[int, Timed] = {}
        self._places = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        """How many are set."""
        return len(self._alarms)

    def set(self, alarm: "Timed", at: float) -> int:
        """Rings then, unless what this gives is cancelled before. `at` in the loop's time."""
        place = next(self._places)
        self._alarms[place] = alarm
        heapq.heappush(self._heap, (at, place))
        self._wind()
        return place

    def cancel(self, place: int) -> None:
        del self._alarms[place]
        if len(self._heap) > 2 * len(self._alarms) + MAX_EMPTY:
            self._heap = [each for each in self._heap if each[1] in self._alarms]
            heapq.heapify(self._heap)

    def _wind(self) -> None:
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._timer is not None:
            if at >= self._timer_at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._ring)
        self._timer_at = at

    def _ring(self) -> None:
        self._timer = None
        until, left = self._loop.time() + EARLY_S, RUNG_AT_ONCE
        try:
            while left and self._heap and self._heap[0][0] <= until:
                _, place = heapq.heappop(self._heap)
                alarm = self._alarms.pop(place, None)
                if alarm is not None:
                    left -= 1
                    alarm.ring()
        finally:
            # Also when one of them failed, which the loop then reports: it must not take the others with it.
            self._wind()


class Timed:
    """Is called at the deadline that was set last, or earlier: a core takes an early call for nothing.

    Deadlines mostly move away with each message. The place on the clock then stays as it is, and whoever set it looks
    again when it rings; so a busy connection does not take one for each of its messages.

    To be inherited from: an object beside it, with a way back, would be a circle that only the garbage collector frees.
    """

    __slots__ = ("_place", "_rings_at")

    def __init__(self) -> None:
        self._place: int | None = None
        self._rings_at = 0.0

    def _due(self) -> None:
        raise NotImplementedError

    def _set_deadline(self, clock: AlarmClock, deadline: float | None) -> None:
        """`deadline` in the loop's time; None: there is none."""
        if self._place is not None:
            if deadline is not None and deadline >= self._rings_at:
                return
            clock.cancel(self._place)
            self._place = None
        if deadline is not None:
            self._place = clock.set(self, deadline)
            self._rings_at = deadline

    def ring(self) -> None:
        """Told by the clock."""
        self._place = None
        self._due()


class Alarm(Timed):
    """Calls `ring` at the deadline."""

    __slots__ = ("_clock", "_ring")

    def __init__(self, clock: AlarmClock, ring: Callable[[], None]) -> None:
        super().__init__()
        self._clock = clock
        self._ring = ring

    def set(self, deadline: float | None) -> None:
        self._set_deadline(self._clock, deadline)

    def _due(self) -> None:
        self._ring()
