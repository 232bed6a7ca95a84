from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.clock import FixedClock, SystemClock, iso, iso_or_none, parse_iso

# To the end of the year 9998.
TIMES = st.integers(0, 253_370_764_799_999)


@given(TIMES)
def test_a_time_is_read_back_as_it_was_written(at) -> None:
    text = iso(at)
    assert parse_iso(text) == at
    assert len(text) == 24


def test_the_format() -> None:
    assert iso(1_524_072_010_880) == "2018-04-18T17:20:10.880Z"
    assert iso_or_none(None) is None
    assert iso_or_none(0) == "1970-01-01T00:00:00.000Z"


def test_what_is_read() -> None:
    assert parse_iso("2017-12-07") == parse_iso("2017-12-07T00:00:00Z") == parse_iso("2017-12-07T02:00:00+02:00")
    assert parse_iso("2017-12-07T00:00:00") == 1_512_604_800_000
    for text in ("", "tomorrow", "1512604800", "2017-13-01", "2017-12-07T25:00:00Z"):
        assert parse_iso(text) is None


@given(st.text())
def test_whatever_is_read_is_a_time_or_nothing(text) -> None:
    assert parse_iso(text) is None or isinstance(parse_iso(text), int)


def test_the_clocks() -> None:
    clock = FixedClock(1_000)
    clock.advance(5)
    assert clock.now() == 1_005
    assert SystemClock().now() > 1_600_000_000_000
