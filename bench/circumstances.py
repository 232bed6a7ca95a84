"""What else the machine does: a benchmark on a busy machine says little, and its reader has to know."""

import os
import time
from pathlib import Path
from typing import Final

from bench.report import Circumstances

_LOOK_S: Final = 1.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Watch:
    """Begins before a section, while nothing of ours runs: that takes a second."""

    def __init__(self) -> None:
        before, started = _ticks(), time.monotonic()
        time.sleep(_LOOK_S)
        after, took = _ticks(), time.monotonic() - started
        self.busy_cores = (after.busy - before.busy) / _TICKS / took
        self._load_average = os.getloadavg()[0]
        self._began, self._started = after, time.monotonic()

    def ended(self, settings: str) -> Circumstances:
        now, took = _ticks(), time.monotonic() - self._started
        stolen = 100 * (now.stolen - self._began.stolen) / _TICKS / took / (os.cpu_count() or 1)
        return Circumstances(took, self._load_average, self.busy_cores, stolen, settings)


class _ticks:  # noqa: N801
    """The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal."""

    def __init__(self) -> None:
        words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        self.stolen = words[7]
        self.busy = sum(words) - words[3] - words[4]
