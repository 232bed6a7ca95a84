"""Sessions that are not in memory: restarts of the cloud, sleepers, questions and their bounds."""

import gc
import weakref

import pytest

from cloudchamber.wire.dtls.client import Dialect
from cloudchamber.wire.dtls.events import (
    ByAddress,
    ByCid,
    ByDeviceId,
    Closed,
    Delivered,
    Moved,
    Received,
    ReservationNeeded,
    SessionAsked,
)
from cloudchamber.wire.dtls.questions import MAX_DATAGRAMS_PER_QUESTION, MAX_QUESTIONS, QUESTION_TIMEOUT_S
from cloudchamber.wire.dtls.state import SessionState
from tests.wire.dtls.net import ATTACKER, AWAY, DEVICE_ID, HOME, Pair, endpoint, of

SAVED_DIALECTS = [Dialect.DEVICE_ID, Dialect.PLAIN_CID, Dialect.MARKED_CID]


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


@pytest.mark.parametrize("dialect", SAVED_DIALECTS)
def test_a_packed_session_goes_on_where_it_was(dialect: Dialect) -> None:
    pair = Pair(dialect)
    session = pair.connect()
    pair.device.send(b"one")
    pair.run()
    session.send(b"two")
    pair.run()
    recorded = pair.to_cloud[-1]
    session.state()
    pair.device.send(b"three")
    pair.run()
    before = session.state()
    unsaved = session.unsaved_records
    packed = pair.cloud.pack(session)
    assert session.is_closed
    assert pair.cloud.session_count == 0
    assert session.packed_key(packed) == session.peer_spki
    pair.seen(Received)
    pair.device_events.clear()

    pair.cloud.receive_datagram(recorded, HOME, pair.now)
    (asked,) = pair.seen(SessionAsked)
    again = pair.cloud.unpack(packed)
    assert again.state() == before
    assert again.unsaved_records == unsaved == 0
    pair.cloud.found(asked.ticket, pair.now)
    assert pair.seen(Received) == [], "its window was packed as well"
    again.send(b"four")
    pair.device.send(b"five")
    pair.run()
    assert of(Delivered, pair.device_events) == [Delivered(b"four")], "the numbers that were reserved still are"
    assert [event.payload for event in pair.seen(Received)] == [b"five"]
    assert pair.seen(ReservationNeeded) == []
    pair.cloud.found(asked.ticket, pair.now)  # answered long ago


def test_packing_counts_forgeries_and_records_that_the_store_lacks() -> None:
    pair = Pair()
    session = pair.connect()
    session.state()
    pair.device.send(b"one")
    pair.run()
    unsaved = session.unsaved_records
    assert unsaved
    for number in range(1, 4):
        packed = pair.cloud.pack(session)
        session = pair.cloud.unpack(packed)
        damaged = bytes(pair.to_cloud[-1][:-1]) + b"\0\0"[:1]
        pair.cloud.receive_datagram(damaged[:5] + bytes((0, 0, 0, 0, 9, number)) + damaged[11:], HOME, pair.now)
        assert (session.forged_records, session.unsaved_records) == (number, unsaved)
