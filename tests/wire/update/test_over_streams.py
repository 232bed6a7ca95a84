"""Both ends of both protocols over TCP."""

from dataclasses import replace

import pytest

from cloudchamber.wire.coap import decode_untrusted
from cloudchamber.wire.events import (
    Answered,
    Busy,
    Closed,
    CloseReason,
    Disconnected,
    FunctionReturned,
    Refused,
    TimedOut,
    TooLarge,
    UpdateBegun,
    Updated,
    UpdateFailed,
    UpdateRejected,
    UpdateStarted,
    UpdateTaken,
)
from cloudchamber.wire.messages import HelloFlag
from cloudchamber.wire.session import cloud as cloud_module
from cloudchamber.wire.session.profile import PROFILES, DeviceProfile
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.update import device as device_module
from cloudchamber.wire.update import legacy_cloud
from cloudchamber.wire.update.device import UpdateTraits
from tests.wire.link import Link, Peer, cloud_with_peer, link, online
from tests.wire.update.files import firmware, image

RELEASES = list(PROFILES)


def v3_profile(release: str = "6.2.0") -> DeviceProfile:
    """No platform speaks it over streams; the machines do not know."""
    profile = PROFILES[release]
    return replace(profile, hello_flags=profile.hello_flags | HelloFlag.OTA_V3, buffer_size=1152)


def v3_online(**changes: object) -> Link:
    joined = link("6.2.0", **changes)
    joined.device.setup = replace(joined.device.setup, profile=v3_profile())
    joined.pump()
    assert joined.cloud.is_online
    return joined


def update(joined: Link, data: bytes, seconds: float = 30.0) -> int:
    request = joined.cloud.start_update(image(data), joined.now)
    joined.run_until(joined.now + seconds)
    return request


def begun(joined: Link) -> int:
    """An update of which the first chunks have arrived."""
    request = joined.cloud.start_update(image(firmware()), joined.now)
    for _ in range(2):
        joined.device.receive(joined.cloud.data_to_send(joined.now), joined.now)
        joined.cloud.receive(joined.device.data_to_send(joined.now), joined.now)
    joined.device.receive(joined.cloud.data_to_send(joined.now), joined.now)
    return request


def taken(joined: Link) -> list[bytes]:
    return [event.data for event in joined.device_heard(UpdateTaken)]


@pytest.mark.parametrize("fast", [None, True, False])
@pytest.mark.parametrize("release", RELEASES)
def test_each_release_takes_an_update(release: str, fast: bool | None) -> None:
    """`fast` None obeys the cloud, which asks for it."""
    platform_id = 0 if release == "core" else 6
    data = firmware(9_000, platform_id)
    joined = online(release, updates=UpdateTraits(fast=fast))
    request = update(joined, data)
    assert joined.outcome(request) == Updated()
    assert joined.cloud_heard(UpdateStarted) == [UpdateStarted(request, 0)]
    assert joined.device_heard(UpdateBegun) == [UpdateBegun(len(data), 0)]
    assert taken(joined) == [data]
    assert not joined.cloud_heard(Closed)


def test_version_3_over_a_stream() -> None:
    data = firmware()
    joined = v3_online()
    request = update(joined, data)
    assert joined.outcome(request) == Updated()
    assert taken(joined) == [data]


@pytest.mark.parametrize("make", [online, v3_online])
@pytest.mark.parametrize("piece", [1, 2, 3, 16, 17, 511])
def test_cut_anywhere(make: type[Link], piece: int) -> None:
    data = firmware(1_500)
    joined = make(piece=piece)  # type: ignore[call-arg]
    request = update(joined, data)
    assert joined.outcome(request) == Updated()
    assert taken(joined) == [data]


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1024])
def test_sizes_around_a_chunk(size: int) -> None:
    """The files are no firmware, so that they can be small; the device has them whole, and says what it thinks."""
    for joined in (online(), online(updates=UpdateTraits(fast=False)), v3_online()):
        request = update(joined, b"x" * size)
        assert joined.device_heard(UpdateBegun) == [UpdateBegun(size, 0)]
        assert len(joined.device_heard(UpdateRejected)) == 1
        assert isinstance(joined.outcome(request), UpdateFailed)


def test_a_file_for_another_platform_is_found_out() -> None:
    for joined in (online(), v3_online()):
        request = update(joined, firmware(2_000, platform_id=10))
        outcome = joined.outcome(request)
        assert isinstance(outcome, UpdateFailed)
        assert not taken(joined)


def test_a_device_that_takes_no_updates() -> None:
    for joined in (online(updates=UpdateTraits(is_enabled=False)), v3_online(updates=UpdateTraits(is_enabled=False))):
        request = update(joined, firmware(2_000))
        outcome = joined.outcome(request)
        assert isinstance(outcome, Refused)
        assert outcome.code == 0xA3
        assert not joined.device_heard(UpdateBegun)
        # The cloud can force it.
        assert joined.cloud.send_system_event("particle/device/updates/forced", b"true", joined.now)
        joined.pump()
        assert joined.outcome(update(joined, firmware(2_000))) == Updated()


def test_one_update_at_a_time() -> None:
    joined = online()
    first = joined.cloud.start_update(image(firmware(2_000)), joined.now)
    second = joined.cloud.start_update(image(firmware(2_000)), joined.now)
    assert joined.outcome(second) == Busy()
    joined.run_until(30.0)
    assert joined.outcome(first) == Updated()
    third = joined.cloud.start_update(image(firmware(2_000)), joined.now)
    joined.run_until(60.0)
    assert joined.outcome(third) == Updated()


def test_requests_go_on_beside_it() -> None:
    joined = online(updates=UpdateTraits(fast=False))
    request = joined.cloud.start_update(image(firmware()), joined.now)
    call = joined.cloud.call_function("brew", "x", joined.now, 10.0)
    assert joined.outcome(call) == FunctionReturned(456)
    joined.run_until(30.0)
    assert joined.outcome(request) == Updated()


def test_too_large_for_the_device() -> None:
    joined = v3_online()
    request = joined.cloud.start_update(image(bytes(0xA0001)), joined.now)
    assert joined.outcome(request) == TooLarge()
    request = joined.cloud.start_update(image(b""), joined.now)
    assert joined.outcome(request) == TooLarge()
    old = online()
    request = old.cloud.start_update(image(bytes(0xFFFF * 512)), old.now)
    assert old.outcome(request) == TooLarge()


def test_the_connection_ends() -> None:
    for joined in (online(), v3_online()):
        request = begun(joined)
        joined.cloud.receive_eof(joined.now)
        assert joined.outcome(request) == Disconnected()


def test_offline() -> None:
    cloud, _ = cloud_with_peer(None)
    request = cloud.start_update(image(firmware(2_000)), 0.0)
    (answered,) = cloud.events()
    assert answered.request == request  # type: ignore[union-attr]


def test_a_full_transport_gets_no_chunks() -> None:
    """The machine waits without a deadline, so that a shell does not spin."""
    cloud, peer = cloud_with_peer()
    cloud.start_update(image(firmware()), 0.0)
    (begin,) = peer.hear()
    peer.say(f"6000{begin[4:8]}")
    cloud.receive(peer.frame(f"51440001{begin[8:10]}ff01"), 0.0)
    assert cloud.data_to_send(0.0, has_room=False) == b""
    assert cloud.next_deadline() is not None
    assert cloud.next_deadline() > 1.0  # type: ignore[operator]
    assert len(peer.hear()) == 16
    assert cloud.next_deadline() == 0.0
    cloud.handle_deadline(0.0)
    assert cloud.data_to_send(0.0, has_room=False) == b""


def test_a_device_that_says_nothing_to_chunks_is_not_taken_for_dead() -> None:
    cloud, peer = cloud_with_peer()
    cloud.start_update(image(firmware(100_000)), 0.0)
    (begin,) = peer.hear()
    peer.say(f"51440001{begin[8:10]}ff01")
    for _ in range(80):
        peer.wait(1.0)
    assert not cloud.is_closed
    assert not [event for event in cloud.events() if isinstance(event, Answered)]
    for _ in range(50):
        peer.wait(1.0)
    assert cloud.is_closed


# --- the legacy protocol, by hand -------------------------------------------------------------------------------------


class ByHand:
    """A device that a test plays."""

    def __init__(self, size: int = 1_400, ready: str = "ff01") -> None:
        self.cloud: CloudConnection
        self.peer: Peer
        self.cloud, self.peer = cloud_with_peer()
        self.request = self.cloud.start_update(image(firmware(size)), 0.0)
        (begin,) = self.peer.hear()
        assert begin.startswith("4102")
        self.token = begin[8:10]
        self.peer.say(f"6000{begin[4:8]}")
        self.sent = self.peer.say(f"51440001{self.token}{ready}")

    def chunks(self) -> list[int]:
        """The numbers of the chunks that were sent since the last question."""
        sent, self.sent = self.sent, []
        found = [decode_untrusted(bytes.fromhex(raw)) for raw in sent]
        return [int.from_bytes(message.options[2][1], "big") for message in found if message.path() == b"c"]

    def go_on(self, seconds: float = 0.0) -> None:
        self.sent += self.peer.wait(seconds)

    def done(self) -> str:
        """The id of the UpdateDone that must be the last of what was sent."""
        self.go_on()
        raw = self.sent.pop()
        assert raw.startswith("4103")
        assert raw[8:] == f"{self.token}b175"
        return raw[4:8]

    def outcomes(self) -> list[object]:
        return [event.outcome for event in self.cloud.events() if hasattr(event, "outcome")]


def test_missing_chunks_are_sent_again() -> None:
    hand = ByHand()
    assert hand.chunks() == [0, 1, 2]
    hand.sent += hand.peer.say(f"6180{hand.done()}{hand.token}", "40010007b163ff00020000")
    assert "60000007" in hand.sent
    assert hand.chunks() == [0, 2]
    hand.peer.say(f"6144{hand.done()}{hand.token}ff" + b'{"r":0}'.hex())
    assert hand.outcomes() == [Updated()]


def test_the_report_may_come_before_the_answer() -> None:
    hand = ByHand()
    hand.chunks()
    done = hand.done()
    hand.sent += hand.peer.say("50010007b163ff0001")
    assert hand.chunks() == [1]
    hand.peer.say(f"6180{done}{hand.token}")
    again = hand.done()
    assert again != done
    # The answer to the first one comes late, and is the answer to the first one.
    hand.peer.say(f"6144{done}{hand.token}")
    assert hand.outcomes() == []
    hand.peer.say(f"6144{again}{hand.token}")
    assert hand.outcomes() == [Updated()]


def test_very_old_releases_report_while_chunks_are_on_their_way() -> None:
    hand = ByHand(size=20_000)
    assert hand.chunks() == list(range(16))
    hand.sent += hand.peer.say("50010007b163ff0003")
    assert hand.chunks()[0] == 3


@pytest.mark.parametrize("report", ["50010007b163ff0003", "50010007b163ff00", "50010007b163", "50010007b163ffffff"])
def test_a_report_that_makes_no_sense(report: str) -> None:
    hand = ByHand()
    hand.chunks()
    done = hand.done()
    hand.sent += hand.peer.say(report)
    assert hand.chunks() == []
    hand.peer.say(f"6144{done}{hand.token}")
    assert hand.outcomes() == [Updated()]


def test_the_same_chunk_is_missing_for_ever() -> None:
    hand = ByHand()
    for _ in range(legacy_cloud.MAX_SAME_ROUNDS + 2):
        if hand.cloud.events():
            return
        hand.done()
        hand.sent = hand.peer.say("50010007b163ff0001")
    raise AssertionError("went on for ever")


def test_a_lost_report_is_asked_for_again() -> None:
    hand = ByHand()
    hand.chunks()
    for _ in range(legacy_cloud.MAX_DONES + 1):
        hand.peer.say(f"6180{hand.done()}{hand.token}")
        hand.sent = hand.peer.wait(legacy_cloud.MISSED_TIMEOUT_S)
    assert hand.outcomes() == [TimedOut()]


MODULE_OF_1_5 = (
    b'{"s":102400,"l":"m","vc":30,"vv":28,"u":"' + b"AB" * 32 + b'","f":"u","n":"1","v":7,"p":3,'
    b'"d":[{"f":"s","n":"1","v":1502,"_":""},{"f":"s","n":"2","v":1502,"_":""}]}}'
)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("", Updated()),
        ("ff", Updated()),
        ("ff" + b'{"r":0,"m":[]}'.hex(), Updated()),
        ("ff" + b"nonsense".hex(), Updated()),
        ("ff" + b"[1]".hex(), Updated()),
        ("ff" + (b"[" * 3000)[:500].hex(), Updated()),
        ("ff" + b'{"r":-1320}'.hex(), UpdateFailed("the device refuses the file (-1320)")),
        # As 0.7.0 and 1.5.2 were seen to say it, and as long as their buffer is.
        ("ff" + (b'{"r":"ok","u":' + MODULE_OF_1_5).hex(), Updated()),
        ("ff" + (b'{"r":"error","u":' + MODULE_OF_1_5).hex(), UpdateFailed("the device refuses the file")),
        ("ff" + (b'{"r":"error","u":' + MODULE_OF_1_5)[:200].hex(), UpdateFailed("the device refuses the file")),
    ],
)
def test_how_a_device_says_that_it_is_done(answer: str, outcome: object) -> None:
    hand = ByHand()
    hand.peer.say(f"6144{hand.done()}{hand.token}{answer}")
    assert hand.outcomes() == [outcome]


def test_a_device_that_says_so_by_a_request_of_its_own() -> None:
    hand = ByHand()
    hand.done()
    assert hand.peer.say("40030009b175ff" + b'{"r":0}'.hex()) == ["60000009"]
    assert hand.outcomes() == [Updated()]


@pytest.mark.parametrize(("code", "outcome"), [("a3", Refused(0xA3)), ("80", Refused(0x80))])
def test_a_refused_beginning(code: str, outcome: object) -> None:
    cloud, peer = cloud_with_peer()
    cloud.start_update(image(firmware(1_400)), 0.0)
    (begin,) = peer.hear()
    peer.say(f"61{code}{begin[4:10]}")
    assert [event.outcome for event in cloud.events()] == [outcome]  # type: ignore[union-attr]


def test_a_damaged_slow_chunk_is_sent_again_and_no_other_is_sent_twice() -> None:
    hand = ByHand(ready="ff00")
    first = hand.sent.pop()
    assert first.startswith("4102")
    hand.peer.say(f"6000{first[4:8]}")
    (again,) = hand.peer.say(f"51800002{hand.token}")
    assert again[10:] == first[10:]
    assert hand.peer.wait(10.0) == []
    (second,) = hand.peer.say(f"51440003{hand.token}")
    assert second[10:] != first[10:]
    for _ in range(legacy_cloud.MAX_BAD_CHUNKS + 1):
        hand.peer.say(f"51800004{hand.token}")
    assert hand.outcomes() == [UpdateFailed("the device finds every copy of a chunk damaged")]


@pytest.mark.parametrize("ready", ["ff00", "", "ff"])
def test_silence_at_each_step(ready: str) -> None:
    """Without an answer nothing goes on for ever; without a payload UpdateReady means slow."""
    cloud, peer = cloud_with_peer()
    cloud.start_update(image(firmware(1_400)), 0.0)
    peer.hear()
    while not cloud.is_closed and not (heard := [e for e in cloud.events() if hasattr(e, "outcome")]):
        peer.say("40000042")  # it lives
        peer.wait(10.0)
    assert [event.outcome for event in heard] == [TimedOut()]  # type: ignore[union-attr]
    hand = ByHand(ready=ready)
    heard = []
    while not heard:
        hand.peer.say("40000042")
        hand.peer.wait(10.0)
        heard = hand.outcomes()
    assert heard == [TimedOut()]
    hand = ByHand()
    hand.done()
    heard = []
    while not heard:
        hand.peer.say("40000042")
        hand.peer.wait(10.0)
        heard = hand.outcomes()
    assert heard == [TimedOut()]


def test_the_chunk_size_that_a_device_tells() -> None:
    """By its event up to 2.x, in Hello from 3.0 on; held to what its buffer takes."""
    for told, used in ((b"256", 256), (b"512", 512), (b"2000", 748), (b"1", 64), (b"x", 512), (b"", 512), (None, 512)):
        cloud, peer = cloud_with_peer()
        if told is not None:
            peer.say("50022126b1450d10737061726b2f68617264776172652f6f74615f6368756e6b5f73697a65ff" + told.hex())
        cloud.start_update(image(firmware(2_000)), 0.0)
        (begin,) = peer.hear()
        assert int(begin[18:22], 16) == used, told


def test_messages_leave_room_for_the_devices_map_of_chunks() -> None:
    """It lies at the end of the buffer into which each message goes."""
    joined = online(updates=UpdateTraits(fast=True))
    large = b"x" * 600
    assert joined.cloud.send_event("weather", large, 60, True, joined.now)
    joined.cloud.start_update(image(bytes(0xFFFE * 512)), joined.now)
    assert not joined.cloud.send_event("weather", large, 60, True, joined.now)


def test_a_second_hello_ends_it() -> None:
    """The device started anew within its connection."""
    hand = ByHand()
    hand.peer.say("50022121b168ff188f000100360006")
    assert Disconnected() in hand.outcomes()


def test_a_cancelled_update() -> None:
    hand = ByHand()
    hand.cloud.cancel_update(hand.peer.now)
    assert hand.outcomes() == [Disconnected()]
    joined = v3_online()
    request = begun(joined)
    joined.cloud.cancel_update(joined.now)
    assert joined.outcome(request) == Disconnected()
    joined.run_until(30.0)
    assert not taken(joined)
    again = update(joined, firmware())
    assert joined.outcome(again) == Updated()
    started = joined.cloud_heard(UpdateStarted)
    assert started[0].offset == 0
    assert started[1].offset > 0, "what it had, it kept"


def test_version_3_devices_break_off_over_a_chunk_that_cannot_be() -> None:
    joined = v3_online()
    begun(joined)
    joined.device.message_received(bytes.fromhex("50029999b143e106e901ff61"), joined.now)
    closed = joined.device.events()[-1]
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.MALFORMED


def test_version_3_devices_wait_five_minutes() -> None:
    joined = v3_online()
    begun(joined)
    device = joined.device
    for _ in range(40):
        joined.now += 10.0
        device.message_received(bytes.fromhex("40000042"), joined.now)
        device.handle_deadline(joined.now)
    assert device.is_closed
    assert device_module.IDLE_TIMEOUT_S == 300.0
    assert cloud_module.UPDATE_SILENCE_TIMEOUT_S < device_module.IDLE_TIMEOUT_S
