"""Devices that connect with a product's number and that nobody has named: seen, muted, and let in, sent away or taken
elsewhere."""

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action
from cloudchamber.access.requester import User
from cloudchamber.access.rules import Reason
from cloudchamber.fleet import connections
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.model import SEEN_ONLY, Change, DeviceRecord, Handshake, Product, RecordedKey
from cloudchamber.fleet.store import KeyStore
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.ownership.errors import DeviceDoesNotExist
from tests.world import World, device_id, key

D = device_id(1)
ONE, TWO = key("one"), key("two")


async def connect(
    world: World, product: ProductId | int, presented: bytes = ONE, number: int = 1, platform_id: int = 6
) -> DeviceRecord | None:
    device = device_id(number)
    assert await world.connections.admit(device, presented) == presented
    world.connected.keys[device] = presented
    said = Handshake("192.0.2.1", platform_id, product, 3, "1.5")
    record = await world.connections.online(device, presented, said)
    world.audience.enter(device, record)
    return record


async def recorded(world: World, device: DeviceId = D) -> RecordedKey | None:
    return await KeyStore().of_device(world.db, device)


async def waiting(world: World, who: User, thing: Product) -> list[DeviceId]:
    found, _ = await world.lists.of_product(who, thing, DeviceFilter(is_quarantined=True))
    return [device.id for device in found]


async def changes(world: World) -> list[Change]:
    return [entry.change for entry in await world.custody.of_device(world.db, D)]


async def test_an_unknown_device_waits_in_the_quarantine_of_its_product(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    assert await waiting(world, ann, thing) == []
    record = await connect(world, thing.id)
    assert record is not None
    assert (record.product, record.owner, record.is_quarantined, record.is_seen_only) == (thing.id, None, True, True)
    assert await waiting(world, ann, thing) == [D]
    assert await recorded(world) == RecordedKey(ONE, SEEN_ONLY)
    assert await changes(world) == [Change.QUARANTINED]
    (entry,) = await world.custody.of_device(world.db, D)
    assert (entry.actor, entry.before.product, entry.after.product) == (f"device:{D}", None, thing.id)
    assert await connect(world, thing.id) == await world.record(1)  # again: it waits on
    assert await changes(world) == [Change.QUARANTINED]


async def test_nobody_reaches_it_and_nobody_hears_it(world: World) -> None:
    ann, kim_maker = await world.user("ann"), await world.user("bob")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    await connect(world, thing.id)
    for action in (Action.FUNCTION_CALL, Action.VARIABLE_GET, Action.DEVICES_PING, Action.DEVICES_SIGNAL):
        with pytest.raises(AccessRefused) as refused:
            await world.devices.in_product(ann, thing, D, action)
        assert refused.value.reason is Reason.QUARANTINED
    assert (await world.devices.in_product(ann, thing, D, Action.DEVICES_GET)).id == D
    for who in (kim, kim_maker, ann):
        with pytest.raises(DeviceDoesNotExist):
            await world.ownership.claim(who, D)
    assert await world.ownership.present_code(D, (await world.ownership.issue_code(kim)).code) is None
    world.connected.wide.add(D)
    for is_private in (True, False):
        await world.events.publish_in(ann, thing, "e", None, 60, is_private=is_private)
    assert world.connected.sent == []


async def test_letting_in(world: World) -> None:
    """By importing its id, which is how the vendor's clients approve, or by the field."""
    ann = await world.user("ann")
    thing = await world.product(ann)
    await connect(world, thing.id)
    await connect(world, thing.id, number=2)
    report = await world.imports.import_(ann, thing, [D])
    assert (report.updated, report.existing) == ((D,), ())
    in_by_field = DeviceChanges(is_quarantined=False)
    await world.updates.update(ann, await world.record(2), in_by_field, through="product")
    for number in (1, 2):
        record = await world.record(number)
        assert (record.is_quarantined, record.is_seen_only, record.product) == (False, False, thing.id)
        assert await recorded(world, device_id(number)) == RecordedKey(ONE, "first-use")
        assert await world.connections.admit(device_id(number), TWO) is None
    assert await waiting(world, ann, thing) == []
    assert await changes(world) == [Change.QUARANTINED, Change.APPROVED]
    assert world.connected.disconnected == []


async def test_who_is_let_in_is_who_was_seen_last(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await connect(world, thing.id, ONE)
    await connect(world, thing.id, TWO)
    assert await recorded(world) == RecordedKey(TWO, SEEN_ONLY)
    world.connected.keys.clear()
    await world.imports.import_(ann, thing, [D])
    assert await recorded(world) == RecordedKey(TWO, "first-use")
    assert await world.connections.admit(D, ONE) is None


async def test_denying_and_letting_in_again(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await connect(world, thing.id)
    denied = await world.updates.deny(ann, thing, D)
    assert (denied.is_denied, denied.product) == (True, thing.id)
    assert world.connected.disconnected == [D]
    assert await world.connections.admit(D, ONE) is None
    found, total = await world.lists.of_product(ann, thing, DeviceFilter(is_denied=True))
    assert ([device.id for device in found], total) == ([D], 1)
    assert (await world.imports.import_(ann, thing, [D])).updated == (D,)
    record = await connect(world, thing.id)
    assert record is not None
    assert (record.is_denied, record.is_quarantined) == (False, False)
    assert await changes(world) == [Change.QUARANTINED, Change.DENIED, Change.APPROVED]


async def test_a_customers_device_that_is_denied_is_theirs_no_more(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    await world.import_(ann, thing, 1, 2)
    await world.ownership.claim(kim, D)
    await world.ownership.claim(ann, device_id(2))
    for number, is_kept in ((1, False), (2, True)):
        denied = await world.updates.deny(ann, thing, device_id(number))
        assert (denied.owner is not None, denied.is_denied) == (is_kept, True)
    (*_, last) = await world.custody.of_device(world.db, D)
    assert (last.change, last.before.owner_id, last.after.owner_id) == (Change.DENIED, kim.id, None)
    allowed = await world.updates.update(ann, await world.record(2), DeviceChanges(is_denied=False), through="product")
    assert not allowed.is_denied


async def test_a_product_that_takes_whoever_comes(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.products.create(ann, name="Open", description="", platform_id=6, settings={"quarantine": False})
    record = await connect(world, thing.id)
    assert record is not None
    assert (record.product, record.is_quarantined) == (thing.id, False)
    assert await recorded(world) == RecordedKey(ONE, "first-use")
    assert await changes(world) == [Change.JOINED]
    assert await world.connections.admit(D, TWO) is None


@pytest.mark.parametrize("says", ["another platform", "no product", "no such product"])
async def test_who_belongs_to_no_product_waits_on_no_record(world: World, says: str) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    product = {"another platform": thing.id, "no product": 6, "no such product": 999}[says]
    platform = 10 if says == "another platform" else 6
    assert await connect(world, product, platform_id=platform) is None
    assert await world.devices.get(D) is None
    assert world.provisional.get(D) is not None


async def test_it_follows_its_firmware_until_somebody_names_it(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    await connect(world, thing.id)
    assert (await waiting(world, ann, thing), await waiting(world, bob, other)) == ([D], [])
    await connect(world, other.id)
    assert (await waiting(world, ann, thing), await waiting(world, bob, other)) == ([], [D])
    record = await connect(world, 6)  # a firmware of no product
    assert record is not None
    assert (record.product, record.is_quarantined) == (None, False)
    assert await waiting(world, bob, other) == []
    assert (await world.ownership.claim(ann, D)).owner is not None
    assert await recorded(world) == RecordedKey(ONE, "first-use")
    record = await connect(world, thing.id)  # it has an owner now: nothing is taken from them
    assert record is not None
    assert (record.product, record.is_quarantined) == (None, False)
    assert await changes(world) == [Change.QUARANTINED, Change.QUARANTINED, Change.LEFT, Change.CLAIMED]


async def test_a_number_that_a_device_says_binds_it_to_nobody(world: World) -> None:
    """Any firmware can say any product's number, so another product's team that knows the device's id has it."""
    ann, eve = await world.user("ann"), await world.user("eve")
    thing, trap = await world.product(ann, "Thing"), await world.product(eve, "Trap")
    await connect(world, trap.id, TWO)  # somebody pretends to be the device
    assert await waiting(world, eve, trap) == [D]
    world.connected.keys.clear()
    assert (await world.imports.import_(ann, thing, [D])).updated == (D,)
    assert await recorded(world) is None  # nobody of ann's has seen that key
    record = await connect(world, thing.id, ONE)
    assert record is not None
    assert (record.product, record.is_quarantined) == (thing.id, False)
    assert await waiting(world, eve, trap) == []
    assert await world.connections.admit(D, TWO) is None


async def test_a_removed_device_that_still_runs_the_firmware_comes_back_into_quarantine(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    await world.import_(ann, thing, 1)
    await connect(world, thing.id)
    await world.updates.remove(ann, thing, D)
    record = await connect(world, thing.id)
    assert record is not None
    assert record.is_quarantined
    assert await world.connections.admit(D, TWO) is None  # its key stays its key
    assert (await world.imports.import_(bob, other, [D])).updated == (D,)


async def test_a_team_can_send_a_device_into_quarantine(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    await world.import_(ann, thing, 1)
    await connect(world, thing.id)
    sent = await world.updates.update(ann, await world.record(1), DeviceChanges(is_quarantined=True), through="product")
    assert (sent.is_quarantined, sent.is_seen_only) == (True, False)
    record = await connect(world, other.id)  # it stays, whatever its firmware says, and is nobody else's to take
    assert record is not None
    assert (record.product, record.is_quarantined) == (thing.id, True)
    assert (await world.imports.import_(bob, other, [D])).invalid == (D,)


async def test_a_quarantine_holds_only_so_many(world: World, monkeypatch) -> None:
    monkeypatch.setattr(connections, "MAX_QUARANTINED", 2)
    ann = await world.user("ann")
    thing = await world.product(ann)
    for number in (1, 2):
        assert await connect(world, thing.id, number=number) is not None
    assert await connect(world, thing.id, number=3) is None
    assert await connect(world, thing.id, number=2) is not None  # who waits already, waits on
    assert (await world.imports.import_(ann, thing, [device_id(3)])).updated == (device_id(3),)


async def test_a_cloud_of_known_devices_has_no_quarantine(make_world) -> None:
    for switches in ({"accepts_unknown": False}, {"trusts_on_first_use": False}):
        world: World = make_world(**switches)
        assert await world.connections.admit(D, ONE) is None
