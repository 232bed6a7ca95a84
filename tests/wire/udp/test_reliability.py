"""The layer alone: when it sends again, what it remembers, which ids it gives."""

from collections import defaultdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudchamber.wire.coap import Code, Message, Type, empty_ack, encode
from cloudchamber.wire.reliability import (
    CLOUD,
    DEVICE,
    ID_REST_S,
    MAX_REMEMBERED,
    MessageIds,
    Reliability,
)


def con(message_id: int) -> bytes:
    return encode(Message(Type.CON, Code.POST, message_id))


def sendings(layer: Reliability) -> tuple[list[float], float]:
    """When a message that nobody acknowledges leaves, and when it is given up."""
    layer.sending(con(7), 100.0)
    times = [0.0]
    while True:
        at = layer.next_deadline()
        assert at is not None
        assert layer.handle_deadline(at - 0.001) == []
        assert layer.take_again() == []
        dead = layer.handle_deadline(at)
        if dead:
            assert dead == [7]
            assert layer.next_deadline() is None
            return times, at - 100.0
        assert layer.take_again() == [con(7)]
        assert layer.take_again() == []
        times.append(at - 100.0)


def test_a_device_sends_four_times_and_gives_up_after_60_to_90_s() -> None:
    assert sendings(Reliability(lambda: 0.0, DEVICE)) == ([0.0, 4.0, 12.0, 28.0], 60.0)
    assert sendings(Reliability(lambda: 1.0, DEVICE)) == ([0.0, 6.0, 18.0, 42.0], 90.0)


def test_the_clouds_last_sending_is_long_before_the_device_forgets_the_first() -> None:
    times, end = sendings(Reliability(lambda: 1.0, CLOUD))
    assert times == pytest.approx([0.0, 2.32, 6.96, 16.24, 34.8])
    assert end == pytest.approx(71.92)
    assert times[-1] + 10.0 <= DEVICE.memory_s
    assert sendings(Reliability(lambda: 0.0, CLOUD)) == ([0.0, 2.0, 6.0, 14.0, 30.0], 62.0)


def test_the_cloud_remembers_until_after_a_devices_last_sending() -> None:
    times, _ = sendings(Reliability(lambda: 1.0, DEVICE))
    assert times[-1] + 15.0 < CLOUD.memory_s


def test_an_ack_a_reset_or_the_answer_itself_ends_it() -> None:
    for kind in (Type.ACK, Type.RST):
        layer = Reliability(lambda: 0.5, DEVICE)
        layer.sending(con(7), 0.0)
        assert not layer.receive(kind, 8, 0.0), "an answer to nothing"
        assert layer.outstanding == 1
        assert layer.receive(kind, 7, 0.0)
        assert not layer.receive(kind, 7, 0.0), "the same once more"
        assert layer.next_deadline() is None
    layer = Reliability(lambda: 0.5, DEVICE)
    layer.sending(con(7), 0.0)
    layer.settle(7)
    layer.settle(7)
    assert layer.outstanding == 0
    assert not layer.receive(Type.ACK, 7, 0.0)


def test_non_confirmable_messages_and_acks_are_not_sent_again() -> None:
    layer = Reliability(lambda: 0.5, DEVICE)
    layer.sending(encode(Message(Type.NON, Code.POST, 1)), 0.0)
    layer.sending(empty_ack(2), 0.0)
    assert layer.next_deadline() is None


def test_a_duplicate_gets_the_remembered_reply_and_is_not_delivered() -> None:
    layer = Reliability(lambda: 0.5, DEVICE)
    assert layer.receive(Type.CON, 5, 0.0)
    assert not layer.receive(Type.CON, 5, 1.0)
    assert layer.take_again() == [], "no reply so far"
    layer.sending(empty_ack(5), 2.0)
    assert not layer.receive(Type.CON, 5, 44.9)
    assert layer.take_again() == [empty_ack(5)]
    assert layer.receive(Type.CON, 5, 45.0), "forgotten"
    assert layer.receive(Type.NON, 6, 45.0)
    assert not layer.receive(Type.NON, 6, 46.0)


def test_the_memory_ends_by_itself_and_is_bounded() -> None:
    layer = Reliability(lambda: 0.5, DEVICE)
    for message_id in range(2 * MAX_REMEMBERED):
        assert layer.receive(Type.NON, message_id, 0.0)
    assert len(layer._heard) == MAX_REMEMBERED
    assert not layer.receive(Type.NON, 2 * MAX_REMEMBERED - 1, 0.0)
    assert layer.next_deadline() == DEVICE.memory_s
    layer.handle_deadline(DEVICE.memory_s)
    assert layer.next_deadline() is None
    assert not layer._heard


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["con", "non", "reply", "wait", "long"])), max_size=60))
def test_each_id_is_delivered_once_in_45_s(steps: list[tuple[int, str]]) -> None:
    """Against the plainest model: when each id was delivered last, and what it was answered."""
    layer = Reliability(lambda: 0.5, DEVICE)
    now = 0.0
    delivered: dict[int, float] = {}
    replies: dict[int, bytes] = {}
    for message_id, step in steps:
        if step in ("con", "non"):
            is_new = message_id not in delivered or now - delivered[message_id] >= DEVICE.memory_s
            assert layer.receive(Type.CON if step == "con" else Type.NON, message_id, now) == is_new
            if is_new:
                delivered[message_id] = now
                replies.pop(message_id, None)
                assert layer.take_again() == []
            else:
                assert layer.take_again() == ([replies[message_id]] if message_id in replies else [])
        elif step == "reply":
            layer.sending(empty_ack(message_id), now)
            if message_id in delivered:
                replies[message_id] = empty_ack(message_id)
        else:
            now += 10.0 if step == "wait" else 46.0
            assert layer.handle_deadline(now) == []


@settings(max_examples=10)
@given(st.randoms(use_true_random=False), st.integers(0, 0xFFFF))
def test_trap_12_no_id_is_taken_twice_within_90_s(random: Random, first: int) -> None:
    ids, now = MessageIds(first, 0.0), 0.0
    last: dict[int, float] = defaultdict(lambda: -1e9)
    refused = 0
    for _ in range(40):
        now += random.choice((0.0, 1.0, 30.0, 91.0))
        for _ in range(random.choice((1, 1000, 9000))):
            if not ids.may_take(now):
                refused += 1
                break
            taken = ids.take()
            assert now - last[taken] >= ID_REST_S
            last[taken] = now
    assert ids.may_take(now + ID_REST_S), "never for longer than that"


def test_trap_12_ids_run_out_for_a_while_and_come_back() -> None:
    ids = MessageIds(0xFFFF, 0.0)
    assert [ids.take(), ids.take()] == [0xFFFF, 0]
    count = 2
    while ids.may_take(1.0):
        ids.take()
        count += 1
    assert count == 0x8000
    assert not ids.may_take(89.9)
    assert ids.may_take(90.0)


def test_trap_12_each_half_is_timed_from_when_the_other_was_begun() -> None:
    ids = MessageIds(0, 0.0)
    for _ in range(2):
        for _ in range(0x8000):
            assert ids.may_take(200.0)
            ids.take()
    assert ids.next == 0
    assert not ids.may_take(200.0 + ID_REST_S - 0.1), "those from 0 on were taken at 200 s"
    assert ids.may_take(200.0 + ID_REST_S)
