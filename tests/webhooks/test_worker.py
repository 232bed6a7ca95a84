"""What becomes of deliveries that end: over both databases, with a host that answers when it is told to."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest

from cloudchamber.access.model import OwnedByUser
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Millis
from cloudchamber.messaging.model import Event
from cloudchamber.sealing import KEY_BYTES, Sealer
from cloudchamber.storage.database import Reader, Transaction
from cloudchamber.storage.errors import StorageUnavailable
from cloudchamber.storage.groupcommit import SqliteTransaction
from cloudchamber.webhooks import worker
from cloudchamber.webhooks.deliveries import HOOK_CHANGED, Deliveries, HookIndex
from cloudchamber.webhooks.model import Answered, DeliveryState, HookRequest, LogEntry, Outcome, Webhook
from cloudchamber.webhooks.store import KEPT_LOG_ENTRIES, DeliveryStore, WebhookStore
from cloudchamber.webhooks.worker import Worker
from tests.world import World

HOOK = "h" * 24


class Store(DeliveryStore):
    """Its disk fails, or sticks, when it is told to."""

    fails = False

    def __init__(self, sealer: Sealer) -> None:
        super().__init__(sealer)
        self.goes_on = threading.Event()
        self.goes_on.set()

    async def show(self, tx: Transaction, entries: Sequence[LogEntry]) -> None:
        if self.fails:
            raise StorageUnavailable("no disk")
        await super().show(tx, entries)

    async def forget(self, tx: Transaction, deliveries: Sequence[str]) -> None:
        if isinstance(tx, SqliteTransaction):  # a thread of its own
            self.goes_on.wait(10)
        while not self.goes_on.is_set():
            await asyncio.sleep(0.005)
        await super().forget(tx, deliveries)


class Hosts:
    """All of them."""

    def __init__(self) -> None:
        self.asked: list[HookRequest] = []
        self.outcome: Outcome | None = Answered(200, (), b"thanks")

    async def send(self, request: HookRequest) -> Outcome:
        self.asked.append(request)
        await asyncio.sleep(0)
        if self.outcome is None:
            raise RuntimeError("a mistake of ours")
        return self.outcome

    async def close(self) -> None:
        pass


@dataclass
class Place:
    world: World
    store: Store
    hooks: WebhookStore
    deliveries: Deliveries
    worker: Worker
    hosts: Hosts
    owner: OwnedByUser
    bus: InProcessBus

    async def publish(self, count: int, name: str = "temp") -> None:
        now = self.world.clock.now()
        for number in range(count):
            event = Event(f"{name}/{number}", "1", 60, now, "0" * 24, False, self.owner, None)
            recording = self.deliveries.offer(event)
            assert recording is not None
            await recording

    async def until(self, count: int) -> None:
        """So many were sent, and none is left in memory."""
        async with asyncio.timeout(10):
            while len(self.hosts.asked) < count or self.worker.held:
                await asyncio.sleep(0.005)


@pytest.fixture
async def place(world: World) -> AsyncIterator[Place]:
    sealer, bus = Sealer(b"k" * KEY_BYTES), InProcessBus()
    store, hooks = Store(sealer), WebhookStore(sealer)
    deliveries = Deliveries(world.db, hooks, store, HookIndex(bus), world.clock)
    hosts = Hosts()
    ann = await world.user("ann")
    made_hooks = [
        Webhook(HOOK, "user", ann.id, "temp", "http://host.example/", {}, Millis(0), Millis(0)),
        Webhook("o" * 24, "user", ann.id, "other", "http://other.example/", {}, Millis(0), Millis(0)),
    ]

    async def insert(tx: Transaction) -> None:
        for hook in made_hooks:
            await hooks.insert(tx, hook)

    await world.db.transaction(insert)
    made = Worker(deliveries, hosts, world.events, world.clock)
    await made.start()
    yield Place(world, store, hooks, deliveries, made, hosts, OwnedByUser(ann.id), bus)
    store.goes_on.set()
    await made.stop()


async def test_what_was_delivered_is_gone_at_once_and_the_last_ones_are_shown(place: Place) -> None:
    for number in range(25):
        await place.publish(1, f"temp/{number}")
        await place.until(number + 1)
        place.world.clock.advance(1)
    assert await place.store.waiting(place.world.db) == {}
    shown = await place.deliveries.log(HOOK)
    assert [entry.event_name for entry in shown] == [f"temp/{number}/0" for number in range(24, 14, -1)]
    assert len(shown) == KEPT_LOG_ENTRIES
    assert {entry.state for entry in shown} == {DeliveryState.DELIVERED}
    assert "thanks" in shown[0].response
    await place.publish(3, "temp/later")
    await place.until(28)
    place.world.clock.advance(1)
    assert len(await place.deliveries.log(HOOK)) >= KEPT_LOG_ENTRIES
    (day,) = await place.deliveries.counters(HOOK)
    assert (day.success, day.error) == (28, 0)


async def test_what_cannot_be_shown_now_is_shown_later(place: Place) -> None:
    place.store.fails = True
    for part in range(2):
        for number in range(7):
            await place.publish(1, f"temp/{part}-{number}")
            await place.until(7 * part + number + 1)
            place.world.clock.advance(1)
        with pytest.raises(StorageUnavailable):
            await place.deliveries.flush()
    place.store.fails = False
    names = [entry.event_name for entry in await place.deliveries.log(HOOK)]
    expected = [f"temp/{part}-{number}/0" for part in range(2) for number in range(7)]
    assert names == expected[: -KEPT_LOG_ENTRIES - 1 : -1]
    (day,) = await place.deliveries.counters(HOOK)
    assert day.success == 14


async def test_nothing_is_shown_of_a_hook_that_is_gone(place: Place) -> None:
    await place.publish(3)
    await place.until(3)

    async def delete(tx: Transaction) -> None:
        assert await place.hooks.delete(tx, "user", place.owner.id, HOOK, place.world.clock.now())

    await place.world.db.transaction(delete)
    await place.deliveries.flush()
    assert await place.store.log(place.world.db, HOOK) == []


async def test_what_failed_keeps_its_event_beside_what_was_delivered(place: Place) -> None:
    place.hosts.outcome = Answered(404, (), b"")
    await place.publish(9)  # one less than send it to sleep
    await place.until(9)
    place.hosts.outcome = Answered(200, (), b"")
    await place.publish(12)
    await place.until(21)
    shown = await place.deliveries.log(HOOK)
    failed = [entry for entry in shown if entry.state is DeliveryState.FAILED]
    assert len(failed) == 9
    assert await place.deliveries.again(HOOK, failed[0].id)
    await place.until(22)
    name = failed[0].event_name
    assert f"event={name.replace('/', '%2F')}&".encode() in place.hosts.asked[-1].body


async def test_the_next_request_does_not_wait_for_the_disk_but_not_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_ENDING", 6)
    monkeypatch.setattr(worker, "MAX_RUNNING_PER_HOST", 2)
    now = place.world.clock.now()
    events = [Event(f"temp/{number}", "1", 60, now, "0" * 24, False, place.owner, None) for number in range(30)]
    recordings = [recording for event in events if (recording := place.deliveries.offer(event)) is not None]
    place.store.goes_on.clear()
    await asyncio.gather(*recordings)
    await asyncio.sleep(0.1)
    assert 6 < len(place.hosts.asked) <= 6 + 2
    assert place.worker.held == 30
    place.store.goes_on.set()
    await place.until(30)
    assert len(place.hosts.asked) == 30


async def test_a_host_with_much_to_do_gives_way_to_the_next(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_RUNNING", 2)
    now = place.world.clock.now()
    names = [*(f"temp/{number}" for number in range(50)), "other/1"]
    events = [Event(name, "1", 60, now, "0" * 24, False, place.owner, None) for name in names]
    await asyncio.gather(*(recording for event in events if (recording := place.deliveries.offer(event)) is not None))
    await place.until(51)
    assert [request.url for request in place.hosts.asked].index("http://other.example/") < 10


async def test_a_mistake_of_ours_is_an_attempt_that_failed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.hosts.outcome = None
    await place.publish(1)
    async with asyncio.timeout(5):
        while not place.hosts.asked:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    (delivery,) = await place.store.pending(place.world.db, HOOK, 10)
    assert delivery.attempts == 1
    assert "could not be sent" in caplog.text
    assert place.worker.held == 1


async def test_what_another_process_did_with_a_hook_is_heard_and_nothing_goes_to_one_that_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries, db, now = place.deliveries, place.world.db, place.world.clock.now()
    made = Webhook("m" * 24, "user", place.owner.id, "new", "http://host.example/", {}, now, now)

    async def insert(tx: Transaction) -> None:
        await place.hooks.insert(tx, made)

    await db.transaction(insert)
    assert deliveries.offer(Event("new", None, 60, now, "0" * 24, False, place.owner, None)) is None
    await deliveries.changed_elsewhere(made.id)
    await place.publish(1, "new")
    await place.until(1)

    # What is changed here while it is read is newer than what is read.
    newer = replace(made, event="newer")
    read = place.hooks.get

    async def get(db: Reader, hook: str) -> Webhook | None:
        found = await read(db, hook)
        if deliveries.hook(hook) == made:
            async with asyncio.timeout(5):
                await place.world.db.transaction(change)
            place.bus.publish(HOOK_CHANGED, newer)
        return found

    async def change(tx: Transaction) -> None:
        await place.hooks.replace(tx, newer)

    monkeypatch.setattr(place.hooks, "get", get)
    await deliveries.changed_elsewhere(made.id)
    assert deliveries.hook(made.id) == newer

    async def delete(tx: Transaction) -> None:
        assert await place.hooks.delete(tx, "user", place.owner.id, made.id, now)

    await db.transaction(delete)
    await place.publish(2, "newer")
    assert (len(place.hosts.asked), deliveries._pending) == (1, {})
    await deliveries.changed_elsewhere(made.id)
    assert deliveries.hook(made.id) is None
