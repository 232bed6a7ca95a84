"""Two ends on a good network: handshakes, resumes, moves, restarts, and what an attacker can send in between."""

import gc
import weakref
from itertools import permutations

import pytest

from cloudchamber.wire.dtls import raw_keys
from cloudchamber.wire.dtls.client import Dialect, DtlsClient
from cloudchamber.wire.dtls.events import (
    ByAddress,
    ByCid,
    ByDeviceId,
    Closed,
    Delivered,
    Ended,
    EndReason,
    Established,
    HandshakeFailed,
    Moved,
    Received,
    ReservationNeeded,
    Secured,
    SessionAsked,
)
from cloudchamber.wire.dtls.questions import MAX_DATAGRAMS_PER_QUESTION, MAX_QUESTIONS, QUESTION_TIMEOUT_S
from cloudchamber.wire.dtls.records import plain_record
from cloudchamber.wire.dtls.session import MAX_FINAL_FLIGHTS
from cloudchamber.wire.dtls.state import SessionState
from tests.wire.dtls.net import ATTACKER, AWAY, DEVICE_ID, DIALECTS, HOME, Pair, client_setup, endpoint, key, of

SAVED_DIALECTS = [Dialect.DEVICE_ID, Dialect.PLAIN_CID, Dialect.MARKED_CID]
WITH_CID = [Dialect.PLAIN_CID, Dialect.MARKED_CID, Dialect.RFC_CID]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("packs_flight", [True, False])
def test_a_handshake_and_payloads_both_ways(dialect: Dialect, packs_flight: bool) -> None:
    pair = Pair(dialect, packs_flight=packs_flight)
    session = pair.connect()
    assert pair.device_events == [Secured()]
    assert session.peer_spki == raw_keys.spki_of(key("device").public_key())
    assert bool(session.cid) == (dialect is not Dialect.DEVICE_ID)
    pair.device.send(b"up")
    session.send(b"down")
    pair.run()
    assert pair.seen(Received) == [Received(session, b"up")]
    assert of(Delivered, pair.device_events) == [Delivered(b"down")]
    assert pair.cloud.next_deadline() is None
    assert pair.device.next_deadline() is None
    assert pair.cloud.handshake_count == 0


def test_the_datagrams_of_a_handshake() -> None:
    """As counted with real firmware and with the reference library."""
    pair = Pair(Dialect.MARKED_CID)
    pair.connect()
    assert len(pair.to_cloud) == len(pair.to_device) == 3
    assert [len(datagram) for datagram in pair.to_cloud[:2]] == [116, 132]
    assert [len(pair.to_device[0]), len(pair.to_device[2])] == [44, 67]
    # These two hold a signature each, of 70 to 72 bytes as a rule.
    assert 340 < len(pair.to_device[1]) <= 359
    assert 375 < len(pair.to_cloud[2]) <= 395


def test_the_server_flight_has_no_certificate() -> None:
    pair = Pair()
    pair.connect()
    flight, at, kinds = pair.to_device[1], 0, []
    while at < len(flight):
        kinds.append(flight[at + 13])
        at += 13 + int.from_bytes(flight[at + 11 : at + 13], "big")
    assert kinds == [2, 12, 13, 14]


@pytest.mark.parametrize("size", [64, 100, 200])
def test_flights_in_fragments(size: int) -> None:
    pair = Pair()
    pair.cloud = endpoint(max_datagram=size)
    hellos = pair.device.datagrams_to_send(0.0)  # a device's hello is never in fragments
    pair.cloud.receive_datagram(hellos[0], HOME, 0.0)
    pair.device.setup = client_setup(max_datagram=1200)
    for datagram, _ in pair.cloud.datagrams_to_send(0.0):
        pair.device.receive_datagram(datagram, 0.0)
    second = pair.device.datagrams_to_send(0.0)
    pair.device.setup = client_setup(max_datagram=size)
    pair.cloud.receive_datagram(second[0], HOME, 0.0)
    pair.connect()
    assert len(pair.to_device) > 3
    assert all(len(datagram) <= size + 62 for datagram in pair.to_device)


def test_a_first_hello_leaves_nothing_and_is_not_amplified() -> None:
    cloud = endpoint()
    hello = DtlsClient(client_setup(), entropy=bytes, now=0.0).datagrams_to_send(0.0)[0]
    for number in range(50_000):
        cloud.receive_datagram(hello, (f"10.0.{number % 250}.{number // 250}", 1000 + number % 60_000), 0.0)
        ((answer, address),) = cloud.datagrams_to_send(0.0)
        assert len(answer) < len(hello)
        assert address[1] == 1000 + number % 60_000
    assert cloud.handshake_count == cloud.session_count == cloud.question_count == 0
    assert cloud.events() == []
    assert cloud.next_deadline() is None
    assert cloud.counters.handshakes_started == 0


def test_a_flood_of_hellos_with_cookies_crowds_out_the_oldest() -> None:
    pair = Pair()
    pair.cloud = endpoint(max_handshakes=10)
    for number in range(25):
        address = ("192.0.2.1", 1000 + number)
        client = pair.new_device()
        pair.cloud.receive_datagram(client.datagrams_to_send(0.0)[0], address, 0.0)
        client.receive_datagram(pair.cloud.datagrams_to_send(0.0)[0][0], 0.0)
        pair.cloud.receive_datagram(client.datagrams_to_send(0.0)[0], address, 0.0)
        pair.cloud.datagrams_to_send(0.0)
    assert pair.cloud.handshake_count == 10
    failed = pair.seen(HandshakeFailed)
    assert [event.address[1] for event in failed] == list(range(1000, 1015))
    assert {event.reason for event in failed} == {EndReason.CROWDED_OUT}
    pair.connect()


def test_cookies_outlive_one_rotation() -> None:
    for rotations, starts in ((1, 1), (2, 0)):
        pair = Pair()
        pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
        pair.device.receive_datagram(pair.cloud_says()[0][0], 0.0)
        for number in range(rotations):
            pair.cloud.rotate_cookie_secret(bytes((number + 1,)) * 32)
        pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
        assert pair.cloud.counters.handshakes_started == starts
        for datagram, _ in pair.cloud_says():
            pair.device.receive_datagram(datagram, 0.0)
        pair.connect()  # with the new cookie, if need be


def test_a_cookie_is_good_for_its_address_only() -> None:
    pair = Pair()
    pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
    pair.device.receive_datagram(pair.cloud_says()[0][0], 0.0)
    pair.cloud.receive_datagram(pair.device_says()[0], ATTACKER, 0.0)
    assert pair.cloud.handshake_count == 0


def test_a_wrong_server_key() -> None:
    pair = Pair(server_key=key("another server").public_key())
    pair.run()
    (ended,) = of(Ended, pair.device_events)
    assert ended.reason is EndReason.HANDSHAKE
    pair.now = 2.0
    pair.cloud.handle_deadline(pair.now)
    (failed,) = pair.seen(HandshakeFailed)
    assert (failed.address, failed.reason, failed.alert) == (HOME, EndReason.PEER, 51)
    assert pair.cloud.handshake_count == 0


def test_peers_with_nothing_in_common_hear_so() -> None:
    pair = Pair()
    hello = pair.device_says()[0].replace(b"\xc0\xae", b"\xc0\x2b")
    pair.cloud.receive_datagram(hello, HOME, 0.0)
    cookie = pair.cloud_says()[0][0][-16:]
    with_cookie = bytearray(hello[:60] + b"\x10" + cookie + hello[61:])
    for at, size in ((12, 16), (16, 16), (24, 16)):
        with_cookie[at] += size
    pair.cloud.receive_datagram(bytes(with_cookie), HOME, 0.0)
    assert [answer[:3].hex() + answer[-2:].hex() for answer, _ in pair.cloud_says()] == ["15fefd" + "0228"]
    assert pair.seen(HandshakeFailed)[0].reason is EndReason.HANDSHAKE
    assert pair.cloud.handshake_count == 0


@pytest.mark.parametrize("dialect", WITH_CID)
def test_firmware_with_connection_ids_refuses_a_server_without(dialect: Dialect) -> None:
    pair = Pair(dialect)
    wanted = dialect.cid_extension.to_bytes(2, "big") + b"\0\1\0"
    for _ in range(4):
        for datagram in pair.device_says():
            pair.cloud.receive_datagram(datagram.replace(wanted, b"\x7f\x7f\0\1\0"), HOME, 0.0)
        for datagram, _address in pair.cloud_says():
            pair.device.receive_datagram(datagram, 0.0)
    (ended,) = of(Ended, pair.device.events())
    assert "connection id" in ended.detail


# --- repeats and order


def test_a_lost_final_flight_is_sent_again_for_a_repeated_finished() -> None:
    pair = Pair()
    for _ in range(2):
        pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
        for datagram, _address in pair.cloud_says():
            pair.device.receive_datagram(datagram, 0.0)
    pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
    answers = pair.cloud_says()  # and never arrives
    assert pair.cloud.session_count == 1
    for number in range(MAX_FINAL_FLIGHTS + 2):
        pair.device._timeout_s = 3.0  # this device never gives up
        pair.now += 6.0
        pair.device.handle_deadline(pair.now)
        pair.cloud.receive_datagram(pair.device_says()[0], HOME, pair.now)
        assert len(pair.cloud_says()) == (number < MAX_FINAL_FLIGHTS)
    pair.device.receive_datagram(answers[0][0], pair.now)
    assert pair.device.is_open
    assert len(pair.seen(Established)) == 1


def test_an_exact_copy_of_the_last_flight_draws_nothing() -> None:
    pair = Pair()
    pair.connect()
    pair.cloud.receive_datagram(pair.to_cloud[-1], HOME, 0.0)
    assert pair.cloud_says() == []


def test_copies_of_everything_in_any_order_after_the_handshake_change_nothing() -> None:
    pair = Pair()
    session = pair.connect()
    pair.device.send(b"one")
    pair.run()
    pair.seen(Received)
    for datagram in pair.to_cloud[::-1] + pair.to_cloud[1:]:
        pair.cloud.receive_datagram(datagram, HOME, 1.0)
    answers = pair.cloud_says()
    assert [answer[13] for answer, _ in answers] == [3]  # the very first hello is stateless, whenever it comes
    assert pair.seen(Received) == pair.seen(Established)[1:] == pair.seen(Closed) == []
    assert pair.cloud.handshake_count == 0
    assert not session.is_closed


def test_a_stale_record_does_not_take_the_rest_of_its_datagram_with_it() -> None:
    pair = Pair()
    session = pair.connect()
    pair.device.send(b"first")
    pair.device.send(b"second")
    first, second = pair.device_says()
    pair.cloud.receive_datagram(first, HOME, 0.0)
    forged = first[:-1] + bytes((first[-1] ^ 1,))
    pair.cloud.receive_datagram(first + forged + plain_record(22, 0, b"\x63") + second, HOME, 0.0)
    assert [event.payload for event in pair.seen(Received)] == [b"first", b"second"]
    assert not session.is_closed


def test_the_clients_flight_in_every_order() -> None:
    for order in permutations(range(5)):
        pair = Pair(packs_flight=False)
        for _ in range(2):
            pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
            for datagram, _address in pair.cloud_says():
                pair.device.receive_datagram(datagram, 0.0)
        flight = pair.device_says()
        assert len(flight) == 5
        for place in order:
            pair.cloud.receive_datagram(flight[place], HOME, 0.0)
        assert pair.cloud.session_count == 1, order


def test_payloads_that_overtake_finished_are_kept() -> None:
    """Only a device whose Finished was delayed, and that had ours already, could do so: no state is lost over it."""
    pair = Pair(packs_flight=False)
    for _ in range(2):
        pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
        for datagram, _address in pair.cloud_says():
            pair.device.receive_datagram(datagram, 0.0)
    *flight, finished = pair.device_says()
    for datagram in flight:
        pair.cloud.receive_datagram(datagram, HOME, 0.0)
    assert pair.device._sealer is not None
    early = pair.device._sealer.seal(23, b"early")
    pair.cloud.receive_datagram(early, HOME, 0.0)
    assert pair.seen(Received) == []
    pair.cloud.receive_datagram(finished, HOME, 0.0)
    assert [event.payload for event in pair.seen(Received)] == [b"early"]


def test_messages_slipped_in_by_a_stranger_do_not_end_a_handshake() -> None:
    """Of somebody who can write the device's address into his datagrams: certificate, alert, garbage."""
    stranger = plain_record(
        22,
        9,
        b"\x0b" + bytes.fromhex("00005e 0002 000000 00005e 00005b") + raw_keys.spki_of(key("stranger").public_key()),
    )
    for place in range(3):
        for junk in (stranger, plain_record(21, 9, b"\2\x28"), plain_record(22, 9, b"\x0b" + bytes(11)), bytes(60)):
            pair = Pair(packs_flight=False)
            for step in range(4):
                if step == place:
                    pair.cloud.receive_datagram(junk, HOME, 0.0)
                for datagram in pair.device_says():
                    pair.cloud.receive_datagram(datagram, HOME, 0.0)
                if step > place:
                    pair.cloud.receive_datagram(junk, HOME, 0.0)
                for datagram, _ in pair.cloud_says():
                    pair.device.receive_datagram(datagram, 0.0)
            while not pair.device.is_open:
                pair.run()
                pair.now = pair.device.next_deadline() or pair.now
                pair.device.handle_deadline(pair.now)
            session = pair.connect()
            assert session.peer_spki == raw_keys.spki_of(key("device").public_key())


def test_a_server_flight_is_repeated_with_growing_pauses_and_given_up() -> None:
    pair = Pair()
    pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
    pair.device.receive_datagram(pair.cloud_says()[0][0], 0.0)
    pair.cloud.receive_datagram(pair.device_says()[0], HOME, 0.0)
    assert len(pair.cloud_says()) == 1
    sent_at = []
    while (deadline := pair.cloud.next_deadline()) is not None:
        pair.cloud.handle_deadline(deadline - 0.001)
        assert pair.cloud_says() == []
        pair.cloud.handle_deadline(deadline)
        if pair.cloud_says():
            sent_at.append(deadline)
    assert sent_at == [2.0, 6.0, 14.0, 30.0]
    assert pair.seen(HandshakeFailed)[0].reason is EndReason.TIMEOUT
    assert pair.cloud.handshake_count == 0


def test_a_device_gives_up_as_firmware_does() -> None:
    device = DtlsClient(client_setup(), entropy=bytes, now=0.0)
    sent_at = [0.0 for _ in device.datagrams_to_send(0.0)]
    while (deadline := device.next_deadline()) is not None:
        device.handle_deadline(deadline)
        sent_at += [deadline for _ in device.datagrams_to_send(deadline)]
        last = deadline
    assert sent_at == [0.0, 3.0, 9.0, 21.0]
    assert last == 45.0
    assert device.events() == [Ended(EndReason.TIMEOUT, "hello")]


# --- sessions: a new one, close


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


# --- moves


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


# --- restarts and sleepers


def restarted(pair: Pair) -> dict[object, bytes]:
    """The cloud's process ends and starts: what its store holds, by what may be asked for."""
    store: dict[object, bytes] = {}
    for session in pair.cloud.sessions():
        state = session.state()
        keys = [ByDeviceId(state.device_id), ByCid(state.cid) if state.cid else ByAddress(state.address)]
        store.update(dict.fromkeys(keys, state.to_bytes()))
    pair.cloud = endpoint(seed=99)
    return store


def answered(pair: Pair, store: dict[object, bytes]) -> list[object]:
    asked = pair.seen(SessionAsked)
    for question in asked:
        stored = store.get(question.key)
        state = SessionState.from_bytes_untrusted(stored) if stored else None
        pair.cloud.restore(question.ticket, state, pair.now)
    return [question.key for question in asked]


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
@pytest.mark.parametrize("sleeps", [True, False])
def test_a_restart_of_the_cloud_goes_unseen(dialect: Dialect, sleeps: bool) -> None:
    pair = Pair(dialect)
    before = pair.connect()
    store = restarted(pair)
    if sleeps:
        pair.resume(AWAY)
    pair.device.send(b"one")
    pair.device.send(b"two")
    pair.run()
    assert len(answered(pair, store)) == 1
    first, second = pair.seen(Received)
    assert (first.payload, second.payload) == (b"one", b"two")
    session = first.session
    assert session is not before
    assert (session.device_id, session.peer_spki) == (DEVICE_ID, before.peer_spki)
    assert len(pair.seen(Moved)) == sleeps
    session.send(b"answer")
    pair.run()
    assert of(Delivered, pair.device_events) == []  # nothing goes out before numbers are reserved
    (needed,) = pair.seen(ReservationNeeded)
    assert session.state().next_number == needed.up_to
    session.reserved(needed.up_to)
    pair.run()
    assert of(Delivered, pair.device_events) == [Delivered(b"answer")]


def test_a_store_that_reserves_as_it_reads_costs_no_second_wait() -> None:
    pair = Pair()
    pair.connect()
    state = pair.cloud.unload(pair.cloud.sessions()[0])
    assert pair.cloud.session_count == 0
    session = pair.cloud.load(state, reserved_until=state.next_number + 1024)
    assert session is not None
    session.send(b"push")
    pair.run()
    assert of(Delivered, pair.device_events) == [Delivered(b"push")]
    assert pair.seen(ReservationNeeded) == []


def test_an_unloaded_session_sends_nothing_and_ends_without_an_event() -> None:
    pair = Pair()
    session = pair.connect()
    pair.cloud.unload(session)
    session.send(b"x")
    pair.cloud.close(session, 0.0)
    assert pair.cloud_says() == []
    assert pair.seen(Closed) == []


def test_one_session_is_in_memory_once() -> None:
    pair = Pair()
    session = pair.connect()
    assert pair.cloud.load(session.state()) is session
    stale = session.state()
    pair.device, pair.address = pair.new_device(), AWAY
    pair.connect()
    assert pair.cloud.load(stale) is None  # the device has a newer one


def test_no_session_no_answer() -> None:
    pair = Pair()
    pair.connect()
    restarted(pair)
    pair.device.send(b"x")
    pair.run()
    assert len(answered(pair, {})) == 1
    assert pair.cloud_says() == []
    assert pair.cloud.question_count == 0
    pair.cloud.restore(12345, None, 0.0)


def test_questions_and_what_waits_for_them_are_bounded() -> None:
    pair = Pair()
    pair.connect()
    cloud = endpoint()
    pair.device.send(b"x")
    (record,) = pair.device_says()
    for number in range(MAX_QUESTIONS + 100):
        made_up = record[:11] + number.to_bytes(8, "big") + record[19:]
        for _ in range(MAX_DATAGRAMS_PER_QUESTION + 3):
            cloud.receive_datagram(made_up, ATTACKER, 0.0)
    questions = of(SessionAsked, cloud.events())
    assert len(questions) == cloud.question_count == MAX_QUESTIONS
    assert cloud.counters.dropped == 3 * MAX_QUESTIONS + 100 * (MAX_DATAGRAMS_PER_QUESTION + 3)
    cloud.receive_datagram(record, HOME, QUESTION_TIMEOUT_S - 0.1)
    assert cloud.events() == []
    cloud.receive_datagram(record, HOME, QUESTION_TIMEOUT_S)
    assert len(cloud.events()) == 1
    assert cloud.question_count == MAX_QUESTIONS


def test_everything_is_collectable_at_the_end() -> None:
    pair = Pair()
    session = weakref.ref(pair.connect())
    del pair
    gc.collect()
    assert session() is None
