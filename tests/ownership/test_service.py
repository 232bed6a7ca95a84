"""Claims, claim codes and giving up, over real databases."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import OwnedByCustomer, OwnedByUser
from cloudchamber.access.requester import Anonymous, Customer, ProductClient, User
from cloudchamber.fleet.errors import DeviceNotInProduct, DeviceUnknown
from cloudchamber.fleet.model import Change, Description, DeviceRecord, Product, RecordedKey
from cloudchamber.fleet.store import KeyStore
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.ids import ClientId, CustomerId, ProductId, hash_secret, new_id
from cloudchamber.messaging.audience import Member
from cloudchamber.ownership.errors import BelongsToAnother, DeviceDoesNotExist, DeviceIdMissing, DeviceOffline
from cloudchamber.storage.database import Transaction
from tests.databases import PostgresServer
from tests.world import PASSWORD, World, device_id, key

D = device_id(1)


async def changes(world: World, number: int = 1) -> list[Change]:
    return [entry.change for entry in await world.custody.of_device(world.db, device_id(number))]


async def crowd_of(world: World, product: Product, count: int) -> list[Customer]:
    """Customers of the product, all made at once."""
    ids = [CustomerId(new_id()) for _ in range(count)]

    async def insert(tx: Transaction) -> None:
        for each in ids:
            await tx.execute(
                "INSERT INTO customers (id, product_id, username, created_at, updated_at) VALUES ($1, $2, $1, 0, 0)",
                *(each, product.id),
            )

    await world.db.transaction(insert)
    return [Customer(each, product.id, ClientId("shop-1")) for each in ids]


async def refusal(world: World, requester, reference) -> tuple[int, str]:
    with pytest.raises((BelongsToAnother, DeviceDoesNotExist, DeviceIdMissing, DeviceOffline)) as refused:
        await world.ownership.claim(requester, reference)
    return refused.value.status, refused.value.message


async def test_of_many_customers_who_claim_at_once_one_gets_it(world: World, database_kind: str) -> None:
    count = 1_000 if database_kind == "sqlite" else 100
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    crowd = await crowd_of(world, thing, count)
    answers = await asyncio.gather(*(world.ownership.claim(each, D) for each in crowd), return_exceptions=True)
    won = [each for each, answer in zip(crowd, answers, strict=True) if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert sum(isinstance(answer, BelongsToAnother) for answer in answers) == count - 1
    winner = OwnedByCustomer(won[0].id)
    record = await world.record(1)
    assert record.owner == winner
    assert await world.devices.get(D) == record
    assert [change.owner for change in world.changes[1:]] == [winner]
    assert await changes(world) == [Change.IMPORTED, Change.CLAIMED]
    assert [device.id for device in await world.devices.mine(won[0])] == [D]


async def test_a_customer_claims_devices_of_their_product(world: World) -> None:
    ann = await world.user("ann")
    thing, other = await world.product(ann, "Thing"), await world.product(ann, "Other")
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, other, "lee")
    await world.import_(ann, thing, 1)
    await world.connect(2, key("two"))
    missing = (404, "device does not exist")
    for requester, reference in [(lee, D), (kim, device_id(9)), (kim, device_id(2)), (kim, "Lamp"), (kim, "zz")]:
        assert await refusal(world, requester, reference) == missing
    for reference in (None, ""):
        assert await refusal(world, kim, reference) == (400, "data.deviceID is empty")
    claimed = await world.ownership.claim(kim, f" {D.upper()} ")
    assert claimed == await world.record(1) == world.changes[-1]
    assert (claimed.owner, claimed.product) == (OwnedByCustomer(kim.id), thing.id)
    assert await world.ownership.claim(kim, D) == claimed  # again
    assert await refusal(world, ann, D) == (403, "That belongs to someone else.")
    assert await refusal(world, lee, D) == missing
    assert await changes(world) == [Change.IMPORTED, Change.CLAIMED]
    for requester in (ProductClient(ClientId("c"), thing.id), Anonymous()):
        with pytest.raises(AccessRefused):
            await world.ownership.claim(requester, D)


async def test_a_user_claims_by_id_what_is_connected_or_their_teams(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    thing = await world.join(await world.product(ann), bob, "VIEW_ONLY")
    await world.import_(ann, thing, 1)
    await world.keys.put_on_record(device_id(2), key("two"), "factory")
    assert await refusal(world, eve, D) == (404, "device does not exist")
    assert await refusal(world, eve, device_id(9)) == (404, "device does not exist")
    assert await refusal(world, eve, device_id(2)) == (404, "Core isn't online")
    assert (await world.ownership.claim(bob, D)).owner == OwnedByUser(bob.id)
    await world.connect(2, key("two"))
    assert (await world.ownership.claim(eve, device_id(2))).owner == OwnedByUser(eve.id)
    await world.connections.set_flag(device_id(2), "is_quarantined", value=True)
    await world.ownership.unclaim(eve, device_id(2))
    assert await refusal(world, eve, device_id(2)) == (404, "device does not exist")


async def test_an_unknown_device_that_is_connected_is_claimed_whole(world: World) -> None:
    ann = await world.user("ann")
    assert await world.connect(1, key("one")) is None
    await world.connections.described(D, Description(("led",), {}, "{}"))
    claimed = await world.ownership.claim(ann, D)
    assert (claimed.owner, claimed.product, claimed.functions) == (OwnedByUser(ann.id), None, ("led",))
    assert await KeyStore().of_device(world.db, D) == RecordedKey(key("one"), "first-use")
    assert world.provisional.get(D) is None
    assert world.audience.member(D) == Member.of(D, claimed)
    assert await world.connections.admit(D, key("two")) is None
    assert await changes(world) == [Change.CLAIMED]


async def test_a_refused_claim_leaves_nothing_of_an_unknown_device(make_world) -> None:
    world: World = make_world(claims_by_id=False)
    ann = await world.user("ann")
    await world.connect(1, key("one"))
    assert await refusal(world, ann, D) == (404, "device does not exist")
    assert await world.db.fetch_all("SELECT id FROM devices") == []
    assert world.provisional.get(D) is not None
    code = (await world.ownership.issue_code(ann)).code
    assert await world.ownership.present_code(D, code)


async def test_many_users_at_once_and_an_unknown_device(world: World) -> None:
    people = [await world.user(f"user {number}") for number in range(10)]
    await world.connect(1, key("one"))
    answers = await asyncio.gather(*(world.ownership.claim(each, D) for each in people), return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert sum(isinstance(answer, BelongsToAnother) for answer in answers) == 9
    assert await changes(world) == [Change.CLAIMED]


async def test_giving_up(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    await world.import_(ann, thing, 1)
    await world.ownership.claim(kim, D)
    for requester in (ann, eve):
        with pytest.raises(AccessRefused):
            await world.ownership.unclaim(requester, D)
    with pytest.raises(DeviceUnknown):
        await world.ownership.unclaim(eve, device_id(9))
    await world.ownership.unclaim(kim, D)
    assert ((await world.record(1)).owner, (await world.record(1)).product) == (None, thing.id)
    with pytest.raises(AccessRefused):
        await world.ownership.unclaim(kim, D)
    await world.ownership.claim(kim, D)
    for requester in (eve, kim):
        with pytest.raises(AccessRefused):
            await world.ownership.release(requester, thing, D)
    with pytest.raises(DeviceNotInProduct):
        await world.ownership.release(ann, thing, device_id(9))
    await world.ownership.release(ann, thing, D)
    await world.ownership.release(ann, thing, D)  # nothing left to take
    assert (await world.record(1)).owner is None
    assert await changes(world) == [
        *(Change.IMPORTED, Change.CLAIMED, Change.UNCLAIMED, Change.CLAIMED, Change.RELEASED),
    ]


async def test_giving_up_what_is_somebody_elses_by_now_takes_nothing(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await world.import_(ann, thing, 1)
    await world.ownership.claim(kim, D)
    stale = await world.record(1)
    await world.ownership.unclaim(kim, D)
    await world.ownership.claim(lee, D)
    await world.ownership._give_up(stale, Change.UNCLAIMED, "user:x")
    assert (await world.record(1)).owner == OwnedByCustomer(lee.id)


async def test_a_device_may_be_given_up_while_it_is_changed(
    world: World, database_kind: str, request: pytest.FixtureRequest
) -> None:
    server: PostgresServer | None = request.getfixturevalue("postgres") if database_kind == "postgresql" else None
    before = server.deadlocks() if server else 0
    ann = await world.user("ann")
    thing = await world.product(ann)
    numbers = range(1, 6)
    await world.import_(ann, thing, *numbers)
    for number in numbers:
        await world.ownership.claim(ann, device_id(number))
    found = [await world.record(number) for number in numbers]
    answers = await asyncio.gather(
        *(world.updates.update(ann, each, DeviceChanges(notes="new"), through="owner") for each in found),
        *(world.ownership.unclaim(ann, each.id) for each in found),
        return_exceptions=True,
    )
    assert all(not isinstance(answer, Exception) or isinstance(answer, DeviceUnknown) for answer in answers)
    assert [(await world.record(number)).owner for number in numbers] == [None] * len(numbers)
    assert (server.deadlocks() if server else 0) == before


async def test_unclaims_and_claims_at_once_leave_a_whole_state(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    crowd = await crowd_of(world, thing, 8)
    await world.import_(ann, thing, 1)

    async def live(each: Customer) -> None:
        for _ in range(3):
            answers = await asyncio.gather(
                world.ownership.claim(each, D), world.ownership.unclaim(each, D), return_exceptions=True
            )
            for answer in answers:
                assert answer is None or isinstance(answer, BelongsToAnother | AccessRefused) or answer.id == D

    await asyncio.gather(*map(live, crowd))
    log = await world.custody.of_device(world.db, D)
    for before, after in pairwise(log):
        assert before.after == after.before  # an unbroken chain
        assert (after.before.owner_id is None) != (after.after.owner_id is None)  # from nobody, or to nobody
    record = await world.record(1)
    assert log[-1].after.owner_id == (record.owner.id if record.owner else None)
    assert await world.devices.get(D) == record


async def test_a_code_claims_the_device_that_presents_it(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await world.import_(ann, thing, 1, 2)
    issued = await world.ownership.issue_code(kim, thing)
    assert (len(issued.code), issued.device_ids) == (63, ())
    claimed = await world.ownership.present_code(D, issued.code)
    assert claimed == await world.record(1) == world.changes[-1]
    assert claimed is not None
    assert (claimed.owner, claimed.product) == (OwnedByCustomer(kim.id), thing.id)
    (*_, last) = await world.custody.of_device(world.db, D)
    assert (last.change, last.actor) == (Change.CLAIMED, f"device:{D}")
    # The device did not hear it and says it again; another device is too late.
    assert await world.ownership.present_code(D, issued.code) == claimed
    assert await world.ownership.present_code(device_id(2), issued.code) is None
    assert (await world.ownership.issue_code(kim, thing)).device_ids == (D,)
    # Given up, the used code does not bring it back; nor does anybody's code take it from its owner.
    await world.ownership.unclaim(kim, D)
    assert await world.ownership.present_code(D, issued.code) is None
    await world.ownership.claim(kim, D)
    lees = (await world.ownership.issue_code(lee)).code
    assert await world.ownership.present_code(D, lees) is None
    assert (await world.record(1)).owner == OwnedByCustomer(kim.id)
    assert await world.ownership.present_code(device_id(2), lees)  # a refusal does not use it up


async def test_codes_that_do_nothing(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    thing, other = await world.product(ann, "Thing"), await world.product(ann, "Other")
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, other, "lee")
    await world.import_(ann, thing, 1)
    await world.connect(2, key("two"))
    good = (await world.ownership.issue_code(kim)).code
    for device, code in [
        (D, "wrong"),
        (D, ""),
        (D, good[:-1]),
        (D, good + "x"),  # 64 characters, one more than a code has
        (D, (await world.ownership.issue_code(lee)).code),  # of another product
        (D, (await world.ownership.issue_code(eve)).code),  # of a user outside the team
        (device_id(2), good),  # a device that is not in the product
        (device_id(3), (await world.ownership.issue_code(eve)).code),  # a device that never was
    ]:
        assert await world.ownership.present_code(device, code) is None
    world.clock.advance(3_600_000)
    assert await world.ownership.present_code(D, good) is None
    assert (await world.record(1)).owner is None
    assert await world.db.fetch_all("SELECT id FROM devices") == [(D,)]
    assert await world.db.fetch_all("SELECT device_id FROM claim_codes WHERE device_id IS NOT NULL") == []


async def test_the_code_of_a_customer_who_is_gone_is_void(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    await world.import_(ann, thing, 1)
    code = (await world.ownership.issue_code(kim)).code

    async def delete(tx) -> None:
        await tx.execute("DELETE FROM customers WHERE id = $1", kim.id)

    await world.db.transaction(delete)
    assert await world.ownership.present_code(D, code) is None
    assert (await world.record(1)).owner is None


async def test_a_users_code_claims_an_unknown_device_with_its_key(world: World) -> None:
    ann = await world.user("ann")
    await world.connect(1, key("one"))
    code = (await world.ownership.issue_code(ann)).code
    claimed = await world.ownership.present_code(D, code)
    assert claimed is not None
    assert claimed.owner == OwnedByUser(ann.id)
    assert await KeyStore().of_device(world.db, D) == RecordedKey(key("one"), "first-use")
    assert world.audience.member(D) == Member.of(D, claimed)


async def test_one_code_at_many_devices_at_once(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    await world.import_(ann, thing, *range(1, 11))
    code = (await world.ownership.issue_code(kim)).code
    answers = await asyncio.gather(*(world.ownership.present_code(device_id(n), code) for n in range(1, 11)))
    assert sum(answer is not None for answer in answers) == 1
    assert len(await world.devices.mine(kim)) == 1


async def test_who_gets_a_code(world: World) -> None:
    ann = await world.user("ann")
    thing, other = await world.product(ann, "Thing"), await world.product(ann, "Other")
    kim = await world.customer(ann, thing, "kim")
    server = ProductClient(ClientId("c-1"), thing.id)
    for requester, product in [(ann, thing), (server, thing), (server, None), (kim, other), (Anonymous(), None)]:
        with pytest.raises(AccessRefused):
            await world.ownership.issue_code(requester, product)
    code = (await world.ownership.issue_code(ann)).code
    assert await world.db.fetch_all("SELECT hash FROM claim_codes") == [(hash_secret(code),)]


async def test_a_claim_in_flight_of_somebody_who_is_gone_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that is deleted between the claim's question and its answer would own the device for ever."""
    ann, bob = await world.user("ann"), await world.user("bob")
    await world.connect(1, key("1"))
    is_member = world.products.is_member

    async def ann_goes(requester: User, product: ProductId | None) -> bool:
        found = await is_member(requester, product)
        await world.accounts.delete(ann, PASSWORD)
        return found

    monkeypatch.setattr(world.products, "is_member", ann_goes)
    with pytest.raises(DeviceDoesNotExist):
        await world.ownership.claim(ann, device_id(1))
    monkeypatch.undo()
    assert await world.devices.get(device_id(1)) is None, "and it was not even put on record"
    assert (await world.ownership.claim(bob, device_id(1))).owner == OwnedByUser(bob.id)


async def test_a_code_of_somebody_who_is_gone_claims_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked for as its owner's account was deleted, and came on record just after."""
    ann, bob = await world.user("ann"), await world.user("bob")
    await world.accounts.delete(ann, PASSWORD)
    late = await world.ownership.issue_code(ann)
    await world.connect(1, key("1"))
    assert await world.ownership.present_code(device_id(1), late.code) is None
    good = await world.ownership.issue_code(bob)
    claimed = await world.ownership.present_code(device_id(1), good.code)
    assert claimed is not None
    assert claimed.owner == OwnedByUser(bob.id)


async def test_a_team_releases_nothing_of_another_product(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device went from one to the other, with its owner, while they asked."""
    ann, eve = await world.user("ann"), await world.user("eve")
    thing, other = await world.product(ann, "Thing"), await world.product(eve, "Other")
    await world.import_(ann, thing, 1)
    await world.join(thing, eve, "VIEW_ONLY")
    await world.ownership.claim(eve, D)
    in_product = world.devices.in_product

    async def moved_meanwhile(*asked: Any) -> DeviceRecord:
        found = await in_product(*asked)
        monkeypatch.undo()
        await world.updates.remove(ann, thing, D)
        await world.import_(eve, other, 1)
        return found

    monkeypatch.setattr(world.devices, "in_product", moved_meanwhile)
    with pytest.raises(DeviceNotInProduct):
        await world.ownership.release(ann, thing, D)
    record = await world.record(1)
    assert (record.product, record.owner) == (other.id, OwnedByUser(eve.id))
