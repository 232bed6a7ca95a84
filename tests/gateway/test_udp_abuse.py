"""What strangers, eavesdroppers and floods can do to the UDP gateway: nothing that a device would notice."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from cloudchamber.gateway import udp as udp_module
from cloudchamber.gateway.udp import UdpLimits
from cloudchamber.gateway.udp_session import UdpSession
from cloudchamber.ids import DeviceId
from cloudchamber.resumption.model import SavedSession
from cloudchamber.simulator.device import State
from cloudchamber.wire.dtls.client import ClientSetup, DtlsClient
from cloudchamber.wire.dtls.endpoint import Endpoint
from cloudchamber.wire.dtls.handshake_messages import HELLO_VERIFY_REQUEST
from cloudchamber.wire.events import Acknowledged, FunctionReturned, VariableRead
from tests.gateway.cloud import ID, device_id, until
from tests.gateway.udp_cloud import IN_FLIGHT, UdpCloud, start_udp_cloud

DIALECTS = ["2.3.1", "3.3.1", "6.2.0"]


def hello(udp: UdpCloud) -> bytes:
    setup = ClientSetup(os.urandom(12), generate_private_key(SECP256R1()), udp.key.public_key())
    return DtlsClient(setup, entropy=os.urandom, now=0.0).datagrams_to_send(0.0)[0]


async def test_a_flood_of_first_hellos_leaves_nothing_behind_and_devices_do_not_notice(udp: UdpCloud) -> None:
    device = await udp.online()
    stranger = await udp.stranger()
    first = hello(udp)
    waited: list[int] = []

    async def ping() -> None:
        asked_at = udp.gateway.datagrams_in
        assert await udp.hub.ping(ID, 30) == Acknowledged()
        waited.append(udp.gateway.datagrams_in - asked_at)

    def flood() -> Iterator[bytes]:
        for number in range(50_000):
            # 32 bytes of random after the headers and the version: each is another client's.
            yield first[:27] + number.to_bytes(32, "big") + first[59:]
            if number % 1_000 == 0:
                pings.append(asyncio.ensure_future(ping()))

    pings: list[asyncio.Future[None]] = []
    await stranger.pour(udp.gateway, flood())
    await asyncio.gather(*pings)
    await until(lambda: udp.gateway.counters.hello_verify_requests == 50_001)  # one is the device's own
    assert udp.gateway.counters.handshakes_started == 1
    assert (udp.gateway.sessions, udp.gateway.strangers) == (1, 0)
    assert udp.gateway._endpoint.handshake_count == 0
    assert device.state is State.ONLINE
    assert device.network.handshakes == 1
    # No question of a device waits longer than for the datagrams that were there before it, on both ways.
    assert len(waited) == 50
    assert max(waited) <= 4 * IN_FLIGHT


async def test_a_cookie_is_worth_nothing_after_two_rotations_and_devices_do_not_notice(
    store_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotations: list[bytes] = []
    rotate = Endpoint.rotate_cookie_secret

    def counted(endpoint: Endpoint, secret: bytes) -> None:
        rotations.append(secret)
        rotate(endpoint, secret)

    monkeypatch.setattr(Endpoint, "rotate_cookie_secret", counted)
    monkeypatch.setattr(udp_module, "COOKIE_LIFETIME_S", 0.5)
    async with start_udp_cloud(store_file, UdpLimits(sweep_s=0.02)) as udp:
        stranger = await udp.stranger()
        setup = ClientSetup(os.urandom(12), generate_private_key(SECP256R1()), udp.key.public_key())
        client = DtlsClient(setup, entropy=os.urandom, now=0.0)
        stranger.send(client.datagrams_to_send(0.0)[0])
        await until(lambda: stranger.heard)
        client.receive_datagram(stranger.heard.pop(), 0.0)
        (with_cookie,) = client.datagrams_to_send(0.0)
        count = len(rotations)
        await until(lambda: len(rotations) >= count + 2)
        stranger.send(with_cookie)
        await until(lambda: stranger.heard)
        assert stranger.heard[0][13] == HELLO_VERIFY_REQUEST
        assert udp.gateway.counters.handshakes_started == 0
        device = await udp.online()
        count = len(rotations)
        await until(lambda: len(rotations) >= count + 2)
        assert await udp.hub.ping(ID, 5) == Acknowledged()
        assert device.network.handshakes == 1
        assert len(set(rotations)) == len(rotations)


@pytest.mark.parametrize("device_os", DIALECTS)
async def test_what_was_recorded_on_the_way_is_worth_nothing_elsewhere(udp: UdpCloud, device_os: str) -> None:
    """Neither played back nor altered does it draw an answer, or move the session; not after a restart either."""
    relay = await udp.relay()
    device = await udp.online(device_os=device_os, port=relay.port)
    stranger = await udp.stranger()
    assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
    device.drop()  # it comes back in a resumed session, so that there are marked records too
    await until(lambda: device.state is not State.ONLINE)
    await until(lambda: device.state is State.ONLINE)
    assert await udp.hub.call_function(ID, "brew", "6", 5) == FunctionReturned(6)
    for _ in range(2):
        session = udp.hub.session(ID)
        assert isinstance(session, UdpSession)
        before = session.dtls.address
        protected = [data for data in relay.from_devices if data[3:5] == b"\0\1"]
        assert len(protected) > 5
        played_back = list(protected)
        for datagram in protected:
            played_back.append(datagram[:-5] + bytes((datagram[-5] ^ 1,)) + datagram[-4:])
            number = int.from_bytes(datagram[5:11], "big") + 100_000
            played_back.append(datagram[:5] + number.to_bytes(6, "big") + datagram[11:])
        await stranger.pour(udp.gateway, played_back)
        await asyncio.sleep(0.1)
        assert session.dtls.address == before
        assert stranger.heard == []
        assert await udp.hub.call_function(ID, "brew", "7", 5) == FunctionReturned(7)
        await udp.restart()
        # Nobody but the stranger has spoken since: the device is not taken for online.
        await stranger.pour(udp.gateway, protected)
        await asyncio.sleep(0.1)
        assert not udp.hub.is_online(ID)
        assert stranger.heard == []
        assert device.publish("alpha", "1")
        await until(lambda: udp.hub.is_online(ID))
    assert device.network.handshakes == 1


async def test_made_up_sessions_cost_reads_and_nothing_else(udp: UdpCloud) -> None:
    await udp.online()
    stranger = await udp.stranger()
    commits = udp.saved._db.commits  # type: ignore[attr-defined]

    def made_up() -> Iterator[bytes]:
        for number in range(5_000):
            cid = os.urandom(8)
            yield b"\x19\xfe\xfd\0\1" + number.to_bytes(6, "big") + cid + b"\0\x28" + os.urandom(0x28)
            plain = b"\xfe\xfd\0\1" + number.to_bytes(6, "big") + b"\0\x20" + os.urandom(0x20)
            yield b"\x17" + plain
            yield b"\xfe" + plain + os.urandom(12) + b"\x0c"

    await stranger.pour(udp.gateway, made_up())
    assert await udp.hub.ping(ID, 5) == Acknowledged()
    assert (udp.gateway.sessions, udp.gateway.strangers) == (1, 0)
    assert udp.gateway._endpoint.session_count == 1
    assert udp.saved._db.commits == commits  # type: ignore[attr-defined]
    assert stranger.heard == []


@pytest.mark.parametrize("dozes", [False, True])
async def test_whoever_names_a_sleeping_devices_session_does_not_wake_it(store_file: Path, dozes: bool) -> None:
    """A connection id is no secret: forged records of it cost a read each, or none, and leave nothing in memory."""
    async with start_udp_cloud(store_file, UdpLimits(awake_s=0.1, sweep_s=0.05)) as udp:
        await forge_records(udp, dozes=dozes)


async def forge_records(udp: UdpCloud, *, dozes: bool) -> None:
    relay = await udp.relay()
    device = await udp.online(device_os="6.2.0", port=relay.port)
    if dozes:
        await until(lambda: udp.gateway.dozing == 1)
    else:
        await udp.restart()
    commits = udp.saved._db.commits  # type: ignore[attr-defined]
    stranger = await udp.stranger()
    known = next(data for data in relay.from_devices if data[:1] == b"\x19")
    for number in range(100_000, 100_100):
        record = known[:5] + number.to_bytes(6, "big") + known[11:21] + os.urandom(len(known) - 21)
        await stranger.pour(udp.gateway, [record])
    await asyncio.sleep(0.1)
    assert udp.gateway.counters.forged > 0
    assert udp.gateway.sessions == udp.gateway._endpoint.session_count == 0
    assert udp.gateway.dozing == dozes
    assert udp.saved._db.commits == commits  # type: ignore[attr-defined]
    assert device.publish("alpha", "1")
    await until(lambda: "published" in udp.inbox.names(ID))
    assert udp.hub.is_online(ID)
    assert device.network.handshakes == 1


async def test_handshakes_without_a_hello_crowd_out_each_other(store_file: Path) -> None:
    async with start_udp_cloud(store_file, UdpLimits(max_strangers=5)) as udp:
        await udp.online()
        for number in range(20):
            stranger = await udp.stranger()
            key = generate_private_key(SECP256R1())
            client = DtlsClient(ClientSetup(os.urandom(12), key, udp.key.public_key()), entropy=os.urandom, now=0.0)
            async with asyncio.timeout(5):
                while not client.is_open:
                    for data in client.datagrams_to_send(0.0):
                        stranger.send(data)
                    await asyncio.sleep(0.002)
                    for data in stranger.heard:
                        client.receive_datagram(data, 0.0)
                    stranger.heard.clear()
            assert udp.gateway.strangers == min(number + 1, 5)
        assert udp.gateway.sessions == 6
        assert await udp.hub.ping(ID, 5) == Acknowledged()


async def test_a_fleet_that_waits_for_the_cloud_is_not_crowded_out(store_file: Path) -> None:
    """Devices that said Hello and have no answer yet, because the database is slow, are no strangers."""
    async with start_udp_cloud(store_file, UdpLimits(max_strangers=5)) as udp:

        async def slowly(_device: DeviceId, name: str) -> None:
            await asyncio.sleep(0.5 if name == "online" else 0)

        udp.inbox.before = slowly
        devices = []
        for number in range(40):
            devices.append(udp.device(device_id(number)))
            await until(lambda: udp.gateway.counters.handshakes_done == len(devices))
        await until(lambda: len(udp.hub.devices()) == 40, 20)
        await until(lambda: all(device.state is State.ONLINE for device in devices))
        assert udp.handshakes == 40


async def test_memory_for_sessions_is_bounded(store_file: Path) -> None:
    """More devices than there is room for: those that spoke last are there, the others come back when they speak."""
    async with start_udp_cloud(store_file, UdpLimits(max_sessions=10)) as udp:
        devices = [await udp.online(device_id(number)) for number in range(20)]
        assert udp.gateway.sessions == udp.gateway._endpoint.session_count == 10
        for number, device in enumerate(devices):
            assert device.publish("alpha", "1")
            await until(lambda number=number: udp.hub.is_online(device_id(number)))  # type: ignore[misc]
            assert isinstance(await udp.hub.read_variable(device_id(number), "counter", 5), VariableRead)
        assert udp.gateway.sessions <= 10
        assert all(device.network.handshakes == 1 for device in devices)


async def test_sessions_that_wait_for_the_store_do_not_exceed_the_bound(store_file: Path) -> None:
    """Whoever makes room does so at once, even while the store has not answered for it."""
    async with start_udp_cloud(store_file, UdpLimits(max_sessions=5)) as udp:
        answers = asyncio.Event()
        save = udp.saved.save

        async def slowly(session: SavedSession) -> None:
            await answers.wait()
            await save(session)

        udp.saved.save = slowly  # type: ignore[method-assign]
        for number in range(20):
            udp.device(device_id(number))
            await until(lambda number=number: udp.inbox.count("online") == number + 1)  # type: ignore[misc]
            assert udp.gateway.sessions == udp.gateway._endpoint.session_count == min(number + 1, 5)
        answers.set()
        await until(lambda: all(udp.hub.is_online(device_id(number)) for number in range(15, 20)))
        for number in range(15, 20):
            assert await udp.hub.ping(device_id(number), 30) == Acknowledged()
        assert udp.gateway.sessions == udp.gateway._endpoint.session_count == 5


async def test_a_session_that_made_room_comes_back_once_its_store_has_answered(store_file: Path) -> None:
    """Not from what the store held before: a write that is still on its way would undo what comes after."""
    async with start_udp_cloud(store_file, UdpLimits(max_sessions=1)) as udp:
        device = await udp.online()
        answers, writes, reads = asyncio.Event(), [], []
        save, by_address = udp.saved.save, udp.saved.by_address

        async def slowly(session: SavedSession) -> None:
            if session.device == ID and not writes:
                writes.append(session)
                await answers.wait()
            await save(session)

        async def read(address: str) -> SavedSession | None:
            found = await by_address(address)
            if found is not None and found.device == ID:
                reads.append(found)
            return found

        udp.saved.save = slowly  # type: ignore[method-assign]
        udp.saved.by_address = read  # type: ignore[method-assign]
        session = udp.hub.session(ID)
        assert isinstance(session, UdpSession)
        session.store()
        await until(lambda: writes)
        other = await udp.online(device_id(1))
        assert not udp.hub.is_online(ID)
        assert device.publish("alpha", "1")
        await until(lambda: reads)
        await asyncio.sleep(0.05)
        assert not udp.hub.is_online(ID)
        assert udp.hub.is_online(device_id(1))
        answers.set()
        await until(lambda: udp.hub.is_online(ID))
        assert len(reads) == 2
        assert device.network.handshakes == other.network.handshakes == 1
