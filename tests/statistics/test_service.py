"""Statistics over a real database: looked at by the minute, kept over a restart, seen by the team alone."""

import asyncio

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import Anonymous, ProductClient, Scopes
from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.ids import ClientId
from cloudchamber.messaging.audience import Audience
from cloudchamber.statistics.model import Metric
from cloudchamber.statistics.service import Statistics
from cloudchamber.statistics.store import StatisticsStore
from cloudchamber.storage.errors import StorageUnavailable
from cloudchamber.tally import Figure, Tally
from tests.fleet.test_rules import device
from tests.world import World

EVERYTHING = tuple(Metric)


class Watched:
    """Statistics of a world, minute by minute of its clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.audience = Audience(world.bus)
        self.tally = Tally()
        self.statistics = self.again()

    def again(self) -> Statistics:
        world = self.world
        self.statistics = Statistics(world.db, StatisticsStore(), self.audience, self.tally, world.bus, world.clock)
        return self.statistics

    def minute(self, count: int = 1) -> None:
        for _ in range(count):
            self.world.clock.advance(MINUTE)
            self.statistics.look(self.world.clock.now())

    async def seen(self, requester, product, figure: Figure, size_s: int = 60, hours: int = 1) -> list[int]:
        statistics = self.statistics
        window = statistics.window(Millis(self.world.clock.now() - hours * HOUR), None, size_s)
        course = await statistics.course(requester, product, window, *EVERYTHING)
        return [bucket.value(figure) for bucket in course.buckets]


@pytest.fixture
def watched(world: World) -> Watched:
    world.clock.advance(HOUR - world.clock.now() % HOUR)
    return Watched(world)


async def test_each_minute_is_kept_over_a_restart(watched: Watched) -> None:
    maker = await watched.world.user("maker@example.com")
    product = await watched.world.product(maker)
    lamp = device(1, product=product.id)
    watched.audience.enter(lamp.id, lamp)
    for count in (3, 0, 1):
        for _ in range(count):
            watched.tally.note(product.id, Figure.EVENTS)
        watched.minute()
    assert await watched.seen(maker, product, Figure.EVENTS) == [3, 0, 1]
    assert await watched.seen(maker, product, Figure.ONLINE) == [1, 1, 1]
    await watched.statistics.close()
    # For two minutes nobody looks: these are left out, and are not zero. The minute of the end was begun.
    watched.world.clock.advance(3 * MINUTE)
    await watched.again().start()
    watched.audience.leave(lamp.id)
    watched.tally.note(product.id, Figure.EVENTS)
    watched.minute()
    assert await watched.seen(maker, product, Figure.EVENTS) == [3, 0, 1, 0, 1]
    assert await watched.seen(maker, product, Figure.ONLINE) == [1, 1, 1, 1, 0]
    assert await watched.seen(maker, product, Figure.EVENTS, 3600, 2) == [5]
    await watched.statistics.close()


async def test_hours_go_on_record_and_minutes_are_forgotten_after_a_day(watched: Watched) -> None:
    maker = await watched.world.user("maker@example.com")
    product = await watched.world.product(maker)
    for _ in range(3):
        watched.tally.note(product.id, Figure.TOKENS)
        watched.minute(60)
        await watched.statistics.write()
    assert await watched.seen(maker, product, Figure.TOKENS, 3600, 4) == [1, 1, 1]
    assert sum(await watched.seen(maker, product, Figure.TOKENS, 60, 4)) == 3
    watched.world.clock.advance(2 * DAY)
    watched.minute()
    await watched.statistics.purge()
    rows = await watched.world.db.fetch_all("SELECT at FROM product_minutes")
    assert rows == []
    assert await watched.seen(maker, product, Figure.TOKENS, 3600, 3 * 24) == [1, 1, 1, 0]
    watched.world.clock.advance(20 * DAY)
    assert await watched.statistics.purge() > 0
    assert await watched.world.db.fetch_all("SELECT at FROM product_hours") == []


async def test_a_product_without_anything_costs_nothing(watched: Watched) -> None:
    maker = await watched.world.user("maker@example.com")
    product = await watched.world.product(maker)
    watched.minute(10)
    assert await watched.statistics.write() == 0
    assert await watched.world.db.fetch_all("SELECT at FROM product_minutes") == []
    assert await watched.seen(maker, product, Figure.EVENTS) == [0] * 10


async def test_a_team_sees_its_own_product_and_nobody_else_does(watched: Watched) -> None:
    world = watched.world
    maker, stranger = await world.user("maker@example.com"), await world.user("stranger@example.com")
    product, other = await world.product(maker), await world.product(stranger)
    watched.tally.note(product.id, Figure.EVENTS)
    watched.minute()
    assert await watched.seen(stranger, other, Figure.EVENTS) == [0]
    narrow = ProductClient(ClientId("c"), product.id, Scopes.parse("metrics.online:get"))
    for requester in (stranger, Anonymous(), ProductClient(ClientId("c"), other.id), narrow):
        with pytest.raises(AccessRefused):
            await watched.seen(requester, product, Figure.EVENTS)
    window = watched.statistics.window(None, None, None)
    assert await watched.statistics.course(narrow, product, window, Metric.ONLINE)


async def test_what_cannot_be_written_is_written_later_or_in_the_end_forgotten(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = await watched.world.user("maker@example.com")
    product = await watched.world.product(maker)
    watched.tally.note(product.id, Figure.EVENTS)
    watched.minute()

    async def fails(*_: object) -> None:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(watched.statistics, "_write_some", fails)
        with pytest.raises(StorageUnavailable):
            await watched.statistics.write()
    assert await watched.statistics.write() == 1
    assert await watched.seen(maker, product, Figure.EVENTS) == [1]
    with monkeypatch.context() as patch:
        patch.setattr(watched.statistics, "_write_some", fails)
        for _ in range(5):
            watched.tally.note(product.id, Figure.EVENTS)
            watched.minute(60)
            with pytest.raises(StorageUnavailable):
                await watched.statistics.write()
    assert 1 <= await watched.statistics.write() <= 3


async def test_a_product_that_is_removed_leaves_nothing(watched: Watched) -> None:
    maker = await watched.world.user("maker@example.com")
    product = await watched.world.product(maker)
    watched.tally.note(product.id, Figure.EVENTS)
    watched.minute()
    await watched.statistics.write()
    await watched.world.products.remove(maker, str(product.id))
    # What was counted in the meantime belongs to nobody.
    watched.tally.note(product.id, Figure.EVENTS)
    watched.minute()
    await watched.statistics.write()
    assert await watched.world.db.fetch_all("SELECT at FROM product_minutes UNION SELECT at FROM product_hours") == []


async def test_an_hour_that_cannot_be_read_is_left_out(watched: Watched) -> None:
    maker = await watched.world.user("maker@example.com")
    product = await watched.world.product(maker)
    watched.tally.note(product.id, Figure.EVENTS)
    watched.minute()
    await watched.statistics.write()

    async def damage(tx) -> None:
        await tx.execute("UPDATE product_minutes SET packed = $1", b"\x07")
        await tx.execute("UPDATE product_hours SET packed = $1", b"\x07")

    await watched.world.db.transaction(damage)
    await watched.again().start()
    assert await watched.seen(maker, product, Figure.EVENTS) == [0]
    assert await watched.seen(maker, product, Figure.EVENTS, 3600) == [0]
    await watched.statistics.close()


async def test_it_looks_by_itself_and_ends_when_it_is_told(watched: Watched) -> None:
    watched.world.clock.advance(MINUTE - 20)
    await watched.statistics.start()
    watched.tally.note(1, Figure.EVENTS)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        while watched.tally._counts:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await watched.statistics.close()
