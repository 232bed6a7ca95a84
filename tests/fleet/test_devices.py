"""Finding, changing and removing devices; the cache of records."""

import asyncio
import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action, OwnedByCustomer, OwnedByUser
from cloudchamber.access.requester import ProductClient, Scopes, User
from cloudchamber.access.rules import Reason
from cloudchamber.clock import MINUTE
from cloudchamber.fleet.errors import DeviceNotInProduct, DeviceUnknown, UpdateEmpty, UpdateInvalid
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.model import Change, Description, DeviceRecord
from cloudchamber.fleet.service import DEVICE_CHANGED, key_algorithm
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.ids import ClientId, DeviceId, UserId
from cloudchamber.storage.database import Reader, Transaction
from tests.world import PASSWORD, World, device_id, handshake, key

GET = Action.DEVICES_GET


async def update(world: World, record: DeviceRecord, changes: DeviceChanges, through: str = "owner") -> DeviceRecord:
    """As somebody who may."""
    return await world.updates.update(User(UserId("x"), ClientId("x")), record, changes, through=through)


async def test_a_device_is_found_by_its_owner_by_id_or_name(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    for number, who in [(1, ann), (2, bob), (3, ann)]:
        await world.connect(number, key(str(number)))
        await world.ownership.claim(who, device_id(number))
    mine = await world.devices.own(ann, device_id(1), GET)
    await update(world, mine, DeviceChanges(name="Lamp"))
    await update(world, await world.devices.own(bob, device_id(2), GET), DeviceChanges(name="Lamp"))
    await update(world, await world.devices.own(ann, device_id(3), GET), DeviceChanges(name=device_id(1)))
    for reference in (device_id(1), device_id(1).upper(), "Lamp", "lAMP"):
        assert (await world.devices.own(ann, reference, GET)).id == device_id(1)  # an id always wins over a name
    assert (await world.devices.own(bob, "lamp", GET)).id == device_id(2)
    for reference in ("lam", "", "nothing", device_id(9)):
        with pytest.raises(DeviceUnknown):
            await world.devices.own(ann, reference, GET)
    with pytest.raises(AccessRefused) as refused:
        await world.devices.own(ann, device_id(2), GET)
    assert refused.value.reason is Reason.NOT_OWNER


async def test_from_memory_a_device_is_found_and_refused_as_from_the_database(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    limited = User(ann.id, ann.client, Scopes(frozenset({Action.DEVICES_LIST.value})))
    server = ProductClient(ClientId("c-1"), (await world.product(bob, "Thing")).id)
    await world.connect(1, key("1"))
    await world.ownership.claim(ann, device_id(1))
    await world.devices.own(ann, device_id(1), GET)
    for reference in (device_id(1), device_id(1).upper()):
        for who, action in itertools.product((ann, bob, limited, server), Action):
            try:
                expected: object = (await world.devices.own(who, reference, action)).id
            except AccessRefused as refused:
                expected = (refused.action, refused.resource, refused.reason)
            try:
                record = world.devices.own_now(who, reference, action)
                got: object = None if record is None else record.id
            except AccessRefused as refused:
                got = (refused.action, refused.resource, refused.reason)
            assert got == expected
    for reference in (device_id(2), "", "lamp", device_id(1)[1:], f" {device_id(1)}"):
        assert world.devices.own_now(ann, reference, GET) is None


async def test_who_sees_which_device(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    server = ProductClient(ClientId("c-1"), thing.id)
    await world.import_(ann, thing, 1, 2)
    await world.ownership.claim(kim, device_id(1))
    assert [d.id for d in await world.devices.mine(kim)] == [device_id(1)]
    for requester in (lee, ann, server):
        assert not await world.devices.mine(requester)
    assert (await world.devices.own(kim, device_id(1), GET)).owner == OwnedByCustomer(kim.id)
    for requester in (ann, bob, lee):  # not even the product's owner, on the owner's path
        with pytest.raises(AccessRefused):
            await world.devices.own(requester, device_id(1), GET)
    for requester in (ann, server):
        assert (await world.devices.in_product(requester, thing, device_id(1), GET)).id == device_id(1)
        listed, total = await world.lists.of_product(requester, thing, DeviceFilter())
        assert (len(listed), total) == (2, 2)
    for requester in (bob, kim):
        with pytest.raises(AccessRefused):
            await world.devices.in_product(requester, thing, device_id(1), GET)
        with pytest.raises(AccessRefused):
            await world.lists.of_product(requester, thing, DeviceFilter())
    for reference in (device_id(1), device_id(9), "name"):  # in another product, in none, no id
        with pytest.raises(DeviceNotInProduct):
            await world.devices.in_product(bob, other, reference, GET)


async def test_pages_of_a_product(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, *range(1, 8))
    for number in (3, 5):
        world.clock.advance(1)
        await world.connect(number, key(str(number)))
    found = [
        [device.id for device in (await world.lists.of_product(ann, thing, DeviceFilter(), page=page, per_page=3))[0]]
        for page in (1, 2, 3, 4)
    ]
    assert found == [[device_id(n) for n in numbers] for numbers in ([5, 3, 1], [2, 4, 6], [7], [])]


async def test_what_can_be_changed(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    record = await world.record(1)
    world.clock.advance(7)
    changed = await update(world, record, DeviceChanges(name=" Lamp ", notes="x" * 5000, is_development=True))
    assert (changed.name, changed.notes, changed.is_development) == (" Lamp ", "x" * 5000, True)
    assert changed.updated_at == record.updated_at + 7
    assert world.changes[-1] == await world.devices.get(device_id(1)) == changed
    with pytest.raises(UpdateEmpty, match=r"^Nothing to do\?$"):
        await update(world, record, DeviceChanges())
    for changes in (DeviceChanges(name=" "), DeviceChanges(name="x" * 65), DeviceChanges(notes="x" * 5001)):
        with pytest.raises(UpdateInvalid):
            await update(world, record, changes)
    assert await world.record(1) == changed


async def test_whoever_lost_a_device_cannot_change_it_any_more(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await world.import_(ann, thing, 1)
    await world.ownership.claim(kim, device_id(1))
    allowed = await world.devices.own(kim, device_id(1), Action.DEVICES_UPDATE)
    by_team = await world.devices.in_product(ann, thing, device_id(1), Action.DEVICES_UPDATE)
    await world.ownership.unclaim(kim, device_id(1))
    await world.ownership.claim(lee, device_id(1))
    with pytest.raises(DeviceUnknown):
        await update(world, allowed, DeviceChanges(name="kim was here"))
    await world.updates.remove(ann, thing, device_id(1))
    with pytest.raises(DeviceUnknown):
        await update(world, by_team, DeviceChanges(name="ann was here"))
    assert (await world.record(1)).name is None


async def test_the_next_owner_reads_no_notes_of_the_last(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await world.import_(ann, thing, 1)
    await update(world, await world.record(1), DeviceChanges(notes="made in May"))
    await world.ownership.claim(kim, device_id(1))
    assert (await world.record(1)).notes == "made in May"
    await update(world, await world.record(1), DeviceChanges(notes="the key is under the mat"))
    await world.ownership.unclaim(kim, device_id(1))
    assert (await world.ownership.claim(lee, device_id(1))).notes is None
    assert world.changes[-1].notes is (await world.record(1)).notes is None


async def test_removing(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing = await world.join(await world.product(ann), bob, "DEVELOPER")
    kim = await world.customer(ann, thing, "kim")
    await world.import_(ann, thing, 1, 2, 3)
    await world.ownership.claim(kim, device_id(1))
    await world.ownership.claim(ann, device_id(2))
    for number, owner in [(1, None), (2, OwnedByUser(ann.id)), (3, None)]:
        removed = await world.updates.remove(bob, thing, device_id(number))
        assert (removed.product, removed.owner) == (None, owner)
        assert world.changes[-1] == removed
        with pytest.raises(DeviceNotInProduct):
            await world.updates.remove(bob, thing, device_id(number))
    with pytest.raises(AccessRefused):
        await world.updates.remove(kim, thing, device_id(1))


async def test_removing_gives_a_device_to_nobody_who_has_just_left_it(world: World, monkeypatch) -> None:
    """Its owner gives it up between the look at it and the writing."""
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    await world.ownership.claim(ann, device_id(1))
    looked = world.devices.in_product

    async def look_and_let_go(*args):
        found = await looked(*args)
        await world.ownership.unclaim(ann, device_id(1))
        return found

    monkeypatch.setattr(world.devices, "in_product", look_and_let_go)
    assert (await world.updates.remove(ann, thing, device_id(1))).owner is None
    assert (await world.record(1)).owner is None
    (*_, last) = await world.custody.of_device(world.db, device_id(1))
    assert (last.change, last.before.owner_id, last.after.owner_id) == (Change.REMOVED, None, None)


async def test_a_view_adds_what_the_connection_knows(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim@example.com")
    await world.import_(ann, thing, 1, 2, 3)
    await world.ownership.claim(kim, device_id(1))
    await world.ownership.claim(ann, device_id(2))
    await world.connect(1, key("one"))
    views = await world.devices.views([await world.record(number) for number in (1, 2, 3)])
    assert [(view.is_online, view.last_heard, view.owner_name) for view in views] == [
        (True, 5, "kim@example.com"),
        (False, None, "ann"),
        (False, None, None),
    ]


async def test_a_record_in_use_is_not_read_again_until_it_changes(world: World, monkeypatch) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    first = await world.devices.get(device_id(1))
    with monkeypatch.context() as patched:
        patched.setattr(world.devices, "_db", None)
        assert await world.devices.get(device_id(1)) is first
    await world.ownership.claim(ann, device_id(1))
    changed = await world.devices.get(device_id(1))
    assert changed is not None
    assert changed.owner == OwnedByUser(ann.id)


async def test_a_record_that_changes_while_it_is_read_is_not_kept(world: World, monkeypatch) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    has_read, may_go = asyncio.Event(), asyncio.Event()

    async def slow_read(self, db, device, read=DeviceStore.named):
        found = await read(self, db, device)
        has_read.set()
        await may_go.wait()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(DeviceStore, "named", slow_read)
        reading = asyncio.create_task(world.devices.get(device_id(1)))
        await has_read.wait()
    await world.ownership.claim(ann, device_id(1))
    may_go.set()
    stale = await reading
    assert stale is not None
    assert stale.owner is None
    assert (await world.devices.get(device_id(1))).owner == OwnedByUser(ann.id)


async def test_readers_and_writers_together_end_with_what_is_on_record(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)

    async def write(number: int) -> None:
        await update(world, await world.record(1), DeviceChanges(name=f"name {number}"))

    async def read() -> None:
        for _ in range(20):
            await world.devices.get(device_id(1))
            await asyncio.sleep(0)

    await asyncio.gather(*(write(number) for number in range(20)), *(read() for _ in range(5)))
    assert await world.devices.get(device_id(1)) == await world.record(1)


async def test_customers_devices_are_listed_together(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await world.import_(ann, thing, 1, 2, 3)
    await world.ownership.claim(kim, device_id(2))
    await world.ownership.claim(kim, device_id(1))
    await world.ownership.claim(ann, device_id(3))
    found = await world.devices.of_customers([lee.id, kim.id, ann.id])
    assert [device.id for device in found] == [device_id(1), device_id(2)]


async def test_own_devices_come_newest_handshake_first(world: World) -> None:
    ann = await world.user("ann")
    for number in (1, 2, 3):
        world.clock.advance(1)
        await world.connect(number, key(str(number)))
        await world.ownership.claim(ann, device_id(number))
    await world.keys.put_on_record(device_id(4), key("4"), "factory")
    world.clock.advance(1)
    await world.connections.online(device_id(1), key("1"), handshake())
    assert [device.id for device in await world.devices.mine(ann)] == [device_id(n) for n in (1, 3, 2)]


async def test_a_key_that_another_process_put_on_record_ends_connections_with_the_old_one(world: World) -> None:
    await world.connect(1, key("1"))
    ann = await world.user("ann")
    await world.ownership.claim(ann, device_id(1))
    await world.connect(2, key("2"))
    for number in (1, 2):
        await world.devices.changed_elsewhere(device_id(number))
    assert world.connected.disconnected == [], "whoever goes by its own key stays, and who is on no record yet"

    async def write(tx: Transaction) -> None:
        other = key("other")
        await KeyStore().replace(tx, device_id(1), key_algorithm(other), other, "command-line", world.clock.now())

    await world.db.transaction(write)
    await world.devices.changed_elsewhere(device_id(1))
    assert world.connected.disconnected == [device_id(1)]
    assert world.connections.admit_now(device_id(1), key("1")) is None


async def test_who_is_shut_out_or_named_by_another_process_is_disconnected(world: World) -> None:
    ann = await world.user("ann")
    product = await world.product(ann)
    await world.import_(ann, product, 1)
    for number in (1, 2):
        await world.connect(number, key(str(number)))
    assert world.provisional.get(device_id(2)) is not None

    async def write(tx: Transaction) -> None:
        await DeviceStore().set_field(tx, device_id(1), "is_denied", 1, world.clock.now())
        await DeviceStore().insert(tx, device_id(2), product.id, world.clock.now())

    await world.db.transaction(write)
    for number in (1, 2):
        await world.devices.changed_elsewhere(device_id(number))
    assert world.connected.disconnected == [device_id(1), device_id(2)]
    # It brings its key when it comes again.
    await world.connect(2, key("2"))
    await world.devices.changed_elsewhere(device_id(2))
    assert world.connected.is_online(device_id(2))


async def test_of_a_large_import_by_another_process_those_are_told_that_are_connected_here(world: World) -> None:
    ann = await world.user("ann")
    product = await world.product(ann)
    await world.import_(ann, product, 1, 2, 3)
    for number in (1, 2):
        await world.connect(number, key(str(number)))
    for number in (1, 2, 3):
        await world.devices.get(device_id(number))
    world.clock.advance(MINUTE)
    since = world.clock.now()

    async def write(tx: Transaction) -> None:
        for number in (2, 3):
            await DeviceStore().set_owner(tx, device_id(number), OwnedByUser(ann.id), world.clock.now())

    await world.db.transaction(write)
    told: list[DeviceRecord] = []
    world.bus.subscribe(DEVICE_CHANGED, told.append)
    await world.devices.imported_elsewhere(product.id, world.connected.keys, since)
    assert [(record.id, record.owner) for record in told] == [(device_id(2), OwnedByUser(ann.id))]
    assert world.devices.get_now(device_id(3)) is None
    await world.devices.imported_elsewhere((await world.product(ann, "B")).id, world.connected.keys, since)
    assert len(told) == 1


async def test_records_share_what_devices_have_alike(world: World) -> None:
    """There are many in memory."""
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1, 2)
    for number in (1, 2):
        await world.connect(number, key(str(number)))
        await world.connections.described(device_id(number), Description(("led",), {"t": "int32"}, "{}"))
    one, two = await world.record(1), await world.record(2)
    assert one.functions == ("led",)
    assert one.functions is two.functions
    assert one.variables is two.variables
    with pytest.raises(TypeError):
        one.variables["t"] = "bool"  # type: ignore[index]


@pytest.mark.parametrize("how", ["alone", "with its device"])
async def test_a_name_that_was_read_as_it_changed_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    ann, device = await world.user("ann"), device_id(1)
    await world.connect(1, key("1"))
    await world.ownership.claim(ann, device)
    devices, owner = world.devices, OwnedByUser(ann.id)
    devices.cache.clear()
    read = "owners_names" if how == "alone" else "named"
    ask = getattr(devices._store, read)

    async def renamed_meanwhile(db: Reader, what: Any) -> Any:
        before = await ask(db, what)
        monkeypatch.undo()
        await world.accounts.rename(ann, "anna@example.com", PASSWORD, None)
        return before

    monkeypatch.setattr(devices._store, read, renamed_meanwhile)
    if how == "alone":
        assert await devices.owner_name(owner) == "ann"
    else:
        assert (await devices.get(device)) is not None
    assert await devices.owner_name(owner) == "anna@example.com"


async def test_names_of_owners_come_with_their_devices_and_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1, 2, 3, 4)
    bob = await world.customer(ann, thing, "bob@example.com")
    await world.ownership.claim(ann, device_id(1))
    await world.ownership.claim(bob, device_id(2))
    await world.ownership.claim(bob, device_id(3))
    asked: list[str] = []
    fetch_one, fetch_all = world.db.fetch_one, world.db.fetch_all

    async def one(sql: str, *values: Any) -> Any:
        asked.append(sql)
        return await fetch_one(sql, *values)

    async def all_(sql: str, *values: Any) -> Any:
        asked.append(sql)
        return await fetch_all(sql, *values)

    monkeypatch.setattr(world.db, "fetch_one", one)
    monkeypatch.setattr(world.db, "fetch_all", all_)
    for number, owner_name in ((1, "ann"), (2, "bob@example.com"), (4, None)):
        world.devices.cache.clear()
        world.devices._names.clear()
        asked.clear()
        record = await world.devices.get(device_id(number))
        assert record is not None
        assert world.devices.view_now(record) == await world.devices.view(record)
        assert (await world.devices.view(record)).owner_name == owner_name
        assert len(asked) == 1, "one read for a device and what its owner is called"
    records = [record for number in (1, 2, 3, 4) if (record := await world.devices.get(device_id(number)))]
    world.devices._names.clear()
    asked.clear()
    views = await world.devices.views(records)
    assert [view.owner_name for view in views] == ["ann", "bob@example.com", "bob@example.com", None]
    assert len(asked) == 2, "one read for all users, one for all customers"


async def test_what_another_process_changed_is_told_once_and_never_undoes_what_is_newer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, device = await world.user("ann"), device_id(1)
    await world.connect(1, key("1"))
    await world.ownership.claim(ann, device)
    told: list[DeviceRecord] = []
    world.bus.subscribe(DEVICE_CHANGED, told.append)
    read = world.devices._store.by_id
    reads = 0

    async def by_id(db: Reader, device: DeviceId) -> DeviceRecord | None:
        nonlocal reads
        reads += 1
        found = await read(db, device)
        if reads == 1:
            # Somebody here changes it after it was read.
            world.devices.publish(replace(found, notes="newer"))
        return found

    monkeypatch.setattr(world.devices._store, "by_id", by_id)
    await world.devices.changed_elsewhere(device)
    assert reads == 2, "what was read before the other publication is not what is told"
    assert [each.notes for each in told] == ["newer", None]
