"""What people change of devices, and what the devices hear of it."""

import pytest

from cloudchamber.access.requester import User
from cloudchamber.clock import Millis
from cloudchamber.errors import Invalid
from cloudchamber.fleet.errors import SerialNumberTaken, UpdateInvalid
from cloudchamber.fleet.model import Description, DeviceRecord, Product
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.ids import ProductId
from tests.world import World, device_id, handshake, key

FORCED = "particle/device/updates/forced"
D = device_id(1)


async def one(world: World) -> tuple[User, Product]:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1, 2)
    return ann, thing


async def update(world: World, who: User, number: int = 1, through: str = "product", **fields) -> DeviceRecord:
    return await world.updates.update(who, await world.record(number), DeviceChanges(**fields), through=through)


async def test_a_device_is_told_that_updates_are_forced(world: World) -> None:
    ann, _ = await one(world)
    await world.connect(1, key("one"))
    assert (await update(world, ann, firmware_updates_forced=True)).firmware_updates_forced
    assert world.connected.system_events == [(D, FORCED, b"true")]
    await update(world, ann, firmware_updates_forced=True)  # nothing new
    await update(world, ann, allows_updates=False)  # there is no word for it on the wire
    assert len(world.connected.system_events) == 1
    # The device answers with what it took over, and tells at each connect what it knows.
    await world.connections.forced_updates(D, reported=True)
    assert len(world.connected.system_events) == 1
    await world.connections.forced_updates(D, reported=False)
    assert world.connected.system_events[1:] == [(D, FORCED, b"true")]
    assert (await world.record(1)).firmware_updates_forced


async def test_people_and_firmware_must_both_allow_updates(world: World) -> None:
    ann, _ = await one(world)
    for by_people, by_firmware in ((True, True), (True, False), (False, True), (False, False)):
        await update(world, ann, allows_updates=by_people)
        await world.connections.set_flag(D, "reports_updates_enabled", value=by_firmware)
        assert (await world.record(1)).firmware_updates_enabled is (by_people and by_firmware)


class Shelf:
    """Keeps firmware 1 to 3, and writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int | None, tuple[str, ...], bool]] = []

    async def check_version(self, product: ProductId, version: int) -> None:
        if version > 3:
            raise Invalid(f"The product has no firmware {version}")

    async def target_changed(self, device: DeviceRecord, *, at_once: bool) -> None:
        self.heard.append((device.desired_firmware_version, device.groups, at_once))


async def test_whoever_keeps_the_firmware_hears_of_locks_and_groups(world: World, monkeypatch) -> None:
    ann, _ = await one(world)
    shelf = Shelf()
    monkeypatch.setattr(world.updates, "_firmware", shelf)
    await update(world, ann, desired_firmware_version=3, flashes=True)
    await update(world, ann, groups=("pilot",))
    await update(world, ann, desired_firmware_version=None)
    await update(world, ann, name="x")
    assert shelf.heard == [(3, (), True), (3, ("pilot",), False), (None, ("pilot",), False)]
    with pytest.raises(Invalid, match="no firmware 4"):
        await update(world, ann, desired_firmware_version=4)
    assert (await world.record(1)).desired_firmware_version is None


async def test_a_lock_ends_with_the_product(world: World) -> None:
    ann, thing = await one(world)
    await update(world, ann, desired_firmware_version=3)
    assert (await world.updates.remove(ann, thing, D)).desired_firmware_version is None


async def test_serial_numbers(world: World) -> None:
    ann, _ = await one(world)
    changed = await update(world, ann, serial_number="p046ad450abcdef", mobile_secret="8BX2X7KZ")
    assert (changed.serial_number, changed.mobile_secret) == ("P046AD450ABCDEF", "8BX2X7KZ")
    with pytest.raises(SerialNumberTaken):
        await update(world, ann, 2, serial_number="P046AD450ABCDEF", name="not even this")
    assert (await world.record(2)).name is None
    for bad in ("", "a b", "x" * 65):
        with pytest.raises(UpdateInvalid):
            await update(world, ann, 2, serial_number=bad)
    with pytest.raises(UpdateInvalid):
        await update(world, ann, 2, mobile_secret="")
    assert (await update(world, ann, serial_number=None)).serial_number is None


async def test_devices_are_imported_by_what_is_printed_on_them(world: World) -> None:
    ann, thing = await one(world)
    await world.connections.described(D, Description((), {}, "{}", "353162070080014", "8934076500002586220"))
    await world.connections.described(device_id(2), Description((), {}, "{}", "353162070080022", "89340F"))
    await update(world, ann, serial_number="P046AD450ABCDEF")
    for number in (1, 2):
        await world.updates.remove(ann, thing, device_id(number))
    for given in ("p046ad450ABCDEF", "353162070080014", " 8934076500002586220 "):
        assert (await world.imports.import_(ann, thing, [given, D])).updated == (D,)
        await world.updates.remove(ann, thing, D)
    report = await world.imports.import_(ann, thing, ["353162070080099", "P000", "353162070080022"])
    assert (report.updated, report.invalid) == ((device_id(2),), ("353162070080099", "p000"))


async def test_a_number_that_two_devices_tell_names_neither(world: World) -> None:
    ann, thing = await one(world)
    for number in (1, 2):
        await world.connections.described(device_id(number), Description((), {}, "{}", "353162070080014", None))
    report = await world.imports.import_(ann, thing, ["353162070080014"])
    assert (report.existing, report.invalid) == ((), ("353162070080014",))


async def test_the_owners_name_for_it_leaves_with_the_owner(world: World) -> None:
    ann, thing = await one(world)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await update(world, ann, name="unit 1")
    await update(world, ann, 2, name="unit 2")
    for number in (1, 2):
        await world.ownership.claim(kim, device_id(number))
    await update(world, kim, 1, through="owner", name="Kim's bedroom")
    world.clock.advance(7)
    for number in (1, 2):
        await world.ownership.unclaim(kim, device_id(number))
        await world.ownership.claim(lee, device_id(number))
    assert [(await world.record(number)).name for number in (1, 2)] == [None, "unit 2"]
    assert await world.devices.mine(lee)
    record = await world.record(1)
    assert record.owned_since == Millis(world.clock.now())
    # And where it was.
    await world.connections.online(D, key("one"), handshake(ip="192.0.2.77"))
    await world.ownership.unclaim(lee, D)
    assert (await world.record(1)).last_ip is None


async def test_safe_mode_lasts_until_the_next_hello(world: World) -> None:
    await one(world)
    await world.connections.set_flag(D, "is_in_safe_mode", value=True)
    assert (await world.record(1)).is_in_safe_mode
    await world.connections.online(D, key("one"), handshake())
    assert not (await world.record(1)).is_in_safe_mode
