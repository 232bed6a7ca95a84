"""What a device that is online and silent costs in memory, by the server process's own account.

The long form is `python -m bench sessions`. What the process needs once, as the caches of its databases, is grown when
the first devices are there, and not counted.
"""

import sys
from pathlib import Path

import pytest

from bench import udp
from bench.udp_devices import Devices

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and the C library's figures")

FIRST, MORE = 300, 1_000
SMALL_BYTES = 1_700
"""Seen: 1,300. A session that stays awake takes 4,000 more."""
LARGE_BYTES = 2_000
"""Seen: 1,300, which are pages of the database that are still to be cached; of 10,000 devices each takes 270."""
RESIDENT_BYTES = 8_000
"""Seen: 5,700: of so few devices most are awake at one time. Of 10,000 each takes 2,600."""


def test_a_silent_device_costs_little(tmp_path: Path) -> None:
    with udp.place(tmp_path / "here", "uvloop", FIRST + MORE) as here, Devices() as devices:

        def silent(count: int) -> udp.Memory:
            udp.wait(here, "cloudchamber_udp_sessions", 0, 60)
            assert udp.figures(here)["cloudchamber_udp_dozing"] == count
            return udp.memory(here)

        devices.run(here.order("online", FIRST, 32))
        before = silent(FIRST)
        devices.run(here.order("online", MORE, 32))
        after = silent(FIRST + MORE)
    assert (after.small - before.small) / MORE <= SMALL_BYTES
    assert (after.large - before.large) / MORE <= LARGE_BYTES
    assert (after.resident - before.resident) / MORE <= RESIDENT_BYTES
