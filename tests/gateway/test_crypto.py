"""RSA in threads: every answer comes, on the loop, and never within the question."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from cloudchamber.gateway.crypto import TOGETHER, Crypto, Work, threads_for
from tests.loops import Turns


def operations(*what: Callable[[], Any]) -> Work[Any]:
    """One after the other; the result is the last one's."""
    result = None
    for each in what:
        result = yield each
    return result


pytestmark = pytest.mark.parametrize("threads", [1, 2])


async def test_every_answer_comes_on_the_loop(threads: int) -> None:
    crypto = Crypto(threads)
    here = threading.get_ident()
    found: list[tuple[int, bool]] = []
    done = asyncio.Event()

    def answered(result: int) -> None:
        found.append((result, threading.get_ident() == here))
        if len(found) == 100:
            done.set()

    for number in range(100):
        crypto.submit(answered, operations(lambda number=number: number * number))
    assert not found
    async with asyncio.timeout(10):
        await done.wait()
    crypto.stop()
    assert sorted(found) == [(number * number, True) for number in range(100)]


async def test_an_answer_may_ask_again(threads: int) -> None:
    crypto = Crypto(threads)
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def answered(result: int) -> None:
        if result == 5:
            done.set_result(result)
        else:
            crypto.submit(answered, operations(lambda: result + 1))

    crypto.submit(answered, operations(lambda: 0))
    async with asyncio.timeout(10):
        assert await done == 5
    crypto.stop()


async def test_results_that_come_together_leave_others_their_turn(threads: int) -> None:
    crypto = Crypto(threads)
    turns, found = Turns(), list[int]()
    with turns:
        for _ in range(100):
            crypto.submit(lambda _: found.append(turns.number), operations(lambda: None))
        time.sleep(0.05)  # noqa: ASYNC251 - the threads are done by then, and the loop has not looked
        async with asyncio.timeout(10):
            while len(found) < 100:
                await asyncio.sleep(0.001)
    crypto.stop()
    assert max(Counter(found).values()) <= TOGETHER


async def test_a_work_of_several_operations(threads: int) -> None:
    crypto = Crypto(threads)
    order: list[str] = []
    found: list[str] = []
    done = asyncio.Event()

    def answered(result: str) -> None:
        found.append(result)
        if len(found) == 12:
            done.set()

    def operation(name: str) -> Callable[[], str]:
        def operate() -> str:
            order.append(name)
            return name

        return operate

    for letter in "abcdefghijkl":
        crypto.submit(answered, operations(operation(letter + "1"), operation(letter + "2")))
    crypto.submit(found.append, operations(lambda: 1 / 0))  # the log hears of it, and nobody waits for it
    async with asyncio.timeout(10):
        await done.wait()
    crypto.stop()
    assert sorted(found) == [letter + "2" for letter in "abcdefghijkl"]
    assert sorted(order) == sorted(letter + step for letter in "abcdefghijkl" for step in "12")


async def test_a_work_without_any_operation(threads: int) -> None:
    crypto = Crypto(threads)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    crypto.submit(done.set_result, operations())
    assert not done.done()
    async with asyncio.timeout(10):
        await done
    crypto.stop()


async def test_what_waits_is_done_together(threads: int) -> None:
    crypto = Crypto(threads)
    begun, goes_on = threading.Barrier(threads + 1), threading.Event()
    order: list[tuple[int, int]] = []
    found: list[None] = []
    done = asyncio.Event()

    def operation(step: int) -> Callable[[], None]:
        return lambda: order.append((threading.get_ident(), step))

    def answered(_: None) -> None:
        found.append(_)
        if len(found) == 12:
            done.set()

    for _ in range(threads):  # each is kept busy while work comes
        crypto.submit(lambda _: None, operations(lambda: begun.wait(10), lambda: goes_on.wait(10)))
        await asyncio.sleep(0.02)
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(12):
        crypto.submit(answered, operations(operation(1), operation(2)))
    goes_on.set()
    async with asyncio.timeout(10):
        await done.wait()
    crypto.stop()
    steps = [[step for thread, step in order if thread == each] for each in {thread for thread, _ in order}]
    assert sum(map(len, steps)) == 24
    # Whoever comes first takes half of what waits, and the first operation of each before the second of any.
    together = 12 if threads == 1 else 6
    assert any(own[: 2 * together] == [1] * together + [2] * together for own in steps)


async def test_a_thread_takes_no_more_than_its_share(threads: int) -> None:
    crypto = Crypto(threads)
    both = threading.Barrier(threads)
    found: list[int] = []
    done = asyncio.Event()

    def answered(result: int) -> None:
        found.append(result)
        if len(found) == 2:
            done.set()

    for _ in range(2):  # with two threads, neither is over before the other has begun
        crypto.submit(answered, operations(lambda: both.wait(10)))
    async with asyncio.timeout(10):
        await done.wait()
    crypto.stop()


async def test_a_thread_steps_back_after_each_operation(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = list[int]()
    monkeypatch.setattr("os.sched_yield", lambda: stepped.append(1), raising=False)
    crypto = Crypto(threads)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    crypto.submit(done.set_result, operations(*[lambda: None] * 3))
    async with asyncio.timeout(10):
        await done
    crypto.stop()
    assert len(stepped) == 3


async def test_nobody_is_called_after_the_stop(threads: int) -> None:
    crypto = Crypto(threads)
    found: list[None] = []
    for _ in range(20):
        crypto.submit(found.append, operations(lambda: None))
    crypto.stop()
    await asyncio.sleep(0.02)
    assert not found
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("crypto-")]


def test_one_core_has_one_thread(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {3}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert threads_for(threads) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert threads_for(threads) == threads
    assert threads_for(0) == 1
