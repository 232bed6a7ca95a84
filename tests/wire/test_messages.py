import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire import messages
from cloudchamber.wire.coap import Message, Option, encode
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.messages import Block, Goodbye, Hello, Subscription
from tests.wire.link import DEVICE_ID, decoded
from tests.wire.test_coap import MESSAGES

READERS: list[Callable[[Message], object]] = [
    messages.read_hello_untrusted,
    messages.read_event_untrusted,
    messages.read_goodbye_untrusted,
    lambda message: messages.read_subscription_untrusted(message, always_own=False),
    lambda message: messages.read_subscription_untrusted(message, always_own=True),
    lambda message: messages.read_block_untrusted(message.payload or b""),
]


@given(MESSAGES)
def test_only_wire_error_comes_out_of_any_reader(message: Message) -> None:
    for read in READERS:
        with contextlib.suppress(WireError):
            read(message)


@given(
    st.lists(st.binary(max_size=70), max_size=4), st.lists(st.binary(max_size=5), max_size=3), st.binary(max_size=30)
)
def test_only_wire_error_comes_out_of_likely_messages(paths: list[bytes], queries: list[bytes], payload: bytes) -> None:
    options = [(Option.URI_PATH, b"e"), *((Option.URI_PATH, path) for path in paths)]
    options += [(Option.MAX_AGE, query) for query in queries] + [(Option.URI_QUERY, query) for query in queries]
    for read in READERS:
        with contextlib.suppress(WireError):
            read(Message(0, 2, 1, b"", tuple(options), payload))


@pytest.mark.parametrize(
    ("payload", "hello"),
    [
        ("ffffffff0000", Hello(0xFFFF, 0xFFFF, 0)),
        ("188f000100360006", Hello(6287, 1, 0x36, 6)),
        ("188f0001003600060000", Hello(6287, 1, 0x36, 6)),
        ("188f00010036000600001838", Hello(6287, 1, 0x36, 6, None, 6200)),
        ("188f000100360006000018380480", Hello(6287, 1, 0x36, 6, None, 6200, 1152)),
        ("188f000100360006000018380480000a0000", Hello(6287, 1, 0x36, 6, None, 6200, 1152, 0xA0000)),
        ("188f00010036000a000c" + DEVICE_ID.hex(), Hello(6287, 1, 0x36, 10, DEVICE_ID)),
        ("188f000100360006000018380480000a00000200abcdef", Hello(6287, 1, 0x36, 6, None, 6200, 1152, 0xA0000, 512)),
    ],
)
def test_hello_is_read_by_what_remains(payload: str, hello: Hello) -> None:
    assert messages.read_hello_untrusted(decoded("50021234b168ff" + payload)) == hello


@pytest.mark.parametrize("payload", ["", "ffffffff00", "188f00010036000a000c54e1", "188f00010036000a00020102"])
def test_hello_refused(payload: str) -> None:
    with pytest.raises(WireError):
        messages.read_hello_untrusted(decoded("50021234b168ff" + payload))


def test_a_device_event_may_come_in_several_segments() -> None:
    event = messages.read_event_untrusted(decoded("50024004b14505737061726b06646576696365ff6f6b"))
    assert (event.name, event.data) == ("spark/device", b"ok")


@pytest.mark.parametrize("name", [b"", b"x" * 65, b"a\0b", b"\xff\xfe"])
def test_event_names_refused(name: bytes) -> None:
    with pytest.raises(WireError):
        messages.read_event_untrusted(Message(1, 2, 1, b"", ((11, b"e"), (11, name)), None))


def test_event_data_beyond_any_firmware_are_refused() -> None:
    for size, fits in ((1024, True), (1025, False)):
        message = Message(1, 2, 1, b"", ((11, b"e"), (11, b"x")), bytes(size))
        if fits:
            messages.read_event_untrusted(message)
        else:
            with pytest.raises(WireError):
                messages.read_event_untrusted(message)


def test_trap_11_an_event_for_a_device_has_no_option_beside_path_and_max_age() -> None:
    raw = encode(messages.cloud_event(0x4004, "a/b", b"x", 60, is_private=True, confirmable=False))
    assert raw.hex() == "50024004b14501610162ff78"
    aged = messages.cloud_event(0x4004, "a/b", b"x", 3600, is_private=False, confirmable=False)
    assert {number for number, _ in aged.options} == {Option.URI_PATH, Option.MAX_AGE}


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "/"])
def test_an_event_never_has_an_empty_name_option(name: str) -> None:
    message = messages.cloud_event(1, name, None, 60, is_private=False, confirmable=False)
    assert message.options[1:] == ((Option.URI_PATH, name.encode()),)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (None, Goodbye()),
        (b"\0", Goodbye()),
        (bytes.fromhex("0f01020304"), Goodbye(1, 2, 3, 4)),
        (bytes.fromhex("04ac02"), Goodbye(sleep_s=300)),
    ],
)
def test_goodbye(payload: bytes | None, said: Goodbye) -> None:
    assert messages.read_goodbye_untrusted(Message(1, 2, 1, b"", ((11, b"x"),), payload)) == said


@pytest.mark.parametrize("payload", ["01", "0180", "ffffffffffff"])
def test_goodbye_refused(payload: str) -> None:
    with pytest.raises(WireError):
        messages.read_goodbye_untrusted(Message(1, 2, 1, b"", ((11, b"x"),), bytes.fromhex(payload)))


def test_the_firehose_is_refused_and_every_narrower_form_taken() -> None:
    with pytest.raises(WireError):
        messages.read_subscription_untrusted(decoded("40011234b165"), always_own=False)
    assert messages.read_subscription_untrusted(decoded("40011234b165"), always_own=True) == Subscription("")
    assert messages.read_subscription_untrusted(decoded("40011234b1654175"), always_own=False) == Subscription("")


@pytest.mark.parametrize("payload", [b"53ff7306506754481630018", b"z" * 24, b"53FF 3065067544816300187 "])
def test_subscription_to_what_is_no_device_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        messages.read_subscription_untrusted(Message(0, 1, 1, b"", ((11, b"e"),), payload), always_own=False)


def test_blocks() -> None:
    assert messages.read_block_untrusted(b"\x0e") == Block(0, True, 6)
    assert messages.block_option(Block(0, True, 6)) == b"\x0e"
    for block in (Block(0, False, 0), Block(1, False, 6), Block(300, True, 5)):
        assert messages.read_block_untrusted(messages.block_option(block)) == block


def test_function_call_always_has_its_argument_option() -> None:
    assert encode(messages.function_call(1, 2, b"brew", b"")).hex() == "4102000102b166046272657740"
