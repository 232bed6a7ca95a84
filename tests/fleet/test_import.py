"""Imports: what becomes of each id, and that a second run changes nothing."""

import asyncio
import json

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import OwnedByUser
from cloudchamber.errors import TooLarge
from cloudchamber.fleet.imports import service
from cloudchamber.fleet.imports.store import ImportStore
from cloudchamber.fleet.model import Change, Custody, Description, RecordedKey
from cloudchamber.fleet.store import KeyStore
from cloudchamber.storage.errors import StorageRefused
from tests.world import World, device_id, key


async def test_each_id_gets_its_verdict_and_a_second_run_changes_nothing(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    await world.import_(bob, other, 1)
    for number in (2, 3, 4):  # 2 is ann's own, 3 is bob's, 4 nobody's but of another platform
        await world.connect(number, key(f"device {number}"), 10 if number == 4 else 6)
    await world.ownership.claim(ann, device_id(2))
    await world.ownership.claim(bob, device_id(3))
    await world.ownership.claim(bob, device_id(4))
    await world.ownership.unclaim(bob, device_id(4))
    await world.import_(ann, thing, 5, 6)
    await world.connections.set_flag(device_id(6), "is_quarantined", value=True)
    ids = [device_id(number) for number in (1, 2, 3, 4, 5, 6, 7)]
    report = await world.imports.import_(
        ann, thing, [" " + ids[0].upper(), *ids[1:], ids[6].upper(), "Not An Id", "not an id", ids[0]]
    )
    assert report.updated == (device_id(2), device_id(6), device_id(7))
    assert report.existing == (device_id(5),)
    assert report.nonmember == (device_id(3),)
    assert report.invalid == (device_id(1), device_id(4), "not an id")
    assert (await world.record(2)).owner == OwnedByUser(ann.id)
    assert not (await world.record(6)).is_quarantined
    assert [(await world.record(n)).product for n in (1, 2, 3, 5, 6, 7)] == [
        *(other.id, thing.id, None, thing.id, thing.id, thing.id)
    ]
    assert (await world.record(4)).product is None
    world.changes.clear()
    again = await world.imports.import_(ann, thing, ids)
    assert (again.updated, set(again.existing)) == ((), {device_id(n) for n in (2, 5, 6, 7)})
    assert not world.changes
    assert [entry.change for entry in await world.custody.of_device(world.db, device_id(7))] == [Change.IMPORTED]


async def test_an_unknown_device_joins_whether_it_is_connected_or_not(world: World) -> None:
    """What it says of its platform counts once it is on record: the answer must not depend on the moment."""
    ann = await world.user("ann")
    thing = await world.product(ann, "Thing")
    await world.connect(1, key("one"), 10)
    report = await world.imports.import_(ann, thing, [device_id(1), device_id(2)])
    assert set(report.updated) == {device_id(1), device_id(2)}


async def test_registered_ids_only(make_world) -> None:
    world: World = make_world(accepts_unknown=False)
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.keys.put_on_record(device_id(1), key("one"), "factory")
    report = await world.imports.import_(ann, thing, [device_id(1), device_id(2)])
    assert (report.updated, report.invalid) == ((device_id(1),), (device_id(2),))


async def test_who_may_import(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing = await world.product(ann)
    thing = await world.join(thing, bob, "SUPPORT")
    kim = await world.customer(ann, thing, "kim")
    for requester in (bob, kim):
        with pytest.raises(AccessRefused):
            await world.imports.import_(requester, thing, [device_id(1)])
    with pytest.raises(TooLarge):
        await world.imports.import_(ann, thing, [""] * (service.MAX_IMPORT + 1))
    lines = iter(range(10 * service.MAX_IMPORT))
    with pytest.raises(TooLarge):
        await world.imports.import_(ann, thing, map(str, lines))
    assert next(lines) == service.MAX_IMPORT + 1, "nothing was read of what is refused anyway"
    assert await world.db.fetch_all("SELECT id FROM devices") == []


async def test_a_batch_is_all_or_nothing(world: World, monkeypatch) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    append = ImportStore.append_custody

    async def fail_in_the_end(*args) -> None:
        await append(*args)
        raise OSError("the log is full")

    monkeypatch.setattr(ImportStore, "append_custody", fail_in_the_end)
    with pytest.raises(OSError, match="full"):
        await world.import_(ann, thing, 1, 2, 3)
    assert await world.db.fetch_all("SELECT id FROM devices") == []
    assert await world.db.fetch_all("SELECT seq FROM custody") == []
    assert not world.changes


async def test_many_ids_at_once_from_two_sides(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    ids = [device_id(number) for number in range(1, 21)]
    first, second = await asyncio.gather(
        world.imports.import_(ann, thing, ids), world.imports.import_(bob, other, list(reversed(ids)))
    )
    assert {len(first.updated), len(second.updated)} == {0, 20}
    assert {len(first.invalid), len(second.invalid)} == {0, 20}
    rows = await world.db.fetch_all("SELECT count(*), count(DISTINCT product_id) FROM devices")
    assert rows == [(20, 1)]
    assert await world.db.fetch_all("SELECT count(*) FROM custody") == [(20,)]


async def test_the_custody_log_tells_all_and_cannot_be_changed(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    world.clock.advance(5)
    await world.ownership.claim(ann, device_id(1))
    await world.updates.remove(ann, thing, device_id(1))
    await world.ownership.unclaim(ann, device_id(1))
    log = await world.custody.of_device(world.db, device_id(1))
    nobody, owned = Custody(thing.id, None, None), Custody(thing.id, "user", ann.id)
    assert [(entry.change, entry.before, entry.after) for entry in log] == [
        (Change.IMPORTED, Custody(None, None, None), nobody),
        (Change.CLAIMED, nobody, owned),
        (Change.REMOVED, owned, Custody(None, "user", ann.id)),
        (Change.UNCLAIMED, Custody(None, "user", ann.id), Custody(None, None, None)),
    ]
    assert {entry.actor for entry in log} == {f"user:{ann.id}"}
    assert [entry.at - log[0].at for entry in log] == [0, 5, 5, 5]
    for sql in (
        "UPDATE custody SET actor = 'nobody'",
        "DELETE FROM custody",
        "UPDATE custody SET at = at + 1 WHERE seq = 1",
    ):

        async def forge(tx, sql: str = sql) -> None:
            await tx.execute(sql)

        with pytest.raises(StorageRefused):
            await world.db.transaction(forge)
    assert await world.custody.of_device(world.db, device_id(1)) == log


async def test_an_imported_device_that_is_connected_brings_its_key_and_description(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    assert await world.connect(1, key("one")) is None
    await world.connections.described(device_id(1), description())
    await world.import_(ann, thing, 1)
    record = await world.record(1)
    assert (record.functions, record.variables, record.platform_id) == (("led",), {"temp": "double"}, 6)
    assert await KeyStore().of_device(world.db, device_id(1)) == RecordedKey(key("one"), "first-use")
    assert world.provisional.get(device_id(1)) is None
    assert world.connected.disconnected == []
    row = await world.db.fetch_one("SELECT system FROM descriptions")
    assert row is not None
    assert json.loads(row[0]) == {"m": []}


async def test_a_description_that_comes_while_the_device_goes_on_record_is_kept(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.connect(1, key("one"))
    importing = asyncio.create_task(world.import_(ann, thing, 1))
    while not await world.db.fetch_all("SELECT id FROM devices"):
        await asyncio.sleep(0)
    # Committed, and perhaps not told yet.
    await world.connections.described(device_id(1), description())
    await importing
    assert (await world.record(1)).functions == ("led",)


async def test_another_key_that_slips_in_while_a_device_goes_on_record_has_to_come_again(
    world: World, monkeypatch
) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.connect(1, key("one"))
    looked = world.devices.arrival

    def look_and_let_another_in(device):
        found = looked(device)
        world.connected.keys[device] = key("impostor")
        return found

    monkeypatch.setattr(world.devices, "arrival", look_and_let_another_in)
    await world.import_(ann, thing, 1)
    assert await KeyStore().of_device(world.db, device_id(1)) == RecordedKey(key("one"), "first-use")
    assert world.connected.disconnected == [device_id(1)]
    assert await world.connections.admit(device_id(1), key("impostor")) is None


def description() -> Description:
    return Description(("led",), {"temp": "double"}, '{"m":[]}')
