"""Many Electrons, as a process of their own, on one server process: all come online, and all answer."""

import asyncio
import logging
import time
from pathlib import Path

import pytest

from tests.processes import cloudchamber
from tests.whole.story import Story

log = logging.getLogger(__name__)

FIRST = 0xA000
READERS = 16


@pytest.mark.parametrize(
    ("count", "online_s", "read_s"), [(300, 30, 20), pytest.param(10_000, 180, 120, marks=pytest.mark.soak)]
)
async def test_many_electrons_stay_online_and_answer(
    count: int, online_s: float, read_s: float, tmp_path: Path
) -> None:
    with cloudchamber.serve(tmp_path, "--log-level", "warning") as server:
        async with Story(server.url) as story:
            product = await story.product(await story.user(), platform_id=10)
            ids = [f"{FIRST + number:024x}" for number in range(count)]
            await story.import_devices(product, ids)
            started = time.monotonic()
            fleet = ("--protocol", "udp", "--count", str(count), "--id", ids[0], "--product", str(product.id))
            with cloudchamber.simulate(tmp_path, *fleet, "--version", "1") as devices:
                await asyncio.to_thread(devices.wait_for, f"online {count} of {count}", online_s)
                log.info("%d online after %.1f s", count, time.monotonic() - started)
                for _ in range(2):
                    started = time.monotonic()
                    async with asyncio.timeout(read_s):
                        await read_all(
                            story, product.token, [f"/v1/products/{product.id}/devices/{id_}/motd" for id_ in ids]
                        )
                    log.info("%d read in %.1f s", count, time.monotonic() - started)
                # Nobody went away meanwhile, not even for a moment: it would have been said.
                with pytest.raises(AssertionError, match="no line"):
                    await asyncio.to_thread(devices.wait_for, "nothing of the kind", 0.5)
                assert [line for line in devices.lines if line.endswith(f"online {count} of {count}")] == devices.lines[
                    -1:
                ]
                assert server.process.poll() is None


async def read_all(story: Story, token: str, paths: list[str]) -> None:
    left = iter(paths)

    async def reader() -> None:
        for path in left:
            assert (await story.ok("GET", path, token))["result"] == "hello from a virtual device"

    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(reader())
