import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudchamber.wire import describe
from cloudchamber.wire.describe import Application, Metric, parse_metrics_untrusted, parse_untrusted
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.values import VariableType
from tests.wire.link import APPLICATION

SYSTEM = {
    "imei": "353000000000000",
    "m": [
        {
            "s": 499712,
            "l": "m",
            "vc": 30,
            "vv": 28,
            "u": "ab" * 32,
            "f": "u",
            "n": "1",
            "v": 6200,
            "d": [{"f": "s", "n": "1", "v": 6200}],
        },
        {"s": 49152, "l": "f", "vc": 30, "vv": 30, "f": "b", "n": "0", "v": 1101, "d": []},
    ],
}


def test_both_parts_in_one_json() -> None:
    parts = parse_untrusted(b'{"f":["brew","other"],"v":{"temperature":2,"name":4},"p":6,"m":[]}')
    assert parts.application == Application(
        ("brew", "other"), {"temperature": VariableType.INT, "name": VariableType.STRING}
    )
    assert parts.system == {"p": 6, "m": []}


def test_one_part_leaves_the_other_unknown() -> None:
    assert parse_untrusted(b'{"f":[],"v":{}}').system is None
    assert parse_untrusted(b'{"p":6,"m":[]}').application is None


def test_trap_10_the_comma_that_3_3_to_4_x_leave_out() -> None:
    parts = parse_untrusted(b'{"p":6,"m":[{"s":1,"d":[]}]"f":["brew"],"v":{}}')
    assert parts.application == Application(("brew",), {})
    assert parts.system == {"p": 6, "m": [{"s": 1, "d": []}]}


def test_trap_10_protobuf_is_read_into_the_keys_of_the_json() -> None:
    raw = describe.build_system_protobuf(SYSTEM)
    assert raw[:1] != b"{"
    assert parse_untrusted(raw).system == SYSTEM


def test_a_module_of_zeros_from_a_real_encoder() -> None:
    """proto3 leaves zeros out: an empty module is a whole one."""
    assert parse_untrusted(b"\n\0").system == {
        "m": [{"s": 0, "l": "m", "vc": 0, "vv": 0, "f": "_", "n": "0", "v": 0, "d": []}]
    }


def test_an_unknown_variable_type_is_shown_as_text() -> None:
    parts = parse_untrusted(b'{"v":{"new":77,"odd":"x"}}')
    assert parts.application is not None
    assert set(parts.application.variables.values()) == {VariableType.STRING}


def test_what_we_build_we_read() -> None:
    assert parse_untrusted(describe.build_application(APPLICATION)).application == APPLICATION
    assert parse_untrusted(describe.build_system(SYSTEM)).system == SYSTEM


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"f":1}',
        b'{"f":[1]}',
        b'{"v":[]}',
        b'{"p":NaN}',
        b'{"p":' + b"[" * 100_000,
        b'{"p":' + b"9" * 5000 + b"}",
        b'{"imei":"\\ud800"}',
        b'{"imei":"\\u0000"}',
        b'{"imei":"\xff"}',
        b"\x0a\x05a",
        b"\x0b",
        b"\x12\x01\xff",
        b"\x10\x01",
        b"\x08" + b"\xff" * 12,
    ],
)
def test_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        parse_untrusted(payload)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b'{"' + tail))
def test_only_wire_error_comes_out(data: bytes) -> None:
    for read in (parse_untrusted, parse_metrics_untrusted):
        with contextlib.suppress(WireError):
            read(data)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@settings(max_examples=25)
@given(st.recursive(SCALARS, lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x), max_leaves=6))
def test_only_wire_error_comes_out_of_any_json(value: object) -> None:
    for found in (value, {"f": value}, {"v": value}, {"m": value}):
        with contextlib.suppress(WireError):
            parse_untrusted(json.dumps(found).encode())


def test_metrics() -> None:
    raw = describe.build_metrics({1: 40, 6: 1234, 19: -61})
    assert raw.hex().startswith("00040002000400" + "0100" + "28000000")
    assert parse_metrics_untrusted(raw) == (Metric(1, 40, False), Metric(6, 1234, False), Metric(19, -61, False))
    failed = bytes.fromhex("00040002000400") + bytes.fromhex("1380") + (-160).to_bytes(4, "little", signed=True)
    assert parse_metrics_untrusted(failed) == (Metric(19, -160, True),)


@pytest.mark.parametrize("raw", ["", "00040002000401", "000400020004000100"])
def test_metrics_refused(raw: str) -> None:
    with pytest.raises(WireError):
        parse_metrics_untrusted(bytes.fromhex(raw))
