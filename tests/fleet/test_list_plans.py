"""No page of a list reads a fleet from one end to the other. How long one takes depends on the machine; how it is found
does not."""

import re
from collections.abc import Iterator

import pytest

from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.lists.model import DeviceFilter, Hit, Order, Span
from cloudchamber.fleet.lists.service import key_of
from cloudchamber.fleet.lists.store import Conditions, ListStore
from cloudchamber.identity.store import CustomerStore
from tests.fleet.test_lists import FILTERS, fleet
from tests.world import World


class Explaining:
    """Stands for a database: keeps the plan of what it is asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.plans: list[str] = []

    async def fetch_all(self, sql: str, *args):
        rows = await self._world.db.fetch_all(f"EXPLAIN QUERY PLAN {sql}", *args)
        self.plans.append("; ".join(row[3] for row in rows))
        return await self._world.db.fetch_all(sql, *args)


@pytest.fixture
def database_kind() -> Iterator[str]:
    """Plans are SQLite's, which has no statistics and so always the same ones."""
    return "sqlite"


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("order", Order)
async def test_pages_are_walked_along_an_index(world: World, order: Order, descending: bool) -> None:
    ann = await world.user("ann")
    thing, devices = await fleet(world, ann)
    explaining, store = Explaining(world), ListStore()
    for part in (Span(True, 0, 25), Span(True, 10, 25), Span(False, 0, 25)):
        conditions = Conditions(thing.id, DeviceFilter(), ())
        await store.span(explaining, conditions, order, part, descending=descending)
    for last in (Hit(devices[0].id, key_of(devices[0], order) or 0), Hit(devices[0].id, None)):
        await store.after(explaining, Conditions(thing.id, DeviceFilter(), ()), order, last, 25, descending=descending)
    for plan in explaining.plans:
        assert re.search(r"SEARCH d USING COVERING INDEX", plan), plan
        assert "SCAN" not in plan, plan
        assert "TEMP B-TREE" not in plan, f"something is sorted: {plan}"


@pytest.mark.parametrize("wanted", [each for each in FILTERS if each.name != "nothing"])
async def test_counts_are_read_from_an_index_alone(world: World, wanted: DeviceFilter) -> None:
    ann = await world.user("ann")
    thing, _ = await fleet(world, ann)
    groups = await GroupStore().ids(world.db, thing.id, wanted.groups)
    explaining = Explaining(world)
    await ListStore().count(explaining, Conditions(thing.id, wanted, groups))
    (plan,) = explaining.plans
    assert not re.search(r"SCAN d\b", plan), plan
    several = sum(each is not None for each in (wanted.device_id, wanted.name, wanted.serial_number)) > 1
    if not groups and not several:
        assert "COVERING INDEX" in plan, plan


async def test_what_is_typed_is_looked_for_in_indexes_alone(world: World) -> None:
    ann = await world.user("ann")
    thing, _ = await fleet(world, ann)
    explaining = Explaining(world)
    await ListStore().named(explaining, thing.id, "lamp", 10)
    assert len(explaining.plans) == 2
    for plan in explaining.plans:
        assert re.fullmatch(r"SEARCH devices USING COVERING INDEX \S+ \(product_id=\?[^)]*\)", plan), plan


@pytest.mark.parametrize("wanted", FILTERS)
async def test_given_devices_are_found_by_their_ids(world: World, wanted: DeviceFilter) -> None:
    ann = await world.user("ann")
    thing, devices = await fleet(world, ann)
    groups = await GroupStore().ids(world.db, thing.id, wanted.groups)
    explaining = Explaining(world)
    conditions = Conditions(thing.id, wanted, groups, are_at_hand=True)
    await ListStore().hits_among(explaining, conditions, Order.CONNECTION, [device.id for device in devices])
    assert explaining.plans
    for plan in explaining.plans:
        assert "SEARCH d USING INDEX sqlite_autoindex_devices_1 (id=?)" in plan, plan
        assert "SCAN" not in plan, plan


async def test_customers_with_devices_are_found_by_what_they_own(world: World) -> None:
    """Not by reading the product's fleet for each of them, which the planner takes for as good: minutes, for the whole
    server."""
    thing = await world.product(await world.user("ann"))
    explaining = Explaining(world)
    await CustomerStore().of_product(explaining, thing.id, with_devices_only=True, limit=10, offset=0)
    (plan,) = explaining.plans
    assert "SEARCH devices USING INDEX ix_devices_owner_kind_owner_id_name_key (owner_kind=? AND owner_id=?)" in plan
