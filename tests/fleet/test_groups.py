"""Groups: names, members, and what becomes of both."""

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import User
from cloudchamber.fleet.errors import DeviceNotInProduct
from cloudchamber.fleet.groups import rules
from cloudchamber.fleet.groups.errors import GroupExists, GroupInvalid, GroupNotFound
from cloudchamber.fleet.groups.model import GroupChanges
from cloudchamber.fleet.groups.rules import check_names
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.updates import DeviceChanges
from tests.world import World, device_id


async def assign(world: World, who: User, number: int, *groups: str) -> tuple[str, ...]:
    record = await world.record(number)
    changes = DeviceChanges(groups=groups)
    return (await world.updates.update(who, record, changes, through="product")).groups


async def members(world: World, who: User, thing: Product, *groups: str) -> list[int]:
    found, total = await world.lists.of_product(who, thing, DeviceFilter(groups=groups), per_page=100)
    assert total == len(found)
    return sorted(int(device.id, 16) for device in found)


async def test_a_groups_life(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    made = await world.groups.create(ann, thing, GroupChanges("Pilot", "the first ones", "#00ae42"))
    assert (made.name, made.description, made.color, made.fw_version, made.device_count) == (
        *("Pilot", "the first ones", "#00ae42"),
        *(None, 0),
    )
    assert await world.groups.get(ann, thing, "pilot") == made
    with pytest.raises(GroupExists):
        await world.groups.create(ann, thing, GroupChanges("PILOT"))
    world.clock.advance(5)
    changed = await world.groups.update(ann, thing, "PILOT", GroupChanges(name="pilots", color="red"))
    assert (changed.name, changed.description, changed.color) == ("pilots", "the first ones", "red")
    assert changed.updated_at == made.created_at + 5
    with pytest.raises(GroupNotFound):
        await world.groups.get(ann, thing, "pilot")
    await world.groups.create(ann, thing, GroupChanges("beta"))
    with pytest.raises(GroupExists):
        await world.groups.update(ann, thing, "beta", GroupChanges(name="Pilots"))
    same = await world.groups.update(ann, thing, "beta", GroupChanges(name="Beta"))  # its own name, spelled anew
    assert [group.name for group in await world.groups.of_product(ann, thing)] == ["Beta", "pilots"]
    assert await world.groups.of_product(ann, thing, "ILOT") == [changed]
    await world.groups.remove(ann, thing, "PILOTS")
    assert await world.groups.of_product(ann, thing) == [same]
    for act in (
        world.groups.remove(ann, thing, "pilots"),
        world.groups.update(ann, thing, "pilots", GroupChanges(color="red")),
    ):
        with pytest.raises(GroupNotFound):
            await act


async def test_two_products_may_have_groups_of_one_name(world: World) -> None:
    ann = await world.user("ann")
    thing, other = await world.product(ann, "Thing"), await world.product(ann, "Other")
    await world.import_(ann, thing, 1)
    await world.import_(ann, other, 2)
    assert await assign(world, ann, 1, "pilot") == ("pilot",)
    assert await assign(world, ann, 2, "PILOT") == ("PILOT",)
    await world.groups.remove(ann, thing, "pilot")
    assert [(await world.record(number)).groups for number in (1, 2)] == [(), ("PILOT",)]


@pytest.mark.parametrize("name", ["", "  ", "a b", "ä", "a,b", "x" * 65, "a/b"])
async def test_names_that_no_group_can_have(world: World, name: str) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    with pytest.raises(GroupInvalid):
        await world.groups.create(ann, thing, GroupChanges(name))


def test_names_count_once_whatever_their_case() -> None:
    assert check_names(["b", " A ", "a", "B"]) == ("b", "A")
    with pytest.raises(GroupInvalid):
        check_names(f"g{number}" for number in range(101))


async def test_a_device_carries_the_groups_that_it_was_given_last(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1, 2)
    await world.groups.create(ann, thing, GroupChanges("Known"))
    assert await assign(world, ann, 1, "known", "new", "NEW") == ("Known", "new")
    assert await assign(world, ann, 2, "new", "other") == ("new", "other")
    assert await assign(world, ann, 1, "other") == ("other",)
    counts = {group.name: group.device_count for group in await world.groups.of_product(ann, thing)}
    assert counts == {"Known": 0, "new": 1, "other": 2}
    assert await members(world, ann, thing, "OTHER") == [1, 2]
    assert await members(world, ann, thing, "new", "known") == [2]
    assert await members(world, ann, thing, "nothing") == []
    assert await assign(world, ann, 1) == ()
    with pytest.raises(GroupInvalid):
        await assign(world, ann, 2, "fine", "not fine")
    assert (await world.record(2)).groups == ("new", "other")


async def test_what_is_kept_of_devices_follows_their_groups(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    await assign(world, ann, 1, "a", "b")

    async def kept() -> tuple[str, ...]:
        record = await world.devices.get(device_id(1))
        assert record is not None
        return record.groups

    assert await kept() == ("a", "b")
    await world.groups.update(ann, thing, "a", GroupChanges(name="c"))
    assert await kept() == ("b", "c")
    await world.groups.remove(ann, thing, "b")
    assert await kept() == ("c",)
    await world.groups.change_members(ann, thing, [device_id(1)], add=["d"], remove=["c"])
    assert await kept() == ("d",)
    await world.updates.remove(ann, thing, device_id(1))
    assert await kept() == ()
    assert (await world.groups.get(ann, thing, "d")).device_count == 0


async def test_many_devices_at_once(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    await world.import_(ann, thing, *range(1, 31))
    await world.import_(bob, other, 99)
    ids = [device_id(number) for number in range(1, 31)]
    await world.groups.change_members(ann, thing, [*ids, ids[0].upper()], add=["all", "more"])
    await world.groups.change_members(ann, thing, ids[:28], add=["ALL"], remove=["More", "unknown"])
    assert await members(world, ann, thing, "all") == list(range(1, 31))
    assert await members(world, ann, thing, "more") == [29, 30]
    for stranger in (device_id(99), device_id(98), "no id"):
        with pytest.raises(DeviceNotInProduct):
            await world.groups.change_members(ann, thing, [*ids, stranger], add=["none"], remove=["all"])
    assert await members(world, ann, thing, "all") == list(range(1, 31))
    assert [group.name for group in await world.groups.of_product(ann, thing)] == ["all", "more"]
    for devices, add in (([], ["x"]), (ids, []), (ids, ["no name"])):
        with pytest.raises(GroupInvalid):
            await world.groups.change_members(ann, thing, devices, add=add)


async def test_a_product_has_only_so_many_groups(world: World, monkeypatch) -> None:
    from cloudchamber.fleet.groups import service, store

    for module in (rules, service, store):
        monkeypatch.setattr(module, "MAX_GROUPS_OF_PRODUCT", 2)
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    await assign(world, ann, 1, "a", "b")
    with pytest.raises(GroupInvalid):
        await assign(world, ann, 1, "c")
    with pytest.raises(GroupInvalid):
        await world.groups.create(ann, thing, GroupChanges("c"))
    assert (await world.record(1)).groups == ("a", "b")
    assert len(await world.groups.of_product(ann, thing)) == 2


async def test_who_may_do_what_with_groups(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    thing = await world.product(ann)
    thing = await world.join(thing, bob, "SUPPORT")
    kim = await world.customer(ann, thing, "kim")
    await world.import_(ann, thing, 1)
    await world.groups.create(ann, thing, GroupChanges("a"))
    for who in (bob, eve, kim):
        for act in (
            world.groups.create(who, thing, GroupChanges("b")),
            world.groups.update(who, thing, "a", GroupChanges("b")),
            world.groups.remove(who, thing, "a"),
            world.groups.change_members(who, thing, [device_id(1)], add=["a"]),
        ):
            with pytest.raises(AccessRefused):
                await act
    assert [group.name for group in await world.groups.of_product(bob, thing)] == ["a"]
    for who in (eve, kim):
        for act in (world.groups.of_product(who, thing), world.groups.get(who, thing, "a")):
            with pytest.raises(AccessRefused):
                await act
