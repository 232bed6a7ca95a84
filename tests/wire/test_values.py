import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.values import Value, VariableType, decode_untrusted, encode, encode_int


@given(st.sampled_from(VariableType), st.binary(max_size=12))
def test_only_wire_error_comes_out(kind: VariableType, data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_untrusted(kind, data)


@given(
    st.tuples(st.just(VariableType.BOOL), st.booleans())
    | st.tuples(st.just(VariableType.INT), st.integers(-(2**31), 2**31 - 1))
    | st.tuples(st.just(VariableType.DOUBLE), st.floats(allow_nan=False))
    | st.tuples(st.just(VariableType.STRING), st.text())
)
def test_round_trip(pair: tuple[VariableType, Value]) -> None:
    kind, value = pair
    assert decode_untrusted(kind, encode(kind, value)) == value


def test_trap_09_int_is_big_endian_and_double_little_endian() -> None:
    assert encode(VariableType.INT, 1).hex() == "00000001"
    assert encode(VariableType.DOUBLE, 21.5).hex() == "0000000000803540"


def test_not_a_number_passes() -> None:
    value = decode_untrusted(VariableType.DOUBLE, encode(VariableType.DOUBLE, math.nan))
    assert math.isnan(value)  # type: ignore[arg-type]


def test_text_that_is_not_utf_8_still_shows() -> None:
    assert decode_untrusted(VariableType.STRING, b"a\xff") == "a\ufffd"


def test_function_results_wrap_to_32_bits() -> None:
    assert encode_int(2**31).hex() == "80000000"
    assert encode_int(-1).hex() == "ffffffff"


def test_text_for_a_number_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="INT expected"):
        encode(VariableType.INT, "5")


@pytest.mark.parametrize(
    ("kind", "size"), [(VariableType.BOOL, 0), (VariableType.BOOL, 2), (VariableType.INT, 3), (VariableType.DOUBLE, 4)]
)
def test_wrong_sizes(kind: VariableType, size: int) -> None:
    with pytest.raises(WireError):
        decode_untrusted(kind, bytes(size))
