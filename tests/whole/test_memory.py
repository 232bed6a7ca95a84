"""What a device that is online and silent costs in memory, by the server process's own account.

The long form for datagrams is `python -m bench sessions`. What the process needs once is there with the first devices,
and not counted; but for the pages of the database, which go on to be cached until they are some megabytes.
"""

import sys
import time
from pathlib import Path

import httpx
import pytest

from bench import udp
from bench.scene import bearer
from bench.udp_devices import Devices
from tests.processes import cloudchamber

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and the C library's figures")

FIRST, MORE = 300, 1_000
SMALL_BYTES = 1_700
"""Seen: 1,300. A session that stays awake takes 4,000 more."""
LARGE_BYTES = 2_000
"""Seen: 1,300, which are pages of the database that are still to be cached; of 10,000 devices each takes 270."""
RESIDENT_BYTES = 8_000
"""Seen: 5,700: of so few devices most are awake at one time. Of 10,000 each takes 2,600."""


def test_a_silent_device_over_datagrams_costs_little(tmp_path: Path) -> None:
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


PHOTONS = 300
TCP_BYTES = 7_000
"""Seen: 6,000, and 4,100 once the ciphers of silent connections are gone, which takes 20 s."""


def test_a_silent_device_over_a_stream_costs_little(tmp_path: Path) -> None:
    """Each is a socket that the event loop holds, and none is packed. What connections took is free when they end."""
    folder = tmp_path / "here"
    ids = [f"{0xA0000 + number:024x}" for number in range(PHOTONS)]
    fleet = ("--protocol", "tcp", "--id", ids[0], "--count", str(PHOTONS))
    with udp.place(folder, "uvloop", 1) as here:
        devices = f"{here.url}/v1/products/{here.product}/devices"
        httpx.post(devices, headers=bearer(here.token), json={"ids": ids}, trust_env=False).raise_for_status()

        def used() -> int:
            time.sleep(3.0)
            return udp.memory(here).used

        with cloudchamber.simulate(folder, *fleet) as photons:
            photons.wait_for(f"online {PHOTONS} of {PHOTONS}")
            online = used()
        gone = used()
    assert (online - gone) / PHOTONS <= TCP_BYTES
