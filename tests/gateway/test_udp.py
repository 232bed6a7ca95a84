"""Devices over DTLS: what they can do, how their sessions outlive them, and who is not let in."""

import asyncio
import collections
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from cloudchamber.gateway import udp as udp_module
from cloudchamber.gateway.dozing import Dozing
from cloudchamber.gateway.rules import offline_after_s
from cloudchamber.gateway.udp import UdpGateway, UdpLimits
from cloudchamber.gateway.udp_session import UdpSession
from cloudchamber.ids import DeviceId
from cloudchamber.simulator.device import State
from cloudchamber.simulator.firmware import Counter
from cloudchamber.wire.dtls.session import DtlsSession
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.events import Acknowledged, Disconnected, FunctionReturned, NotFound, VariableRead
from cloudchamber.wire.messages import Subscription
from cloudchamber.wire.reliability import CLOUD
from cloudchamber.wire.udp import connection as connection_module
from cloudchamber.wire.udp.connection import CloudDatagramSession
from cloudchamber.wire.udp.packed import PackedSession
from tests.circles import no_collector
from tests.gateway.cloud import ID, device_id, until
from tests.gateway.udp_cloud import UdpCloud, start_udp_cloud
from tests.loops import Turns

VERSIONS = ["0.7.0", "1.5.2", "2.3.1", "3.3.1", "4.0.2", "6.2.0"]


class Listener(Counter):
    subscriptions = (Subscription("testEvent"), Subscription("weather", own_devices=False))


def send(udp: UdpCloud, name: str, data: bytes, *, is_private: bool = True) -> bool:
    return udp.hub.send_event(ID, name, data, ttl_s=60, is_private=is_private, is_own=True, source=None)


@pytest.mark.parametrize("device_os", VERSIONS)
async def test_a_device_does_over_datagrams_all_that_it_does_over_a_stream(udp: UdpCloud, device_os: str) -> None:
    device = await udp.online(device_os=device_os)
    assert isinstance(await udp.hub.read_variable(ID, "counter", 5), VariableRead)
    assert await udp.hub.read_variable(ID, "nothing", 5) == NotFound()
    assert await udp.hub.call_function(ID, "brew", "7", 5) == FunctionReturned(7)
    assert await udp.hub.call_function(ID, "slow", "0.1", 5) == FunctionReturned(100)
    assert await udp.hub.ping(ID, 5) == Acknowledged()
    assert await udp.hub.signal(ID, on=True, timeout_s=5) == Acknowledged()
    await until(lambda: device.signals)
    await until(lambda: send(udp, "testEvent", b"hello"))
    await until(lambda: (ID, "testEventHandler called hello") in udp.screen.lines)
    assert device.publish("alpha", "1")
    await until(lambda: "alpha" in [call[2] for call in udp.inbox.told if call[1] == "published"])
    assert udp.hub.presented_key(ID) == udp.inbox.keys[ID]
    assert udp.inbox.told[0][3] == "127.0.0.1"
    await udp.switch_off(device)
    if device_os not in ("0.7.0", "1.5.2"):  # older ones cannot say goodbye
        await until(lambda: not udp.hub.is_online(ID))
        assert await udp.hub.ping(ID, 1) == Disconnected()


@pytest.mark.parametrize("device_os", VERSIONS)
async def test_a_restart_of_the_cloud_is_unseen(udp: UdpCloud, device_os: str) -> None:
    device = await udp.online(device_os=device_os, firmware=Listener)
    await until(lambda: send(udp, "testEvent", b"here"))
    wide = [] if device_os == "6.2.0" else [ID]  # it says of no subscription whose devices it means
    await until(lambda: list(udp.hub.public_subscribers()) == wide)
    before = len(udp.screen.states)
    for count in range(3):
        await udp.restart()
        assert not udp.hub.is_online(ID)
        assert device.publish("still", str(count))
        await until(lambda: udp.hub.is_online(ID))
        assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
        assert send(udp, "testEvent", str(count).encode())
        await until(lambda count=count: (ID, f"testEventHandler called {count}") in udp.screen.lines)  # type: ignore[misc]
        assert list(udp.hub.public_subscribers()) == wide
        assert udp.handshakes == 0
    assert len(udp.screen.states) == before, "the device noticed nothing"
    assert device.network.handshakes == 1
    published = [call[3] for call in udp.inbox.told if call[1] == "published" and call[2] == "still"]
    assert published == [b"0", b"1", b"2"]


@pytest.mark.parametrize("device_os", VERSIONS)
async def test_a_device_comes_back_from_sleep_at_another_address(udp: UdpCloud, device_os: str) -> None:
    device = await udp.online(device_os=device_os, moves=True)
    for _ in range(2):
        session = udp.hub.session(ID)
        assert isinstance(session, UdpSession)
        before = session.dtls.address
        device.sleep(0.1)
        await until(lambda: device.state is State.ASLEEP)
        await until(lambda: device.state is State.ONLINE)
        await until(lambda: udp.hub.is_online(ID))
        assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
        session = udp.hub.session(ID)
        assert isinstance(session, UdpSession)
        assert session.dtls.address != before
        # A command of the cloud finds it there as well, after a restart.
    assert device.network.handshakes == udp.handshakes == 1


async def test_a_device_asleep_and_moved_while_the_cloud_restarts(udp: UdpCloud) -> None:
    for number, device_os in enumerate(VERSIONS):
        await udp.online(device_id(number), device_os=device_os, moves=True)
    devices = list(udp._running)
    for device in devices:
        device.sleep(0.4)
    await until(lambda: all(device.state is State.ASLEEP for device in devices))
    await udp.restart()
    await until(lambda: all(device.state is State.ONLINE for device in devices))
    await until(lambda: len(udp.hub.devices()) == len(VERSIONS))
    for number in range(len(VERSIONS)):
        assert isinstance(await udp.hub.read_variable(device_id(number), "counter", 5), VariableRead)
    assert udp.handshakes == 0


async def test_a_reboot_goes_on_from_the_session_file(udp: UdpCloud, tmp_path: Path) -> None:
    file = tmp_path / "device.session"
    device = await udp.online(session_file=file)
    assert not file.exists(), "one that is gone on with is not to be had twice"
    await udp.switch_off(device)
    assert file.stat().st_mode & 0o077 == 0
    again = udp.device(session_file=file)
    await until(lambda: again.state is State.ONLINE)
    assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
    assert udp.handshakes == 1
    again.drop()
    await until(lambda: file.exists() or again.state is State.ONLINE)


async def test_a_second_device_of_the_same_id_and_another_key_gets_nothing(udp: UdpCloud) -> None:
    device = await udp.online()
    rival = udp.device(key=generate_private_key(SECP256R1()))
    await until(lambda: udp.handshakes == 2)
    await until(lambda: udp.gateway.sessions == 1)
    assert rival.state is State.CONNECTING
    assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
    assert device.state is State.ONLINE
    assert udp.inbox.names(ID).count("online") == 1
    await udp.restart()
    assert device.publish("alpha", "1")
    await until(lambda: udp.hub.is_online(ID))
    assert device.network.handshakes == 1


async def test_of_two_first_keys_the_one_on_record_wins(udp: UdpCloud) -> None:
    """Both are admitted while no key is on record; whoever comes second is refused without an answer."""
    gate = asyncio.Event()

    async def wait(_device: DeviceId, name: str) -> None:
        if name == "online":
            await gate.wait()

    udp.inbox.before = wait
    devices = [udp.device(key=generate_private_key(SECP256R1())) for _ in range(2)]
    await until(lambda: udp.handshakes == 2)
    await asyncio.sleep(0.1)
    assert [device.state for device in devices] == [State.CONNECTING] * 2, "no answer before the key is on record"
    gate.set()
    await until(lambda: udp.hub.is_online(ID))
    await until(lambda: udp.gateway.sessions == 1)
    # The answer leaves once the session is stored, which the refusal of the other does not wait for.
    await until(lambda: State.ONLINE in [device.state for device in devices])
    assert sorted(device.state.value for device in devices) == ["connecting", "online"]
    assert await udp.saved.by_device(ID) is not None


async def test_a_newer_session_takes_the_place_of_an_older_one(udp: UdpCloud) -> None:
    """The same device and key, with its saved session lost."""
    first = await udp.online()
    first.drop()
    again = udp.device()
    await until(lambda: again.state is State.ONLINE)
    await until(lambda: udp.gateway.sessions == 1)
    assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)


async def test_disconnecting_a_device_forces_a_handshake(udp: UdpCloud) -> None:
    device = await udp.online()
    udp.hub.disconnect(ID)
    await until(lambda: device.network.handshakes == 2)
    await until(lambda: udp.hub.is_online(ID))
    names = [name for name in udp.inbox.names(ID) if name in ("online", "offline")]
    assert names == ["online", "offline", "online"]
    udp.gateway.close_all()
    await until(lambda: device.network.handshakes == 3)


async def test_a_key_that_changed_while_the_device_slept_is_asked_for_anew(udp: UdpCloud) -> None:
    device = await udp.online()
    await udp.restart()
    recorded = udp.inbox.keys[ID]
    udp.inbox.keys[ID] = b"another"
    assert device.publish("alpha", "1")
    await until(lambda: device.network.handshakes == 2)  # close_notify reached it
    await until(lambda: udp.gateway.sessions == 0)
    assert not udp.hub.is_online(ID)
    assert await udp.saved.by_device(ID) is None
    udp.inbox.keys[ID] = recorded
    await udp.switch_off(device)
    await udp.online()


async def test_devices_on_a_bad_network_come_online_and_answer(udp: UdpCloud) -> None:
    """30 % each way. The time-outs are the real ones, so this looks at those with average luck."""
    for number in range(30):
        udp.device(device_id(number), loss=0.3)
    await until(lambda: len(udp.hub.devices()) >= 10, 20)
    reads = [asyncio.ensure_future(udp.hub.read_variable(device, "counter", 30)) for device in udp.hub.devices()]
    await until(lambda: sum(read.done() and isinstance(read.result(), VariableRead) for read in reads) >= 5, 20)
    for read in reads:
        read.cancel()


async def test_two_hundred_devices_all_answer_and_survive_a_restart(udp: UdpCloud) -> None:
    ids = [device_id(number) for number in range(200)]
    devices = [udp.device(device) for device in ids]
    await until(lambda: len(udp.inbox.descriptions) == 200, 30)
    for _ in range(2):
        reads = await asyncio.gather(*(udp.hub.read_variable(device, "counter", 10) for device in ids))
        assert all(isinstance(outcome, VariableRead) for outcome in reads)
        await udp.restart()
        assert all(device.publish("alpha", "1") for device in devices)
        await until(lambda: len(udp.hub.devices()) == 200, 30)
    assert udp.handshakes == 0


# --- silence ---


def test_silence_is_measured_by_what_a_platform_is_expected_to_say() -> None:
    assert offline_after_s(10) > 23 * 60
    assert offline_after_s(13) > 23 * 60
    assert 60 < offline_after_s(12) < 180
    assert offline_after_s(4711) == offline_after_s(10)


async def test_a_silent_device_is_offline_and_comes_back(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_module, "offline_after_s", lambda _: 0.3)
    async with start_udp_cloud(store_file, UdpLimits(awake_s=0.2, sweep_s=0.05)) as udp:
        device = await udp.online()
        await until(lambda: udp.inbox.names(ID).count("offline") == 1)
        assert not udp.hub.is_online(ID)
        assert device.publish("alpha", "1")
        await until(lambda: udp.inbox.names(ID).count("online") == 2)
        assert device.network.handshakes == 1


async def test_those_that_are_silent_together_leave_others_their_turn(
    store_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_module, "SWEPT_AT_ONCE", 2)
    turns, laid, given_up = Turns(), list[int](), list[int]()
    lie_down, go_offline = UdpGateway._lie_down, UdpSession.go_offline
    monkeypatch.setattr(UdpGateway, "_lie_down", lambda *of: laid.append(turns.number) or lie_down(*of))
    monkeypatch.setattr(UdpSession, "go_offline", lambda *of: given_up.append(turns.number) or go_offline(*of))
    async with start_udp_cloud(store_file, UdpLimits(awake_s=0.3, sweep_s=3600)) as udp:
        await asyncio.gather(*(udp.online(device_id(number)) for number in range(7)))
        await asyncio.sleep(0.4)
        with turns:
            udp.gateway._sweep()
            await until(lambda: udp.gateway.dozing == 7)
            assert (len(laid), max(collections.Counter(laid).values())) == (7, 2)
            monkeypatch.setattr(udp_module, "offline_after_s", lambda _: 0.0)
            udp.gateway._sweep()
            await until(lambda: len(given_up) == 7)
            assert max(collections.Counter(given_up).values()) == 2
        await until(lambda: not udp.inbox.online_now)


@pytest.fixture
async def drowsy(store_file: Path) -> UdpCloud:
    """Sessions lie down a third of a second after the last word."""
    async with start_udp_cloud(store_file, UdpLimits(awake_s=0.3, sweep_s=0.05)) as udp:
        yield udp


@pytest.mark.parametrize("device_os", VERSIONS)
async def test_a_quiet_session_is_packed_and_the_device_stays_online(drowsy: UdpCloud, device_os: str) -> None:
    udp = drowsy
    wide = [] if device_os == "6.2.0" else [ID]
    device = await udp.online(device_os=device_os, firmware=Listener)

    async def dozes() -> None:
        await until(lambda: udp.gateway.sessions == 0)
        assert isinstance(udp.hub.session(ID), Dozing)
        assert udp.gateway.dozing == 1
        assert udp.gateway._endpoint.session_count == 0
        assert list(udp.hub.public_subscribers()) == wide

    await dozes()
    assert await udp.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
    assert isinstance(udp.hub.session(ID), UdpSession)
    await dozes()
    assert isinstance(await udp.hub.read_variable(ID, "counter", 5), VariableRead)
    await dozes()
    assert not send(udp, "nobody/wants/this", b"")
    assert udp.gateway.sessions == 0
    assert send(udp, "testEvent", b"good morning")
    await until(lambda: (ID, "testEventHandler called good morning") in udp.screen.lines)
    await dozes()
    assert await udp.hub.ping(ID, 5) == Acknowledged()
    await dozes()
    assert device.publish("alpha", "1")
    await until(lambda: "alpha" in [call[2] for call in udp.inbox.told if call[1] == "published"])
    assert isinstance(udp.hub.session(ID), UdpSession)
    await dozes()
    assert udp.inbox.names(ID).count("online") == 1
    assert "offline" not in udp.inbox.names(ID)
    assert device.network.handshakes == 1
    udp.hub.disconnect(ID)
    await until(lambda: device.network.handshakes == 2)


async def test_many_who_ask_for_a_dozing_device_wake_it_once(drowsy: UdpCloud) -> None:
    await drowsy.online()
    await until(lambda: drowsy.gateway.sessions == 0)
    answers = await asyncio.gather(*(drowsy.hub.call_function(ID, "brew", str(n), 5) for n in range(20)))
    assert answers == [FunctionReturned(n) for n in range(20)]
    assert drowsy.gateway.sessions == 1


async def test_a_dozing_device_that_stays_silent_is_offline(drowsy: UdpCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    await drowsy.online()
    await until(lambda: drowsy.gateway.dozing == 1)
    monkeypatch.setattr(udp_module, "offline_after_s", lambda _: 0.5)
    await until(lambda: "offline" in drowsy.inbox.names(ID))
    assert not drowsy.hub.is_online(ID)
    assert drowsy.gateway.dozing == 0
    assert drowsy.gateway.sessions == 1, "what it said last is remembered for a minute"


async def test_a_device_that_is_gone_leaves_nothing_in_memory(
    drowsy: UdpCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has all of its session, the end of the replay window as well."""
    monkeypatch.setattr(connection_module, "CLOUD", CLOUD._replace(memory_s=0.5))
    monkeypatch.setattr(connection_module, "CLOUD_MEMORY_S", 0.5)
    with no_collector() as left:
        device = await drowsy.online()
        await until(lambda: drowsy.gateway.dozing == 1)
        assert left(UdpSession, DtlsSession, CloudDatagramSession) == []
        assert device.publish("alpha", "1")
        await until(lambda: "published" in drowsy.inbox.names(ID))
        await until(lambda: drowsy.gateway.dozing == 1)
        channel = next(iter(drowsy.gateway._dozing)).channel
        monkeypatch.setattr(udp_module, "offline_after_s", lambda _: 0.5)
        await until(lambda: "offline" in drowsy.inbox.names(ID))
        await until(lambda: drowsy.gateway.sessions == 0)
        assert drowsy.gateway._endpoint.session_count == drowsy.gateway.dozing == 0
        assert left(UdpSession, DtlsSession, CloudDatagramSession, Dozing, PackedSession) == []
    saved = await drowsy.saved.by_device(ID)
    assert saved is not None
    assert (
        SessionState.from_bytes_untrusted(saved.state).window_top
        == DtlsSession.unpack(channel, [], []).opener.window.top
    )
    assert device.publish("alpha", "2")
    await until(lambda: drowsy.hub.is_online(ID))
    assert device.network.handshakes == 1


async def test_few_are_awake_at_a_time_however_many_are_asked(store_file: Path) -> None:
    async with start_udp_cloud(store_file, UdpLimits(max_awake=3)) as udp:
        ids = [device_id(number) for number in range(20)]
        devices = [await udp.online(device) for device in ids]
        for _ in range(2):
            for device in ids:
                assert await udp.hub.call_function(device, "brew", "5", 5) == FunctionReturned(5)
            assert udp.gateway.sessions <= 5
            assert udp.gateway.sessions + udp.gateway.dozing == 20
        answers = await asyncio.gather(*(udp.hub.call_function(device, "slow", "0.2", 5) for device in ids))
        assert answers == [FunctionReturned(200)] * 20, "who is busy stays awake"
        assert all(device.network.handshakes == 1 for device in devices)
        assert [udp.inbox.names(device).count("online") for device in ids] == [1] * 20


async def test_what_a_turn_of_the_loop_leads_to_is_sent_together(udp: UdpCloud) -> None:
    ids = [device_id(number) for number in range(3)]
    for device in ids:
        await udp.online(device)
    answers: list[object] = []
    sent = udp.gateway.datagrams_out
    for device in ids:
        udp.hub.begin_variable(device, "counter", 5.0, answers.append)
        assert udp.gateway.datagrams_out == sent
    await asyncio.sleep(0)
    assert udp.gateway.datagrams_out == sent + 3
    await until(lambda: len(answers) == 3)
    assert all(isinstance(answer, VariableRead) for answer in answers)


async def test_a_restart_while_devices_doze_is_unseen_and_keeps_their_windows(drowsy: UdpCloud) -> None:
    device = await drowsy.online()
    await until(lambda: drowsy.gateway.dozing == 1)
    top = DtlsSession.unpack(next(iter(drowsy.gateway._dozing)).channel, [], []).opener.window.top
    await drowsy.restart()
    saved = await drowsy.saved.by_device(ID)
    assert saved is not None
    assert SessionState.from_bytes_untrusted(saved.state).window_top == top
    assert device.publish("alpha", "1")
    await until(lambda: drowsy.hub.is_online(ID))
    assert drowsy.inbox.names(ID).count("online") == 2
    assert device.network.handshakes == 1


async def test_a_device_moves_while_it_dozes(drowsy: UdpCloud) -> None:
    """Devices that name themselves in their records, and the old ones that are known by their address alone."""
    for number, device_os in enumerate(VERSIONS):
        device = await drowsy.online(device_id(number), device_os=device_os, moves=True)
        await until(lambda: drowsy.gateway.sessions == 0)
        device.sleep(0.1)
        await until(lambda device=device: device.state is State.ASLEEP)  # type: ignore[misc]
        await until(lambda device=device: device.state is State.ONLINE)  # type: ignore[misc]
        await until(lambda number=number: drowsy.hub.is_online(device_id(number)))  # type: ignore[misc]
        await until(lambda: drowsy.gateway.sessions == 0)
        assert await drowsy.hub.call_function(device_id(number), "brew", "5", 5) == FunctionReturned(5)
        assert device.network.handshakes == 1
    assert drowsy.gateway.dozing == len(VERSIONS) - drowsy.gateway.sessions


async def test_a_dozing_devices_new_session_takes_its_place(drowsy: UdpCloud) -> None:
    first = await drowsy.online()
    await until(lambda: drowsy.gateway.dozing == 1)
    first.drop()
    again = drowsy.device()
    await until(lambda: again.state is State.ONLINE)
    await until(lambda: isinstance(drowsy.hub.session(ID), UdpSession))
    assert drowsy.gateway.dozing == 0
    assert drowsy.inbox.names(ID).count("online") == 2


# --- listeners ---


async def test_ipv6(store_file: Path) -> None:
    async with start_udp_cloud(store_file, host="::1") as udp:
        await udp.online()
        assert await udp.hub.ping(ID, 5) == Acknowledged()
        assert udp.inbox.told[0][3] == "::1"


async def test_both_families_on_one_socket(store_file: Path) -> None:
    async with start_udp_cloud(store_file, host="::") as udp:
        for number, host in enumerate(("127.0.0.1", "::1")):
            udp.host = host
            await udp.online(device_id(number))
            assert await udp.hub.ping(device_id(number), 5) == Acknowledged()
            assert udp.inbox.told[-1][0] == device_id(number)
        assert {call[3] for call in udp.inbox.told if call[1] == "online"} == {"127.0.0.1", "::1"}
        udp.host = "::"
