"""`cloudchamber simulate --protocol udp` as people start it, and what it keeps between two starts."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.cli.simulate import simulate
from cloudchamber.simulator import fleet
from cloudchamber.simulator.keys import KeyUnusable, device_key, server_key
from cloudchamber.simulator.target import find_target
from cloudchamber.simulator.udp import KeptSession, UdpNetwork
from cloudchamber.storage.migrate import migrate
from cloudchamber.testing import Cloud
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import FunctionReturned
from cloudchamber.wire.keys import ServerAddress, build_server_key_file
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
