"""Hours of statistics: packed and unpacked, summed up to buckets, with gaps where nobody looked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.statistics.errors import WindowInvalid
from cloudchamber.statistics.model import HOURS_KEPT_MS, Window
from cloudchamber.statistics.rules import (
    Hour,
    Kept,
    buckets,
    hour_of,
    pack_total,
    unpack_total,
    window,
)
from cloudchamber.tally import FIGURES, Figure

MINUTE_OF_HOUR = st.integers(0, 59)
COUNTS = st.lists(st.integers(0, 70_000) | st.integers(0, 3), min_size=FIGURES, max_size=FIGURES)
LOOKS = st.dictionaries(MINUTE_OF_HOUR, st.tuples(COUNTS, st.integers(0, 100_000)), max_size=5)
NOON = Millis(475_000 * HOUR)


def hour(looks) -> Hour:
    made = Hour()
    for minute, (counts, online) in looks.items():
        made.add(minute, [0, *counts[1:]])
        made.set_online(minute, online)
    return made


def mask(looks) -> int:
    return sum(1 << minute for minute in looks)


@settings(max_examples=40)
@given(LOOKS)
def test_a_packed_hour_is_the_same_hour(looks) -> None:
    made = hour(looks)
    packed = made.pack()
    assert Hour.unpack(packed).pack() == packed
    assert Hour.unpack(packed).total() == made.total()
    assert all(list(Hour.unpack(packed).row(each)) == list(made.row(each)) for each in Figure)
    for cut in range(0, len(packed), 7):
        try:
            shorter = Hour.unpack(packed[:cut])
        except ValueError:
            continue
        # Cut between two rows, it is an hour of a version that knew fewer figures.
        assert all(each in (0, full) for each, full in zip(shorter.total(), made.total(), strict=True))


def test_an_empty_hour_is_small_and_an_hour_has_a_bound() -> None:
    assert Hour().pack() == bytes(FIGURES)
    full = Hour()
    for minute in range(60):
        for _ in range(2):
            full.add(minute, [0] + [2**32 - 1] * (FIGURES - 1))
    assert full.row(Figure.EVENTS)[7] == 2**32 - 1
    assert Hour.unpack(full.pack()).total() == full.total()
    assert len(full.pack()) < 4_000
    with pytest.raises(ValueError, match="no hour"):
        Hour.unpack(b"\x03" + bytes(180))


@given(st.lists(st.integers(0, 2**63), max_size=FIGURES + 3))
def test_totals_of_older_and_newer_versions_are_read(total) -> None:
    read = unpack_total(pack_total(total))
    assert len(read) == FIGURES
    assert read[: len(total)] == total[:FIGURES]
    with pytest.raises(ValueError, match="no total"):
        unpack_total(b"1234567")


@settings(max_examples=40)
@given(st.dictionaries(st.integers(0, 5), LOOKS, max_size=3), st.sampled_from([1, 2, 5, 7, 15, 60, 120, 180]))
def test_buckets_hold_all_that_was_seen_and_nothing_else(hours, size) -> None:
    """However the time is cut, counts add up, and a bucket is there if and only if somebody looked in it."""
    kept = [Kept(Millis(NOON + at * HOUR), hour(looks), hour(looks).total()) for at, looks in hours.items()]
    looked = {Millis(NOON + at * HOUR): mask(looks) for at, looks in hours.items()}
    ms = size * MINUTE
    begin = NOON - NOON % ms
    asked = Window(Millis(begin), Millis(begin - (begin - NOON - 6 * HOUR) // ms * ms + ms), ms)
    found = list(buckets(asked, reversed(kept), looked))
    times = {NOON + at * HOUR + minute * MINUTE for at, looks in hours.items() for minute in looks}
    assert [each.at for each in found] == sorted({at - at % ms for at in times})
    assert sum(each.minutes for each in found) == len(times)
    for figure in Figure:
        expected = sum(each.grid.total()[figure] for each in kept if each.grid is not None)
        assert sum(each.figures[figure] for each in found) == expected
    for each in found:
        seen = [
            online
            for at, looks in hours.items()
            for minute, (_, online) in looks.items()
            if each.at <= NOON + at * HOUR + minute * MINUTE < each.at + ms
        ]
        assert each.value(Figure.ONLINE) == int(sum(seen) / len(seen) + 0.5)


def test_nobody_looked_is_not_zero() -> None:
    looks = {3: ([0] * FIGURES, 2)}
    asked = Window(NOON, Millis(NOON + HOUR), MINUTE)
    assert list(buckets(asked, [Kept(NOON, hour(looks), ())], {NOON: 0})) == []
    # In a minute that somebody looked in, and the product has nothing, it is zero.
    (only,) = buckets(asked, [], {NOON: 1 << 3})
    assert only.at == NOON + 3 * MINUTE
    assert set(only.figures) == {0}


@given(
    st.integers(0, 20 * DAY),
    st.none() | st.integers(-20 * DAY, DAY),
    st.none() | st.integers(-20 * DAY, DAY),
    st.none() | st.integers(-5, 10**7),
)
def test_what_is_asked_for_is_answered_or_refused_in_words(later, since, until, bucket_s) -> None:
    now = Millis(NOON + later)
    given_since = None if since is None else Millis(now + since)
    given_until = None if until is None else Millis(now + until)
    try:
        found = window(now, given_since, given_until, bucket_s)
    except WindowInvalid:
        return
    assert found.size_ms % MINUTE == 0
    assert found.since % found.size_ms == found.until % found.size_ms == 0
    assert 0 <= found.until - found.since <= 1_501 * found.size_ms
    assert found.since > now - HOURS_KEPT_MS - found.size_ms
    # Minutes are kept for a day: what is older comes in whole hours.
    assert found.is_by_hours or found.since >= now - DAY - HOUR - found.size_ms


@pytest.mark.parametrize(
    ("since", "until", "bucket_s"),
    [(NOON, NOON, 60), (NOON + 1, NOON, None), (NOON + DAY, None, None), (NOON - 2 * DAY, NOON - 3 * DAY, None)],
)
def test_a_time_that_makes_no_sense_is_refused(since, until, bucket_s) -> None:
    with pytest.raises(WindowInvalid):
        window(Millis(NOON + HOUR), since, until, bucket_s)


def test_what_is_not_said_is_a_day_by_the_quarter() -> None:
    assert window(NOON, Millis(NOON - DAY), NOON, 60) == Window(Millis(NOON - DAY), NOON, MINUTE)
    assert window(NOON, None, None, None) == Window(Millis(NOON - DAY), NOON, 15 * MINUTE)
    assert window(NOON, Millis(NOON - 3 * DAY), NOON, 60).size_ms == HOUR
    assert hour_of(NOON + 59 * MINUTE) == NOON
