"""Which device may connect by which key, and what its connection leaves on record."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cloudchamber.fleet.connections import KeyRefused
from cloudchamber.fleet.model import Description
from cloudchamber.fleet.store import KeyStore
from cloudchamber.storage.database import Transaction
from tests.world import World, device_id, handshake, key

ONE, TWO = key("one"), key("two")
D = device_id(1)


async def recorded(world: World) -> bytes | None:
    found = await KeyStore().of_device(world.db, D)
    return None if found is None else found.public_key


async def test_the_first_key_of_a_known_device_goes_on_record_when_it_is_proved(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    assert await world.connections.admit(D, ONE) == ONE
    assert await world.connections.admit(D, TWO) == TWO
    assert await recorded(world) is None  # a claim to a key is no proof
    record = await world.connections.online(D, ONE, handshake())
    assert record is not None
    assert (record.platform_id, record.firmware_version, record.last_ip) == (6, 3, "192.0.2.1")
    assert record.last_handshake_at == record.last_heard == world.clock.now()
    assert await recorded(world) == ONE
    assert await world.connections.admit(D, TWO) is None
    assert await world.connections.admit(D, None) == ONE
    with pytest.raises(KeyRefused):  # admitted before, proved too late
        await world.connections.online(D, TWO, handshake(ip="198.51.100.1"))
    assert await recorded(world) == ONE
    assert (await world.record(1)).last_ip == "192.0.2.1"


async def test_of_two_who_prove_keys_at_once_one_is_the_device(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    keys = [key(str(number)) for number in range(10)]
    answers = await asyncio.gather(
        *(world.connections.online(D, each, handshake()) for each in keys), return_exceptions=True
    )
    accepted = [each for each, answer in zip(keys, answers, strict=True) if not isinstance(answer, BaseException)]
    assert accepted == [await recorded(world)]
    assert sum(isinstance(answer, KeyRefused) for answer in answers) == 9


async def test_an_unknown_device_waits_and_leaves_nothing(world: World) -> None:
    assert await world.connect(1, ONE) is None
    await world.connections.described(D, Description((), {}, "{}"))
    await world.connections.set_flag(D, "reports_updates_enabled", value=False)
    assert await world.devices.get(D) is None
    assert await recorded(world) is None
    assert world.provisional.get(D) is not None
    assert await world.connections.offline(D, world.clock.now()) is None
    assert world.provisional.get(D) is None
    assert not world.changes


async def test_a_cloud_of_registered_devices(make_world) -> None:
    world: World = make_world(trusts_on_first_use=False)
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    assert await world.connections.admit(D, ONE) is None
    assert await world.connections.admit(device_id(2), ONE) is None
    with pytest.raises(KeyRefused):
        await world.connections.online(D, ONE, handshake())
    await world.keys.put_on_record(D, ONE, "factory")
    assert await world.connections.admit(D, ONE) == ONE
    assert await world.connections.admit(D, TWO) is None
    assert await world.connections.online(D, ONE, handshake()) == await world.record(1)


async def test_a_key_that_is_put_on_record_ends_a_connection_by_another(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    await world.connect(1, ONE)
    await world.keys.put_on_record(D, ONE, "factory")
    assert world.connected.disconnected == []
    await world.keys.put_on_record(D, TWO, "factory")
    assert world.connected.disconnected == [D]
    assert await world.connections.admit(D, ONE) is None
    assert await world.connections.admit(D, TWO) == TWO


async def test_a_denied_device_brings_no_key(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    await world.connections.set_flag(D, "is_denied", value=True)
    assert await world.connections.admit(D, ONE) is None


async def test_what_a_device_says_outlives_its_connection(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    await world.connect(1, ONE)
    await world.connections.described(D, Description(("led",), {"t": "int32"}, "{}"))
    await world.connections.set_flag(D, "reports_updates_enabled", value=False)
    await world.connections.set_flag(D, "reports_updates_enabled", value=False)
    world.clock.advance(1000)
    record = await world.connections.offline(D, world.clock.now())
    assert record == await world.record(1) == world.changes[-1]
    assert record is not None
    assert (record.functions, record.variables, record.firmware_updates_enabled) == (("led",), {"t": "int32"}, False)
    assert record.last_heard == world.clock.now()
    assert (await world.connections.offline(D, world.clock.now() - 5000)).last_heard == world.clock.now()
    # A Hello that leaves something out takes nothing away.
    again = await world.connections.online(D, ONE, handshake(platform_id=None))
    assert again is not None
    assert again.platform_id == 6


async def test_a_system_part_that_did_not_change_stays_as_it_was_told(world: World) -> None:
    async def system() -> str:
        row = await world.db.fetch_one("SELECT system FROM descriptions WHERE device_id = $1", D)
        assert row is not None
        return str(row[0])

    await world.connect(1, ONE)
    await world.connections.described(D, Description((), {}, '{"p":6}'))
    await world.connections.described(D, Description(("led",), {}, None))
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)  # with what it told while nobody knew it
    assert await system() == '{"p":6}'
    await world.connections.described(D, Description(("fan",), {}, None))
    assert await system() == '{"p":6}'
    assert (await world.record(1)).functions == ("fan",)


async def test_a_key_in_memory_admits_at_once_and_stays_while_its_device_comes_and_goes(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    assert world.connections.admit_now(D, ONE) is None, "nothing is in memory yet"
    assert await world.connect(1, ONE) is not None
    assert await world.connections.admit(D, ONE) == ONE
    for _ in range(2):
        assert world.connections.admit_now(D, ONE) == world.connections.admit_now(D, None) == ONE
        assert world.connections.goes_by(D, ONE)
        assert world.connections.admit_now(D, TWO) is None, "only the database refuses"
        assert not world.connections.goes_by(D, TWO)
        assert await world.connections.admit(D, TWO) is None
        await world.connections.online(D, ONE, handshake())
        await world.connections.offline(D, world.clock.now())
        await world.devices.get(D)


async def test_a_key_in_memory_goes_with_what_changes_it(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    await world.keys.put_on_record(D, ONE, "factory")
    assert await world.connections.admit(D, ONE) == ONE
    await world.keys.put_on_record(D, TWO, "factory")
    assert world.connections.admit_now(D, ONE) is None
    assert await world.connections.admit(D, ONE) is None
    assert await world.connections.admit(D, TWO) == world.connections.admit_now(D, TWO) == TWO


async def test_a_key_that_another_process_put_on_record_counts_at_once(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    await world.keys.put_on_record(D, ONE, "factory")
    assert await world.connections.admit(D, ONE) == ONE

    await world.db.transaction(_put(TWO, world))
    assert world.connections.admit_now(D, ONE) == ONE, "this process has not heard of it"
    with pytest.raises(KeyRefused):
        await world.connections.online(D, ONE, handshake())
    assert await world.connections.admit(D, TWO) == TWO
    assert world.connections.admit_now(D, ONE) is None

    await world.db.transaction(_put(ONE, world))
    await world.devices.changed_elsewhere(D)
    assert world.connections.admit_now(D, TWO) is None


async def test_of_a_description_that_comes_again_what_differs_is_written(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)

    async def system() -> object:
        row = await world.db.fetch_one("SELECT system FROM descriptions WHERE device_id = $1", D)
        assert row is not None
        return row[0]

    for said, is_left in [
        (Description(("a",), {}, None), None),
        (Description(("a",), {}, "1"), "1"),
        (Description(("a",), {}, "2"), "2"),
        (Description(("a",), {}, "2"), "2"),
        (Description(("a",), {}, None), "2"),
        (Description(("b",), {}, None), "2"),
        (Description(("b",), {"t": "string"}, None), "2"),
        (Description(("b",), {"t": "int32"}, "3"), "3"),
    ]:
        await world.connections.described(D, said)
        record = await world.record(1)
        assert (record.functions, record.variables, await system()) == (said.functions, said.variables, is_left)


async def test_a_device_that_is_denied_is_not_admitted_from_memory(world: World) -> None:
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), 1)
    await world.keys.put_on_record(D, ONE, "factory")
    assert await world.connections.admit(D, ONE) == world.connections.admit_now(D, ONE) == ONE
    record = await world.record(1)

    async def deny(tx: Transaction) -> None:
        await tx.execute("UPDATE devices SET is_denied = 1 WHERE id = $1", D)

    await world.db.transaction(deny)
    world.devices.publish(record)
    assert world.connections.admit_now(D, ONE) is None
    assert await world.connections.admit(D, ONE) is None
    assert world.connections.admit_now(D, ONE) is None


def _put(public_key: bytes, world: World) -> Callable[[Transaction], Awaitable[None]]:
    async def put(tx: Transaction) -> None:
        await KeyStore().replace(tx, D, "rsa", public_key, "factory", world.clock.now())

    return put
