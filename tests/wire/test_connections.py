"""Both ends joined: each release of Device OS against the cloud, by the byte and by the deadline."""

import pytest

from cloudchamber.wire.events import (
    Acknowledged,
    Answered,
    ClaimCodePresented,
    ClaimConfirmed,
    Closed,
    CloseReason,
    Connected,
    Described,
    Disconnected,
    EventPublished,
    EventReceived,
    FunctionReturned,
    IdentifyDevice,
    NotFound,
    Online,
    PublishAnswered,
    SafeMode,
    SignalChanged,
    Subscribed,
    TimedOut,
    TimeTold,
    UpdatesEnabled,
    VariableRead,
)
from cloudchamber.wire.messages import Subscription
from cloudchamber.wire.session.profile import PROFILES
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.device import DeviceConnection
from cloudchamber.wire.tcp.stranger import Stranger
from cloudchamber.wire.values import decode_untrusted
from tests.circles import no_collector
from tests.wire.link import (
    APPLICATION,
    DEVICE_ID,
    NONCE,
    UNIX_TIME,
    VALUES,
    CloudEnd,
    device_key,
    device_public_der,
    link,
    online,
    server_key,
    setup,
)
from tests.wire.test_device_session import BIG

RELEASES = list(PROFILES)


@pytest.mark.parametrize("release", RELEASES)
def test_a_device_of_each_release_comes_online_is_described_and_answers(release: str) -> None:
    joined = online(release, claim_code="c" * 63, safe_mode=True)
    (hello,) = joined.cloud_heard(Online)
    (described,) = joined.cloud_heard(Described)
    assert (described.describe.functions, described.describe.variables) == (
        APPLICATION.functions,
        APPLICATION.variables,
    )
    assert described.describe.system["p"] == hello.hello.platform_id
    assert joined.cloud_heard(IdentifyDevice) == [IdentifyDevice(DEVICE_ID, device_public_der())]
    assert joined.cloud_heard(ClaimCodePresented) == [ClaimCodePresented("c" * 63)]
    assert joined.cloud_heard(SafeMode) == [SafeMode()]
    assert len(joined.cloud_heard(UpdatesEnabled)) == (0 if release in ("core", "0.7.0") else 1)
    assert Subscribed(Subscription("weather")) in joined.cloud_events
    assert joined.device_heard(Connected) == [Connected()]
    assert joined.device_heard(TimeTold) == [TimeTold(UNIX_TIME)]

    for name, kind in APPLICATION.variables.items():
        outcome = joined.outcome(joined.cloud.read_variable(name, 0.0, 10.0))
        assert isinstance(outcome, VariableRead)
        assert decode_untrusted(kind, outcome.data) == VALUES[name]
    assert joined.outcome(joined.cloud.read_variable("nothing", 0.0, 10.0)) == NotFound()
    assert joined.outcome(joined.cloud.call_function("brew", "a,b", 0.0, 10.0)) == FunctionReturned(456)
    assert joined.outcome(joined.cloud.ping(0.0, 10.0)) == Acknowledged()
    assert joined.outcome(joined.cloud.signal(True, 0.0, 10.0)) == Acknowledged()
    assert joined.device_heard(SignalChanged) == [SignalChanged(on=True)]
    joined.cloud.confirm_claim(0.0)
    joined.pump()
    assert joined.device_heard(ClaimConfirmed) == [ClaimConfirmed()]


@pytest.mark.parametrize("release", RELEASES)
def test_events_both_ways(release: str) -> None:
    joined = online(release)
    assert joined.cloud.send_event("weather/us", b"t:5F", 3600, True, 0.0)
    assert not joined.cloud.send_event("other", b"t:5F", 60, True, 0.0)
    joined.device.publish("temp", b"21.5", 0.0, ttl_s=3600)
    acknowledged = joined.device.publish("empty", b"", 0.0, with_ack=True)
    joined.pump()
    assert joined.device_heard(EventReceived) == [EventReceived("weather/us", b"t:5F", "weather")]
    assert joined.device_heard(PublishAnswered) == [PublishAnswered(acknowledged, True)]
    published = [event for event in joined.cloud_heard(EventPublished) if not event.name.startswith("spark/")]
    assert published == [
        EventPublished("temp", b"21.5", 3600, is_private=True),
        EventPublished("empty", b"", 60, is_private=True),
    ]


@pytest.mark.parametrize("release", ["3.3.1", "6.2.0"])
def test_a_description_larger_than_a_message(release: str) -> None:
    joined = online(release, application=BIG)
    (described,) = joined.cloud_heard(Described)
    assert described.describe.functions == BIG.functions


@pytest.mark.parametrize("piece", [1, 2, 3, 17, 255])
@pytest.mark.parametrize("release", ["0.7.0", "2.3.1", "6.2.0"])
def test_the_bytes_may_arrive_in_any_pieces(release: str, piece: int) -> None:
    whole, cut = online(release), link(release, piece=piece)
    cut.pump()
    for joined in (whole, cut):
        joined.cloud_events = [event for event in joined.cloud_events[1:] if not isinstance(event, IdentifyDevice)]
    assert cut.cloud_events == whole.cloud_events
    assert cut.device_events == whole.device_events
    assert cut.outcome(cut.cloud.call_function("brew", "x" * 63, 0.0, 10.0)) == FunctionReturned(456)


def test_many_requests_at_once_are_each_answered_rightly() -> None:
    joined = online()
    joined.function = lambda name, argument: int(argument)
    calls = {joined.cloud.call_function("brew", str(at), 0.0, 10.0): at for at in range(200)}
    joined.pump()
    answers = {event.request: event.outcome for event in joined.cloud_heard(Answered)}
    assert answers == {call: FunctionReturned(at) for call, at in calls.items()}


def test_an_unknown_function_and_one_that_is_slow() -> None:
    joined = online()
    unknown = joined.cloud.call_function("nothing", "", 0.0, 5.0)
    joined.function = lambda name, argument: None
    never = joined.cloud.call_function("brew", "", 0.0, 5.0)
    slow = joined.cloud.call_function("brew", "", 0.0, 30.0)
    joined.run_until(20.0)
    assert joined.outcome(unknown) == NotFound()
    assert joined.outcome(never) == TimedOut()
    assert not [event for event in joined.cloud_heard(Answered) if event.request == slow]


@pytest.mark.parametrize("release", RELEASES)
def test_an_idle_connection_stays_for_an_hour(release: str) -> None:
    joined = online(release)
    joined.run_until(3600.0)
    assert joined.cloud.is_online
    assert joined.device.is_connected


def test_a_device_that_only_listens_is_not_given_up() -> None:
    """It receives enough never to ping, and says nothing by itself."""
    joined = online()
    for _ in range(40):
        joined.run_until(joined.now + 5.0)
        assert joined.cloud.send_event("weather", b"x", 60, True, joined.now)
        joined.pump()
    assert joined.cloud.is_online
    assert len(joined.device_heard(EventReceived)) == 40


def test_one_end_gone_without_a_word_is_noticed_by_the_other() -> None:
    joined = online()
    joined.device_is_gone = True
    joined.run_until(60.0)
    assert joined.cloud_heard(Closed)[0].reason is CloseReason.SILENCE


def test_an_orderly_end() -> None:
    joined = online()
    call = joined.cloud.call_function("brew", "", 0.0, 10.0)
    joined.cloud.receive_eof(0.0)
    joined.device.receive_eof(0.0)
    joined.pump()
    assert joined.cloud_events[-2:] == [Answered(call, Disconnected()), Closed(CloseReason.PEER)]
    assert joined.device_events[-1] == Closed(CloseReason.PEER)


@pytest.mark.parametrize("after", ["online", "handshake"])
def test_connections_are_collectable_after_their_end(after: str) -> None:
    with no_collector() as left:
        joined = online() if after == "online" else link()
        joined.cloud.close(0.0)
        joined.device.close(0.0)
        del joined
        assert left(Stranger, CloudConnection, DeviceConnection) == [], "no cycles: gone at once"


# --- handshake deadlines ---------------------------------------------------------------------------------------------


def test_whoever_sends_nothing_is_closed() -> None:
    cloud = CloudEnd(now=5.0)
    assert cloud.data_to_send(5.0) == NONCE
    assert cloud.data_to_send(5.0) == b""
    assert cloud.next_deadline() == 15.0
    cloud.handle_deadline(14.9)
    assert cloud.events() == []
    cloud.handle_deadline(15.0)
    (closed,) = cloud.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.HANDSHAKE_TIMEOUT


@pytest.mark.parametrize("identified", [False, True])
def test_an_answer_that_comes_too_late_answers_nobody(identified: bool) -> None:
    cloud = CloudEnd(now=0.0)
    cloud.receive(bytes(256), 0.0)
    if identified:
        cloud.handshake_decrypted(NONCE + DEVICE_ID, 1.0)
    cloud.data_to_send(0.0)
    cloud.events()
    cloud.handle_deadline(20.0)
    (closed,) = cloud.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.HANDSHAKE_TIMEOUT
    cloud.handshake_decrypted(NONCE + DEVICE_ID, 21.0)
    cloud.admit(bytes(384), bytes(40), 21.0)
    assert cloud.events() == []
    assert cloud.data_to_send(21.0) == b""


@pytest.mark.parametrize("early", [b"", bytes(1)])
def test_whoever_is_admitted_has_10_s_for_its_hello(early: bytes) -> None:
    cloud = CloudEnd(now=0.0)
    cloud.receive(bytes(256), 1.0)
    cloud.handshake_decrypted(NONCE + DEVICE_ID, 2.0)
    cloud.admit(bytes(384), bytes(40), 3.0)
    cloud.receive(early, 8.0)
    assert isinstance(cloud.machine, CloudConnection) == bool(early)
    cloud.events()
    assert cloud.next_deadline() == 13.0
    cloud.handle_deadline(12.9)
    assert cloud.events() == []
    cloud.handle_deadline(13.0)
    assert cloud.events() == [Closed(CloseReason.HANDSHAKE_TIMEOUT, "no Hello")]
    assert cloud.next_deadline() is None


def test_who_leaves_after_the_reply_left_in_an_orderly_way() -> None:
    """Unless it stops within a frame."""
    for early, reason in ((b"", CloseReason.PEER), (bytes(1), CloseReason.TRUNCATED)):
        cloud = CloudEnd(now=0.0)
        cloud.receive(bytes(256), 0.0)
        cloud.handshake_decrypted(NONCE + DEVICE_ID, 0.0)
        cloud.admit(bytes(384), bytes(40), 0.0)
        cloud.receive(early, 0.0)
        cloud.receive_eof(0.0)
        cloud.receive(b"more", 0.0)
        cloud.close(0.0)
        assert cloud.events()[-1:] == [Closed(reason)]


@pytest.mark.parametrize("received", [b"", NONCE])
def test_a_device_waits_20_s_for_each_step(received: bytes) -> None:
    key = server_key().public_key()
    device = DeviceConnection(setup=setup(), device_key=device_key(), server_key=key, now=0.0)
    device.receive(received, 0.0)
    assert device.next_deadline() == 20.0
    device.handle_deadline(20.0)
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.HANDSHAKE_TIMEOUT


def test_trap_03_the_cloud_says_hello_in_the_same_breath() -> None:
    joined = online()
    assert joined.now == 0.0, "no deadline passed before the device was connected"
    assert joined.device_heard(Connected)
