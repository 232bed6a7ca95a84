"""The cloud's end against messages written by hand."""

import pytest

from cloudchamber.wire.coap import Code, Message, Option, Type
from cloudchamber.wire.describe import Part, build_application
from cloudchamber.wire.events import (
    Acknowledged,
    Answered,
    Busy,
    ClaimCodePresented,
    Closed,
    CloseReason,
    Described,
    DescribeRead,
    Disconnected,
    EventPublished,
    Fact,
    FactAsked,
    FunctionReturned,
    NotFound,
    Online,
    Outcome,
    Refused,
    SafeMode,
    SaidGoodbye,
    Subscribed,
    TimeAsked,
    TimedOut,
    TooLarge,
    UpdatesEnabled,
    UpdatesForced,
    VariableRead,
    Vitals,
)
from cloudchamber.wire.messages import Block, Goodbye, Subscription, block_option, device_event
from cloudchamber.wire.session.cloud import MAX_SUBSCRIPTIONS
from cloudchamber.wire.session.requests import TOKENS
from cloudchamber.wire.tcp.connection import CloudConnection
from tests.wire.link import APPLICATION, Peer, cloud_with_peer, decoded

OLD_HELLO = "50022121b168ff0006ffff00060006"
HELLO_6 = "50022121b168ff188f000100360006000018380480000a00000200"


def outcomes(cloud: CloudConnection) -> dict[int, Outcome]:
    return {event.request: event.outcome for event in cloud.events() if isinstance(event, Answered)}


def said(cloud: CloudConnection, peer: Peer, message: Message) -> list[object]:
    peer.say(message)
    return list(cloud.events())


# --- Hello -----------------------------------------------------------------------------------------------------------


def test_hello_is_answered_and_the_device_online() -> None:
    cloud, peer = cloud_with_peer(None)
    assert not cloud.is_online
    assert peer.say("50022121b168ff188f000100360006") == ["50024001b168"]
    (online,) = cloud.events()
    assert isinstance(online, Online)
    assert online.hello.product_id == 6287
    assert cloud.is_online


def test_a_confirmable_hello_is_acknowledged_first() -> None:
    _, peer = cloud_with_peer(None)
    assert peer.say("40022121b168ff188f000100360006") == ["60002121", "50024001b168"]


@pytest.mark.parametrize("first", ["41012127f5b174", "40000001", "600000aa", "50022121b168ff00", "50020001b14501 61"])
def test_anything_else_first_ends_the_connection(first: str) -> None:
    cloud, peer = cloud_with_peer(None)
    peer.say(first.replace(" ", ""))
    (closed,) = cloud.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.MALFORMED


def test_hello_that_does_not_come_ends_the_connection() -> None:
    cloud, peer = cloud_with_peer(None)
    assert cloud.next_deadline() == 10.0
    peer.wait(10.0)
    assert cloud.events() == [Closed(CloseReason.HANDSHAKE_TIMEOUT, "no Hello")]
    assert cloud.next_deadline() is None


def test_a_new_hello_starts_a_new_set_of_subscriptions() -> None:
    cloud, peer = cloud_with_peer()
    peer.say("40012129b165087061727469636c654175")
    assert cloud.send_event("particle/x", None, 60, True, 0.0)
    peer.say("50022122b168ff188f000100360006")
    assert not cloud.send_event("particle/x", None, 60, True, 0.0)


# --- function and variable -------------------------------------------------------------------------------------------


def test_function() -> None:
    cloud, peer = cloud_with_peer()
    call = cloud.call_function("brew", "32,240", 0.0, 10.0)
    assert peer.hear() == ["4102400200b16604627265774633322c323430"]
    peer.say("60004002")
    assert outcomes(cloud) == {}
    peer.say("5144212b00ff000001c8")
    assert outcomes(cloud) == {call: FunctionReturned(456)}


def test_a_negative_result() -> None:
    cloud, peer = cloud_with_peer()
    call = cloud.call_function("brew", "", 0.0, 10.0)
    peer.say("5144212b00ffffffffff")
    assert outcomes(cloud) == {call: FunctionReturned(-1)}


def test_trap_08_a_function_is_always_called_with_its_argument_option() -> None:
    cloud, peer = cloud_with_peer()
    cloud.call_function("brew", "", 0.0, 10.0)
    assert peer.hear() == ["4102400200b166046272657740"]


def test_trap_08_an_unknown_function_ends_in_a_time_out() -> None:
    cloud, peer = cloud_with_peer()
    call = cloud.call_function("nothing", "", 0.0, 10.0)
    peer.say("60004002")
    assert cloud.next_deadline() == 10.0
    peer.wait(9.9)
    assert outcomes(cloud) == {}
    peer.wait(0.1)
    assert outcomes(cloud) == {call: TimedOut()}


def test_trap_08_a_refused_argument_runs_all_the_same_and_its_result_answers_nobody() -> None:
    cloud, peer = cloud_with_peer()
    call = cloud.call_function("brew", "x" * 100, 0.0, 10.0)
    peer.say("60804002")
    assert outcomes(cloud) == {call: Refused(Code.BAD_REQUEST)}
    later = [cloud.call_function("brew", "", 0.0, 10.0) for _ in range(TOKENS)]
    assert outcomes(cloud) == {later[-1]: Busy()}, "the refused call's token rests"
    peer.say("5144212b00ff00000001")
    assert outcomes(cloud) == {}


def test_a_late_result_is_not_taken_for_another_calls() -> None:
    cloud, peer = cloud_with_peer()
    first = cloud.call_function("slow", "", 0.0, 5.0)
    peer.wait(5.0)
    assert outcomes(cloud) == {first: TimedOut()}
    tokens = set()
    for _ in range(TOKENS - 1):
        cloud.call_function("brew", "", peer.now, 5.0)
    for raw in peer.hear():
        tokens.add(decoded(raw).token)
    assert b"\0" not in tokens
    assert len(tokens) == TOKENS - 1
    peer.say("5144212b00ff00000001")
    assert outcomes(cloud) == {}


def test_a_token_is_free_again_after_its_rest() -> None:
    cloud, peer = cloud_with_peer()
    for _ in range(TOKENS):
        cloud.call_function("slow", "", 0.0, 5.0)
    assert cloud.call_function("slow", "", 0.0, 5.0) in outcomes(cloud)
    for _ in range(5):
        peer.wait(15.0)
        peer.say("40000001")
    cloud.events()
    call = cloud.call_function("slow", "", peer.now, 5.0)
    peer.hear()
    assert call not in outcomes(cloud)


def test_variable_in_a_separate_answer_and_inside_the_acknowledgement() -> None:
    cloud, peer = cloud_with_peer()
    first = cloud.read_variable("temperature", 0.0, 10.0)
    assert peer.hear() == ["4101400200b1760b74656d7065726174757265"]
    peer.say("60004002", "5145212c00fffffe7e33")
    second = cloud.read_variable("temperature", 0.0, 10.0)
    peer.say("6145400301fffffe7e33")
    data = bytes.fromhex("fffe7e33")
    assert outcomes(cloud) == {first: VariableRead(data), second: VariableRead(data)}


def test_trap_09_an_empty_string_has_no_payload_marker() -> None:
    cloud, peer = cloud_with_peer()
    read = cloud.read_variable("motd", 0.0, 10.0)
    peer.say("5145212c00")
    assert outcomes(cloud) == {read: VariableRead(b"")}


@pytest.mark.parametrize("answer", ["5184212c00", "6184400200", "4184212c00", "60844002"])
def test_unknown_variable(answer: str) -> None:
    cloud, peer = cloud_with_peer()
    read = cloud.read_variable("nothing", 0.0, 10.0)
    peer.hear()
    heard = peer.say(answer)
    assert outcomes(cloud) == {read: NotFound()}
    assert heard == (["6000212c"] if answer.startswith("41") else [])


def test_answers_are_matched_by_token_in_whatever_order() -> None:
    cloud, peer = cloud_with_peer()
    calls = [cloud.call_function("brew", "", 0.0, 10.0) for _ in range(3)]
    for token in (2, 0, 1):
        peer.say(f"51442130{token:02x}ff{token:08x}")
    assert outcomes(cloud) == {call: FunctionReturned(at) for at, call in enumerate(calls)}


def test_an_answer_of_the_wrong_kind_is_passed_over() -> None:
    cloud, peer = cloud_with_peer()
    call = cloud.call_function("brew", "", 0.0, 10.0)
    peer.say("5145212c00ff00000001")
    assert outcomes(cloud) == {}
    peer.say("5144212c00ff01")
    assert outcomes(cloud) == {call: Refused(Code.CHANGED)}


def test_a_reset_ends_the_request() -> None:
    cloud, peer = cloud_with_peer()
    call = cloud.call_function("brew", "", 0.0, 10.0)
    peer.say("70004002")
    assert outcomes(cloud) == {call: Refused(0)}


def test_all_tokens_in_use_answers_busy() -> None:
    cloud, _ = cloud_with_peer()
    requests = [cloud.read_variable("x", 0.0, 10.0) for _ in range(TOKENS + 1)]
    assert outcomes(cloud) == {requests[-1]: Busy()}


def test_requests_end_when_the_connection_does() -> None:
    cloud, _ = cloud_with_peer()
    requests = [cloud.call_function("brew", "", 0.0, 10.0), cloud.ping(0.0, 5.0), cloud.signal(True, 0.0, 5.0)]
    cloud.close(0.0)
    events = cloud.events()
    assert events[-1] == Closed(CloseReason.LOCAL)
    assert {event.request for event in events[:-1] if event.outcome == Disconnected()} == set(requests)  # type: ignore[union-attr]


def test_a_request_before_hello_or_after_the_end_is_answered_disconnected() -> None:
    cloud, _ = cloud_with_peer(None)
    before = cloud.read_variable("x", 0.0, 10.0)
    assert outcomes(cloud) == {before: Disconnected()}
    cloud.close(0.0)
    after = cloud.ping(0.0, 10.0)
    assert outcomes(cloud) == {after: Disconnected()}
    assert not cloud.send_system_event("spark/x", None, 0.0)


# --- cancelled requests ----------------------------------------------------------------------------------------------


def test_a_cancelled_request_is_answered_to_nobody_and_its_late_answer_passed_over() -> None:
    cloud, peer = cloud_with_peer()
    calls = [cloud.call_function("brew", "", 0.0, 10.0), cloud.read_variable("x", 0.0, 10.0)]
    calls.append(cloud.signal(True, 0.0, 10.0))
    tokens = [decoded(raw).token.hex() for raw in peer.hear()]
    for call in calls:
        cloud.cancel(call, 0.0)
        cloud.cancel(call, 0.0)
    cloud.cancel(4711, 0.0)
    for code, token in zip(("44", "45", "44"), tokens, strict=True):
        peer.say(f"51{code}212b{token}ff00000001")
    peer.wait(15.0)
    assert outcomes(cloud) == {}
    assert not cloud.is_closed


def test_a_cancelled_requests_token_rests_until_its_answer_comes() -> None:
    cloud, peer = cloud_with_peer()
    cancelled = cloud.call_function("brew", "", 0.0, 10.0)
    (asked,) = (decoded(raw) for raw in peer.hear())
    token = asked.token.hex()
    cloud.cancel(cancelled, 0.0)
    others = [cloud.call_function("brew", "", 0.0, 10.0) for _ in range(TOKENS)]
    assert outcomes(cloud) == {others[-1]: Busy()}
    assert asked.token not in {decoded(raw).token for raw in peer.hear()}
    # An empty acknowledgement, one that refuses the argument of a call that runs all the same, what no call answers.
    for early in (f"6000{asked.id:04x}", f"6180{asked.id:04x}{token}", f"5145212b{token}ff00"):
        peer.say(early)
        refused = cloud.call_function("brew", "", 0.0, 10.0)
        assert outcomes(cloud) == {refused: Busy()}
    peer.say(f"5144212c{token}ff00000001")
    again = cloud.call_function("brew", "", 0.0, 10.0)
    assert [decoded(raw).token for raw in peer.hear()] == [asked.token]
    peer.say(f"5144212d{token}ff00000007")
    assert outcomes(cloud) == {again: FunctionReturned(7)}


def test_a_timed_out_requests_token_is_free_once_its_answer_came_late() -> None:
    cloud, peer = cloud_with_peer()
    calls = [cloud.read_variable("x", 0.0, 5.0) for _ in range(TOKENS)]
    peer.wait(5.0)
    assert outcomes(cloud) == dict.fromkeys(calls, TimedOut())
    assert cloud.read_variable("x", 5.0, 5.0) in outcomes(cloud), "all tokens rest"
    peer.say("514521bb07ff01", "518421bc08")
    for _ in range(2):
        cloud.read_variable("x", 5.0, 5.0)
    assert outcomes(cloud) == {}
    assert sorted(decoded(raw).token for raw in peer.hear()[-2:]) == [b"\x07", b"\x08"]


def test_a_cancelled_request_that_has_not_left_never_was() -> None:
    cloud, peer = cloud_with_peer()
    peer.hear()
    calls = [cloud.call_function("brew", "", 0.0, 10.0) for _ in range(TOKENS)]
    for call in calls:
        cloud.cancel(call, 0.0)
    assert peer.hear() == []
    for _ in range(TOKENS):
        cloud.call_function("brew", "", 0.0, 10.0)
    assert outcomes(cloud) == {}
    assert len(peer.hear()) == TOKENS


def test_trap_06_a_cancelled_pings_acknowledgement_is_not_another_pings() -> None:
    """Over a stream nothing but their order tells them apart."""
    cloud, peer = cloud_with_peer()
    cancelled, other = cloud.ping(0.0, 5.0), cloud.ping(0.0, 5.0)
    peer.hear()
    cloud.cancel(cancelled, 0.0)
    peer.say("60009da0")
    assert outcomes(cloud) == {}
    peer.say("60009da1")
    assert outcomes(cloud) == {other: Acknowledged()}


def test_abandoned_requests_do_not_keep_a_device_that_answers_busy() -> None:
    cloud, peer = cloud_with_peer()
    before = cloud.next_deadline()
    for round_ in range(4 * TOKENS):
        call = cloud.call_function("brew", "", 0.0, 30.0)
        (raw,) = peer.hear()
        cloud.cancel(call, 0.0)
        peer.say(f"5144{round_:04x}{decoded(raw).token.hex()}ff00000001")
        assert outcomes(cloud) == {}
    assert cloud.next_deadline() == before


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_trap_04_nothing_larger_than_a_photon_takes_is_sent() -> None:
    cloud, peer = cloud_with_peer()
    assert cloud.send_system_event("spark/x", b"x" * 622, 0.0)
    assert not cloud.send_system_event("spark/x", b"x" * 623, 0.0)
    for size in (622, 623, 767, 2000):
        cloud.call_function("brew", "x" * size, 0.0, 10.0)
    assert outcomes(cloud) == {2: TooLarge(), 3: TooLarge(), 4: TooLarge()}
    assert all(len(raw) // 2 <= 767 for raw in peer.hear())


def test_from_3_0_on_the_limit_is_what_hello_tells() -> None:
    cloud, _ = cloud_with_peer(HELLO_6)
    assert cloud.send_system_event("spark/x", b"x" * 1024, 0.0)
    assert not cloud.send_system_event("spark/x", b"x" * 1025, 0.0)
    small, _ = cloud_with_peer("50022121b168ff188f0001003600060000183801f4000a00000200")
    assert not small.send_system_event("spark/x", b"x" * 600, 0.0), "claims of 500 bytes are raised to the Core's 640"
    assert small.send_system_event("spark/x", b"x" * 520, 0.0)
    call = small.call_function("brew", "x" * 600, 0.0, 10.0)
    assert outcomes(small) == {call: TooLarge()}, (
        "an argument that the release takes, in a message that its buffer does not"
    )


def test_the_core_takes_short_arguments_and_names_only() -> None:
    cloud, _ = cloud_with_peer("5002f649b168ffffffffff0000")
    good = cloud.call_function("brew", "x" * 63, 0.0, 10.0)
    long_argument = cloud.call_function("brew", "x" * 64, 0.0, 10.0)
    long_name = cloud.call_function("x" * 13, "", 0.0, 10.0)
    read = cloud.read_variable("x" * 13, 0.0, 10.0)
    assert outcomes(cloud) == {long_argument: TooLarge(), long_name: TooLarge(), read: NotFound()}
    assert good


# --- ping, signal, time ----------------------------------------------------------------------------------------------


def test_trap_06_a_ping_is_answered_with_an_id_of_the_devices_own() -> None:
    cloud, peer = cloud_with_peer()
    ping = cloud.ping(0.0, 5.0)
    assert peer.hear() == ["40004002"]
    peer.say("60009da0")
    assert outcomes(cloud) == {ping: Acknowledged()}


def test_trap_06_an_ack_of_another_request_is_no_answer_to_a_ping() -> None:
    cloud, peer = cloud_with_peer()
    ping = cloud.ping(0.0, 5.0)
    cloud.call_function("brew", "", 0.0, 5.0)
    peer.say("60004003")
    assert outcomes(cloud) == {}
    peer.say("60004002")
    assert outcomes(cloud) == {ping: Acknowledged()}


def test_trap_06_a_signal_is_matched_by_token() -> None:
    cloud, peer = cloud_with_peer()
    on = cloud.signal(True, 0.0, 5.0)
    assert peer.hear() == ["4103400200b1734101"]
    off = cloud.signal(False, 0.0, 5.0)
    assert peer.hear() == ["4103400301b1734100"]
    peer.say("6144212d01", "6144212e00")
    assert outcomes(cloud) == {on: Acknowledged(), off: Acknowledged()}


def test_a_ping_of_the_device_is_answered_with_its_id() -> None:
    _, peer = cloud_with_peer()
    assert peer.say("40001234") == ["60001234"]


def test_trap_07_only_the_time_is_answered_with_2_05() -> None:
    cloud, peer = cloud_with_peer()
    assert peer.say("41012127f5b174") == []
    (asked,) = cloud.events()
    assert isinstance(asked, TimeAsked)
    cloud.tell_time(asked, 0x6553F100, 0.0)
    assert peer.hear() == ["61452127f5ff6553f100"]
    everything_else = [
        "40022122b1644101ff7b7d",
        "40012129b165087061727469636c654175",
        "40021234b1650474656d70ff",
        "40000007",
        "40021234b178ff00",
        "4002123455b14c",
    ]
    for raw in everything_else:
        for answer in peer.say(raw):
            assert decoded(answer).code != Code.CONTENT


def test_an_unknown_request_gets_a_word_that_it_is_unknown() -> None:
    _, peer = cloud_with_peer()
    assert peer.say("4102123455b14c") == ["6184123455"]
    assert peer.say("5102123455b14c") == []


# --- events ----------------------------------------------------------------------------------------------------------


def test_an_event() -> None:
    cloud, peer = cloud_with_peer()
    assert peer.say("50021234b1650474656d7033000e10ff32312e35") == []
    assert cloud.events() == [EventPublished("temp", b"21.5", 3600, is_private=False)]


def test_trap_09_empty_data_and_no_data_are_told_apart() -> None:
    cloud, peer = cloud_with_peer()
    peer.say("50021234b1450474656d70ff", "50021235b1450474656d70")
    assert [event.data for event in cloud.events()] == [b"", None]  # type: ignore[union-attr]


def test_a_confirmable_event_is_acknowledged_and_a_bad_one_refused() -> None:
    cloud, peer = cloud_with_peer()
    assert peer.say("40021234b1650474656d70") == []
    assert peer.say("40021235b165") == ["60801235"]
    assert peer.say("50021236b165") == []
    (event,) = cloud.events()
    cloud.confirm_event(event)
    assert peer.hear() == ["60001234"]
    peer.say("50021237b1650474656d70")
    (unconfirmed,) = cloud.events()
    cloud.confirm_event(unconfirmed)
    cloud.confirm_event(unconfirmed, taken=False)
    assert peer.hear() == []


def test_content_format_of_6() -> None:
    cloud, peer = cloud_with_peer(HELLO_6)
    peer.say("40021234b1450474656d70113c220e10ffa1617415")
    assert cloud.events() == [EventPublished("temp", bytes.fromhex("a1617415"), 3600, True, 60)]


CLAIM = "spark/device/claim/code"


def test_trap_14_a_claim_code_is_presented_and_never_published() -> None:
    cloud, peer = cloud_with_peer()
    code = "b/QadABC" * 7 + "1234567"
    for private in (True, False):
        assert said(cloud, peer, device_event(7, CLAIM, code.encode(), is_private=private)) == [
            ClaimCodePresented(code)
        ]
    for data in (b"", None, b"\xff\xfe", b"a\n", b"x" * 65):
        assert said(cloud, peer, device_event(7, CLAIM, data)) == []
    assert said(cloud, peer, device_event(7, "spark/device/claim/other", code.encode())) == []


def test_trap_14_the_claim_is_confirmed_without_any_subscription() -> None:
    cloud, peer = cloud_with_peer()
    assert cloud.confirm_claim(0.0)
    (raw,) = peer.hear()
    assert decoded(raw).path() == b"E/spark/device/claim/success"


def test_trap_18_key_restore_is_never_sent() -> None:
    cloud, peer = cloud_with_peer()
    peer.say("4001212ab16505737061726b4175")
    for name in ("spark/device/key/restore", "spark/device/key/restore/now"):
        assert not cloud.send_event(name, None, 60, True, 0.0)
        assert not cloud.send_system_event(name, b"x", 0.0)
    assert peer.hear() == []


def test_events_of_the_system() -> None:
    cloud, peer = cloud_with_peer()
    for name, data in (
        ("spark/device/safemode", b""),
        ("particle/device/updates/enabled", b"true"),
        ("particle/device/updates/forced", b"false"),
        ("spark/device/last_reset", b"panic, hard_fault"),
    ):
        peer.say(device_event(7, name, data))
    assert cloud.events() == [
        SafeMode(),
        UpdatesEnabled(enabled=True),
        UpdatesForced(forced=False),
        EventPublished("spark/device/last_reset", b"panic, hard_fault", 60, is_private=True),
    ]


@pytest.mark.parametrize("scope", ["spark", "particle"])
def test_a_device_asks_for_its_name_its_address_and_random_bytes(scope: str) -> None:
    cloud, peer = cloud_with_peer()
    for fact in Fact:
        name = f"{scope}/device/{fact.value}"
        for data in (None, b""):
            assert said(cloud, peer, device_event(7, name, data)) == [FactAsked(fact, name)]
        assert said(cloud, peer, device_event(7, name, b"x")) == [EventPublished(name, b"x", 60, is_private=True)]


def test_trap_11_one_copy_however_many_subscriptions_match() -> None:
    cloud, peer = cloud_with_peer()
    peer.say("40012129b16501614175", "4001212ab1650261624175", "4001212bb1654175")
    assert cloud.send_event("abc", b"x", 60, False, 0.0)
    assert peer.hear() == ["50024002b16503616263ff78"]


def test_an_event_goes_only_where_it_is_subscribed() -> None:
    cloud, peer = cloud_with_peer()
    assert not cloud.send_event("temp", None, 60, False, 0.0)
    peer.say("40012129b1650474656d704175")
    assert cloud.send_event("temperature", None, 60, False, 0.0)
    assert not cloud.send_event("tem", None, 60, False, 0.0)
    assert not cloud.send_event("", None, 60, False, 0.0)


def test_subscriptions_are_acknowledged_empty_and_told_once() -> None:
    cloud, peer = cloud_with_peer()
    for _ in range(2):
        assert peer.say("40012129b165087061727469636c654175") == ["60002129"]
    assert cloud.events() == [Subscribed(Subscription("particle"))]
    assert peer.say("40012129b165") == ["60802129"]


@pytest.mark.parametrize(("system_version", "is_own"), [("17d5", False), ("1838", True)], ids=["6.1.1", "6.2.0"])
def test_subscriptions_of_6_2_are_own_devices_without_saying_so(system_version: str, is_own: bool) -> None:
    cloud, peer = cloud_with_peer(HELLO_6.replace("1838", system_version))
    assert peer.say("50011234b16505737061726b") == []
    assert cloud.events() == [Subscribed(Subscription("spark", own_devices=is_own))]


def test_subscriptions_are_bounded() -> None:
    cloud, peer = cloud_with_peer()
    answers = [
        peer.say(Message(Type.CON, Code.GET, at, b"", ((Option.URI_PATH, b"e"), (Option.URI_PATH, b"%d" % at))))
        for at in range(40)
    ]
    assert len(cloud.events()) == MAX_SUBSCRIPTIONS
    assert [answer[0][:4] for answer in answers] == ["6000"] * MAX_SUBSCRIPTIONS + ["6080"] * (40 - MAX_SUBSCRIPTIONS)


# --- Goodbye, silence ------------------------------------------------------------------------------------------------


def test_goodbye_and_then_the_end() -> None:
    cloud, peer = cloud_with_peer()
    peer.say("50021234b178d0eaff03058c01")
    assert cloud.events() == [SaidGoodbye(Goodbye(cloud_reason=5, reset_reason=140))]
    cloud.receive_eof(0.0)
    assert cloud.events() == [Closed(CloseReason.PEER)]


def test_goodbye_without_an_end() -> None:
    cloud, peer = cloud_with_peer()
    peer.say("50021234b178d0eaff80", "50021235b178d0eaff80")
    peer.wait(5.0)
    assert cloud.events() == [SaidGoodbye(Goodbye()), Closed(CloseReason.GOODBYE)]


def test_a_quiet_device_is_pinged_and_a_silent_one_given_up() -> None:
    cloud, peer = cloud_with_peer()
    assert "40004002" in peer.wait(20.0)
    assert peer.wait(14.9) == []
    peer.wait(0.1)
    assert [event for event in cloud.events() if isinstance(event, Closed)] == [
        Closed(CloseReason.SILENCE, "nothing for 35 s")
    ]


def test_a_device_that_says_anything_stays() -> None:
    cloud, peer = cloud_with_peer()
    for _ in range(10):
        peer.wait(34.0)
        peer.say("60000001")
    assert cloud.is_online


# --- description -----------------------------------------------------------------------------------------------------

SYSTEM = b'{"p":6,"m":[]}'


def post(message_id: int, part: Part, data: bytes, block: Block | None = None, token: bytes = b"") -> Message:
    options = [(Option.URI_PATH, b"d"), (Option.URI_QUERY, bytes((part,)))]
    if block is not None:
        options.append((Option.BLOCK1, block_option(block)))
    return Message(Type.CON, Code.POST, message_id, token, tuple(options), data)


def test_trap_10_posted_in_two_parts() -> None:
    cloud, peer = cloud_with_peer()
    assert peer.say(post(1, Part.SYSTEM, SYSTEM)) == ["60000001"]
    assert cloud.events() == []
    assert peer.say(post(2, Part.APPLICATION, build_application(APPLICATION), token=b"U")) == ["60000002"]
    (described,) = cloud.events()
    assert isinstance(described, Described)
    assert described.describe.functions == APPLICATION.functions
    peer.say(post(3, Part.APPLICATION, build_application(APPLICATION)))
    assert cloud.events() == [], "nothing new, nothing told"
    peer.say(post(4, Part.APPLICATION, b'{"f":[],"v":{}}'))
    assert len(cloud.events()) == 1


def test_trap_10_posts_that_do_not_come_are_asked_for() -> None:
    cloud, peer = cloud_with_peer()
    peer.say(post(1, Part.SYSTEM, SYSTEM))
    assert cloud.next_deadline() == 15.0
    assert peer.wait(15.0) == ["4101400200b1644102"]
    peer.say("60004002", "4145212c00ff" + build_application(APPLICATION).hex())
    (described,) = cloud.events()
    assert isinstance(described, Described)


def test_trap_10_old_devices_are_asked_one_part_at_a_time() -> None:
    cloud, peer = cloud_with_peer(None)
    assert peer.say(OLD_HELLO) == ["50024001b168", "4101400200b1644101"]
    assert peer.say("6145400200ff" + SYSTEM.hex()) == ["4101400301b1644102"]
    peer.say("6145400301ff" + build_application(APPLICATION).hex())
    assert [type(event) for event in cloud.events()] == [Online, Described]


def test_trap_10_an_answer_with_both_parts_is_enough() -> None:
    cloud, peer = cloud_with_peer(None)
    peer.say(OLD_HELLO)
    assert peer.say("6145400200ff" + b'{"f":["a"],"v":{},"p":6,"m":[]}'.hex()) == []
    assert [type(event) for event in cloud.events()] == [Online, Described]


def test_trap_08_names_that_the_description_does_not_hold_are_not_asked_for() -> None:
    cloud, peer = cloud_with_peer()
    peer.say(post(2, Part.APPLICATION, build_application(APPLICATION)))
    call = cloud.call_function("nothing", "", 0.0, 10.0)
    read = cloud.read_variable("nothing", 0.0, 10.0)
    assert peer.hear() == []
    assert outcomes(cloud) == {call: NotFound(), read: NotFound()}
    cloud.call_function("brew", "", 0.0, 10.0)
    cloud.read_variable("motd", 0.0, 10.0)
    assert len(peer.hear()) == 2


def test_a_device_that_never_answers_is_not_asked_for_ever() -> None:
    cloud, peer = cloud_with_peer(OLD_HELLO)
    asked = 0
    for at in range(60):
        asked += sum("b16441" in raw for raw in peer.wait(5.0))
        peer.say(f"4000{at:04x}")
    assert asked == 5, "the first one went with Hello"
    assert cloud.is_online


def test_posted_in_blocks() -> None:
    cloud, peer = cloud_with_peer(HELLO_6)
    whole = build_application(APPLICATION)
    peer.say(post(1, Part.SYSTEM, b"\n\0"))
    peer.say(post(2, Part.APPLICATION, whole[:20], Block(0, True, 6), b"a"))
    peer.say(post(3, Part.APPLICATION, whole[20:40], Block(1, True, 6), b"b"))
    assert peer.say(post(4, Part.APPLICATION, whole[40:], Block(2, False, 6), b"c")) == ["60000004"]
    (described,) = cloud.events()
    assert isinstance(described, Described)
    assert described.describe.system["p"] == 6, "the protobuf form takes the platform from Hello"
    assert described.describe.variables == APPLICATION.variables


def test_blocks_out_of_order_or_without_end_are_dropped() -> None:
    cloud, peer = cloud_with_peer(HELLO_6)
    peer.say(post(2, Part.APPLICATION, b"{", Block(0, True, 6)), post(3, Part.APPLICATION, b"}", Block(2, False, 6)))
    for at in range(60):
        peer.say(post(4 + at, Part.APPLICATION, bytes(1024), Block(at, True, 6)))
    assert cloud.events() == []
    assert cloud.is_online


def test_asked_for_in_blocks() -> None:
    cloud, peer = cloud_with_peer(HELLO_6)
    request = cloud.ask_describe(Part.APPLICATION, 0.0, 10.0)
    whole = build_application(APPLICATION)
    assert peer.hear() == ["4101400200b1644102"]

    def answer(token: int, data: bytes, block: Block) -> list[str]:
        return peer.say(
            Message(
                Type.CON, Code.CONTENT, 7, bytes((token,)), ((4, b"etag"), (Option.BLOCK2, block_option(block))), data
            )
        )

    assert answer(0, whole[:16], Block(0, True, 5)) == ["60000007", "4101400301b16441028115"]
    assert answer(1, whole[16:], Block(1, False, 5)) == ["60000007"]
    assert outcomes(cloud) == {request: DescribeRead(whole)}


def test_vitals_posted_and_asked_for() -> None:
    cloud, peer = cloud_with_peer()
    metrics = bytes.fromhex("00040002000400010028000000")
    assert said(cloud, peer, post(1, Part.METRICS, metrics)) == [Vitals(metrics)]
    request = cloud.ask_describe(Part.METRICS, 0.0, 10.0)
    peer.say("4145212c00ff" + metrics.hex())
    assert outcomes(cloud) == {request: DescribeRead(metrics)}


@pytest.mark.parametrize("part", [b"", b"\0", b"\3", b"\7", b"\1\2"])
def test_a_post_of_no_one_part_is_passed_over(part: bytes) -> None:
    cloud, peer = cloud_with_peer()
    message = Message(Type.CON, Code.POST, 5, b"", ((Option.URI_PATH, b"d"), (Option.URI_QUERY, part)), SYSTEM)
    assert peer.say(message) == ["60000005"]
    assert cloud.events() == []
