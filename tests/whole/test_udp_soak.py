"""Many Electrons, as a process of their own, on one server process: all come online, stay, and answer."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.processes import Serving, cloudchamber
from tests.whole.story import Story

log = logging.getLogger(__name__)

FIRST = 0xA000
READERS = 16
MOTD = "hello from a virtual device"


@pytest.mark.parametrize(
    ("count", "online_s", "wait_s", "read_s", "resident_bytes"),
    [(300, 60, 8, 30, 60_000), pytest.param(10_000, 300, 120, 150, 4_500, marks=pytest.mark.soak)],
)
async def test_many_electrons_stay_online_and_answer(
    count: int, online_s: float, wait_s: float, read_s: float, resident_bytes: int, tmp_path: Path
) -> None:
    """Each publishes an event every minute. `resident_bytes`: for each, of the server's process; when there are few,
    most of it is for what is needed once. Eight minutes for 10,000, on two cores with some other work."""
    with cloudchamber.serve(tmp_path, "--log-level", "warning") as server:
        async with Story(server.url) as story:
            product = await story.product(await story.user(), platform_id=10)
            ids = [f"{FIRST + number:024x}" for number in range(count)]
            await story.import_devices(product, ids)
        paths = [f"/v1/products/{product.id}/devices/{id_}/motd" for id_ in ids]
        before = metric(server, "process_resident_memory_bytes")
        started = time.monotonic()
        fleet = ("--protocol", "udp", "--count", str(count), "--id", ids[0], "--product", str(product.id))
        with cloudchamber.simulate(tmp_path, *fleet, "--version", "1") as devices:
            await asyncio.to_thread(devices.wait_for, f"online {count} of {count}", online_s)
            log.info("%d online after %.1f s", count, time.monotonic() - started)
            for _ in range(2):
                await asyncio.sleep(wait_s)
                assert metric(server, "cloudchamber_devices_online") == count
                started = time.monotonic()
                async with asyncio.timeout(read_s):
                    await read_all(server.url, product.token, paths)
                log.info("%d read in %.1f s", count, time.monotonic() - started)
            await asyncio.sleep(wait_s)
            resident = (metric(server, "process_resident_memory_bytes") - before) / count
            log.info("%.0f bytes resident for each", resident)
            assert resident <= resident_bytes
            assert metric(server, "cloudchamber_devices_online") == count
            # Nobody went away meanwhile, not even for a moment: it would have been said.
            with pytest.raises(AssertionError, match="no line"):
                await asyncio.to_thread(devices.wait_for, "nothing of the kind", 0.5)
            assert [line for line in devices.lines if line.endswith(f"online {count} of {count}")] == devices.lines[-1:]
            assert server.process.poll() is None


def metric(server: Serving, name: str) -> float:
    lines = httpx.get(f"{server.metrics}/metrics", timeout=30, trust_env=False).raise_for_status().text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def read_all(url: str, token: str, paths: list[str]) -> None:
    """Over plain connections, for a client that does more for each request would take more time than the cloud."""
    left = iter(paths)
    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(_read(url, token, left))


async def _read(url: str, token: str, left: Iterator[str]) -> None:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    for path in left:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(size)
        assert head.startswith("http/1.1 200 "), (path, head, body)
        assert json.loads(body)["result"] == MOTD
    writer.close()
    await writer.wait_closed()
