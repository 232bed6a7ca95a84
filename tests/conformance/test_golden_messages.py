"""Messages printed by the real encoders of Device OS 2.3.1 and 6.2.0, and the event vectors of its unit tests."""

import pytest

from cloudchamber.wire import messages, values
from cloudchamber.wire.coap import Code, Message, Type, decode_untrusted, empty_ack, encode
from cloudchamber.wire.describe import Part
from cloudchamber.wire.messages import Goodbye, Hello, PublishedEvent, Subscription
from cloudchamber.wire.session import device_describe
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from cloudchamber.wire.values import VariableType
from tests.captures import load

ALL = load("messages.json")
BY_NAME = {row["name"]: bytes.fromhex(row["bytes"]) for row in ALL}
DEVICE_ID = bytes.fromhex("54e1c888f6d9492bebee1ee9")
ID = 0x1234


@pytest.mark.parametrize("row", [row for row in ALL if row["name"] != "keepalive"], ids=lambda row: row["name"])
def test_read_and_written_alike(row: dict[str, str]) -> None:
    raw = bytes.fromhex(row["bytes"])
    assert encode(decode_untrusted(raw)) == raw


HELLOS = {
    "hello_tcp_photon": Hello(6, 0xFFFF, 0x36, 6),
    "hello_tcp_photon_product": Hello(6287, 1, 0x37, 6),
    "hello_udp_electron": Hello(6287, 1, 0x36, 10, DEVICE_ID),
    "hello_tcp_v3plus": Hello(0xFFFF, 0xFFFF, 0x36, 6, None, 6200, 1152, 0xA00000, 512),
    "hello_udp_v3plus": Hello(6287, 1, 0xB6, 12, DEVICE_ID, 6200, 1152, 0x100000, 1024),
}


@pytest.mark.parametrize("name", HELLOS)
def test_hello(name: str) -> None:
    raw = BY_NAME[name]
    assert messages.read_hello_untrusted(decode_untrusted(raw)) == HELLOS[name]
    assert encode(messages.device_hello(ID, HELLOS[name], confirmable=raw[0] == 0x40)) == raw


EVENTS = {
    "event_pub_con_ttl": PublishedEvent("temp", b"21.5", 3600, False, None),
    "event_nodata": PublishedEvent("temp", None, 60, False, None),
    "event_empty_data": PublishedEvent("temp", b"", 60, True, None),
    "event_v6_text": PublishedEvent("temp", b"21.5", 60, True, None),
    "event_v6_cbor_ttl": PublishedEvent("temp", bytes.fromhex("a1617415"), 3600, True, 60),
    'event: 0xf649, "front-door-unlocked", NULL, 60, PRIVATE': PublishedEvent(
        "front-door-unlocked", None, 60, True, None
    ),
    'event: 0x7654, "weather/us/mn/minneapolis", "t:5F,d:-2F,p:15%", 3600, PUBLIC': PublishedEvent(
        "weather/us/mn/minneapolis", b"t:5F,d:-2F,p:15%", 3600, False, None
    ),
    'event: 0xf649, "x", NULL, 60, PUBLIC': PublishedEvent("x", None, 60, False, None),
}


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_a_device(name: str) -> None:
    raw, event = BY_NAME[name], EVENTS[name]
    message = decode_untrusted(raw)
    assert messages.read_event_untrusted(message) == event
    built = messages.device_event(
        message.id, event.name, event.data, event.ttl_s, event.is_private, raw[0] == 0x40, event.content_format
    )
    assert encode(built) == raw


SUBSCRIPTIONS = {
    "sub_spark_my": Subscription("spark"),
    "sub_particle_my": Subscription("particle"),
    "sub_all": Subscription("temp", own_devices=False),
    'subscription: 0x8888, "weather", "53ff73065067544816300187"': Subscription(
        "weather", False, "53ff73065067544816300187"
    ),
    'subscription: 0x7000, NULL, "53ff73065067544816300187"': Subscription("", False, "53ff73065067544816300187"),
    'subscription: 0x1113, "motion/open", MY_DEVICES': Subscription("motion/open"),
    'subscription: 0x1114, NULL, MY_DEVICES': Subscription(""),
    'subscription: 0x1115, "China/ShenZhen/FuTianKouAn", FIREHOSE': Subscription("China/ShenZhen/FuTianKouAn", False),
}  # fmt: skip


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
def test_subscription(name: str) -> None:
    message = decode_untrusted(BY_NAME[name])
    assert messages.read_subscription_untrusted(message, always_own=False) == SUBSCRIPTIONS[name]
    assert encode(messages.subscribe(message.id, SUBSCRIPTIONS[name], confirmable=True)) == BY_NAME[name]


@pytest.mark.parametrize(
    ("name", "subscription"), [("sub_v6", Subscription("spark")), ("sub_v6_binary", Subscription("bin", encoding="b"))]
)
def test_subscription_of_6_always_means_own_devices(name: str, subscription: Subscription) -> None:
    message = decode_untrusted(BY_NAME[name])
    assert messages.read_subscription_untrusted(message, always_own=True) == subscription
    assert encode(messages.subscribe(ID, subscription, confirmable=True, says_own=False)) == BY_NAME[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("goodbye_udp", Goodbye(cloud_reason=6, sleep_s=300, network_reason=5)),
        ("goodbye_tcp", Goodbye(cloud_reason=5, reset_reason=140)),
    ],
)
def test_goodbye(name: str, said: Goodbye) -> None:
    assert messages.read_goodbye_untrusted(decode_untrusted(BY_NAME[name])) == said
    assert encode(messages.goodbye(ID, said, confirmable=name == "goodbye_udp")) == BY_NAME[name]


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("var_int_tcp", VariableType.INT, 4307),
        ("var_dbl_tcp", VariableType.DOUBLE, 21.5),
        ("var_bool_tcp", VariableType.BOOL, True),
        ("var_str_tcp", VariableType.STRING, "woot"),
        ("var_emptystr_tcp", VariableType.STRING, ""),
    ],
)
def test_trap_09_values(name: str, kind: VariableType, value: values.Value) -> None:
    """Int big-endian, double little-endian, an empty string without a payload marker."""
    message = decode_untrusted(BY_NAME[name])
    assert values.decode_untrusted(kind, message.payload or b"") == value
    payload = values.encode(kind, value) or None
    assert encode(Message(Type.NON, Code.CONTENT, ID, b"\x88", (), payload)) == BY_NAME[name]


def test_small_messages() -> None:
    assert encode(messages.ping(ID)) == BY_NAME["ping"]
    assert empty_ack(0xABCD) == BY_NAME["empty_ack"]
    assert (
        encode(messages.function_call(0xABCD, 0xEF, b"brew", b"32,240")).hex()
        == "4102abcdefb16604627265774633322c323430"
    )
    assert encode(messages.describe_request(ID, 0x28, Part.SYSTEM)).hex() == "4101123428b1644101"
    assert encode(messages.signal(0xABCD, 0xEF, on=True)).hex() == "4103abcdefb1734101"
    assert encode(messages.key_change(0xABCD, 0xEF)).hex() == "4103abcdefb16b4101"
    assert encode(messages.time_answer(0x9999, b"\x99", 0x535966AD)).hex() == "6145999999ff535966ad"


def test_describe_posts() -> None:
    old, new = (DeviceSetup(DEVICE_ID, PROFILES[release]) for release in ("2.3.1", "6.2.0"))
    assert encode(device_describe.post(old, ID, b"", Part.SYSTEM, b"", None)) == BY_NAME["describe_post_sys"]
    assert encode(device_describe.post(new, ID, b"U", Part.SYSTEM, b"\n\0", None)) == BY_NAME["describe_post_sys_pb"]
    application = b'{"f":[],"v":{}}'
    assert (
        encode(device_describe.post(new, ID, b"U", Part.APPLICATION, application, None)) == BY_NAME["describe_post_app"]
    )
    first = device_describe.post(new, ID, b"U", Part.APPLICATION, b"X", b"\x0e")
    assert encode(first) == BY_NAME["describe_post_block1_first(1B payload)"]
