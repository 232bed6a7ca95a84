"""kill -9 at the worst moments: between the asking for record numbers, their being on disk, and their use."""

import asyncio
import random
import shutil
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloudchamber.simulator import firmware as firmwares
from cloudchamber.simulator.device import State, VirtualDevice
from cloudchamber.simulator.udp import UdpNetwork
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from tests.gateway.cloud import ID, Screen, until
from tests.gateway.udp_cloud import Relay, protected_numbers

ROOT = Path(__file__).parents[2]
LIVES = ["never", "after", "before", "sent", "never"]


async def start(database: Path, key: Path, port: int, when: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.whole.crashing_cloud", str(database), str(key), str(port), when),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return process, int(await process.stdout.readline())


@pytest.mark.parametrize("device_os", ["2.3.1", "6.2.0"])
async def test_no_record_number_is_used_twice_whenever_the_process_is_killed(
    device_os: str, migrated_file: Path, tmp_path: Path
) -> None:
    database = Path(shutil.copy(migrated_file, tmp_path / "cloudchamber.db"))
    key = generate_private_key(SECP256R1())
    key_file = tmp_path / "server.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    relay, port = Relay(), 0
    lives: list[list[tuple[bytes, int]]] = []
    process, port = await start(database, key_file, port, LIVES[0])
    await relay.start(port)
    network = UdpNetwork("127.0.0.1", relay.port, key.public_key(), generate_private_key(SECP256R1()))
    setup = DeviceSetup(bytes.fromhex(ID), PROFILES[device_os], platform_id=10)
    device = VirtualDevice(setup, network, firmwares.Counter, Screen(), random.Random(1))
    running = asyncio.create_task(device.run())
    try:
        for number, when in enumerate(LIVES):
            if number:
                process, _ = await start(database, key_file, port, when)
            heard = len(relay.from_cloud)
            if when == "never":
                # It answers: what is said in this life is acknowledged.
                await until(lambda heard=heard: says_something(device) and len(relay.from_cloud) > heard + 3, 60)  # type: ignore[misc]
                process.kill()
            else:
                await until(lambda process=process: says_something(device) and process.returncode is not None, 60)  # type: ignore[misc]
            await process.wait()
            await asyncio.sleep(0.05)
            lives.append(protected_numbers(relay.from_cloud[heard:]))
        assert device.state is State.ONLINE
        assert network.handshakes == 1, "the device noticed nothing"
    finally:
        device.drop()
        device.stop()
        await running
        relay.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
    every = [found for life in lives for found in life]
    assert len({nonce for nonce, _ in every}) == len({number for _, number in every}) == len(every)
    # Whoever died before numbers were on disk, or before it used them, had said nothing.
    assert [bool(life) for life in lives] == [when not in ("before", "after") for when in LIVES]
    # Numbers that were reserved and never used are gone for good.
    blocks = [{number // 1024 for _, number in life} for life in lives]
    assert [min(block) for block in blocks if block] == [0, 2, 3]


def says_something(device: VirtualDevice) -> bool:
    """Always true: a device that keeps talking, as far as its own rate limit lets it."""
    device.publish("alpha", "1")
    return True
