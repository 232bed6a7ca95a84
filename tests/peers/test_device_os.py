"""Real Device OS firmware, built for this machine (its gcc platform), against a whole cloud.

CLOUDCHAMBER_DEVICE_OS names a binary, or a folder of `vdev-<version>` files. How to build them is Device OS's own
matter. The firmware's application is expected to have an int variable and a function of one string, and to subscribe
to events that begin with `testEvent`. This platform never reads a port, so the cloud listens on 5683.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloudchamber.gateway.server_keys import load_or_make
from cloudchamber.settings import Address
from cloudchamber.testing import Cloud
from cloudchamber.wire.keys import ServerAddress, build_server_key_file
from cloudchamber.wire.transport import Transport
from tests.whole.story import Story

NAMED = os.environ.get("CLOUDCHAMBER_DEVICE_OS", "")
PORT = 5683


def binaries() -> list[Path]:
    if not NAMED:
        return []
    path = Path(NAMED)
    found = sorted(path.glob("vdev-*")) if path.is_dir() else [path]
    return [binary for binary in found if binary.is_file() and os.access(binary, os.X_OK)]


pytestmark = pytest.mark.skipif(
    not binaries(),
    reason="no Device OS firmware: name a binary or a folder of vdev-<version> in CLOUDCHAMBER_DEVICE_OS",
)


@dataclass
class Firmware:
    id: str
    process: asyncio.subprocess.Process
    folder: Path

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@contextlib.asynccontextmanager
async def running(binary: Path, cloud: Cloud, folder: Path) -> AsyncIterator[Firmware]:
    device_id = secrets.token_hex(12)
    public = load_or_make(cloud.data).tcp.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(exist_ok=True)
    (folder / "server.key").write_bytes(build_server_key_file(Transport.TCP, public, ServerAddress("127.0.0.1", PORT)))
    key = rsa.generate_private_key(65_537, 1024)
    (folder / "device.key").write_bytes(
        key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    shutil.copy(binary, folder / "vdev")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(folder / "vdev"),
            f"--device_id={device_id}",
            "--device_key=device.key",
            "--server_key=server.key",
            "--protocol=tcp",
            "-v",
            "70",
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Firmware(device_id, process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_over_tcp(binary: Path, tmp_path: Path) -> None:
    """Comes online, is claimed, answers a variable and a function, and hears an event."""
    async with Cloud(tcp=Address("127.0.0.1", PORT)) as cloud, Story(cloud.url) as story:
        async with running(binary, cloud, tmp_path / "device") as firmware:
            device = firmware.id
            token = await story.user()
            async with asyncio.timeout(40):
                while (await story.ask("POST", "/v1/devices", token, data={"id": device})).status_code != 200:
                    assert firmware.process.returncode is None, firmware.log()[-3000:]
                    await asyncio.sleep(0.2)
            async with asyncio.timeout(20):
                while not (described := await story.ok("GET", f"/v1/devices/{device}", token))["functions"]:
                    await asyncio.sleep(0.1)
            assert described["connected"] is True
            ints = [name for name, kind in described["variables"].items() if kind == "int32"]
            assert isinstance((await story.ok("GET", f"/v1/devices/{device}/{ints[0]}", token))["result"], int)
            for name, kind in described["variables"].items():
                value = (await story.ok("GET", f"/v1/devices/{device}/{name}", token))["result"]
                assert (
                    type(value).__name__ == {"int32": "int", "double": "float", "string": "str", "bool": "bool"}[kind]
                )
            function = "lightsOn" if "lightsOn" in described["functions"] else described["functions"][0]
            called = await story.ok("POST", f"/v1/devices/{device}/{function}", token, data={"arg": "livingRoom"})
            assert isinstance(called["return_value"], int)
            assert (await story.ok("PUT", f"/v1/devices/{device}/ping", token, json={})) == {"online": True, "ok": True}
            signal = await story.ok("PUT", f"/v1/devices/{device}", token, json={"signal": "1"})
            assert signal["signaling"] is True
            # The device subscribes when its application has set up.
            event = {"name": "testEvent", "data": "from-the-cloud", "private": "true"}
            async with asyncio.timeout(20):
                while "from-the-cloud" not in firmware.log():
                    await story.ok("POST", "/v1/devices/events", token, data=event)
                    await asyncio.sleep(0.5)
            assert firmware.process.returncode is None, firmware.log()[-3000:]


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_with_another_key_is_refused(binary: Path, tmp_path: Path) -> None:
    """A device id whose key is on record is not to be had with another key."""
    async with Cloud(tcp=Address("127.0.0.1", PORT)) as cloud, Story(cloud.url) as story:
        async with running(binary, cloud, tmp_path / "device") as firmware:
            token = await story.user()
            async with asyncio.timeout(40):
                while (await story.ask("POST", "/v1/devices", token, data={"id": firmware.id})).status_code != 200:
                    await asyncio.sleep(0.2)
            with sqlite3.connect(cloud.data / "cloudchamber.db") as db:
                db.execute("UPDATE device_keys SET public_key = zeroblob(162)")
            cloud.cloud.disconnect_devices()
            async with asyncio.timeout(20):
                while (await story.ok("GET", f"/v1/devices/{firmware.id}", token))["connected"]:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(5)
            assert not (await story.ok("GET", f"/v1/devices/{firmware.id}", token))["connected"]
