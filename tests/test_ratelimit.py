"""Allowances and lockouts, on a clock that is a number."""

import time
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.ratelimit import Allowance, Lockouts

MINUTE = 60_000
START = 1_600_000_000_000


def test_a_burst_and_then_one_at_a_time() -> None:
    limit = Allowance(100, 5 * MINUTE)
    assert [limit.take("a", START) for _ in range(100)] == [0] * 100
    assert limit.wait_ms("a", START) == limit.take("a", START) == 3_000
    assert limit.take("b", START) == 0
    assert limit.take("a", START + 2_999) == 1
    assert limit.take("a", START + 3_000) == 0
    assert limit.take("a", START + 3_000) == 3_000
    # A refused try costs nothing, and a full bucket is full again after the whole time.
    later = START + 3_000 + 5 * MINUTE
    assert [limit.take("a", later) for _ in range(101)] == [0] * 100 + [3_000]


@given(st.integers(1, 50), st.integers(50, 10_000), st.lists(st.integers(0, 500), min_size=1, max_size=200))
def test_no_window_ever_holds_more_than_twice_the_limit(times: int, per_ms: int, steps: list[int]) -> None:
    """A bucket that was full at a window's start can be emptied and refilled within it, once."""
    limit = Allowance(times, per_ms)
    taken: deque[int] = deque()
    now = START
    for step in steps:
        now += step
        asked = limit.wait_ms("k", now)
        wait = limit.take("k", now)
        assert wait == asked
        if wait == 0:
            taken.append(now)
        else:
            assert limit.wait_ms("k", now + wait) == 0, "it may be done when it was said to be"
        while taken and taken[0] <= now - per_ms:
            taken.popleft()
        assert len(taken) <= 2 * times


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_refuses_nobody_for_long(days: int) -> None:
    limit, locks = Allowance(2, MINUTE), Lockouts(2, MINUTE)
    for _ in range(3):
        limit.take("a", START)
        locks.failed("a", START)
    assert limit.wait_ms("a", START)
    assert locks.wait_ms("a", START)
    moved = START + days * 24 * 60 * MINUTE
    assert limit.wait_ms("a", moved) == limit.take("a", moved) == 0
    assert locks.wait_ms("a", moved) == 0


def test_the_tables_are_bounded_and_what_ended_goes_first() -> None:
    limit = Allowance(1, MINUTE, max_keys=100)
    for number in range(100):
        limit.take(number, START + number * 1_000)
    # Forty of them are full again by then.
    now = START + 100_000
    for number in range(1_000, 1_041):
        limit.take(number, now)
    assert len(limit) <= 100
    assert limit.wait_ms(99, now) > 0
    for number in range(10_000):
        limit.take(("flood", number), now)
        assert len(limit) <= 100


def test_a_flood_of_addresses_costs_little_each() -> None:
    limit = Allowance(100, 5 * MINUTE, max_keys=5_000)
    before = time.perf_counter()
    for number in range(50_000):
        limit.take(number, START)
    assert time.perf_counter() - before < 2.0, "20 us each would be a hundred times what it takes"


def test_ten_failures_in_a_row_block() -> None:
    locks = Lockouts(10, 30 * MINUTE)
    now = START
    for number in range(10):
        assert locks.wait_ms("a", now) == 0
        assert locks.failed("a", now) is (number == 9)
        now += 1_000
    assert locks.wait_ms("a", now) == 30 * MINUTE - 1_000
    assert locks.blocked(now) == 1
    assert locks.wait_ms("b", now) == 0
    # What was under way does not make it longer, nor does a success of before end it.
    assert locks.failed("a", now) is False
    locks.succeeded("a")
    assert locks.wait_ms("a", now) == 30 * MINUTE - 1_000
    now += 30 * MINUTE
    assert (locks.wait_ms("a", now), locks.blocked(now)) == (0, 0)
    assert locks.failed("a", now) is False, "counting begins anew"


def test_a_success_starts_again_and_so_does_time() -> None:
    locks = Lockouts(3, MINUTE)
    for _ in range(10):
        locks.failed("a", START)
        locks.failed("a", START)
        locks.succeeded("a")
    assert len(locks) == 0
    locks.failed("a", START)
    locks.failed("a", START)
    locks.failed("a", START + MINUTE)
    assert locks.wait_ms("a", START + MINUTE) == 0


def test_a_block_is_not_lifted_by_filling_the_table() -> None:
    locks = Lockouts(2, MINUTE, max_keys=100)
    locks.failed("victim", START)
    locks.failed("victim", START)
    for number in range(1_000):
        locks.failed(number, START)
        assert len(locks) <= 100
    assert locks.wait_ms("victim", START) == MINUTE
