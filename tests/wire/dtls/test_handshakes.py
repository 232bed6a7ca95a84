"""Two ends on a good network: handshakes, their repeats, and what a stranger can send in between."""

from itertools import permutations

import pytest

from cloudchamber.wire.dtls import raw_keys
from cloudchamber.wire.dtls.client import Dialect, DtlsClient
from cloudchamber.wire.dtls.events import (
    Closed,
    Delivered,
    Ended,
    EndReason,
    Established,
    HandshakeFailed,
    Received,
    Secured,
)
from cloudchamber.wire.dtls.records import plain_record
from cloudchamber.wire.dtls.session import MAX_FINAL_FLIGHTS
from tests.wire.dtls.net import ATTACKER, DIALECTS, HOME, Pair, client_setup, endpoint, key, of

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
    """Of somebody who can write the device's address into his datagrams: certificate, alert, garbage, and
    a message with the number that Finished will have."""
    in_place_of_finished = plain_record(22, 9, b"\x10" + bytes.fromhex("000001 0005 000000 000001 00"))
    stranger = plain_record(
        22,
        9,
        b"\x0b" + bytes.fromhex("00005e 0002 000000 00005e 00005b") + raw_keys.spki_of(key("stranger").public_key()),
    )
    for place in range(3):
        for junk in (
            stranger,
            in_place_of_finished,
            plain_record(21, 9, b"\2\x28"),
            plain_record(22, 9, b"\x0b" + bytes(11)),
            bytes(60),
        ):
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
                assert not pair.device.is_closed
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
