"""`cloudchamber simulate --protocol udp` as people start it, and what it keeps between two starts."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvloop
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.cli.simulate import simulate
from cloudchamber.simulator import fleet
from cloudchamber.simulator.device import VirtualDevice
from cloudchamber.simulator.firmware import Firmware
from cloudchamber.simulator.keys import KeyUnusable, device_key, server_key
from cloudchamber.simulator.target import find_target
from cloudchamber.simulator.udp import KeptSession, UdpLine, UdpNetwork
from cloudchamber.storage.migrate import migrate
from cloudchamber.testing import Cloud, Recorder
from cloudchamber.wire.dtls.raw_keys import spki_of
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import FunctionReturned
from cloudchamber.wire.keys import ServerAddress, build_server_key_file
from cloudchamber.wire.session.device_state import DeviceState
from cloudchamber.wire.session.profile import DeviceSetup, profile_on
from cloudchamber.wire.transport import Transport
from tests.gateway.cloud import ID, device_id, until
from tests.gateway.udp_cloud import UdpCloud, start_udp_cloud
from tests.simulator.test_simulate import START, end


@pytest.fixture
async def udp(tmp_path: Path) -> AsyncIterator[UdpCloud]:
    file = tmp_path / "cloudchamber.db"
    await asyncio.to_thread(migrate, f"sqlite:///{file}")
    async with start_udp_cloud(file) as cloud:
        pem = cloud.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / "server.pem").write_bytes(pem)
        yield cloud


@asynccontextmanager
async def simulated(udp: UdpCloud, folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *START, "--protocol", "udp", "--server", f"127.0.0.1:{udp.port}", "--server-key", str(folder / "server.pem"),
        "--keys", str(folder / "keys"), *options, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_device_that_is_started_again_goes_on_with_its_session(udp: UdpCloud, tmp_path: Path) -> None:
    file = tmp_path / "keys" / f"{ID}.udp.session"
    for count in (1, 2):
        async with simulated(udp, tmp_path, "--id", ID) as process:
            await until(lambda: udp.hub.is_online(ID), 20)
            assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
            assert not file.exists()
            out = await end(process)
        assert "online" in out
        assert file.stat().st_mode & 0o077 == 0
        assert udp.handshakes == 1
        assert udp.inbox.names(ID).count("online") == count
    assert udp.inbox.told[0][2].platform_id == 10
    # One that was killed left no session behind, and makes a new one.
    async with simulated(udp, tmp_path, "--id", ID) as process:
        await until(lambda: udp.hub.is_online(ID), 20)
        process.kill()
        await process.wait()
    async with simulated(udp, tmp_path, "--id", ID):
        await until(lambda: udp.handshakes == 2, 20)


async def test_sleep_move_and_loss(udp: UdpCloud, tmp_path: Path) -> None:
    options = ("--count", "5", "--id", device_id(1), "--sleep", "1", "--move", "--loss", "5")
    async with simulated(udp, tmp_path, *options) as process:
        await until(lambda: udp.gateway.counters.moved >= 5, 30)
        await end(process)
    assert udp.inbox.count("offline") >= 3


async def test_a_device_whose_goodbye_nobody_hears_is_switched_off_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its socket is closed (one left open fails the test), and its session is kept."""
    monkeypatch.setattr(fleet, "GOODBYE_TIMEOUT_S", 0.1)
    async with Cloud() as cloud:
        devices = await cloud.start_device(ID, protocol="udp")
        network = devices.all[0].network
        assert isinstance(network, UdpNetwork)
        network.loss = 1.0
        session = network.session_file
        assert session is not None
        await devices.stop()
        assert KeptSession.from_json(session.read_bytes()).uses == 0


@pytest.mark.parametrize(
    "options", [["--move"], ["--loss", "5"], ["--protocol", "udp", "--loss", "91"], ["--sleep", "0"]]
)
def test_options_that_make_no_sense(options: list[str]) -> None:
    ran = CliRunner().invoke(simulate, options)
    assert ran.exit_code == 2
    assert re.search(r"Error", ran.output)


def test_keys_and_address_of_udp(tmp_path: Path) -> None:
    key = device_key(tmp_path, ID, Transport.UDP)
    path = tmp_path / f"{ID}.udp.der"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 121  # SEC1, as firmware holds it
    assert device_key(tmp_path, ID, Transport.UDP).private_numbers() == key.private_numbers()
    path.write_bytes(b"no key")
    with pytest.raises(KeyUnusable, match="for UDP"):
        device_key(tmp_path, ID, Transport.UDP)
    server = generate_private_key(SECP256R1()).public_key()
    der = server.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    file = tmp_path / "server.der"
    file.write_bytes(build_server_key_file(Transport.UDP, der, ServerAddress("192.0.2.1")))
    target = find_target(data=tmp_path, server=None, server_key_file=file, transport=Transport.UDP)
    assert (target.host, target.port) == ("192.0.2.1", 5684)
    with pytest.raises(KeyUnusable, match="for TCP"):
        server_key(file)


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b'{"dtls": "00", "device": [], "uses": 0}', b"\xff"])
def test_a_session_file_that_cannot_be_read_is_none(junk: bytes) -> None:
    with pytest.raises(WireError):
        KeptSession.from_json(junk)


def session_of(server: EllipticCurvePublicKey) -> KeptSession:
    state = SessionState(
        *(bytes(32), bytes(48), bytes(32), bytes(8), 254, 7, 3, 0, spki_of(server), None, ("127.0.0.1", 1))
    )
    return KeptSession(state, DeviceState(1, 1, None, None, None))


def idle_device(network: UdpNetwork) -> VirtualDevice:
    setup = DeviceSetup(device_id=bytes.fromhex(ID), profile=profile_on("2.3.1", 10), platform_id=10)
    return VirtualDevice(setup=setup, network=network, make_firmware=Firmware, console=Recorder(), random=Random(1))


def open_sockets() -> int:
    return sum(os.readlink(fd).startswith("socket:") for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())


@pytest.mark.parametrize("cancel_at", ["taken", "made", "connected"])
@pytest.mark.parametrize("make_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_a_connect_that_is_given_up_keeps_the_session_and_closes_its_socket(
    make_loop: Callable[[], asyncio.AbstractEventLoop], cancel_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time limit cancels it, wherever it stands."""

    async def give_up() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.setblocking(False)
            server = generate_private_key(SECP256R1())
            key = generate_private_key(SECP256R1())
            network = UdpNetwork(
                *silent.getsockname(), server.public_key(), key, session_file=tmp_path / "session", moves=True
            )
            kept = session_of(server.public_key())
            network.keep(kept)
            device = idle_device(network)

            def cancelling(function: Callable[..., Any]) -> Callable[..., Any]:
                def then_cancel(*args: Any) -> Any:
                    result = function(*args)
                    connecting.cancel()
                    return result

                return then_cancel

            owner, name = {
                "taken": (UdpNetwork, "_take"),
                "made": (UdpLine, "__init__"),
                "connected": (UdpLine, "connection_made"),
            }[cancel_at]
            monkeypatch.setattr(owner, name, cancelling(getattr(owner, name)))
            before = open_sockets()
            connecting = loop.create_task(network.connect(device))
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await asyncio.sleep(0.05)
            assert open_sockets() == before
            again = network._take()
            assert again is not None
            assert again.dtls.id == kept.dtls.id
            # As it was, or with the numbers gone by that were used.
            assert again == kept or (again.uses == 1 and again.dtls.next_number > kept.dtls.next_number)
            if again == kept:
                with pytest.raises(BlockingIOError):
                    silent.recv(2000)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(give_up())


@pytest.mark.parametrize("make_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_where_the_last_port_is_taken_there_is_another_and_no_socket_is_left(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def take_another() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            silent.bind(("127.0.0.1", 0))
            server, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
            network = UdpNetwork(*silent.getsockname(), server.public_key(), key)
            before = open_sockets()
            (await network.connect(idle_device(network))).abort()
            await asyncio.sleep(0.05)
            other.bind(("127.0.0.1", network._local_port))
            line = await network.connect(idle_device(network))
            assert network._local_port != other.getsockname()[1]
            line.abort()
            await asyncio.sleep(0.05)
            assert open_sockets() == before

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(take_another())
