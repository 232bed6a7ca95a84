import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.coap import Message, Option, Type, decode_untrusted, encode, uint
from cloudchamber.wire.errors import WireError

OPTIONS = st.lists(st.tuples(st.integers(0, 65_535), st.binary(max_size=300)), max_size=6).map(
    lambda options: tuple(sorted(options, key=lambda option: option[0]))
)
MESSAGES = st.builds(
    Message,
    type=st.integers(0, 3),
    code=st.integers(0, 255),
    id=st.integers(0, 65_535),
    token=st.binary(max_size=8),
    options=OPTIONS,
    payload=st.none() | st.binary(max_size=300),
)


@given(MESSAGES)
def test_what_was_written_is_read_back(message: Message) -> None:
    assert decode_untrusted(encode(message)) == message


@given(st.binary(max_size=200))
def test_only_wire_error_comes_out(data: bytes) -> None:
    try:
        message = decode_untrusted(data)
    except WireError:
        return
    assert decode_untrusted(encode(message)) == message


@given(MESSAGES, st.data())
def test_a_message_cut_anywhere_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    raw = encode(message)
    cut = raw[: data.draw(st.integers(0, len(raw)))]
    with contextlib.suppress(WireError):
        decode_untrusted(cut)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ("", "empty"),
        ("400001", "shorter than a header"),
        ("00000001", "version 0"),
        ("80000001", "version 2"),
        ("49000001000000000000000000", "token of 9 bytes"),
        ("44000001aabb", "token cut off"),
        ("40010001b2", "option cut off"),
        ("40010001d1", "extended delta missing"),
        ("40010001e100", "extended delta half there"),
        ("40010001bd", "extended length missing"),
        ("40010001be00", "extended length half there"),
        ("40010001f1ff", "reserved delta"),
        ("40010001bfff", "reserved length"),
        ("40010001e0fef3e0fef3", "option number beyond 65,535"),
    ],
)
def test_refused(raw: str, what: str) -> None:
    with pytest.raises(WireError):
        decode_untrusted(bytes.fromhex(raw))


def test_trap_09_a_marker_with_nothing_after_it_is_empty_data_and_no_marker_is_none() -> None:
    assert decode_untrusted(bytes.fromhex("50021234b1450474656d70ff")).payload == b""
    assert decode_untrusted(bytes.fromhex("50021234b1450474656d70")).payload is None
    assert encode(Message(Type.NON, 2, 1, b"", (), b"")).hex() == "50020001ff"
    assert encode(Message(Type.NON, 2, 1)).hex() == "50020001"


@pytest.mark.parametrize("size", [0, 1, 12, 13, 14, 268, 269, 270, 1000])
def test_option_lengths_around_each_form(size: int) -> None:
    message = Message(Type.CON, 1, 7, b"T", ((Option.URI_PATH, b"v"), (Option.URI_PATH, b"x" * size)))
    assert decode_untrusted(encode(message)) == message


@pytest.mark.parametrize("number", [0, 12, 13, 268, 269, 65_535])
def test_option_numbers_around_each_form(number: int) -> None:
    message = Message(Type.CON, 1, 7, b"", ((number, b"x"),))
    assert decode_untrusted(encode(message)) == message


def test_options_out_of_order_are_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        encode(Message(Type.CON, 1, 7, b"", ((15, b""), (11, b""))))


def test_unsigned_options_have_their_shortest_form() -> None:
    assert [uint(value) for value in (0, 1, 255, 256, 3600)] == [b"", b"\1", b"\xff", b"\1\0", b"\x0e\x10"]
