"""A hundred thousand lines in one import: every one of them told, bounded, quick, and felt by nobody else.

Security checklist 42: bad, duplicate, foreign and other-platform lines are reported one by one, a batch is all or
nothing, and a second run changes nothing.
"""

import asyncio
import random
import resource
import time

import pytest

from cloudchamber.fleet.imports import service
from cloudchamber.fleet.imports.store import ImportStore
from tests.world import World, device_id, key

LINES = 100_000


class Heartbeat:
    """For how long the event loop was at work at a stretch, at the most. In time of the processor that its thread got,
    because a busy machine holds up every thread."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def _beat(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            self.worst_s = max(self.worst_s, time.thread_time() - before)
            await asyncio.sleep(0.001)

    async def __aenter__(self) -> "Heartbeat":
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()


async def test_a_hundred_thousand_lines(world: World, record_property) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    new = [device_id(number) for number in range(1_000_000, 1_000_000 + LINES)]
    foreign = [device_id(number) for number in range(500)]
    await world.imports.import_(bob, other, foreign)
    present = new[:200]
    await world.imports.import_(ann, thing, present)
    nonmember, elsewhere = device_id(2_000_001), device_id(2_000_002)
    for number, platform in ((2_000_001, 6), (2_000_002, 10)):
        await world.connect(number, key(str(number)), platform)
        await world.ownership.claim(bob, device_id(number))
    await world.ownership.unclaim(bob, elsewhere)

    bad = [f"Not-An-Id-{number}" for number in range(500)]
    lines = [*new[:-2000], *foreign, *bad, nonmember, elsewhere]
    lines += random.Random(3).choices(lines, k=LINES - len(lines))  # duplicates
    random.Random(4).shuffle(lines)
    in_order = list(dict.fromkeys(line if line.startswith("0") else line.lower() for line in lines))
    invalid, existing = {*foreign, elsewhere, *(line.lower() for line in bad)}, set(present)
    not_new = {*invalid, *existing, nonmember}

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    async with Heartbeat() as heartbeat:
        report = await world.imports.import_(ann, thing, iter(lines))
    took_s, worked_s = time.perf_counter() - started, time.process_time() - worked
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    record_property("seconds", round(took_s, 1))
    assert report.updated == tuple(line for line in in_order if line not in not_new)
    assert report.existing == tuple(line for line in in_order if line in existing)
    assert report.nonmember == (nonmember,)
    assert report.invalid == tuple(line for line in in_order if line in invalid)
    assert worked_s < 10
    assert heartbeat.worst_s < 0.1
    assert grown_mib < 200

    world.changes.clear()
    row = await world.db.fetch_one("SELECT count(*) FROM custody")
    again = await world.imports.import_(ann, thing, iter(lines))
    assert again.updated == ()
    assert set(again.existing) == {*report.updated, *report.existing}
    assert (again.nonmember, again.invalid) == (report.nonmember, report.invalid)
    assert not world.changes
    assert await world.db.fetch_one("SELECT count(*) FROM custody") == row


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_a_batch_that_fails_leaves_whole_batches(world: World, monkeypatch, fails_at: int) -> None:
    """And the same import again ends what the first one began."""
    monkeypatch.setattr(service, "_BATCH", 10)
    ann = await world.user("ann")
    thing = await world.product(ann)
    ids = [device_id(number) for number in range(30)]
    append, calls = ImportStore.append_custody, []

    async def fail(self, tx, changes, *rest) -> None:
        await append(self, tx, changes, *rest)
        # Of a batch's two entries the first: the devices are there, and their custody too.
        calls.append(len(changes))
        if len([count for count in calls if count]) == fails_at:
            raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(ImportStore, "append_custody", fail)
        with pytest.raises(OSError, match="full"):
            await world.imports.import_(ann, thing, ids)
    rows = await world.db.fetch_all("SELECT count(*) FROM devices")
    assert rows == [((fails_at - 1) * 10,)]
    assert await world.db.fetch_all("SELECT count(*) FROM custody") == rows
    report = await world.imports.import_(ann, thing, ids)
    assert (len(report.updated), len(report.existing)) == (30 - rows[0][0], rows[0][0])
    assert await world.db.fetch_all("SELECT count(*) FROM custody") == [(30,)]
