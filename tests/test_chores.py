"""What is done again and again: one that fails is said once and keeps nothing else from being done."""

import asyncio
import logging

import pytest

from cloudchamber.chores import Chores
from cloudchamber.errors import Unavailable


async def test_a_chore_that_fails_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    done, tries = 0, 0
    enough = asyncio.Event()

    async def fails() -> int:
        nonlocal tries
        tries += 1
        if tries in {1, 2, 3, 5}:
            raise Unavailable("the disk is full")
        return 0

    async def works() -> int:
        nonlocal done
        done += 1
        if done == 6:
            enough.set()
        return 1

    chores = Chores()
    with caplog.at_level(logging.WARNING):
        chores.every(1, fails, works)
        async with asyncio.timeout(5):
            await enough.wait()
        await chores.stop()
    assert [record.message for record in caplog.records] == ["a chore failed; every round tries again"] * 2
    before = done
    await asyncio.sleep(0.01)
    assert done == before
    await chores.stop()
