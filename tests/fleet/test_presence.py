"""Devices that come and go together leave on record what each would have left alone."""

import asyncio
import time

import pytest

from cloudchamber.access.requester import User
from cloudchamber.clock import Millis
from cloudchamber.fleet.connections import KeyRefused
from cloudchamber.fleet.model import Handshake
from cloudchamber.fleet.presence import MAX_AT_ONCE
from cloudchamber.fleet.store import DeviceStore
from cloudchamber.storage import database
from cloudchamber.storage.database import Transaction
from cloudchamber.storage.errors import StorageBusy
from tests.world import World, device_id, handshake, key

MANY = MAX_AT_ONCE + 7


async def prepared(world: World, count: int) -> User:
    """Devices on record with their keys, which are in memory; and who made their product."""
    ann = await world.user("ann")
    await world.import_(ann, await world.product(ann), *range(1, count + 1))
    for number in range(1, count + 1):
        await world.keys.put_on_record(device_id(number), key(str(number)), "factory")
        assert await world.connections.admit(device_id(number), key(str(number))) is not None
    return ann


async def test_many_come_and_go_at_once(world: World) -> None:
    await prepared(world, MANY)
    world.clock.advance(1000)
    said = {number: handshake(ip=f"192.0.2.{number}") for number in range(1, MANY + 1)}
    # Nothing of one but its product.
    said[2] = Handshake("192.0.2.2", None, 7, None, None)
    before = await world.record(2)
    numbers = list(said)
    came = await asyncio.gather(
        *(world.connections.online(device_id(number), key(str(number)), said[number]) for number in numbers)
    )
    for number, record in zip(numbers, came, strict=True):
        assert record == await world.record(number)
        assert record.last_ip == f"192.0.2.{number}"
        assert record.last_handshake_at == record.last_heard == world.clock.now()
    second = await world.record(2)
    assert (second.platform_id, second.system_version) == (before.platform_id, before.system_version)
    assert (second.firmware_product_id, second.firmware_version) == (7, None)
    heard = Millis(world.clock.now() + 5)
    left = await asyncio.gather(*(world.connections.offline(device_id(number), heard) for number in numbers))
    assert left == [await world.record(number) for number in numbers]
    assert {record.last_heard for record in left if record is not None} == {heard}
    earlier = await world.connections.offline(device_id(1), Millis(1))
    assert earlier == await world.record(1)
    assert earlier is not None
    assert earlier.last_heard == heard, "never back"


async def test_who_left_is_admitted_out_of_memory(world: World) -> None:
    await prepared(world, 2)
    connections, device, heard = world.connections, device_id(1), world.clock.now()
    for number in (1, 2):
        await connections.online(device_id(number), key(str(number)), handshake())
        assert connections.admit_now(device_id(number), key(str(number))) is None
    await asyncio.gather(*(connections.offline(device_id(number), Millis(heard + 1)) for number in (1, 2)))
    for number in (1, 2):
        assert connections.admit_now(device_id(number), key(str(number))) == key(str(number))
    in_memory = world.devices.get_now(device)
    assert in_memory is not None
    assert in_memory == await DeviceStore().by_id(world.db, device)
    # By another key it is not.
    assert connections.admit_now(device, key("other")) is None


async def test_a_record_that_may_be_older_than_another_change_is_not_kept(world: World) -> None:
    await prepared(world, 3)
    one, two, three = [await world.record(number) for number in (1, 2, 3)]
    world.devices.will_write([one.id, two.id])
    # This may be of a transaction before that one or after it.
    world.devices.publish(one, is_key_kept=True)
    for record in (one, two, three):
        world.devices.publish_written(record)
    assert [world.devices.get_now(each.id) for each in (one, two, three)] == [None, two, None]
    world.devices.publish(two, is_key_kept=True)
    assert world.devices.get_now(two.id) is None


async def test_one_that_comes_goes_and_comes_ends_as_it_did_last(world: World) -> None:
    await prepared(world, 2)
    connections, device, at = world.connections, device_id(1), world.clock.now()
    first = asyncio.create_task(connections.online(device, key("1"), handshake(ip="192.0.2.1")))
    other = asyncio.create_task(connections.online(device_id(2), key("2"), handshake()))
    gone = asyncio.create_task(connections.offline(device, Millis(at + 1)))
    await asyncio.sleep(0)
    world.clock.advance(10)
    again = asyncio.create_task(connections.online(device, key("1"), handshake(ip="192.0.2.9")))
    await asyncio.gather(first, other, gone, again)
    record = await world.record(1)
    assert again.result() == record
    assert (record.last_ip, record.last_heard) == ("192.0.2.9", at + 10)
    assert gone.result() is not None
    assert gone.result().last_heard == at + 1


async def test_who_is_refused_or_unknown_harms_nobody_beside(world: World) -> None:
    await prepared(world, 3)
    # The second one's key is changed by another process; the fourth is on no record.
    row = "UPDATE device_keys SET public_key = $2 WHERE device_id = $1"
    await world.db.transaction(lambda tx: tx.execute(row, device_id(2), key("other")))
    answers = await asyncio.gather(
        *(world.connections.online(device_id(number), key(str(number)), handshake()) for number in (1, 2, 3, 4)),
        return_exceptions=True,
    )
    assert isinstance(answers[1], KeyRefused)
    assert (await world.record(2)).last_handshake_at is None
    assert answers[0] == await world.record(1)
    assert answers[2] == await world.record(3)
    assert answers[3] is None
    assert await world.connections.offline(device_id(9), world.clock.now()) is None


async def test_who_does_not_wait_any_more_holds_nobody_up(world: World) -> None:
    await prepared(world, 2)
    tasks = [
        asyncio.create_task(world.connections.online(device_id(number), key(str(number)), handshake()))
        for number in (1, 2)
    ]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == await world.record(2)


async def test_more_than_can_wait_are_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(world, 1)
    assert database.MAX_WAITING == 10_000
    monkeypatch.setattr("cloudchamber.fleet.presence.MAX_WAITING", 2)
    answers = await asyncio.gather(
        *(world.connections.offline(device_id(1), Millis(number)) for number in range(1, 5)), return_exceptions=True
    )
    assert [type(answer) for answer in answers[2:]] == [StorageBusy, StorageBusy]
    assert (await world.record(1)).last_heard == 2


@pytest.mark.parametrize("comes", [True, False])
async def test_who_gave_a_device_up_meanwhile_is_not_its_owner_again(world: World, comes: bool) -> None:
    """Both may be on the disk with one commit: what is told last is what was written last, and a device that comes
    enters as that. Its events go where it says."""
    ann = await prepared(world, 1)
    await world.ownership.claim(ann, device_id(1))

    async def holds_up_the_writer(_: Transaction) -> None:
        time.sleep(0.1)  # noqa: ASYNC251 - on the writer's thread

    async def come() -> None:
        record = await world.connections.online(device_id(1), key("1"), handshake())
        world.audience.enter(device_id(1), record)

    async def go() -> None:
        await world.connections.offline(device_id(1), world.clock.now())

    first = asyncio.create_task(world.db.transaction(holds_up_the_writer))
    await asyncio.sleep(0.02)
    told = asyncio.create_task(come() if comes else go())
    await asyncio.sleep(0.02)
    await asyncio.gather(first, told, world.ownership.unclaim(ann, device_id(1)))
    assert (await world.record(1)).owner is None
    assert world.changes[-1].owner is None
    member = world.audience.member(device_id(1))
    assert (member is not None) is comes
    assert member is None or member.owner is None
