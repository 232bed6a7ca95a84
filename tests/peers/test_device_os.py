"""Real Device OS firmware, built for this machine (its gcc platform), against a whole cloud.

CLOUDCHAMBER_DEVICE_OS names a binary, or a folder of `vdev-<version>` files. How to build them is Device OS's own
matter. The firmware's application is expected to have an int variable and a function of one string, to publish an event
every few seconds, and to subscribe to events that begin with `testEvent`. This platform never reads a port, so the
cloud listens on 5683 and 5684.

It takes an update as far as this platform does: up to 3.x it writes the file to `output.bin` and ends its program; from
4.0 on it reads the module, tells of it from then on, and starts anew. It speaks the legacy protocol, or version 3 where
it was built with `HAL_PLATFORM_OTA_PROTOCOL_V3`: over datagrams alone, for its streams have no room for the answers.
"""

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloudchamber.gateway.server_keys import load_or_make
from cloudchamber.settings import Address
from cloudchamber.testing import Cloud
from cloudchamber.wire.keys import ServerAddress, build_server_key_file
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update.module import Function, build_module
from tests.gateway.udp_cloud import Relay
from tests.whole.story import Story

NAMED = os.environ.get("CLOUDCHAMBER_DEVICE_OS", "")
ANY_PORT = Address("127.0.0.1", 0)
TCP, UDP = Address("127.0.0.1", 5683), Address("127.0.0.1", 5684)

SESSION = "session"
GCC = 3
"""The number of this platform."""
NEW_VERSION = 6299
"""Of the module that updates bring: what this platform tells of itself is one monolithic module."""
SAYS_VERSION_3, RESTARTS = b"Received UpdateStart request", "Saved module info to"
"""Of its log."""
# Its socket layer binds UDP to a multicast address, from which no answer reaches it.
CANNOT_UDP = {"vdev-0.7.0"}


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


def flash(binary: Path, data: Path, folder: Path, transport: Transport) -> None:
    """Makes the device: its program, its key, and the server's key and address."""
    pair = load_or_make(data)
    public = (pair.tcp if transport is Transport.TCP else pair.udp).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    address = TCP if transport is Transport.TCP else UDP
    folder.mkdir(exist_ok=True)
    (folder / "server.key").write_bytes(
        build_server_key_file(transport, der, ServerAddress(address.host, address.port))
    )
    key = (
        rsa.generate_private_key(65_537, 1024)
        if transport is Transport.TCP
        else ec.generate_private_key(ec.SECP256R1())
    )
    (folder / "device.key").write_bytes(
        key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    shutil.copy(binary, folder / "vdev")


@contextlib.asynccontextmanager
async def switched_on(folder: Path, device_id: str, transport: Transport) -> AsyncIterator[Firmware]:
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(folder / "vdev"),
            f"--device_id={device_id}",
            "--device_key=device.key",
            "--server_key=server.key",
            f"--protocol={transport.value}",
            "-v",
            "70",
            cwd=folder,
            # Where a build keeps its session over a reboot, as real devices do in retained memory.
            env={**os.environ, "HAL_SESSION_FILE": str(folder / SESSION)},
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


@contextlib.asynccontextmanager
async def running(binary: Path, data: Path, folder: Path, transport: Transport) -> AsyncIterator[Firmware]:
    flash(binary, data, folder, transport)
    async with switched_on(folder, secrets.token_hex(12), transport) as firmware:
        yield firmware


async def claim(story: Story, token: str, firmware: Firmware, timeout_s: float = 40) -> None:
    """Waits until the device is online, and takes it."""
    async with asyncio.timeout(timeout_s):
        while (await story.ask("POST", "/v1/devices", token, data={"id": firmware.id})).status_code != 200:
            assert firmware.process.returncode is None, firmware.log()[-3000:]
            await asyncio.sleep(0.2)


async def hears_the_device(story: Story, token: str, device: str) -> None:
    """What the application publishes comes out of its owner's stream."""
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/v1/devices/{device}/events"
    async with asyncio.timeout(20), story.http.stream("GET", path, headers=headers, timeout=None) as stream:
        name = ""
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and not name.startswith(("spark/", "particle/", "testEvent")):
                assert json.loads(line.removeprefix("data: "))["coreid"] == device
                return
    raise AssertionError("the stream ended")


async def everything_works(story: Story, token: str, firmware: Firmware, event: str) -> None:
    """Variables of each type, a function, ping, signal, an event."""
    device = firmware.id
    async with asyncio.timeout(20):
        while not (described := await story.ok("GET", f"/v1/devices/{device}", token))["functions"]:
            await asyncio.sleep(0.1)
    assert described["connected"] is True
    types = {"int32": "int", "double": "float", "string": "str", "bool": "bool"}
    assert "int32" in described["variables"].values()
    for name, kind in described["variables"].items():
        value = (await story.ok("GET", f"/v1/devices/{device}/{name}", token))["result"]
        assert type(value).__name__ == types[kind]
    function = "lightsOn" if "lightsOn" in described["functions"] else described["functions"][0]
    called = await story.ok("POST", f"/v1/devices/{device}/{function}", token, data={"arg": "livingRoom"})
    assert isinstance(called["return_value"], int)
    assert (await story.ok("PUT", f"/v1/devices/{device}/ping", token, json={})) == {"online": True, "ok": True}
    assert (await story.ok("PUT", f"/v1/devices/{device}", token, json={"signal": "1"}))["signaling"] is True
    # The device subscribes when its application has set up.
    published = {"name": "testEvent", "data": event, "private": "true"}
    async with asyncio.timeout(20):
        while f"testEventHandler called {event}" not in firmware.log():
            await story.ok("POST", "/v1/devices/events", token, data=published)
            await asyncio.sleep(0.5)
    await hears_the_device(story, token, device)
    assert firmware.process.returncode is None, firmware.log()[-3000:]


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_over_tcp(binary: Path, tmp_path: Path) -> None:
    """Comes online, is claimed, answers variables and a function, and hears an event."""
    async with Cloud(tcp=TCP) as cloud, Story(cloud.url) as story:
        async with running(binary, cloud.data, tmp_path / "device", Transport.TCP) as firmware:
            token = await story.user()
            await claim(story, token, firmware)
            await everything_works(story, token, firmware, "from-the-cloud")


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_over_udp(binary: Path, tmp_path: Path) -> None:
    """The same over DTLS, and once more after a restart of the cloud, of which the device notices nothing."""
    if binary.name in CANNOT_UDP:
        pytest.skip(f"{binary.name} binds UDP to a multicast address: no answer can reach it")
    data = tmp_path / "data"
    async with contextlib.AsyncExitStack() as stack:
        async with Cloud(udp=UDP, data=data) as cloud, Story(cloud.url) as story:
            firmware = await stack.enter_async_context(running(binary, data, tmp_path / "device", Transport.UDP))
            token = await story.user()
            await claim(story, token, firmware)
            await everything_works(story, token, firmware, "before-the-restart")
        async with Cloud(udp=UDP, data=data) as cloud, Story(cloud.url) as story:
            # The application publishes every few seconds: that brings the session back, without a handshake.
            async with asyncio.timeout(15):
                while not (await story.ok("GET", f"/v1/devices/{firmware.id}", token))["connected"]:
                    await asyncio.sleep(0.1)
            await everything_works(story, token, firmware, "after-the-restart")
            metrics = await story.http.get(f"http://{cloud.listening.metrics}/metrics")
            assert 'cloudchamber_udp_handshakes_total{result="done"} 0.0' in metrics.text
            # Sent away, it makes a new session at once.
            cloud.cloud.disconnect_devices()
            async with asyncio.timeout(15):
                while 'cloudchamber_udp_handshakes_total{result="done"} 1.0' not in metrics.text:
                    metrics = await story.http.get(f"http://{cloud.listening.metrics}/metrics")
                while not (await story.ok("GET", f"/v1/devices/{firmware.id}", token))["connected"]:
                    await asyncio.sleep(0.1)
            await everything_works(story, token, firmware, "after-the-new-session")


async def handshakes(story: Story, cloud: Cloud) -> int:
    metrics = await story.http.get(f"http://{cloud.listening.metrics}/metrics")
    found = re.search(r'cloudchamber_udp_handshakes_total\{result="done"\} (\d+)', metrics.text)
    assert found
    return int(found[1])


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_reboots_with_its_saved_session(binary: Path, tmp_path: Path) -> None:
    """Power off and on: no handshake, a new port, and everything works as before."""
    if binary.name in CANNOT_UDP:
        pytest.skip(f"{binary.name} binds UDP to a multicast address: no answer can reach it")
    folder, device_id = tmp_path / "device", secrets.token_hex(12)
    async with Cloud(udp=UDP) as cloud, Story(cloud.url) as story:
        flash(binary, cloud.data, folder, Transport.UDP)
        token = await story.user()
        async with switched_on(folder, device_id, Transport.UDP) as firmware:
            await claim(story, token, firmware)
            await everything_works(story, token, firmware, "before-the-reboot")
        if not (folder / SESSION).exists():
            pytest.skip(f"{binary.name} was built without a session file: it cannot keep its session over a reboot")
        made, path = await handshakes(story, cloud), f"/v1/devices/{device_id}"
        heard = (await story.ok("GET", path, token))["last_heard"]
        async with switched_on(folder, device_id, Transport.UDP) as firmware:
            # To the cloud it was online all the time, at the port of before: what is asked until it is heard is lost.
            async with asyncio.timeout(30):
                while (await story.ok("GET", path, token))["last_heard"] == heard:
                    await asyncio.sleep(0.1)
            await everything_works(story, token, firmware, "after-the-reboot")
        assert await handshakes(story, cloud) == made


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_on_a_network_that_loses_30_percent(binary: Path, tmp_path: Path) -> None:
    """Each way, for two minutes. Applications put each question once, and have an answer but where the device gave its
    session up: it does when one of its messages was lost four times, and comes back with a handshake."""
    if binary.name in CANNOT_UDP:
        pytest.skip(f"{binary.name} binds UDP to a multicast address: no answer can reach it")
    relay, now = Relay(), asyncio.get_running_loop().time
    async with Cloud(udp=ANY_PORT) as cloud, Story(cloud.url) as story:
        relay.port = UDP.port
        await relay.start(cloud.listening.udp.port)
        relay.loss = 0.3
        try:
            async with running(binary, cloud.data, tmp_path / "device", Transport.UDP) as firmware:
                token = await story.user()
                await claim(story, token, firmware, 120)
                path, variable = f"/v1/devices/{firmware.id}", ""
                outcomes: list[int] = []
                until = now() + 300
                while now() < until and firmware.process.returncode is None:
                    if variable:
                        asked = [story.ask("GET", f"{path}/{variable}", token) for _ in range(4)]
                        outcomes += [answer.status_code for answer in await asyncio.gather(*asked)]
                    elif known := (await story.ok("GET", path, token))["variables"]:
                        variable, until = next(name for name, kind in known.items() if kind == "int32"), now() + 120
                    await asyncio.sleep(0.5)
                if firmware.process.returncode is not None:
                    pytest.skip(f"{binary.name} crashed: this platform does where it has lost its session and no DNS")
                made = await handshakes(story, cloud)
        finally:
            relay.close()
    answered = outcomes.count(200)
    assert answered > 20
    assert len(outcomes) - answered <= 8 * (made - 1), f"{answered} of {len(outcomes)}, {made} handshakes"


@contextlib.asynccontextmanager
async def flash_statuses(story: Story, token: str) -> AsyncIterator[list[str]]:
    """What the owner's stream tells of updates."""
    statuses: list[str] = []
    opened = asyncio.Event()

    async def listen() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with story.http.stream("GET", "/v1/devices/events/spark", headers=headers, timeout=None) as stream:
            name = ""
            async for line in stream.aiter_lines():
                opened.set()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: ") and name == "spark/flash/status":
                    statuses.append(json.loads(line.removeprefix("data: "))["data"])

    listening = asyncio.create_task(listen())
    try:
        await asyncio.wait_for(opened.wait(), 10)
        yield statuses
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.parametrize("transport", list(Transport), ids=lambda transport: transport.value)
@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_takes_an_update(binary: Path, transport: Transport, tmp_path: Path) -> None:
    """From the upload to the restart: the device has the file, byte for byte, and works again."""
    if transport is Transport.UDP and binary.name in CANNOT_UDP:
        pytest.skip(f"{binary.name} binds UDP to a multicast address: no answer can reach it")
    if transport is Transport.TCP and SAYS_VERSION_3 in binary.read_bytes():
        pytest.skip(f"{binary.name} speaks version 3, for which its streams have no room")
    folder, device_id = tmp_path / "device", secrets.token_hex(12)
    data = build_module(
        secrets.token_bytes(40_000), platform_id=GCC, function=Function.MONOLITHIC, index=0, version=NEW_VERSION
    )
    listener = {"tcp": TCP} if transport is Transport.TCP else {"udp": UDP}
    async with Cloud(update_delay_s=0.1, **listener) as cloud, Story(cloud.url) as story:
        flash(binary, cloud.data, folder, transport)
        token = await story.user()
        async with flash_statuses(story, token) as statuses, contextlib.AsyncExitStack() as stack:
            firmware = await stack.enter_async_context(switched_on(folder, device_id, transport))
            await claim(story, token, firmware)
            await everything_works(story, token, firmware, "before-the-update")
            files = {"file": ("firmware.bin", data)}
            answer = await story.ok("PUT", f"/v1/devices/{device_id}", token, files=files)
            assert answer == {"id": device_id, "status": "Update started"}
            async with asyncio.timeout(30):
                while firmware.process.returncode is None and RESTARTS not in firmware.log():
                    await asyncio.sleep(0.1)
            written = folder / "output.bin"
            if firmware.process.returncode is not None:
                assert firmware.process.returncode == 0, firmware.log()[-3000:]
                assert written.read_bytes() == data
                firmware = await stack.enter_async_context(switched_on(folder, device_id, transport))
            else:
                assert f'Applying module update: function: "m", index: 0, version: {NEW_VERSION}' in firmware.log()
            async with asyncio.timeout(60):
                while len(statuses) < 2:
                    await asyncio.sleep(0.1)
            assert statuses == ["started firmware.bin", "success firmware.bin"]
            async with asyncio.timeout(60):
                # Over datagrams it counts as connected all the while.
                while (await story.ask("GET", f"/v1/devices/{device_id}/counter", token)).status_code != 200:
                    await asyncio.sleep(0.5)
            await everything_works(story, token, firmware, "after-the-update")


@pytest.mark.parametrize("binary", binaries(), ids=lambda path: path.name)
async def test_real_firmware_with_another_key_is_refused(binary: Path, tmp_path: Path) -> None:
    """A device id whose key is on record is not to be had with another key."""
    async with Cloud(tcp=TCP) as cloud, Story(cloud.url) as story:
        async with running(binary, cloud.data, tmp_path / "device", Transport.TCP) as firmware:
            token = await story.user()
            await claim(story, token, firmware)
            with sqlite3.connect(cloud.data / "cloudchamber.db") as db:
                db.execute("UPDATE device_keys SET public_key = zeroblob(162)")
            cloud.cloud.disconnect_devices()
            async with asyncio.timeout(20):
                while (await story.ok("GET", f"/v1/devices/{firmware.id}", token))["connected"]:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(5)
            assert not (await story.ok("GET", f"/v1/devices/{firmware.id}", token))["connected"]
