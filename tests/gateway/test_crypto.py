"""RSA in threads and on the loop: every answer comes, on the loop, and never within the question."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from cloudchamber.gateway.crypto import TOLD_AT_ONCE, Crypto, Work, threads_for
from tests.loops import Turns


def operations(*what: Callable[[], Any]) -> Work[Any]:
    """One after the other; the result is the last one's."""
    result = None
    for each in what:
        result = yield each
    return result


pytestmark = pytest.mark.parametrize("threads", [0, 1, 2])


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


async def test_other_work_goes_on_between_operations(threads: int) -> None:
    crypto = Crypto(threads)
    order: list[str] = []
    done = asyncio.Event()

    def last(_: None) -> None:
        order.append("last")
        done.set()

    for _ in range(5):
        crypto.submit(lambda _: order.append("rsa"), operations(lambda: None))
    crypto.submit(last, operations(lambda: None))
    asyncio.get_running_loop().call_soon(order.append, "other")
    async with asyncio.timeout(10):
        await done.wait()
    crypto.stop()
    assert order.index("other") < order.index("last")


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
    assert max(Counter(found).values()) <= TOLD_AT_ONCE


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
    if not threads:
        # Together, and those that are half through before those that have not begun.
        assert order[:20] == [letter + step for step in "12" for letter in "abcdefgh"] + ["i1", "j1", "k1", "l1"]


async def test_a_work_without_any_operation(threads: int) -> None:
    crypto = Crypto(threads)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    crypto.submit(done.set_result, operations())
    assert not done.done()
    async with asyncio.timeout(10):
        await done
    crypto.stop()


async def test_the_loop_does_one_operation_in_a_turn(threads: int) -> None:
    crypto = Crypto(threads)
    turns, found = Turns(), list[int]()
    done = asyncio.Event()
    with turns:
        for _ in range(20):
            crypto.submit(lambda _: None, operations(*[lambda: found.append(turns.number)] * 2))
        crypto.submit(lambda _: done.set(), operations(lambda: None))
        async with asyncio.timeout(10):
            await done.wait()
    crypto.stop()
    if not threads:
        assert max(Counter(found).values()) == 1


async def test_nobody_is_called_after_the_stop(threads: int) -> None:
    crypto = Crypto(threads)
    found: list[None] = []
    for _ in range(20):
        crypto.submit(found.append, operations(lambda: None))
    crypto.stop()
    await asyncio.sleep(0.02)
    assert not found
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("crypto-")]


def test_one_core_has_no_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {3}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert threads_for(threads) == 0
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert threads_for(threads) == threads
