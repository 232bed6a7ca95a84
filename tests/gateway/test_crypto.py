"""RSA in threads and on the loop: every answer comes, on the loop, and never within the question."""

import asyncio
import threading
import time
from collections import Counter

import pytest

from cloudchamber.gateway.crypto import TOLD_AT_ONCE, Crypto, threads_for
from tests.loops import Turns

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
        crypto.submit(answered, lambda number=number: number * number)
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
            crypto.submit(answered, lambda: result + 1)

    crypto.submit(answered, lambda: 0)
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
        crypto.submit(lambda _: order.append("rsa"), lambda: None)
    crypto.submit(last, lambda: None)
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
            crypto.submit(lambda _: found.append(turns.number), lambda: None)
        time.sleep(0.05)  # noqa: ASYNC251 - the threads are done by then, and the loop has not looked
        async with asyncio.timeout(10):
            while len(found) < 100:
                await asyncio.sleep(0.001)
    crypto.stop()
    assert max(Counter(found).values()) <= TOLD_AT_ONCE


async def test_nobody_is_called_after_the_stop(threads: int) -> None:
    crypto = Crypto(threads)
    found: list[None] = []
    for _ in range(20):
        crypto.submit(found.append, lambda: None)
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
