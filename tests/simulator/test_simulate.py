"""`cloudchamber simulate` as people start it: a process of its own."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.cli.simulate import simulate
from cloudchamber.ids import DeviceId
from cloudchamber.wire.events import FunctionReturned
from tests.gateway.cloud import SmallCloud, device_id, start_cloud, until

START = [sys.executable, "-c", "from cloudchamber.cli.simulate import simulate; simulate()"]


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[SmallCloud]:
    key: RSAPrivateKey = generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "server.pem").write_bytes(pem)
    async with start_cloud(key, generate_private_key(65537, 1024)) as cloud:
        yield cloud


@asynccontextmanager
async def simulated(cloud: SmallCloud, folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *START, "--server", f"127.0.0.1:{cloud.port}", "--server-key", str(folder / "server.pem"),
        "--keys", str(folder / "keys"), *options, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def end(process: asyncio.subprocess.Process, number: int = signal.SIGTERM) -> str:
    process.send_signal(number)
    out, _ = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    return out.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_device(cloud: SmallCloud, tmp_path: Path, number: int) -> None:
    device = DeviceId("00000000000000000000beef")
    cloud.inbox.claim_codes.add("a code")
    options = ("--id", device.upper(), "--product", "42", "--version", "3", "--claim-code", "a code")
    async with simulated(cloud, tmp_path, *options) as process:
        await until(lambda: device in cloud.inbox.descriptions, 20)
        (hello,) = (call[2] for call in cloud.inbox.told if call[1] == "online")
        assert (hello.product_id, hello.product_version, hello.platform_id) == (42, 3, 6)
        assert await cloud.hub.call_function(device, "brew", "8", 5) == FunctionReturned(8)
        assert cloud.hub.send_event(
            device, "testEvent", b"testing!", ttl_s=60, is_private=True, is_own=True, source=None
        )
        await until(lambda: "claim_code" in cloud.inbox.names(device))
        await cloud.hub.ping(device, 5)
        out = await end(process, number)
    assert "testEventHandler called testing!\n" in out
    assert re.search(rf"^\d\d:\d\d:\d\d {device} online$", out, re.MULTILINE)
    assert f"{device} claimed" in out
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [f"{device}.tcp.der"]
    await until(lambda: not cloud.inbox.online_now)


async def test_many_devices_count_up_and_keep_their_keys(cloud: SmallCloud, tmp_path: Path) -> None:
    for _ in range(2):
        cloud.inbox.descriptions.clear()
        options = ("--id", f"{10:024x}", "--count", "12", "--firmware", "tinker", "--device-os", "6.2.0")
        async with simulated(cloud, tmp_path, *options) as process:
            await until(lambda: len(cloud.inbox.descriptions) == 12, 20)
            assert set(cloud.inbox.descriptions) == {device_id(number) for number in range(10, 22)}
            outcome = await cloud.hub.call_function(device_id(15), "digitalwrite", "D7 HIGH", 5)
            assert outcome == FunctionReturned(1)
            out = await end(process)
        assert "online 12 of 12" in out
        assert len(out.splitlines()) < 15
        await until(lambda: not cloud.inbox.online_now)


async def test_it_stops_at_once_while_nothing_answers(cloud: SmallCloud, tmp_path: Path) -> None:
    await cloud.gateway.stop()
    async with simulated(cloud, tmp_path) as process:
        assert process.stdout is not None
        assert b"connecting to" in await asyncio.wait_for(process.stdout.readline(), 20)
        assert "stopped" in await end(process)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id", "xyz"], "24 hex digits"),
        (["--count", "0"], "--count"),
        (["--firmware", "none"], "counter"),
        (["--product", "65536"], "--product"),
        ([], "no cloud's data folder"),
        (["--server-key", "missing.der"], "missing.der"),
    ],
)
def test_what_cannot_be_simulated(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(simulate, options)
    assert found.exit_code != 0
    assert message in found.output
