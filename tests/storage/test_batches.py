"""Small writes, many to a transaction."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from cloudchamber.storage import batches
from cloudchamber.storage.batches import Batches
from cloudchamber.storage.errors import StorageBusy, StorageUnavailable


class Disk:
    """Writes when it is let, and fails what has a bad item in it."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []
        self.let = asyncio.Event()
        self.batches = Batches[int](self.write)

    async def write(self, items: Sequence[int]) -> None:
        await self.let.wait()
        if -1 in items:
            raise StorageUnavailable("no disk")
        self.written.append(list(items))


async def test_what_comes_while_one_is_written_makes_up_the_next() -> None:
    disk = Disk()
    first = disk.batches.put(1)
    await asyncio.sleep(0)
    rest = [disk.batches.put(number) for number in range(2, 1_200)]
    assert not first.done()
    disk.let.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in disk.written] == [1, 500, 500, 198]
    assert [number for batch in disk.written for number in batch] == list(range(1, 1_200))
    await disk.batches.put(0)
    assert disk.written[-1] == [0]


async def test_a_failure_is_that_of_its_batch_alone() -> None:
    disk = Disk()
    first = disk.batches.put(1)
    await asyncio.sleep(0)
    bad, beside = disk.batches.put(-1), disk.batches.put(2)
    disk.let.set()
    await first
    for lost in (bad, beside):
        with pytest.raises(StorageUnavailable):
            await lost
    await disk.batches.put(3)
    assert disk.written == [[1], [3]]


async def test_who_goes_away_takes_nothing_with_them_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_WAITING", 3)
    disk = Disk()
    waiting = [disk.batches.put(number) for number in range(3)]
    with pytest.raises(StorageBusy):
        await disk.batches.put(3)
    waiting[1].cancel()
    disk.let.set()
    await disk.batches.settle()
    assert disk.written == [[0, 1, 2]]
    assert [future.cancelled() for future in waiting] == [False, True, False]


async def test_who_asked_to_be_told_is_told_in_order_and_each_once(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    told: list[tuple[int, bool]] = []

    def ended(number: int, error: Exception | None) -> None:
        told.append((number, error is None))
        if number == 7:
            raise ValueError("of its own")

    numbers = [*range(200), -1, *range(200, 300)]
    for number in numbers:
        disk.batches.put_and_tell(number, partial(ended, number))
    disk.let.set()
    await disk.batches.settle()
    assert told == [(number, False) for number in numbers], "one bad item takes its batch with it"
    assert "of its own" in caplog.text
    told.clear()
    disk.batches.put_and_tell(5, partial(ended, 5))
    await disk.batches.settle()
    assert told == [(5, True)]
