"""The cloud's end, message by message."""

import gc
import weakref

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudchamber.wire.coap import Message, Type, decode_untrusted
from cloudchamber.wire.describe import build_application
from cloudchamber.wire.events import (
    Acknowledged,
    Answered,
    Busy,
    Closed,
    CloseReason,
    Disconnected,
    EventPublished,
    FunctionReturned,
    IdentifyDevice,
    MemoryChanged,
    NotFound,
    Online,
    Outcome,
    Refused,
    Resumed,
    SaidGoodbye,
    Subscribed,
    TimeAsked,
    TimedOut,
    VariableRead,
)
from cloudchamber.wire.messages import Goodbye, Subscription
from cloudchamber.wire.reliability import MAX_REMEMBERED
from cloudchamber.wire.session.cloud import MAX_SUBSCRIPTIONS
from cloudchamber.wire.session.memory import SessionMemory
from cloudchamber.wire.udp.connection import ID_RESERVE, MAX_OUTSTANDING, CloudDatagramSession
from tests.wire.link import APPLICATION, DEVICE_ID
from tests.wire.udp.net import HELLO, Wire, cloud_with_wire, half

# A device that posts its description itself (flags 0036): it is not asked for one at once.
OTHER_HELLO = HELLO.replace("40020001", "40020009")
SUBSCRIBE = "40010002b1650777656174686572" + "4175"


def outcomes(cloud: CloudDatagramSession) -> list[Outcome]:
    return [event.outcome for event in cloud.events() if isinstance(event, Answered)]


# --- Hello -----------------------------------------------------------------------------------------------------------


def test_trap_03_hello_is_acknowledged_before_anything_else_is_sent() -> None:
    cloud = CloudDatagramSession(draw=half, now=0.0)
    wire = Wire(cloud)
    assert wire.hear() == []
    assert wire.say(HELLO) == [], "nothing before the key is known to be this device's"
    assert cloud.events() == [IdentifyDevice(DEVICE_ID, None)]
    assert not cloud.is_online
    cloud.accept(0.0)
    heard = wire.hear()
    assert heard[0] == "60000001"
    assert [decode_untrusted(bytes.fromhex(raw)).path() for raw in heard[1:]] == [b"h"]
    online, changed = cloud.events()
    assert isinstance(online, Online)
    assert online.hello.device_id == DEVICE_ID
    assert isinstance(changed, MemoryChanged)
    assert cloud.is_online


def test_a_hello_that_comes_again_while_its_question_is_open_asks_once() -> None:
    cloud, wire = cloud_with_wire(None)
    assert wire.say(HELLO, HELLO, SUBSCRIBE) == []
    assert len(cloud.events()) == 1
    cloud.accept(0.0)
    cloud.accept(0.0)
    assert len(wire.hear()) == 2
    assert [type(event) for event in cloud.events()] == [Online, MemoryChanged]
    assert wire.say(HELLO) == ["60000001"], "the reply that it got"
    assert wire.say(SUBSCRIBE) == ["60000002"], "what came too early is taken when it comes again"


def test_a_refused_device_gets_nothing() -> None:
    cloud, wire = cloud_with_wire(None)
    wire.say(HELLO)
    cloud.events()
    cloud.refuse(0.0)
    assert wire.hear() == []
    assert cloud.events() == [Closed(CloseReason.REFUSED)]
    cloud.accept(0.0)
    assert wire.say(HELLO) == []
    assert cloud.next_deadline() is None


def test_no_answer_to_the_question_ends_the_session_and_so_does_no_hello() -> None:
    for hello in (HELLO, None):
        cloud, wire = cloud_with_wire(None)
        wire.say(*([hello] if hello else []))
        cloud.events()
        wire.sendings(200.0)
        assert cloud.events() == [Closed(CloseReason.HANDSHAKE_TIMEOUT, "no Hello")]


@pytest.mark.parametrize("hello", ["40020001b168ff188f00010036000a", "40020001b168ff188f"])
def test_a_hello_that_names_no_device_ends_the_session(hello: str) -> None:
    cloud, wire = cloud_with_wire(None)
    assert wire.say(hello) == []
    (closed,) = cloud.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.MALFORMED


def test_a_second_hello_with_another_id_ends_the_session() -> None:
    cloud, wire = cloud_with_wire()
    assert wire.say(OTHER_HELLO[:-2] + "00") == []
    assert cloud.events() == [Closed(CloseReason.REFUSED, "Hello of another device")]


def test_a_session_without_a_hello_and_without_a_memory_cannot_go_on() -> None:
    cloud, wire = cloud_with_wire(None)
    assert wire.say("40000007") == []
    (closed,) = cloud.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.MALFORMED


# --- once, however often it comes ------------------------------------------------------------------------------------


def test_a_duplicate_is_answered_alike_and_told_once() -> None:
    cloud, wire = cloud_with_wire()
    post = "40020003b164ff32"
    assert wire.say(post) == ["60000003"]
    wire.now = 42.0
    assert wire.say(post, post) == ["60000003", "60000003"]
    assert cloud.events() == []


@pytest.mark.parametrize(("taken", "answer"), [(True, "60000003"), (False, "61800003aa")])
def test_an_event_is_acknowledged_when_it_is_taken_and_its_copies_as_it_was(taken: bool, answer: str) -> None:
    cloud, wire = cloud_with_wire()
    event = "41020003aab1450474656d70ff32"
    assert wire.say(event, event) == []
    (told,) = cloud.events()
    assert told == EventPublished("temp", b"2", 60, is_private=True)
    wire.now = 4.0
    assert wire.say(event) == []
    assert isinstance(told, EventPublished)
    cloud.confirm_event(told, taken=taken)
    assert wire.hear() == [answer]
    wire.now = 15.0
    assert wire.say(event) == [answer]
    assert cloud.events() == []


def test_a_duplicate_question_for_the_time_gets_the_same_answer() -> None:
    cloud, wire = cloud_with_wire()
    question = "41010003aab174"
    assert wire.say(question, question) == []
    (asked,) = cloud.events()
    assert isinstance(asked, TimeAsked)
    cloud.tell_time(asked, 0x6553F100, 0.0)
    (answer,) = wire.hear()
    assert answer == "61450003aaff6553f100"
    assert wire.say(question) == [answer]


def test_trap_12_a_repeated_answer_is_acknowledged_again_and_changes_nothing() -> None:
    cloud, wire = cloud_with_wire()
    call = cloud.call_function("brew", "", 0.0, 30.0)
    (sent,) = wire.hear()
    token = sent[8:10]
    assert wire.say(f"6000{sent[4:8]}") == []
    answer = f"41440008{token}ff00000007"
    assert wire.say(answer) == ["60000008"]
    assert wire.say(answer) == ["60000008"]
    assert cloud.events() == [Answered(call, FunctionReturned(7))]


def test_a_late_answer_is_acknowledged_and_answers_nobody() -> None:
    cloud, wire = cloud_with_wire()
    cloud.call_function("brew", "", 0.0, 5.0)
    (sent,) = wire.hear()
    wire.say(f"6000{sent[4:8]}")
    wire.sendings(20.0)
    assert outcomes(cloud) == [TimedOut()]
    following = cloud.call_function("brew", "", wire.now, 30.0)
    assert wire.hear()[0][8:10] != sent[8:10], "that token rests"
    assert wire.say(f"41440008{sent[8:10]}ff00000007") == ["60000008"]
    assert outcomes(cloud) == []
    cloud.close(wire.now)
    assert cloud.events() == [Answered(following, Disconnected()), Closed(CloseReason.LOCAL)]


def test_an_acknowledgement_from_before_does_not_answer_a_later_request_with_its_token() -> None:
    """Old firmware answers variables inside the ACK: its duplicate may come when the token has another owner."""
    cloud, wire = cloud_with_wire()
    tokens = {}
    for _ in range(257):
        read = cloud.read_variable("x", 0.0, 30.0)
        (sent,) = wire.hear()
        token = sent[8:10]
        if token in tokens:
            assert wire.say(f"6145{tokens[token]}{token}ff01") == []
            assert outcomes(cloud) == []
            assert wire.say(f"6145{sent[4:8]}{token}ff02") == []
            assert cloud.events() == [Answered(read, VariableRead(b"\x02"))]
            return
        tokens[token] = sent[4:8]
        wire.say(f"6145{sent[4:8]}{token}ff01")
        assert cloud.events() == [Answered(read, VariableRead(b"\x01"))]
    raise AssertionError("tokens have one byte")


# --- retransmission --------------------------------------------------------------------------------------------------


def test_a_device_that_never_acknowledges() -> None:
    cloud, wire = cloud_with_wire()
    call = cloud.call_function("brew", "", 0.0, 600.0)
    ping = cloud.ping(0.0, 600.0)
    sent = wire.hear()
    again = wire.sendings(300.0)
    assert [raw for _, raw in again[:8]] == sent * 4
    assert [at for at, _ in again[:8:2]] == [at for at, _ in again[1:8:2]] == pytest.approx([2.16, 6.48, 15.12, 32.4])
    answered = [event for event in cloud.events() if isinstance(event, Answered)]
    assert answered == [Answered(call, TimedOut()), Answered(ping, TimedOut())]
    assert cloud.is_online, "the session stays"
    later = cloud.ping(wire.now, 10.0)
    (sent_later,) = wire.hear()
    wire.say(f"6000{sent_later[4:8]}")
    assert cloud.events() == [Answered(later, Acknowledged())]


def test_a_request_that_nobody_waits_for_is_not_sent_again() -> None:
    cloud, wire = cloud_with_wire()
    cloud.call_function("brew", "", 0.0, 10.0)
    (sent,) = wire.hear()
    assert [raw for at, raw in wire.sendings(40.0) if raw == sent] == [sent] * 2


def test_an_answer_whose_acknowledgement_was_lost_ends_the_request() -> None:
    cloud, wire = cloud_with_wire()
    call = cloud.call_function("brew", "", 0.0, 60.0)
    (sent,) = wire.hear()
    assert wire.say(f"41440008{sent[8:10]}ff00000007") == ["60000008"]
    assert cloud.events() == [Answered(call, FunctionReturned(7))]
    assert sent not in [raw for _, raw in wire.sendings(100.0)]


def test_an_argument_refused_in_the_acknowledgement() -> None:
    cloud, wire = cloud_with_wire()
    call = cloud.call_function("brew", "", 0.0, 60.0)
    (sent,) = wire.hear()
    wire.say(f"6080{sent[4:8]}")
    assert cloud.events() == [Answered(call, Refused(0x80))]


def test_a_reset_of_the_device_ends_the_request() -> None:
    cloud, wire = cloud_with_wire()
    call = cloud.call_function("brew", "", 0.0, 60.0)
    (sent,) = wire.hear()
    wire.say("70001234", f"7000{sent[4:8]}")
    assert cloud.events() == [Answered(call, Refused(0))]
    assert cloud.is_online


def test_events_are_confirmable_and_held_back_from_a_device_that_takes_none() -> None:
    cloud, wire = cloud_with_wire()
    wire.say(SUBSCRIBE)
    sent = 0
    while cloud.send_event("weather", b"x", 60, True, 0.0):
        (raw,) = wire.hear()
        assert raw.startswith("40")
        sent += 1
    assert sent == MAX_OUTSTANDING
    cloud.events()
    assert outcomes_of(cloud, cloud.ping(0.0, 5.0)) == [Busy()]
    wire.say(f"6000{raw[4:8]}")
    assert cloud.send_event("weather", b"x", 60, True, 0.0)


def outcomes_of(cloud: CloudDatagramSession, request: int) -> list[Outcome]:
    return [event.outcome for event in cloud.events() if isinstance(event, Answered) and event.request == request]


def test_trap_12_an_id_is_not_given_again_too_soon() -> None:
    cloud, wire = cloud_with_wire()
    wire.say(SUBSCRIBE)
    ids: list[str] = []
    while cloud.send_event("weather", None, 60, True, 0.0):
        (raw,) = wire.hear()
        ids.append(raw[4:8])
        wire.say(f"6000{raw[4:8]}")
    assert 30_000 < len(ids) == len(set(ids))
    assert not cloud.send_event("weather", None, 60, True, 80.0)
    assert cloud.send_event("weather", None, 60, True, 90.0)


# --- on a bad network ------------------------------------------------------------------------------------------------


def test_a_read_without_an_answer_is_asked_anew_with_an_id_and_a_token_of_its_own() -> None:
    cloud, wire = cloud_with_wire()
    read = cloud.read_variable("x", 0.0, 30.0)
    first = wire.hear()
    sent = [(0.0, first[0]), *wire.sendings(30.0)]
    by_message: dict[str, list[float]] = {}
    for at, raw in sent:
        if raw[10:14] == "b176":
            by_message.setdefault(raw, []).append(at)
    assert [times[0] for times in by_message.values()] == [0.0, 3.0, 9.0, 21.0]
    messages = [decode_untrusted(bytes.fromhex(raw)) for raw in by_message]
    assert len({message.id for message in messages}) == len({message.token for message in messages}) == 4
    assert cloud.events() == [Answered(read, TimedOut())]
    assert not [raw for _, raw in wire.sendings(300.0) if raw in by_message]


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_the_first_answer_ends_all_that_ask_the_same_and_the_others_come_late(answered: int) -> None:
    cloud, wire = cloud_with_wire()
    read = cloud.read_variable("x", 0.0, 30.0)
    (first,) = wire.hear()
    raws = [first, *dict.fromkeys(raw for _, raw in wire.sendings(10.0) if raw[10:14] == "b176" and raw != first)]
    assert len(raws) == 3
    answers = [f"4145{number:04x}{raw[8:10]}ff00000007" for number, raw in enumerate(raws, 0x50)]
    wire.say(answers[answered])
    assert cloud.events() == [Answered(read, VariableRead(bytes.fromhex("00000007")))]
    assert not [raw for _, raw in wire.sendings(20.0) if raw in raws]
    for number, answer in enumerate(answers, 0x50):
        assert wire.say(answer) == [f"6000{number:04x}"]
    assert outcomes(cloud) == []
    assert not cloud._requests._resting, "all answers came"


def test_who_acknowledged_a_read_is_not_asked_anew_before_it_had_time_to_repeat_its_answer() -> None:
    cloud, wire = cloud_with_wire()
    cloud.read_variable("x", 0.0, 30.0)
    (raw,) = wire.hear()
    wire.now = 1.0
    wire.say(f"6000{raw[4:8]}")
    assert [at for at, _ in wire.sendings(9.0)] == pytest.approx([7.0, 9.16])


def test_a_cancelled_read_is_not_asked_anew() -> None:
    cloud, wire = cloud_with_wire()
    early, late = cloud.read_variable("x", 0.0, 30.0), cloud.read_variable("x", 0.0, 30.0)
    wire.hear()
    cloud.cancel(early, 0.0)
    assert len({raw for _, raw in wire.sendings(4.0)}) == 2
    cloud.cancel(late, 4.0)
    assert wire.sendings(40.0) == []
    assert outcomes(cloud) == []


def test_reads_are_asked_anew_only_while_half_of_the_tokens_are_free() -> None:
    cloud, wire = cloud_with_wire()
    reads = [cloud.read_variable("x", 0.0, 30.0) for _ in range(120)]
    wire.hear()
    again = {raw for at, raw in wire.sendings(4.0) if at == 3.0}
    assert len(again) == 128 - 120
    wire.sendings(30.0)
    assert outcomes(cloud) == [TimedOut()] * len(reads)


def test_replies_leave_three_times_once_a_duplicate_told_that_some_get_lost() -> None:
    _, wire = cloud_with_wire()
    event = "4002{:04x}b164ff32"
    assert wire.say(event.format(2)) == ["60000002"]
    assert wire.sendings(3.9) == []
    assert wire.say(event.format(2)) == ["60000002"]
    wire.now += 1
    assert wire.say(event.format(3)) == ["60000003"]
    assert [raw for _, raw in wire.sendings(10.0)] == ["60000002", "60000003"] * 2
    wire.sendings(300.0)
    assert wire.say(event.format(4)) == ["60000004"]
    assert "60000004" not in [raw for _, raw in wire.sendings(10.0)]


def test_replies_leave_three_times_once_a_device_has_said_what_did_not_arrive() -> None:
    """It counts its messages."""
    _, wire = cloud_with_wire()
    event = "4002{:04x}b164ff32"
    for number in (2, 3, 5):
        wire.say(event.format(number))
    assert [raw for _, raw in wire.sendings(10.0)] == ["60000005"] * 2
    for number in (4, 6):
        wire.say(event.format(number))
    assert [raw for _, raw in wire.sendings(10.0)] == ["60000004", "60000006"] * 2


def test_the_acknowledgement_of_a_hello_leaves_until_the_device_says_more() -> None:
    """A device that waits for it hears nothing else."""
    cloud, wire = cloud_with_wire(says_more=False)
    acknowledged = [at for at, raw in wire.sendings(30.0) if raw == "60000001"]
    assert acknowledged == [1.0, 3.0, 7.0, 15.0]
    cloud, wire = cloud_with_wire(says_more=False)
    wire.sendings(3.5)
    wire.say("40010002b174")
    assert "60000001" not in [raw for _, raw in wire.sendings(30.0)]
    assert cloud.is_online


# --- cancelled requests ----------------------------------------------------------------------------------------------


def test_a_cancelled_request_is_not_sent_again_and_its_late_answer_is_acknowledged() -> None:
    cloud, wire = cloud_with_wire()
    call = cloud.call_function("brew", "", 0.0, 60.0)
    (raw,) = wire.hear()
    message = decode_untrusted(bytes.fromhex(raw))
    cloud.cancel(call, 0.0)
    assert wire.sendings(40.0) == []
    answer = f"4144{message.id:04x}{message.token.hex()}ff00000001"
    assert wire.say(answer) == wire.say(answer) == [f"6000{message.id:04x}"]
    assert outcomes(cloud) == []
    # Its duplicate must not answer whoever has the token next.
    later = [cloud.call_function("brew", "", wire.now, 60.0) for _ in range(256)]
    assert message.token in {decode_untrusted(bytes.fromhex(raw)).token for raw in wire.hear()}
    assert len(later) == 256
    assert wire.say(answer) == [f"6000{message.id:04x}"]
    assert outcomes(cloud) == []


def test_a_cancelled_ping_is_forgotten_at_once() -> None:
    cloud, wire = cloud_with_wire()
    cancelled = [cloud.ping(0.0, 60.0) for _ in range(MAX_OUTSTANDING)]
    asked = wire.hear()
    for ping in cancelled:
        cloud.cancel(ping, 0.0)
    other = cloud.ping(0.0, 60.0)
    (raw,) = wire.hear()
    wire.say(*(f"6000{raw[4:8]}" for raw in asked))
    assert outcomes(cloud) == []
    wire.say(f"6000{raw[4:8]}")
    assert cloud.events() == [Answered(other, Acknowledged())]


def test_abandoned_requests_do_not_keep_a_device_that_answers_busy() -> None:
    cloud, wire = cloud_with_wire()
    ids = set()
    for number in range(1024):
        wire.now += 0.01
        call = cloud.read_variable("x", wire.now, 60.0)
        (raw,) = wire.hear()
        message = decode_untrusted(bytes.fromhex(raw))
        ids.add(message.id)
        cloud.cancel(call, wire.now)
        wire.say(f"4145{number + 10:04x}{message.token.hex()}ff00000001")
        assert outcomes(cloud) == []
    assert len(ids) == 1024, "no id comes back within its time"


# --- a session without end -------------------------------------------------------------------------------------------


def test_silence_ends_nothing_and_an_idle_session_wants_no_timer() -> None:
    cloud, wire = cloud_with_wire(HELLO.replace("0036000a", "0016000a"))
    wire.say(SUBSCRIBE)
    assert cloud.next_deadline() is not None
    wire.sendings(1000.0)
    assert cloud.next_deadline() is None
    assert cloud.is_online
    wire.now = 100 * 3600.0
    assert wire.say("40000100") == ["60000100"]
    assert cloud.heard_at == wire.now


def test_goodbye_leaves_the_session_for_when_the_device_comes_back() -> None:
    cloud, wire = cloud_with_wire()
    wire.say(SUBSCRIBE)
    read = cloud.read_variable("x", 0.0, 30.0)
    wire.hear()
    cloud.events()
    goodbye = "40020005b178ff0d06ac0205"
    assert wire.say(goodbye) == ["60000005"]
    assert cloud.events() == [Answered(read, Disconnected()), SaidGoodbye(Goodbye(6, None, 300, 5))]
    assert not cloud.is_online
    assert outcomes_of(cloud, cloud.read_variable("x", 0.0, 30.0)) == [Disconnected()]
    assert not cloud.send_event("weather", b"x", 60, True, 0.0)
    assert wire.say(goodbye) == ["60000005"], "its acknowledgement was lost"
    # Sent before the Goodbye, and overtaken by it.
    assert wire.say("40020004b1450474656d70ff32") == []
    (late,) = cloud.events()
    assert late == EventPublished("temp", b"2", 60, is_private=True)
    assert isinstance(late, EventPublished)
    cloud.confirm_event(late)
    assert wire.hear() == ["60000004"]
    assert not cloud.is_online
    repeated = wire.sendings(300.0)  # for one that loses acknowledgements loses more
    assert {at for at, _ in repeated} == {1.0, 3.0}
    assert {raw for _, raw in repeated} == {"60000004", "60000005"}
    assert wire.say("40000006") == ["60000006"]
    (resumed,) = cloud.events()
    assert isinstance(resumed, Resumed)
    assert resumed.memory.subscriptions == (Subscription("weather"),)
    assert cloud.is_online
    assert cloud.send_event("weather", b"x", 60, True, wire.now)


def test_a_goodbye_that_the_devices_return_overtook() -> None:
    cloud, wire = cloud_with_wire()
    wire.say("40000006")
    assert wire.say("40020005b178ff0d06ac0205") == ["60000005"]
    assert cloud.events() == []
    assert cloud.is_online


# --- the memory ------------------------------------------------------------------------------------------------------


def remembered() -> tuple[SessionMemory, Wire]:
    cloud, wire = cloud_with_wire()
    wire.say(SUBSCRIBE)
    wire.say("40020003b1644101ff" + b'{"p":10,"m":[]}'.hex())
    wire.say("40020004b1644102ff" + build_application(APPLICATION).hex())
    memories = [event.memory for event in cloud.events() if isinstance(event, MemoryChanged)]
    assert memories[-1] == cloud.memory()
    return memories[-1], wire


def test_what_changes_is_told_once_for_all_that_came() -> None:
    cloud, wire = cloud_with_wire()
    wire.say(SUBSCRIBE, SUBSCRIBE.replace("0002", "0003").replace("65617468", "65617478"))
    assert [type(event) for event in cloud.events()] == [Subscribed, Subscribed, MemoryChanged]
    wire.say("40000004", "40020005b1450474656d70ff32")
    assert [type(event) for event in cloud.events()] == [EventPublished]


def test_a_memory_is_told_before_the_end() -> None:
    cloud, wire = cloud_with_wire()
    wire.say(SUBSCRIBE)
    cloud.close(0.0)
    assert [type(event) for event in cloud.events()] == [Subscribed, MemoryChanged, Closed]
    assert cloud.events() == []


def test_trap_17_a_resumed_session_starts_with_a_ping_and_all_is_known() -> None:
    memory, _ = remembered()
    cloud = CloudDatagramSession.resume(SessionMemory.from_bytes_untrusted(memory.to_bytes()), draw=half, now=1000.0)
    wire = Wire(cloud)
    wire.now = 1000.0
    assert cloud.next_deadline() is None
    assert cloud.events() == []
    assert cloud.is_online, "commands reach a device that is silent"
    assert cloud.device_id == DEVICE_ID
    assert wire.say("4000002a") == ["6000002a"]
    assert cloud.events() == [Resumed(memory)]
    assert outcomes_of(cloud, cloud.call_function("nothing", "", 1000.0, 5.0)) == [NotFound()]
    assert cloud.send_event("weather/us", b"x", 60, True, 1000.0)
    assert not cloud.send_event("other", b"x", 60, True, 1000.0)
    (sent,) = wire.hear()
    used = memory.next_message_id - ID_RESERVE
    assert int(sent[4:8], 16) == memory.next_message_id != used
    (changed,) = cloud.events()
    assert isinstance(changed, MemoryChanged)
    assert changed.memory.next_message_id > memory.next_message_id + ID_RESERVE // 2


def test_trap_12_ids_of_before_a_restart_are_not_used_after_it() -> None:
    """Whenever the cloud ends: the last memory told is ahead of all ids that were used."""
    cloud, wire = cloud_with_wire()
    memory = cloud.memory()
    used: set[int] = set()
    for run in range(6):
        ids: set[int] = set()
        for _ in range(700 * (run + 1)):
            cloud.ping(wire.now, 5.0)
            (raw,) = wire.hear()
            ids.add(int(raw[4:8], 16))
            wire.say(f"6000{raw[4:8]}")
            for event in cloud.events():
                memory = event.memory if isinstance(event, MemoryChanged) else memory
            ahead = (memory.next_message_id - int(raw[4:8], 16)) & 0xFFFF
            assert ID_RESERVE // 2 <= ahead <= ID_RESERVE + 1, "a store may take its time"
        assert not used & ids
        used |= ids
        cloud = CloudDatagramSession.resume(memory, draw=half, now=wire.now)
        wire.end = cloud


def test_trap_17_without_a_word_of_the_device_commands_reach_it() -> None:
    memory, _ = remembered()
    cloud = CloudDatagramSession.resume(memory, draw=half, now=0.0)
    wire = Wire(cloud)
    call = cloud.call_function("brew", "", 0.0, 30.0)
    (sent,) = wire.hear()
    wire.say(f"6000{sent[4:8]}", f"41440030{sent[8:10]}ff00000007")
    events = [event for event in cloud.events() if not isinstance(event, MemoryChanged)]
    assert isinstance(events[0], Resumed)
    assert events[1:] == [Answered(call, FunctionReturned(7))]


def test_trap_17_a_hello_in_a_resumed_session_asks_no_question() -> None:
    memory, _ = remembered()
    cloud = CloudDatagramSession.resume(memory, draw=half, now=0.0)
    assert Wire(cloud).say(OTHER_HELLO)[0] == "60000009"
    online, kept, changed = cloud.events()
    assert isinstance(online, Online)
    assert kept == Subscribed(Subscription("weather"))
    assert isinstance(changed, MemoryChanged)


def test_trap_17_up_to_1_5_a_hello_starts_subscriptions_anew_and_from_2_0_they_stay() -> None:
    memory, _ = remembered()
    for flags, kept in (("0036", (Subscription("weather"),)), ("0006", ())):
        cloud = CloudDatagramSession.resume(memory, draw=half, now=0.0)
        wire = Wire(cloud)
        wire.say(OTHER_HELLO.replace("0036000a", flags + "000a"))
        assert cloud.subscriptions == kept
        unknown = cloud.call_function("nothing", "", 0.0, 5.0)
        assert (outcomes_of(cloud, unknown) == [NotFound()]) == bool(kept), "and so does the application"


def test_a_hello_of_another_device_in_a_resumed_session() -> None:
    memory, _ = remembered()
    cloud = CloudDatagramSession.resume(memory, draw=half, now=0.0)
    assert Wire(cloud).say(OTHER_HELLO[:-2] + "00") == []
    assert [type(event) for event in cloud.events()] == [Closed]


def test_a_device_that_was_never_described_is_asked_when_it_comes_back() -> None:
    memory = cloud_with_wire()[0].memory()
    assert memory.known is None
    cloud = CloudDatagramSession.resume(memory, draw=half, now=0.0)
    wire = Wire(cloud)
    assert wire.sendings(1000.0) == []
    wire.say("4000002a")
    assert wire.sendings(50.0)[0][1].endswith("b1644101")


def test_a_device_that_answered_no_question_is_asked_again_when_it_comes_back() -> None:
    _, wire = cloud_with_wire()
    asked = {raw for _, raw in wire.sendings(3600.0) if raw.endswith("b1644101")}
    assert len(asked) == 6
    wire.say("40020005b178ff0d06ac0205")
    assert wire.sendings(3600.0) == []
    wire.say("40000006")
    assert len({raw for _, raw in wire.sendings(3600.0) if raw.endswith("b1644101")}) == 6


def test_a_device_that_lost_count_of_its_ids_is_back_all_the_same() -> None:
    cloud, wire = cloud_with_wire()
    wire.say("40020105b178ff0d06ac0205")
    cloud.events()
    wire.now = 30.0
    wire.say("40000004")
    assert not cloud.is_online, "on its way since before the Goodbye"
    wire.now = 61.0
    wire.say("40000005")
    assert cloud.is_online
    assert [type(event) for event in cloud.events()] == [Resumed]
    wire.now = 200.0
    wire.say("40020006b178ff0d06ac0205")
    assert [type(event) for event in cloud.events()] == [SaidGoodbye]


def test_subscriptions_of_earlier_applications_make_room() -> None:
    cloud, wire = cloud_with_wire()
    for at in range(2 * MAX_SUBSCRIPTIONS):
        assert wire.say(f"4001{at + 16:04x}b16502{bytes((65 + at % 26, 65 + at // 26)).hex()}4175") == [
            f"6000{at + 16:04x}"
        ]
    assert len(cloud.subscriptions) == MAX_SUBSCRIPTIONS
    first = cloud.subscriptions[0]
    wire.say(f"40010100b16502{first.prefix.encode().hex()}4175")
    assert cloud.subscriptions[-1] == first


TEXT = st.text(max_size=5)
SUBSCRIPTIONS = st.builds(Subscription, TEXT, st.booleans(), st.none() | TEXT, st.none() | st.just("b"))


@given(st.lists(SUBSCRIPTIONS, max_size=4), st.integers(0, 0xFFFF))
def test_a_memory_survives_as_bytes(subscriptions: list[Subscription], next_id: int) -> None:
    known, _ = remembered()
    memory = SessionMemory(known.hello, known.known, tuple(subscriptions), next_id)
    assert SessionMemory.from_bytes_untrusted(memory.to_bytes()) == memory


# --- anything at all -------------------------------------------------------------------------------------------------

MESSAGES = st.binary(max_size=40) | st.builds(
    lambda kind, code, message_id, rest: bytes((0x40 | kind << 4, code, 0, message_id)) + rest,
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, 3, 0x44, 0x45, 0x80]),
    st.integers(0, 9),
    st.sampled_from([bytes.fromhex(tail) for tail in ("", "b174", "b168", "b165", "b17a", "b178", "b164", "b16b4101")])
    | st.binary(max_size=20),
)


@given(st.lists(st.tuples(MESSAGES, st.floats(0, 50)), max_size=20), st.booleans())
@example([(bytes.fromhex(SUBSCRIBE), 0.0), (bytes.fromhex(SUBSCRIBE), 44.0)], True)
def test_traps_07_and_12_whatever_comes_no_reset_leaves_and_no_2_05_but_the_time(
    steps: list[tuple[bytes, float]], is_known: bool
) -> None:
    cloud, wire = cloud_with_wire(HELLO if is_known else None)
    heard: list[bytes] = []
    events = []
    for raw, pause in steps:
        cloud.receive_message(raw, wire.now)
        if not cloud.is_closed:
            cloud.ping(wire.now, 3.0)
        for event in cloud.events():
            events.append(event)
            if isinstance(event, TimeAsked):
                cloud.tell_time(event, 1, wire.now)
        heard += cloud.messages_to_send(wire.now)
        heard += [bytes.fromhex(again) for _, again in wire.sendings(pause)]
    for raw in heard:
        message: Message = decode_untrusted(raw)
        assert message.type != Type.RST
        assert message.code != 0x45 or message.type == Type.ACK
        assert len(message.token) <= 1 or message.type == Type.ACK
    cloud.close(wire.now)
    events += cloud.events()
    assert sum(isinstance(event, Closed) for event in events) == 1
    assert isinstance(events[-1], Closed)
    assert cloud.next_deadline() is None


def test_a_flood_of_ids_costs_no_more_than_a_minute_of_them() -> None:
    cloud, wire = cloud_with_wire()
    for message_id in range(3 * MAX_REMEMBERED):
        wire.say(f"5000{message_id + 16:04x}")
    assert len(cloud._reliability._heard) <= MAX_REMEMBERED


def test_a_session_is_collectable_after_its_end() -> None:
    cloud, wire = cloud_with_wire()
    cloud.close(0.0)
    end = weakref.ref(cloud)
    gc.disable()
    try:
        del cloud, wire
        assert end() is None, "no cycles: gone at once"
    finally:
        gc.enable()
