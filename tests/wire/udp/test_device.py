"""The device's end, message by message: what a real one does over datagrams."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.coap import Type, decode_untrusted
from cloudchamber.wire.describe import Application
from cloudchamber.wire.events import (
    Closed,
    CloseReason,
    Connected,
    EventReceived,
    FunctionCalled,
    PublishAnswered,
    VariableAsked,
)
from cloudchamber.wire.messages import Goodbye, HelloFlag, Subscription
from cloudchamber.wire.session.device_state import DeviceState
from cloudchamber.wire.session.profile import BORON, ELECTRON, profile_on
from cloudchamber.wire.udp.device import DeviceDatagramConnection
from cloudchamber.wire.values import VariableType
from tests.wire.link import APPLICATION, DEVICE_ID
from tests.wire.udp.net import OLD_AND_NEW, Wire, device_with_wire, half, setup

CALL = "41024001ab" + "b166" + "0462726577" + "4131"


# --- Hello -----------------------------------------------------------------------------------------------------------


def test_hello_is_confirmable_with_id_1_and_names_the_device() -> None:
    _, wire = device_with_wire(hello=False, product_id=0x188F, product_version=1)
    assert wire.hear() == ["40020001b168ff188f00010036000a000c" + DEVICE_ID.hex()]
    _, wire = device_with_wire("6.2.0", hello=False, platform_id=BORON, product_id=0x188F, product_version=1)
    assert wire.hear() == [f"40020001b168ff188f000100b6000d000c{DEVICE_ID.hex()}18380480000a00000200"]


def test_trap_03_a_device_drops_requests_until_its_hello_is_acknowledged() -> None:
    device, wire = device_with_wire(hello=False)
    wire.hear()
    assert wire.say("50024000b168", CALL, "40004002") == []
    assert device.events() == []
    introduction = wire.say("60000001")
    assert device.events() == [Connected()]
    assert all(raw.startswith(("40", "41")) for raw in introduction), "all of it is confirmable"
    assert wire.say(CALL) == ["60004001"], "the same request, sent again, is none that was heard before"
    assert [type(event) for event in device.events()] == [FunctionCalled]


@pytest.mark.parametrize("release", OLD_AND_NEW)
def test_a_hello_that_is_never_acknowledged(release: str) -> None:
    device, wire = device_with_wire(release, hello=False)
    (hello,) = wire.hear()
    assert wire.sendings(200.0) == [(5.0, hello), (15.0, hello), (35.0, hello)]
    assert device.events() == [Closed(CloseReason.MESSAGE_TIMEOUT, "not acknowledged (error 10)")]
    assert device.next_deadline() is None


def test_an_electron_tells_no_maximum_of_its_updates_and_no_chunk_size() -> None:
    told = {}
    for platform_id in (ELECTRON, BORON):
        _, wire = device_with_wire(hello=False, platform_id=platform_id)
        wire.hear()
        told[platform_id] = [decode_untrusted(bytes.fromhex(raw)).path() for raw in wire.say("60000001")]
    assert [path for path in told[BORON] if path not in told[ELECTRON]] == [b"E/spark/hardware/max_binary"]


def test_gen_3_has_a_larger_buffer_from_3_0_on() -> None:
    assert profile_on("2.3.1", BORON) == profile_on("2.3.1", ELECTRON)
    electron, boron = profile_on("3.3.1", ELECTRON), profile_on("3.3.1", BORON)
    assert (electron.buffer_size, electron.max_data) == (960, 864)
    assert (boron.buffer_size, boron.max_data) == (1152, 1024)
    assert boron.hello_flags == electron.hello_flags | HelloFlag.OTA_V3


# --- once, and until acknowledged ------------------------------------------------------------------------------------


def test_a_function_runs_once_and_its_result_is_sent_until_acknowledged() -> None:
    device, wire = device_with_wire()
    assert wire.say(CALL) == ["60004001"]
    assert wire.say(CALL) == ["60004001"]
    (called,) = device.events()
    assert isinstance(called, FunctionCalled)
    device.return_value(called.request, 456, 0.0)
    (result,) = wire.hear()
    assert result.startswith("4144")
    assert result.endswith("abff000001c8")
    assert wire.sendings(10.0) == [(5.0, result)]
    wire.say(f"6000{result[4:8]}")
    assert wire.sendings(100.0) == []


def test_trap_12_a_request_with_an_id_of_the_last_45_s_gets_the_old_reply_and_is_not_executed() -> None:
    device, wire = device_with_wire()
    wire.say(CALL)
    device.events()
    other = CALL.replace("4131", "4132")
    wire.now = 44.9
    assert wire.say(other) == ["60004001"]
    assert device.events() == []
    wire.now = 45.0
    assert wire.say(other) == ["60004001"]
    (called,) = device.events()
    assert isinstance(called, FunctionCalled)
    assert called.argument == "2"


def test_trap_12_a_reset_of_any_id_discards_the_session() -> None:
    device, wire = device_with_wire()
    wire.say("70001234")
    assert device.events() == [Closed(CloseReason.RESET, "session discarded (error 12)")]


def test_an_old_device_answers_inside_the_acknowledgement_and_remembers_that() -> None:
    device, wire = device_with_wire("0.7.0")
    read = "41014001abb17602" + b"on".hex()
    assert wire.say(read, read) == []
    (asked,) = device.events()
    assert isinstance(asked, VariableAsked)
    device.answer_variable(asked.request, True, 0.0)
    assert wire.hear() == ["61454001abff01"]
    assert wire.say(read) == ["61454001abff01"]


def test_events_of_the_cloud_are_acknowledged_with_their_id() -> None:
    device, wire = device_with_wire()
    event = "40024001b145" + "07" + b"weather".hex() + "ff78"
    assert wire.say(event) == wire.say(event) == ["60004001"]
    assert device.events() == [EventReceived("weather", b"x", "weather")]


def test_signal_and_ping_are_acknowledged_with_their_ids() -> None:
    _, wire = device_with_wire()
    assert wire.say("41034001abb1734101") == ["61444001ab"]
    assert wire.say("40004002") == ["60004002"]


@pytest.mark.parametrize("raw", ["", "00", "400000"])
def test_a_message_of_less_than_a_header_is_passed_over(raw: str) -> None:
    device, wire = device_with_wire()
    assert wire.say(raw) == []
    assert device.events() == []


def test_a_publish_that_is_not_acknowledged_ends_the_session() -> None:
    device, wire = device_with_wire()
    publish = device.publish("temp", b"1", 0.0, with_ack=True)
    wire.hear()
    wire.sendings(200.0)
    assert device.events() == [
        PublishAnswered(publish, accepted=False),
        Closed(CloseReason.MESSAGE_TIMEOUT, "not acknowledged (error 10)"),
    ]


# --- keeping alive ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "changes", "after_s"),
    [
        ("2.3.1", {}, 23 * 60.0),
        ("6.2.0", {"platform_id": BORON}, 23 * 60.0),
        ("6.2.0", {"platform_id": 12}, 25.0),
        ("1.5.2", {"platform_id": 12}, 30.0),
        ("2.3.1", {"keepalive_s": 100.0}, 100.0),
    ],
)
def test_pings_after_silence_and_gives_up_30_s_later(release: str, changes: dict[str, Any], after_s: float) -> None:
    device, wire = device_with_wire(release, **changes)
    assert wire.sendings(after_s - 1.0) == []
    ((at, ping),) = wire.sendings(2.0)
    assert at == after_s
    wire.say(f"6000{ping[4:8]}")
    answered_at = wire.now
    sendings = wire.sendings(after_s + 60.0)
    assert [at - answered_at for at, _ in sendings] == [after_s, after_s + 5.0, after_s + 15.0]
    assert device.events() == [Closed(CloseReason.SILENCE, "ping not answered (error 1)")]


def test_a_duplicate_is_a_sign_of_life_too() -> None:
    device, wire = device_with_wire(platform_id=12)
    wire.say(CALL)
    wire.now = 20.0
    wire.say(CALL)
    assert wire.sendings(24.0) == []
    assert [at for at, _ in wire.sendings(2.0)] == [45.0]
    assert device.is_connected


# --- goodbye ---------------------------------------------------------------------------------------------------------


def test_goodbye_waits_until_all_is_acknowledged() -> None:
    device, wire = device_with_wire()
    device.publish("temp", b"1", 0.0)
    device.goodbye(Goodbye(6, None, 300, 5), 0.0)
    event, goodbye = wire.hear()
    assert goodbye.endswith("b178ff0d06ac0205")
    wire.say(f"6000{goodbye[4:8]}")
    assert device.events() == []
    assert wire.sendings(6.0) == [(5.0, event)]
    wire.say(f"6000{event[4:8]}")
    assert device.events() == [Closed(CloseReason.LOCAL)]


def test_goodbye_waits_60_s_at_most_and_older_devices_have_no_word_for_it() -> None:
    device, wire = device_with_wire()
    device.goodbye(Goodbye(6), 0.0)
    wire.hear()
    wire.sendings(59.0)
    assert device.events() == []
    wire.sendings(2.0)
    assert device.events() == [Closed(CloseReason.LOCAL)]
    device, wire = device_with_wire("1.5.2")
    device.goodbye(Goodbye(6), 0.0)
    assert wire.hear() == []
    assert device.events() == [Closed(CloseReason.LOCAL)]


# --- resumption ------------------------------------------------------------------------------------------------------


def resumed(state: DeviceState, release: str = "2.3.1", **changes: object) -> tuple[DeviceDatagramConnection, Wire]:
    device = DeviceDatagramConnection(setup=setup(release, **changes), draw=half, now=0.0, state=state)
    return device, Wire(device)


def paths(raws: list[str]) -> list[bytes]:
    return [decode_untrusted(bytes.fromhex(raw)).path() for raw in raws]


UPDATES = [b"E/particle/device/updates/enabled", b"E/particle/device/updates/forced"]


@pytest.mark.parametrize("release", [release for release in OLD_AND_NEW if release != "1.5.2"])
def test_trap_17_a_resumed_device_pings_and_repeats_nothing(release: str) -> None:
    device, _ = device_with_wire(release)
    state = device.state()
    assert state.next_message_id >= 5
    device, wire = resumed(state, release)
    sent = wire.hear()
    assert sent[0] == f"4000{state.next_message_id:04x}"
    assert paths(sent[1:]) == ([] if release == "0.7.0" else UPDATES)
    assert device.is_connected
    assert device.events() == []
    wire.say(f"6000{sent[0][4:8]}")
    assert device.events() == [Connected()]


def test_trap_17_1_5_2_says_hello_in_a_resumed_session() -> None:
    device, _ = device_with_wire("1.5.2")
    _, wire = resumed(device.state(), "1.5.2")
    (hello,) = wire.hear()
    assert hello[4:12] == f"{device.state().next_message_id:04x}b168"
    said = paths(wire.say(f"6000{hello[4:8]}"))
    assert said.count(b"e/spark") == said.count(b"e/weather") == 1


def test_what_changed_is_said_again_and_nothing_else() -> None:
    device, _ = device_with_wire()
    state = device.state()
    _, wire = resumed(state, application=Application(("other",), {"x": VariableType.INT}))
    assert paths(wire.hear()) == [b"", *UPDATES, b"d"]
    _, wire = resumed(state, subscriptions=(Subscription("news"),))
    assert paths(wire.hear()) == [b"", *UPDATES, b"e/particle", b"e/spark", b"e/news"]
    _, wire = resumed(state, safe_mode=True)
    (hello,) = wire.hear()
    assert paths([hello]) == [b"h"]
    said = paths(wire.say(f"6000{hello[4:8]}"))
    assert said.count(b"d") == 1, "the system part, not that of the application"
    assert not [path for path in said if path.startswith(b"e/")]


def test_before_2_0_any_change_means_hello_and_all_of_it() -> None:
    device, _ = device_with_wire("0.7.0")
    _, wire = resumed(device.state(), "0.7.0", subscriptions=(Subscription("news"),))
    (hello,) = wire.hear()
    assert paths([hello]) == [b"h"]
    assert b"e/news" in paths(wire.say(f"6000{hello[4:8]}"))


def test_an_update_that_succeeded_changes_no_state() -> None:
    device, _ = device_with_wire(ota_successful=True)
    _, wire = resumed(device.state())
    assert wire.hear()[0].startswith("4000")


def test_only_what_was_acknowledged_counts_as_known() -> None:
    device, wire = device_with_wire(hello=False)
    wire.hear()
    introduction = wire.say("60000001")
    assert device.state().application is None
    for raw in introduction:
        if paths([raw])[0].startswith(b"e/"):
            assert device.state().subscriptions is None, "all of them, or it does not count"
            wire.say(f"6000{raw[4:8]}")
    known = device.state()
    assert known.subscriptions is not None
    assert (known.system, known.application) == (None, None)
    for raw in introduction:
        if paths([raw]) == [b"d"]:
            wire.say(f"6080{raw[4:8]}")
    assert device.state().application is None, "refused"
    _, wire = resumed(device.state())
    (hello,) = wire.hear()
    assert paths([hello]) == [b"h"]
    said = paths(wire.say(f"6000{hello[4:8]}"))
    assert said.count(b"d") == 2
    assert not [path for path in said if path.startswith(b"e/")]


def test_a_description_in_blocks_is_known_with_its_last_one() -> None:
    many = Application(tuple(f"function{at:056}" for at in range(40)), {})
    device, wire = device_with_wire("3.3.1", hello=False, application=many)
    to_acknowledge = wire.hear()
    while to_acknowledge:
        known_before = device.state().application
        posted = [raw for raw in to_acknowledge if paths([raw]) == [b"d"]]
        to_acknowledge = wire.say(*(f"6000{raw[4:8]}" for raw in to_acknowledge if raw[0] == "4"))
        if [raw for raw in to_acknowledge if paths([raw]) == [b"d"]]:
            assert device.state().application is None
    assert posted
    assert known_before is None
    assert device.state().application is not None


def test_a_resumed_session_that_is_dead() -> None:
    device, _ = device_with_wire()
    device, wire = resumed(device.state())
    wire.hear()
    wire.sendings(100.0)
    assert device.events() == [Closed(CloseReason.SILENCE, "ping not answered (error 1)")]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([bytes.fromhex(CALL), b"\x60\0\0\1"]), max_size=20))
def test_whatever_comes_it_ends_once(messages: list[bytes]) -> None:
    device, wire = device_with_wire(hello=False)
    events = []
    for raw in messages:
        device.receive_message(raw, wire.now)
        events += device.events()
        assert all(decode_untrusted(sent).type != Type.RST for sent in device.messages_to_send(wire.now))
        wire.sendings(2.0)
    device.close(wire.now)
    events += device.events()
    assert sum(isinstance(event, Closed) for event in events) == 1
    assert device.next_deadline() is None
    assert APPLICATION.functions[0] == "brew"
