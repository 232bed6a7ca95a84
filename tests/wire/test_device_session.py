"""The device's end against messages written by hand: the habits of real firmware, faults included."""

import pytest

from cloudchamber.wire import describe, messages
from cloudchamber.wire.coap import Message, Option, Type
from cloudchamber.wire.describe import Application, Part
from cloudchamber.wire.events import (
    ClaimConfirmed,
    Closed,
    CloseReason,
    Connected,
    EventReceived,
    FunctionCalled,
    KeysRestored,
    PublishAnswered,
    ResetAsked,
    SignalChanged,
    TimeTold,
    VariableAsked,
)
from cloudchamber.wire.messages import Goodbye, Subscription
from cloudchamber.wire.session.profile import PROFILES
from cloudchamber.wire.values import VariableType
from tests.wire.link import decoded, device_with_peer

FIRST_ID = 0x2121
"""Credentials 00 01 .. 27 have the salt 20 21 ..: little-endian, plus one."""


def paths(heard: list[str]) -> list[str]:
    found = []
    for raw in heard:
        message = decoded(raw)
        query = message.option(Option.URI_QUERY)
        found.append(message.path().decode() + (f"?{query.hex()}" if query is not None else ""))
    return found


# --- connect ---------------------------------------------------------------------------------------------------------


def test_trap_05_the_first_message_id_is_the_salt_little_endian_plus_one_and_big_endian_on_the_core() -> None:
    _, peer = device_with_peer("2.3.1", hello=False)
    assert decoded(peer.hear()[0]).id == FIRST_ID
    _, peer = device_with_peer("core", hello=False)
    assert decoded(peer.hear()[0]).id == 0x2022


def test_trap_03_a_device_drops_the_connection_after_4_s_without_a_hello() -> None:
    device, peer = device_with_peer(hello=False)
    assert device.next_deadline() == 4.0
    peer.wait(3.9)
    assert device.events() == []
    peer.wait(0.1)
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.HANDSHAKE_TIMEOUT


CLAIM, STATE = "E/spark/device/claim/code", ["E/particle/device/updates/enabled", "E/particle/device/updates/forced"]
HARDWARE = ["E/spark/hardware/max_binary", "E/spark/hardware/ota_chunk_size"]


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("0.7.0", [CLAIM, *HARDWARE, "e/spark", "t", "e/weather?75"]),
        ("1.5.2", [CLAIM, *HARDWARE, *STATE, "e/spark?75", "e/particle?75", "t", "e/weather?75"]),
        ("2.3.1", ["d?01", CLAIM, *HARDWARE, *STATE, "t", "d?02", "e/particle?75", "e/spark?75", "e/weather?75"]),
        ("3.3.1", ["d?01", CLAIM, *STATE, "t", "d?02", "e/particle?75", "e/spark?75", "e/weather?75"]),
        ("6.2.0", ["d?01", CLAIM, "t", *STATE, "d?02", "e/particle", "e/spark", "e/weather"]),
    ],
)
def test_what_each_release_says_after_hello(release: str, expected: list[str]) -> None:
    device, peer = device_with_peer(release, hello=False, claim_code="x" * 63)
    assert paths(peer.hear()) == ["h"]
    assert paths(peer.say("50024001b168")) == expected
    assert device.events() == [Connected()]


def test_safe_mode_is_told_with_empty_data_and_its_marker() -> None:
    _, peer = device_with_peer("2.3.1", hello=False, safe_mode=True, last_reset="user")
    peer.hear()
    said = {raw[20:]: raw for raw in peer.say("50024001b168")}
    (raw,) = [raw for raw in said.values() if b"safemode" in bytes.fromhex(raw)]
    assert raw.endswith("ff")
    assert any(bytes.fromhex(raw).endswith(b"\xffuser") for raw in said.values())


def test_a_second_hello_changes_nothing() -> None:
    device, peer = device_with_peer()
    assert peer.say("50024002b168") == []
    assert peer.say("40024003b168") == ["60004003"]
    assert device.events() == []


# --- functions -------------------------------------------------------------------------------------------------------


def test_function() -> None:
    device, peer = device_with_peer()
    assert peer.say("4102400223b16604627265774633322c323430") == ["60004002"]
    (called,) = device.events()
    assert isinstance(called, FunctionCalled)
    assert (called.name, called.argument) == ("brew", "32,240")
    device.return_value(called.request, -1, 0.0)
    (returned,) = peer.hear()
    assert returned.startswith("5144")
    assert returned.endswith("23ffffffffff")
    device.return_value(called.request, 5, 0.0)
    assert peer.hear() == [], "answered once"


def test_trap_08_without_its_argument_option_a_function_runs_with_garbage() -> None:
    device, peer = device_with_peer()
    peer.say("50024004b16507776561746865720131ff41414141")
    device.events()
    peer.say("4102400223b1660462726577")
    (called,) = device.events()
    assert isinstance(called, FunctionCalled)
    assert called.name == "brew"
    assert called.argument, "what an earlier message left in the buffer"


def test_trap_08_an_unknown_function_is_never_answered() -> None:
    device, peer = device_with_peer()
    assert peer.say("4102400223b166046e6f6e6540") == ["60004002"]
    assert device.events() == []


def test_trap_08_an_argument_that_is_too_long_is_refused_and_run() -> None:
    device, peer = device_with_peer("0.7.0")
    assert peer.say(messages.function_call(0x4002, 0x23, b"brew", b"x" * 64)) == ["60804002"]
    (called,) = device.events()
    assert isinstance(called, FunctionCalled)
    assert called.argument == "x" * 63
    device.return_value(called.request, 1, 0.0)
    assert len(peer.hear()) == 1


@pytest.mark.parametrize("release", list(PROFILES))
def test_the_longest_argument_that_is_taken(release: str) -> None:
    profile = PROFILES[release]
    device, peer = device_with_peer(release)
    assert peer.say(messages.function_call(1, 2, b"brew", b"x" * min(profile.max_argument, 800))) == ["60000001"]
    assert len(device.events()) == 1


@pytest.mark.parametrize("raw", ["40024002b166046272657740", "40014002b176046d6f7464", "42014002aabbb176046d6f7464"])
def test_trap_07_a_function_or_variable_without_its_one_byte_token_ends_the_connection(raw: str) -> None:
    device, peer = device_with_peer()
    peer.say(raw)
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.MISSING_TOKEN


# --- variables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["0.7.0", "2.3.1"])
def test_variables_of_every_type(release: str) -> None:
    in_ack = release == "0.7.0"
    device, peer = device_with_peer(release)
    for name, value, payload in (
        ("temperature", -98765, "fffffe7e33"),
        ("ratio", 21.5, "ff0000000000803540"),
        ("on", True, "ff01"),
        ("motd", "woot", "ff776f6f74"),
        ("motd", "", ""),
    ):
        first = peer.say(messages.variable_request(0x4003, 0x31, name.encode()))
        assert first == ([] if in_ack else ["60004003"])
        (asked,) = device.events()
        assert isinstance(asked, VariableAsked)
        device.answer_variable(asked.request, value, 0.0)
        (answer,) = peer.hear()
        assert answer[:4] == ("6145" if in_ack else "5145")
        assert answer[8:] == "31" + payload


def test_unknown_variable_and_one_without_a_value() -> None:
    device, peer = device_with_peer()
    ack, answer = peer.say(messages.variable_request(0x4003, 0x31, b"nothing"))
    assert (ack, answer[:4], answer[8:]) == ("60004003", "5184", "31")
    assert device.events() == []
    peer.say(messages.variable_request(0x4004, 0x32, b"motd"))
    (asked,) = device.events()
    assert isinstance(asked, VariableAsked)
    device.answer_variable(asked.request, None, 0.0)
    assert peer.hear()[0][:4] == "5184"


def test_long_text_is_cut() -> None:
    device, peer = device_with_peer()
    peer.say(messages.variable_request(0x4004, 0x32, b"motd"))
    (asked,) = device.events()
    assert isinstance(asked, VariableAsked)
    device.answer_variable(asked.request, "x" * 1000, 0.0)
    assert decoded(peer.hear()[-1]).payload == b"x" * 622


# --- events, signal, time, ping --------------------------------------------------------------------------------------


def test_an_event_reaches_every_handler_whose_prefix_fits_and_is_never_acknowledged() -> None:
    device, peer = device_with_peer(subscriptions=(Subscription("wea"), Subscription("weather"), Subscription("x")))
    for kind in ("40", "50"):
        assert peer.say(kind + "024004b1650777656174686572ff6f6b") == []
        assert device.events() == [EventReceived("weather", b"ok", "wea"), EventReceived("weather", b"ok", "weather")]


def test_trap_11_a_content_format_loses_the_data_up_to_5() -> None:
    raw = "50024004b1650777656174686572112aff6f6b"
    for release, data in (("2.3.1", None), ("4.0.2", None), ("6.2.0", b"ok")):
        device, peer = device_with_peer(release)
        peer.say(raw)
        assert device.events() == [EventReceived("weather", data, "weather")]


def test_max_age_and_segments_are_understood() -> None:
    device, peer = device_with_peer()
    peer.say("50024004b1650777656174686572026d6e31" + "3cff6f6b")
    assert device.events() == [EventReceived("weather/mn", b"ok", "weather")]


def test_an_event_with_an_empty_name_ends_the_connection() -> None:
    device, peer = device_with_peer()
    peer.say("50024004b16500")
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.MALFORMED


def test_trap_06_signal_and_ping_are_acknowledged_with_fresh_ids() -> None:
    device, peer = device_with_peer()
    last = decoded(peer.introduction[-1]).id
    assert peer.say("4103400534b1734101") == [f"6144{last + 1:04x}34"]
    assert peer.say("4103400634b1734100") == [f"6144{last + 2:04x}34"]
    assert peer.say("40004007") == [f"6000{last + 3:04x}"]
    assert device.events() == [SignalChanged(on=True), SignalChanged(on=False)]


def test_trap_07_any_2_05_is_taken_for_the_time() -> None:
    device, peer = device_with_peer()
    peer.say("61452127f5ff6553f100", "60452127")
    first, second = device.events()
    assert first == TimeTold(0x6553F100)
    assert isinstance(second, TimeTold)


def test_system_events() -> None:
    device, peer = device_with_peer()
    for name, data in (
        ("spark/device/claim/success", None),
        ("spark/device/reset", b"safe mode"),
        ("spark/device/reset", b"nonsense"),
        ("spark/device/key/restore", None),
    ):
        peer.say(messages.cloud_event(1, name, data, 60, is_private=True, confirmable=False))
    assert device.events() == [ClaimConfirmed(), ResetAsked("safe mode"), KeysRestored()]
    peer.hear()
    (answer,) = peer.say(messages.cloud_event(1, "particle/device/updates/forced", b"true", 60, True, False))
    assert decoded(answer).path() == b"E/particle/device/updates/forced"
    assert decoded(answer).payload == b"true"


def test_key_change_discards_the_session() -> None:
    device, peer = device_with_peer()
    (ack,) = peer.say("4103400534b16b4101")
    assert ack[:4] == "6000"
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.KEY_CHANGE


def test_pings_after_15_s_and_gives_up_10_s_later() -> None:
    device, peer = device_with_peer()
    (ping,) = peer.wait(15.0)
    assert ping[:4] == "4000"
    assert device.next_deadline() == 25.0
    peer.say("6000" + ping[4:])
    assert device.next_deadline() == 30.0
    peer.wait(15.0)
    peer.wait(10.0)
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.SILENCE


# --- publishing ------------------------------------------------------------------------------------------------------


def test_publish_with_and_without_acknowledgement() -> None:
    device, peer = device_with_peer()
    device.publish("temp", b"21.5", 0.0, is_private=False, ttl_s=3600)
    (raw,) = peer.hear()
    assert raw[8:] == "b1650474656d7033000e10ff32312e35"
    assert raw[:2] == "50"
    acknowledged = device.publish("temp", None, 0.0, with_ack=True)
    refused = device.publish("temp", b"", 0.0, with_ack=True)
    lost = device.publish("temp", b"", 0.0, with_ack=True)
    sent = peer.hear()
    peer.say("6000" + sent[0][4:8], "6080" + sent[1][4:8])
    assert device.events() == [PublishAnswered(acknowledged, True), PublishAnswered(refused, False)]
    peer.wait(15.0)
    peer.say("600000aa")
    peer.wait(5.0)
    assert device.events() == [PublishAnswered(lost, False)]


def test_6_publishes_only_private_events() -> None:
    device, peer = device_with_peer("6.2.0")
    device.publish("temp", None, 0.0, is_private=False)
    assert peer.hear()[0][8:12] == "b145"


def test_publishing_before_the_connection_or_after_its_end_fails() -> None:
    device, peer = device_with_peer(hello=False)
    early = device.publish("temp", None, 0.0, with_ack=True)
    assert device.events() == [PublishAnswered(early, False)]
    peer.hear()
    peer.say("50024001b168")
    waiting = device.publish("temp", None, 0.0, with_ack=True)
    device.close(0.0)
    assert device.events() == [Connected(), PublishAnswered(waiting, False), Closed(CloseReason.LOCAL)]


def test_goodbye() -> None:
    device, peer = device_with_peer()
    device.goodbye(Goodbye(cloud_reason=5, reset_reason=140), 0.0)
    assert peer.hear()[0][8:] == "b178d0eaff03058c01"
    assert device.events() == [Closed(CloseReason.LOCAL)]
    old, peer = device_with_peer("1.5.2")
    old.goodbye(Goodbye(cloud_reason=5), 0.0)
    assert peer.hear() == [], "no Goodbye before 2.0"


def test_a_later_subscription() -> None:
    device, peer = device_with_peer()
    request = device.subscribe(Subscription("late"), 0.0)
    (raw,) = peer.hear()
    assert raw[8:] == "b165046c6174654175"
    peer.say("6000" + raw[4:8], "50024004b165046c617465")
    assert device.events() == [PublishAnswered(request, True), EventReceived("late", None, "late")]


# --- description -----------------------------------------------------------------------------------------------------


def request(flag: str) -> str:
    return "4101400728b164" + flag


def test_trap_10_the_answers_of_each_release() -> None:
    for release, in_ack in (("0.7.0", True), ("1.5.2", True), ("2.3.1", False), ("4.0.2", False)):
        _, peer = device_with_peer(release)
        heard = peer.say(request("4102"))
        answer = decoded(heard[-1])
        assert heard[:-1] == ([] if in_ack else ["60004007"])
        assert (answer.type, answer.token) == (Type.ACK if in_ack else Type.CON, b"\x28")
        assert describe.parse_untrusted(answer.payload or b"").application is not None


def test_trap_10_without_its_flag() -> None:
    for release, refused in (("0.7.0", False), ("2.3.1", False), ("3.3.1", True), ("6.2.0", True)):
        _, peer = device_with_peer(release)
        heard = peer.say(request(""))
        if refused:
            assert heard == ["6180400728"]
        else:
            parts = describe.parse_untrusted(decoded(heard[-1]).payload or b"")
            assert parts.application is not None
            assert parts.system is not None


def test_trap_10_both_flags_at_once() -> None:
    _, peer = device_with_peer("3.3.1")
    payload = decoded(peer.say(request("4103"))[-1]).payload or b""
    assert b']"f":[' in payload
    device, peer = device_with_peer("6.2.0")
    assert peer.say(request("4103")) == ["60004007"]
    assert device.is_closed


def test_trap_10_the_system_part_of_6_is_protobuf() -> None:
    _, peer = device_with_peer("6.2.0")
    answer = decoded(peer.say(request("4101"))[-1])
    assert answer.option(Option.CONTENT_FORMAT) == b"\x2a"
    assert describe.parse_untrusted(answer.payload or b"").system is not None


BIG = Application(
    tuple(f"function_with_a_long_name_{at}" for at in range(60)), {"x": VariableType.INT, "y" * 60: VariableType.INT}
)


@pytest.mark.parametrize(("release", "size"), [("3.3.1", 512), ("6.2.0", 1024)])
def test_a_large_description_is_posted_in_blocks_each_after_the_acknowledgement(release: str, size: int) -> None:
    _, peer = device_with_peer(release, application=BIG)
    heard = [decoded(raw) for raw in peer.introduction]
    posts = [m for m in heard if m.path() == b"d" and m.option(Option.URI_QUERY) == b"\2"]
    whole = b""
    while posts:
        (post,) = posts
        whole += post.payload or b""
        block = messages.read_block_untrusted(post.option(Option.BLOCK1) or b"")
        assert 16 << block.size_exponent == size
        posts = [decoded(raw) for raw in peer.say(f"6000{post.id:04x}")]
    assert not block.more
    assert whole == describe.build_application(BIG)


def test_a_large_description_is_read_in_blocks() -> None:
    _, peer = device_with_peer("6.2.0", application=BIG)
    whole = b""
    for number in range(10):
        answer = decoded(peer.say(messages.describe_request(7, 9, Part.APPLICATION, number, 6))[-1])
        whole += answer.payload or b""
        if not messages.read_block_untrusted(answer.option(Option.BLOCK2) or b"").more:
            break
    assert whole == describe.build_application(BIG)
    assert decoded(peer.say(messages.describe_request(7, 9, Part.APPLICATION, 9, 6))[-1]).code == 0x84


def test_metrics() -> None:
    device, peer = device_with_peer(metrics={6: 100})
    device.post_metrics(0.0)
    (posted,) = peer.hear()
    assert posted[8:] == "b1644104ff" + describe.build_metrics({6: 100}).hex()


# --- sizes and nonsense ----------------------------------------------------------------------------------------------


def test_trap_04_a_photon_ends_the_connection_over_768_bytes() -> None:
    for size, lives in ((767, True), (768, False)):
        device, peer = device_with_peer()
        data = bytes(size - len(bytes.fromhex("50024004b1650777656174686572ff")))
        peer.say(Message(Type.NON, 2, 0x4004, b"", ((11, b"e"), (11, b"weather")), data))
        assert device.is_connected is lives
        if not lives:
            (closed,) = device.events()
            assert isinstance(closed, Closed)
            assert closed.reason is CloseReason.FRAMING


@pytest.mark.parametrize("raw", ["", "40", "400000"])
def test_messages_shorter_than_a_header_end_the_connection(raw: str) -> None:
    device, peer = device_with_peer()
    peer.say(raw)
    assert device.is_closed


def test_unknown_requests_are_passed_over() -> None:
    device, peer = device_with_peer()
    assert peer.say("4102400728b17a", "4004400728b17a", "41024007") == []
    assert device.events() == []
