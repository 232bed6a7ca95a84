"""Sessions: a new one for an old one, close, moves to another address, and what a replayed record can do."""

import pytest

from cloudchamber.wire.dtls.client import Dialect
from cloudchamber.wire.dtls.events import (
    ByAddress,
    ByDeviceId,
    Closed,
    Delivered,
    Ended,
    EndReason,
    Moved,
    Received,
    SessionAsked,
)
from cloudchamber.wire.dtls.records import plain_record
from tests.wire.dtls.net import ATTACKER, AWAY, DEVICE_ID, DIALECTS, HOME, Pair, client_setup, key, of

SAVED_DIALECTS = [Dialect.DEVICE_ID, Dialect.PLAIN_CID, Dialect.MARKED_CID]
WITH_CID = [Dialect.PLAIN_CID, Dialect.MARKED_CID, Dialect.RFC_CID]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_new_handshake_on_a_live_address_replaces_the_session_only_when_proven(dialect: Dialect) -> None:
    pair = Pair(dialect)
    old = pair.connect()
    old_device, pair.device = pair.device, pair.new_device()
    for _ in range(2):
        pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
        for datagram, _address in pair.cloud_says():
            pair.device.receive_datagram(datagram, 0.0)
    old_device.send(b"still here")
    pair.cloud.receive_datagram(old_device.datagrams_to_send(0.0)[0], HOME, 0.0)
    assert [event.payload for event in pair.seen(Received)] == [b"still here"]
    assert not old.is_closed
    new = pair.connect()
    assert new is not old
    assert pair.seen(Closed) == [Closed(old, EndReason.REPLACED)]
    assert pair.cloud.session_count == 1
    pair.device.send(b"new")
    pair.run()
    assert pair.seen(Received) == [Received(new, b"new")]


def test_a_device_that_comes_back_from_elsewhere_with_a_new_session_replaces_the_old_one_once_identified() -> None:
    pair = Pair()
    old = pair.connect()
    pair.device, pair.address = pair.new_device(), AWAY
    new = pair.connect(device_id=None)
    assert not old.is_closed
    pair.cloud.identify(new, DEVICE_ID)
    assert pair.seen(Closed) == [Closed(old, EndReason.REPLACED)]


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
def test_another_device_that_gets_the_address_leaves_a_sleeper_its_session(dialect: Dialect) -> None:
    pair = Pair(dialect)
    sleeper_session, sleeper, setup = pair.connect(), pair.device, pair.setup
    pair.setup = client_setup(dialect, device_key=key("another device"), device_id=bytes(12))
    pair.device = pair.new_device()
    other = pair.connect(device_id=bytes(12))
    assert not sleeper_session.is_closed
    pair.setup, pair.device = setup, sleeper
    pair.resume(AWAY)
    pair.device.send(b"awake")
    pair.run()
    assert pair.seen(Received) == [Received(sleeper_session, b"awake")]
    assert not other.is_closed


def test_close_notify_both_ways() -> None:
    pair = Pair()
    session = pair.connect()
    pair.cloud.close(session, 0.0)
    session.send(b"too late")
    pair.run()
    assert of(Ended, pair.device_events) == [Ended(EndReason.PEER, "close_notify")]
    assert pair.seen(Closed) == [Closed(session, EndReason.LOCAL)]
    assert pair.cloud.session_count == 0
    pair.device = pair.new_device()
    session = pair.connect()
    pair.device.close(0.0)
    pair.run()
    assert pair.seen(Closed) == [Closed(session, EndReason.PEER)]


def test_a_plain_alert_does_not_end_a_session() -> None:
    pair = Pair()
    session = pair.connect()
    pair.cloud.receive_datagram(plain_record(21, 99, b"\2\x28"), HOME, 0.0)
    pair.device.receive_datagram(plain_record(21, 99, b"\2\x28"), 0.0)
    assert not session.is_closed
    assert pair.device.is_open


def test_forged_records_are_counted_and_end_a_session_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudchamber.wire.dtls.endpoint.MAX_FORGED_RECORDS", 50)
    pair = Pair()
    session = pair.connect()
    pair.device.send(b"good")
    (good,) = pair.device_says()
    forged = good[:-1] + bytes((good[-1] ^ 1,))
    for _ in range(49):
        pair.cloud.receive_datagram(forged, ATTACKER, 0.0)
    assert session.forged_records == pair.cloud.counters.forged == 49
    assert pair.cloud_says() == []
    pair.cloud.receive_datagram(forged, ATTACKER, 0.0)
    assert pair.seen(Closed) == [Closed(session, EndReason.FORGERIES)]


@pytest.mark.parametrize("size", range(14))
def test_keep_alives_and_scraps_are_ignored(size: int) -> None:
    pair = Pair()
    pair.connect()
    for data in (bytes(size), b"\x19\xfe\xfd\0\1".ljust(size, b"\0")[:size], b"\xfe" * size):
        pair.cloud.receive_datagram(data, HOME, 0.0)
    assert pair.cloud_says() == []
    assert pair.cloud.question_count == 0


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
def test_a_resumed_session_moves_and_marks_its_records_until_it_is_answered(dialect: Dialect) -> None:
    mark = {Dialect.DEVICE_ID: 254, Dialect.PLAIN_CID: 25, Dialect.MARKED_CID: 253}[dialect]
    plain = 23 if dialect is Dialect.DEVICE_ID else 25
    pair = Pair(dialect)
    session = pair.connect()
    for address in (AWAY, HOME, AWAY):  # also more than once in a row
        old = pair.address
        pair.resume(address)
        pair.device.send(b"ping")
        pair.device.send(b"ping again")
        assert [datagram[0] for datagram in pair.device._datagrams] == [mark, mark]
        pair.run()
        assert pair.seen(Moved) == [Moved(session, old, address)]
        session.send(b"ack")
        pair.run()
        pair.device.send(b"heard you")
        assert [datagram[0] for datagram in pair.device._datagrams] == [plain]
        pair.run()
        assert [event.payload for event in pair.seen(Received)] == [b"ping", b"ping again", b"heard you"]
        assert session.address == address


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
def test_two_resumes_without_an_answer_in_between(dialect: Dialect) -> None:
    pair = Pair(dialect)
    session = pair.connect()
    for number, address in enumerate((AWAY, ("203.0.113.77", 7))):
        pair.resume(address)
        pair.device.send(b"%d" % number)
        pair.run()
    assert [event.payload for event in pair.seen(Received)] == [b"0", b"1"]
    assert session.address == ("203.0.113.77", 7)


@pytest.mark.parametrize("dialect", WITH_CID)
def test_a_network_that_changes_the_address_in_mid_session(dialect: Dialect) -> None:
    pair = Pair(dialect)
    session = pair.connect()
    for address in (AWAY, HOME, AWAY):
        pair.address = address
        pair.device.send(b"x")
        pair.run()
        session.send(b"y")
        pair.run()
    assert len(pair.seen(Received)) == len(of(Delivered, pair.device_events)) == 3


def test_without_any_mark_a_changed_address_cannot_be_followed() -> None:
    """Firmware up to 3.0 whose network changed the address unseen: only a question by address can come of it."""
    pair = Pair(Dialect.DEVICE_ID)
    session = pair.connect()
    pair.address = AWAY
    pair.device.send(b"x")
    pair.run()
    assert [event.key for event in pair.seen(SessionAsked)] == [ByAddress(AWAY)]
    assert session.address == HOME


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
def test_a_replayed_record_moves_nothing_and_draws_no_answer(dialect: Dialect) -> None:
    pair = Pair(dialect)
    session = pair.connect()
    pair.resume(AWAY)
    for number in range(3):
        pair.device.send(b"%d" % number)
    pair.run()
    pair.seen(Received)
    pair.seen(Moved)
    for datagram in pair.to_cloud:
        pair.cloud.receive_datagram(datagram, ATTACKER, 0.0)
        for bit in (0, 100, 8 * len(datagram) - 1):
            changed = bytearray(datagram)
            changed[bit // 8] ^= 1 << bit % 8
            pair.cloud.receive_datagram(bytes(changed), ATTACKER, 0.0)
    answers = pair.cloud_says()
    assert all(answer[13] == 3 for answer, _ in answers)  # to hellos, as to any stranger's
    assert session.address == AWAY
    assert pair.seen(Moved) == pair.seen(Received) == []
    session.send(b"for the device only")
    assert [address for _, address in pair.cloud_says()] == [AWAY]


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
def test_a_record_that_was_overtaken_is_taken_but_does_not_move_the_session(dialect: Dialect) -> None:
    """Held back by somebody in between, and sent on from his own address after the device had sent more."""
    pair = Pair(dialect)
    session = pair.connect()
    pair.resume(AWAY)
    pair.device.send(b"held back")
    (held,) = pair.device_says()
    pair.device.send(b"newer")
    pair.run()
    pair.cloud.receive_datagram(held, ATTACKER, 0.0)
    assert [event.payload for event in pair.seen(Received)] == [b"newer", b"held back"]
    assert session.address == AWAY


def test_reordering_within_the_window() -> None:
    pair = Pair()
    pair.connect()
    for number in range(70):
        pair.device.send(b"%d" % number)
    said = pair.device_says()
    for datagram in said[::-1] + said:
        pair.cloud.receive_datagram(datagram, HOME, 0.0)
    assert [event.payload for event in pair.seen(Received)] == [b"%d" % number for number in range(69, 5, -1)]


def test_another_devices_id_behind_a_record_opens_nothing() -> None:
    pair = Pair(Dialect.DEVICE_ID)
    pair.connect()
    pair.resume(AWAY)
    pair.device.send(b"x")
    (marked,) = pair.device_says()
    pair.cloud.receive_datagram(marked[:-13] + bytes(12) + b"\x0c", AWAY, 0.0)
    assert [event.key for event in pair.seen(SessionAsked)] == [ByDeviceId(bytes(12))]
    assert pair.seen(Received) == []
