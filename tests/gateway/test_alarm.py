"""Many alarms on one timer of the loop."""

import asyncio
import gc
import random
import weakref
from collections import Counter

import pytest

from cloudchamber.gateway.alarm import MAX_EMPTY, RUNG_AT_ONCE, Alarm, AlarmClock
from tests.loops import Turns


class Bell:
    def __init__(self, clock: AlarmClock) -> None:
        self.rung: list[float] = []
        self.alarm = Alarm(clock, self.ring)

    def ring(self) -> None:
        self.rung.append(asyncio.get_running_loop().time())


async def test_each_rings_once_and_not_before_its_time() -> None:
    clock, loop = AlarmClock(), asyncio.get_running_loop()
    bells = [Bell(clock) for _ in range(100)]
    start = loop.time()
    wanted = [start + random.Random(number).uniform(0.0, 0.2) for number in range(100)]
    for bell, at in zip(bells, wanted, strict=True):
        bell.alarm.set(at)
    assert len(clock) == 100
    await asyncio.sleep(0.3)
    assert len(clock) == 0
    for bell, at in zip(bells, wanted, strict=True):
        (rung,) = bell.rung
        assert rung >= at - 0.002


async def test_an_earlier_deadline_counts_and_a_later_one_is_left_to_whoever_looks_again() -> None:
    clock, loop = AlarmClock(), asyncio.get_running_loop()
    early, late, never = Bell(clock), Bell(clock), Bell(clock)
    now = loop.time()
    early.alarm.set(now + 60)
    early.alarm.set(now + 0.02)
    late.alarm.set(now + 0.05)
    late.alarm.set(now + 60)
    never.alarm.set(now + 0.01)
    never.alarm.set(None)
    await asyncio.sleep(0.15)
    assert [len(bell.rung) for bell in (early, late, never)] == [1, 1, 0]
    late.alarm.set(loop.time() - 1)
    await asyncio.sleep(0.05)
    assert len(late.rung) == 2


async def test_those_that_are_due_together_leave_others_their_turn() -> None:
    clock, loop = AlarmClock(), asyncio.get_running_loop()
    turns, rung = Turns(), list[int]()
    for _ in range(1_000):
        Alarm(clock, lambda: rung.append(turns.number)).set(loop.time() + 0.02)
    with turns:
        async with asyncio.timeout(5):
            while len(rung) < 1_000:
                await asyncio.sleep(0.01)
    assert max(Counter(rung).values()) <= RUNG_AT_ONCE


async def test_one_that_fails_does_not_take_the_others_with_it() -> None:
    clock, loop = AlarmClock(), asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail() -> None:
        raise ValueError

    failing, bell = Alarm(clock, fail), Bell(clock)
    failing.set(loop.time())
    bell.alarm.set(loop.time())
    await asyncio.sleep(0.1)
    assert len(bell.rung) == 1
    assert [type(failure) for failure in failures] == [ValueError]


async def test_a_bell_may_set_itself_again_and_stop_others() -> None:
    clock, loop = AlarmClock(), asyncio.get_running_loop()
    other = Bell(clock)
    rung = 0

    def ring() -> None:
        nonlocal rung
        rung += 1
        other.alarm.set(None)
        if rung < 3:
            alarm.set(loop.time())

    alarm = Alarm(clock, ring)
    alarm.set(loop.time())
    other.alarm.set(loop.time())
    await asyncio.sleep(0.1)
    assert (rung, other.rung) == (3, [])


@pytest.mark.parametrize("count", [10, 10_000])
async def test_cancelled_ones_are_forgotten(count: int) -> None:
    clock, loop = AlarmClock(), asyncio.get_running_loop()
    bells = [Bell(clock) for _ in range(count)]
    for bell in bells:
        bell.alarm.set(loop.time() + 3600)
    seen = weakref.ref(bells[0])
    for bell in bells:
        bell.alarm.set(None)
    assert len(clock) == 0
    assert len(clock._heap) <= MAX_EMPTY
    del bell, bells
    gc.collect()
    assert seen() is None
