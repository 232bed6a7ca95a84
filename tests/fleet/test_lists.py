"""Lists of a product's devices: what the database gives is what a person would pick and sort by hand, on each of the
ways that a page can be found."""

import random
from itertools import product as every

import pytest

from cloudchamber.access.requester import User
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import SECOND
from cloudchamber.fleet.cache import DeviceCache
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.lists import service
from cloudchamber.fleet.lists.model import DeviceFilter, Hit, Order, Span
from cloudchamber.fleet.lists.rules import in_order, order_of, rest
from cloudchamber.fleet.lists.service import DeviceLists, key_of
from cloudchamber.fleet.lists.store import ListStore
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.ids import DeviceId
from tests.world import World, device_id

COUNT = 60


async def fleet(world: World, owner: User) -> tuple[Product, list[DeviceRecord]]:
    """A product with devices of every sort, beside another product's."""
    thing, other = await world.product(owner, "Thing"), await world.product(owner, "Other")
    dice = random.Random(7)
    numbers = dice.sample(range(1, 10**9), COUNT)
    await world.import_(owner, thing, *numbers)
    await world.import_(owner, other, *(number + 10**9 for number in numbers[:10]))
    names = ["Kitchen", "kitchen lamp", "LAMP", "100%", "under_score", "back\\slash", "Zug", None, None]

    async def write(tx) -> None:
        await tx.execute(
            "INSERT INTO device_groups (id, product_id, name, name_key, created_at, updated_at)"
            " VALUES ('g1', $1, 'Pilot', 'pilot', 1, 1), ('g2', $1, 'beta', 'beta', 1, 1)",
            thing.id,
        )
        for number in numbers:
            name = dice.choice(names)
            await tx.execute(
                "UPDATE devices SET name = $2, name_key = $3, firmware_version = $4, last_handshake_at = $5,"
                " serial_number = $6, is_quarantined = $7, is_denied = $8 WHERE id = $1",
                device_id(number),
                name,
                name and name.lower(),
                dice.choice([1, 2, 10, None]),
                dice.choice([None, dice.randrange(5)]),
                dice.choice([None, f"SN{number}"]),
                int(dice.random() < 0.2),
                int(dice.random() < 0.1),
            )
            for group in ("g1", "g2"):
                if dice.random() < 0.3:
                    await tx.execute("INSERT INTO group_members VALUES ($1, $2)", group, device_id(number))

    await world.db.transaction(write)
    return thing, [await world.record(number) for number in numbers]


def matches(wanted: DeviceFilter, device: DeviceRecord) -> bool:
    def contains(text: str | None, part: str | None) -> bool:
        return part is None or part.lower() in (text or "").lower()

    return (
        contains(device.id, wanted.device_id)
        and contains(device.name, wanted.name)
        and contains(device.serial_number, wanted.serial_number)
        and any(contains(text, wanted.text) for text in (device.id, device.name, device.serial_number))
        and (not wanted.groups or bool({g.lower() for g in wanted.groups} & {g.lower() for g in device.groups}))
        and (wanted.is_quarantined is None or wanted.is_quarantined == device.is_quarantined)
        and (wanted.is_denied is None or wanted.is_denied == device.is_denied)
    )


FILTERS = [
    DeviceFilter(),
    DeviceFilter(device_id="0A"),
    DeviceFilter(name="KITCHEN"),
    DeviceFilter(name="%"),
    DeviceFilter(name="r_s"),
    DeviceFilter(name="\\"),
    DeviceFilter(name="nothing"),
    DeviceFilter(serial_number="sn1"),
    DeviceFilter(groups=("pilot",)),
    DeviceFilter(groups=("PILOT", "beta", "unknown")),
    DeviceFilter(groups=("unknown",)),
    DeviceFilter(is_quarantined=True),
    DeviceFilter(is_quarantined=False),
    DeviceFilter(is_denied=True),
    DeviceFilter(name="lamp", groups=("beta",), is_quarantined=False),
    DeviceFilter(device_id="1", serial_number="s", is_denied=False),
    DeviceFilter(text="a"),
    DeviceFilter(text="sn1"),
    DeviceFilter(text="0_"),
    DeviceFilter(text="Lamp", groups=("beta",), is_denied=False),
]


async def pages(
    lists: DeviceLists, owner: User, thing: Product, wanted: DeviceFilter, order: Order, *, descending: bool, size: int
) -> tuple[list[DeviceId], set[int]]:
    """Every page, one after the other, and what each said of the total."""
    found: list[DeviceId] = []
    totals: set[int] = set()
    for page in range(1, 1000):
        records, total = await lists.of_product(
            owner, thing, wanted, order=order, descending=descending, page=page, per_page=size
        )
        assert len(records) <= size
        totals.add(total)
        found += [record.id for record in records]
        if not records:
            return found, totals
    raise AssertionError("there is no end")


@pytest.mark.parametrize(("few", "many", "step"), [(0, 0, 3), (0, 0, 1000), (0, 1000, 3), (1000, 1000, 3)])
async def test_a_list_among_given_devices(world: World, monkeypatch, few: int, many: int, step: int) -> None:
    """All in memory; each looked up; or an index read, and walked in steps."""
    monkeypatch.setattr(service, "FEW", few)
    monkeypatch.setattr(service, "MANY", many)
    monkeypatch.setattr(service, "_STEP", step)
    ann = await world.user("ann")
    thing, devices = await fleet(world, ann)
    among = {device.id for device in devices[::3]}
    for wanted, order, descending in every(FILTERS, Order, (True, False)):
        picked = [Hit(d.id, key_of(d, order)) for d in devices if d.id in among and matches(wanted, d)]
        expected = in_order(picked, descending=descending)
        for page in (1, 2, 4):
            records, total = await world.lists.of_product(
                ann, thing, wanted, order=order, descending=descending, page=page, per_page=7, among=among
            )
            assert total == len(expected), (wanted, order)
            assert [record.id for record in records] == expected[(page - 1) * 7 : page * 7], (wanted, order, page)


@pytest.mark.parametrize("few", [0, 10, 1000])
async def test_pages_are_what_a_person_would_pick(world: World, monkeypatch, few: int) -> None:
    """With `few` 0 every filter is walked along the index, with 1000 every one is sorted in memory."""
    monkeypatch.setattr(service, "FEW", few)
    ann = await world.user("ann")
    thing, devices = await fleet(world, ann)
    for wanted, order, descending, size in every(FILTERS, Order, (True, False), (7, 100)):
        picked = [Hit(device.id, key_of(device, order)) for device in devices if matches(wanted, device)]
        expected = in_order(picked, descending=descending)
        found, totals = await pages(world.lists, ann, thing, wanted, order, descending=descending, size=size)
        assert (found, totals) == (expected, {len(expected)}), (wanted, order, descending)
        if size == 7 and wanted.is_all:
            # A jump finds the same as a walk.
            fresh = DeviceLists(world.db, ListStore(), GroupStore(), DeviceCache(), InProcessBus(), world.clock)
            for page in (9, 4, 1, 8, 3):
                records, _ = await fresh.of_product(
                    ann, thing, wanted, order=order, descending=descending, page=page, per_page=7
                )
                assert [record.id for record in records] == expected[(page - 1) * 7 : page * 7]


async def test_a_list_follows_what_changes(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, *range(1, 6))

    async def ids(page: int) -> tuple[list[int], int]:
        found, total = await world.lists.of_product(ann, thing, DeviceFilter(), order=Order.ID, page=page, per_page=3)
        return [int(device.id, 16) for device in found], total

    assert await ids(1) == ([5, 4, 3], 5)
    assert await ids(2) == ([2, 1], 5)
    await world.import_(ann, thing, 9)
    assert await ids(1) == ([9, 5, 4], 6)
    assert await ids(2) == ([3, 2, 1], 6)
    await world.updates.remove(ann, thing, device_id(4))
    assert await ids(1) == ([9, 5, 3], 5)
    assert await ids(2) == ([2, 1], 5)


async def test_who_reads_on_misses_nothing_that_moves_while_they_read(world: World) -> None:
    """By an offset, a device that moved to the front would push another one over the edge of the page, to be read
    twice; and one that left the front would hide one."""
    ann = await world.user("ann")
    thing = await world.product(ann)
    numbers = list(range(1, 10))
    await world.import_(ann, thing, *numbers)

    async def heard(number: int, at: int) -> None:
        async def write(tx) -> None:
            await tx.execute("UPDATE devices SET last_handshake_at = $2 WHERE id = $1", device_id(number), at)

        await world.db.transaction(write)

    for number in numbers:
        await heard(number, number)
    seen: list[int] = []
    for page in (1, 2, 3):
        found, _ = await world.lists.of_product(ann, thing, DeviceFilter(), page=page, per_page=3)
        seen += [int(device.id, 16) for device in found]
        await heard(10 - page * 3 + 1, 100 + page)  # one that was read comes to the front
    assert seen == [9, 8, 7, 6, 5, 4, 3, 2, 1]


async def test_what_is_remembered_of_a_list_is_soon_forgotten(world: World) -> None:
    """Another process may change the fleet, and nobody tells this one."""
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1, 2, 3)
    assert (await world.lists.of_product(ann, thing, DeviceFilter(), order=Order.ID, per_page=2))[1] == 3

    async def write(tx) -> None:
        await tx.execute("DELETE FROM devices WHERE id = $1", device_id(1))

    await world.db.transaction(write)
    world.clock.advance(31 * SECOND)
    found, total = await world.lists.of_product(ann, thing, DeviceFilter(), order=Order.ID, page=2, per_page=2)
    assert (found, total) == ([], 2)


# --- rules -----------------------------------------------------------------------------------------------------------


def test_the_names_of_orders() -> None:
    assert order_of(None) is Order.CONNECTION
    assert [order_of(name) for name in ("deviceName", "deviceId", "firmwareVersion", "lastConnection", "x")] == [
        *(Order.NAME, Order.ID, Order.FIRMWARE, Order.CONNECTION, Order.ID),
    ]


def test_those_without_a_key_come_last_in_either_direction() -> None:
    hits = [Hit(DeviceId(id_), key) for id_, key in (("d", None), ("a", 2), ("c", 2), ("b", None), ("e", 10))]
    assert in_order(hits, descending=False) == ["a", "c", "e", "b", "d"]
    assert in_order(hits, descending=True) == ["e", "c", "a", "b", "d"]


def test_what_a_page_takes_of_the_unknown_ones() -> None:
    assert rest(offset=0, limit=10, found=4, known=4) == Span(False, 0, 6)
    assert rest(offset=20, limit=10, found=0, known=5) == Span(False, 15, 10)
