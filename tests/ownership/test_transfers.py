"""Asking for somebody's device, and what becomes of it."""

import asyncio
from dataclasses import replace

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import OwnedByUser, Owner
from cloudchamber.access.requester import Customer, ProductClient, User
from cloudchamber.clock import DAY, Millis
from cloudchamber.fleet.model import Change, Product
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.ids import ClientId, ProductId, UserId
from cloudchamber.ownership.errors import BelongsToAnother, DeviceDoesNotExist
from cloudchamber.ownership.transfers.errors import TooManyTransfers, TransferInvalid, TransferNotFound, TransferOver
from cloudchamber.ownership.transfers.model import Status, Transfer
from cloudchamber.ownership.transfers.rules import (
    LIFETIME_MS,
    MAX_PENDING_OF_DEVICE,
    MAX_PENDING_OF_TAKER,
    RESPITE_MS,
    Asking,
    approval,
    asking,
    at,
)
from tests.fleet.test_rules import device
from tests.world import PASSWORD, World, device_id, key

D = device_id(1)
ANN, BOB, EVE = (OwnedByUser(UserId(name)) for name in ("ann", "bob", "eve"))
NOW = Millis(1_000_000_000_000)


def transfer(taker: Owner = BOB, **fields) -> Transfer:
    made = Transfer("t", D, ANN, taker, Status.PENDING, NOW, Millis(NOW + LIFETIME_MS), None)
    return replace(made, **fields)


# --- rules -----------------------------------------------------------------------------------------------------------


def test_a_request_ends_by_itself() -> None:
    assert at(transfer(), Millis(NOW + LIFETIME_MS - 1)).status is Status.PENDING
    assert at(transfer(), Millis(NOW + LIFETIME_MS)).status is Status.EXPIRED
    assert at(transfer(status=Status.DENIED), Millis(NOW + 2 * LIFETIME_MS)).status is Status.DENIED


@pytest.mark.parametrize(
    ("of_device", "of_taker", "later_ms", "expected"),
    [
        ([], 0, 0, Asking.ASK),
        ([transfer()], 1, 0, Asking.ASKED_ALREADY),
        ([transfer()], 0, LIFETIME_MS, Asking.ASK),
        ([transfer(EVE)], 0, 0, Asking.ASK),
        ([transfer(status=Status.CANCELLED)], 0, 0, Asking.ASK),
        ([transfer(status=Status.DENIED, decided_at=NOW)], 0, RESPITE_MS - 1, Asking.REFUSED_LATELY),
        ([transfer(status=Status.DENIED, decided_at=NOW)], 0, RESPITE_MS, Asking.ASK),
        ([transfer(EVE, status=Status.DENIED, decided_at=NOW)], 0, 0, Asking.ASK),
        ([transfer(giver=EVE)], 0, 0, Asking.ASK),
        ([transfer(giver=EVE, status=Status.DENIED, decided_at=NOW)], 0, 0, Asking.ASK),
        ([transfer(EVE, giver=EVE)] * MAX_PENDING_OF_DEVICE, 0, 0, Asking.ASK),
        ([transfer(EVE)] * MAX_PENDING_OF_DEVICE, 0, 0, Asking.TOO_MANY),
        ([transfer(EVE)] * (MAX_PENDING_OF_DEVICE - 1), 0, 0, Asking.ASK),
        ([], MAX_PENDING_OF_TAKER, 0, Asking.TOO_MANY),
    ],
)
def test_who_may_ask(of_device, of_taker, later_ms, expected) -> None:
    assert asking(of_device, of_taker, ANN, BOB, Millis(NOW + later_ms)) is expected


@pytest.mark.parametrize(
    ("asked", "known", "may_own", "later_ms", "expected"),
    [
        (transfer(), device(owner=ANN), True, 0, Status.APPROVED),
        (transfer(), device(owner=ANN), True, LIFETIME_MS, Status.EXPIRED),
        (transfer(), device(owner=ANN), False, 0, Status.VOID),
        (transfer(), device(owner=EVE), True, 0, Status.VOID),
        (transfer(), device(owner=None), True, 0, Status.VOID),
        (transfer(), None, True, 0, Status.VOID),
        (transfer(), device(owner=ANN, is_denied=True), True, 0, Status.VOID),
        (transfer(), device(owner=ANN, is_quarantined=True), True, 0, Status.VOID),
        (transfer(status=Status.DENIED), device(owner=ANN), True, 0, Status.DENIED),
        (transfer(status=Status.CANCELLED), device(owner=ANN), True, 0, Status.CANCELLED),
    ],
)
def test_what_a_yes_does(asked, known, may_own, later_ms, expected) -> None:
    assert approval(asked, known, Millis(NOW + later_ms), may_own=may_own) is expected


# --- the service -----------------------------------------------------------------------------------------------------


async def owned(world: World, who: User | Customer, number: int = 1) -> None:
    await world.connect(number, key(str(number)))
    await world.ownership.claim(who, device_id(number))


async def letters(world: World) -> list[str]:
    """To whom mail went since the last look."""
    await world.transfers.close()
    sent = [to for to, _ in world.letters.sent]
    world.letters.sent.clear()
    return sent


async def test_a_device_goes_from_one_to_the_next(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    await owned(world, ann)
    await world.updates.update(ann, await world.record(1), DeviceChanges(name="Ann's", notes="mine"), through="owner")
    with pytest.raises(BelongsToAnother):
        await world.ownership.claim(bob, D)
    asked = await world.transfers.request(bob, D)
    assert (asked.giver, asked.taker, asked.status) == (OwnedByUser(ann.id), OwnedByUser(bob.id), Status.PENDING)
    await world.transfers.close()
    ((to, text),) = world.letters.sent
    assert to == "ann"
    assert all(part in text for part in ("bob", D, f"https://cloud.example.com/v1/transfers/{asked.id}"))
    world.letters.sent.clear()
    (seen,) = await world.transfers.mine(ann)
    assert (seen.transfer, seen.is_incoming, seen.requested_by) == (asked, True, "bob")
    (seen,) = await world.transfers.mine(bob)
    assert (seen.transfer, seen.is_incoming, seen.requested_by) == (asked, False, None)
    world.changes.clear()
    approved = await world.transfers.decide(ann, asked.id, "approve")
    assert approved.status is Status.APPROVED
    record = await world.record(1)
    assert (record.owner, record.name, record.notes) == (OwnedByUser(bob.id), None, None)
    assert record.owned_since == world.clock.now()
    assert world.changes == [record]
    (*_, last) = await world.custody.of_device(world.db, D)
    assert (last.change, last.actor, last.before.owner_id, last.after.owner_id) == (
        *(Change.TRANSFERRED, f"user:{ann.id}"),
        *(ann.id, bob.id),
    )
    assert await letters(world) == ["bob"]
    for who, answer in ((ann, "approve"), (ann, "deny")):
        with pytest.raises(TransferOver, match="approved before"):
            await world.transfers.decide(who, asked.id, answer)
    assert (await world.record(1)).owner == OwnedByUser(bob.id)


async def test_a_no(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    await owned(world, ann)
    asked = await world.transfers.request(bob, D)
    assert await letters(world) == ["ann"]
    assert (await world.transfers.request(bob, D)).id == asked.id  # and no second mail
    assert await letters(world) == []
    with pytest.raises(TransferInvalid):
        await world.transfers.decide(ann, asked.id, "perhaps")
    assert (await world.transfers.decide(ann, asked.id, "deny")).status is Status.DENIED
    assert (await world.record(1)).owner == OwnedByUser(ann.id)
    assert await letters(world) == ["bob"]
    with pytest.raises(BelongsToAnother, match="refused"):
        await world.transfers.request(bob, D)
    assert await letters(world) == []
    world.clock.advance(8 * DAY)
    assert (await world.transfers.request(bob, D)).id != asked.id


async def test_it_is_nobody_elses_to_answer_or_to_see(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    thing = await world.product(eve)
    await owned(world, ann)
    asked = await world.transfers.request(bob, D)
    for answer in ("approve", "deny", "x"):
        for who in (bob, eve):
            with pytest.raises(TransferNotFound):
                await world.transfers.decide(who, asked.id, answer)
    for who in (ann, eve):
        with pytest.raises(TransferNotFound):
            await world.transfers.cancel(who, asked.id)
    with pytest.raises(TransferNotFound):
        await world.transfers.get(eve, asked.id)
    assert await world.transfers.mine(eve) == []
    server = ProductClient(ClientId("c"), thing.id)
    for act in (
        world.transfers.mine(server),
        world.transfers.request(server, D),
        world.transfers.get(server, asked.id),
    ):
        with pytest.raises(AccessRefused):
            await act


async def test_a_request_can_be_taken_back_and_expires(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    await owned(world, ann)
    asked = await world.transfers.request(bob, D)
    await world.transfers.cancel(bob, asked.id)
    with pytest.raises(TransferOver, match="taken back"):
        await world.transfers.decide(ann, asked.id, "approve")
    with pytest.raises(TransferOver, match="taken back"):
        await world.transfers.cancel(bob, asked.id)
    again = await world.transfers.request(bob, D)
    world.clock.advance(7 * DAY)
    assert (await world.transfers.get(bob, again.id)).transfer.status is Status.EXPIRED
    for answer in ("approve", "deny"):
        with pytest.raises(TransferOver, match="in time"):
            await world.transfers.decide(ann, again.id, answer)
    assert (await world.record(1)).owner == OwnedByUser(ann.id)
    assert await world.transfers.purge() == 0
    world.clock.advance(31 * DAY)
    assert await world.transfers.purge() == 2
    assert await world.transfers.mine(bob) == []


async def test_a_request_ends_with_what_it_was_about(world: World) -> None:
    """The giver gave the device up, or lost it to somebody else who asked."""
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    await owned(world, ann)
    first, second = await world.transfers.request(bob, D), await world.transfers.request(eve, D)
    await world.transfers.decide(ann, second.id, "approve")
    assert (await world.transfers.get(bob, first.id)).transfer.status is Status.VOID
    with pytest.raises(TransferOver, match="void"):
        await world.transfers.decide(ann, first.id, "approve")
    third = await world.transfers.request(bob, D)  # of its new owner
    await world.ownership.unclaim(eve, D)
    await world.ownership.claim(ann, D)
    assert (await world.transfers.get(bob, third.id)).transfer.status is Status.VOID
    with pytest.raises(TransferOver, match="void"):
        await world.transfers.decide(eve, third.id, "approve")
    with pytest.raises(TransferNotFound):
        await world.transfers.decide(ann, third.id, "approve")  # nobody asked her
    assert (await world.record(1)).owner == OwnedByUser(ann.id)


async def product_with(world: World, *names: str) -> tuple[User, Product, list[Customer]]:
    maker = await world.user("maker")
    thing = await world.product(maker)
    return maker, thing, [await world.customer(maker, thing, name) for name in names]


async def test_customers_hand_on_devices_of_their_product(world: World) -> None:
    maker, thing, (kim, lee) = await product_with(world, "kim", "lee")
    other = await world.product(maker, "Other")
    stranger, bob = await world.customer(maker, other, "stranger"), await world.user("bob")
    await world.import_(maker, thing, 1)
    await world.ownership.claim(kim, D)
    for who in (stranger, bob):  # not even told that it is there
        with pytest.raises(DeviceDoesNotExist):
            await world.transfers.request(who, D)
    asked = await world.transfers.request(lee, D)
    await world.transfers.decide(kim, asked.id, "approve")
    record = await world.record(1)
    assert (record.owner and record.owner.id, record.product) == (lee.id, thing.id)
    # And the team may ask, as it may claim.
    asked = await world.transfers.request(maker, D)
    await world.transfers.decide(lee, asked.id, "approve")
    assert (await world.record(1)).owner == OwnedByUser(maker.id)


async def test_who_may_not_own_it_any_more_does_not_get_it(world: World) -> None:
    maker, thing, (kim, lee) = await product_with(world, "kim", "lee")
    await world.import_(maker, thing, 1)
    await world.ownership.claim(maker, D)
    asked = await world.transfers.request(kim, D)
    await world.updates.remove(maker, thing, D)  # a device of its maker's now, in no product
    with pytest.raises(TransferOver, match="void"):
        await world.transfers.decide(maker, asked.id, "approve")
    assert (await world.record(1)).owner == OwnedByUser(maker.id)
    with pytest.raises(DeviceDoesNotExist):
        await world.transfers.request(lee, D)


async def test_requests_go_with_their_people(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    await owned(world, ann)
    for who in (bob, eve):
        await world.transfers.request(who, D)

    async def leave(tx) -> None:
        await world.transfers.leave(tx, bob.id, world.clock.now())

    await world.db.transaction(leave)
    assert [view.requested_by for view in await world.transfers.mine(ann)] == ["eve"]


async def test_only_so_many_requests_wait(world: World, monkeypatch) -> None:
    monkeypatch.setattr("cloudchamber.ownership.transfers.rules.MAX_PENDING_OF_TAKER", 2)
    ann, bob = await world.user("ann"), await world.user("bob")
    for number in (1, 2, 3):
        await owned(world, ann, number)
    for number in (1, 2):
        await world.transfers.request(bob, device_id(number))
    with pytest.raises(TooManyTransfers):
        await world.transfers.request(bob, device_id(3))
    assert await letters(world) == ["ann", "ann"]


async def test_of_two_answers_at_once_one_counts(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    await owned(world, ann)
    asked = [await world.transfers.request(who, D) for who in (bob, eve)]
    outcomes = await asyncio.gather(
        *(world.transfers.decide(ann, each.id, "approve") for each in asked), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, Transfer)]
    assert len(won) == 1
    assert sum(isinstance(outcome, TransferOver) for outcome in outcomes) == 1
    assert (await world.record(1)).owner == won[0].taker
    entries = await world.custody.of_device(world.db, D)
    assert [entry.change for entry in entries].count(Change.TRANSFERRED) == 1


async def test_what_a_former_owner_was_asked_keeps_nobody_from_asking_the_next(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    await owned(world, ann)
    first = await world.transfers.request(bob, D)
    await world.ownership.unclaim(ann, D)
    await world.ownership.claim(eve, D)
    await letters(world)
    # It still waits for Ann, whose the device is not any more.
    second = await world.transfers.request(bob, D)
    assert (second.giver, await letters(world)) == (OwnedByUser(eve.id), ["eve"])
    # And Ann's no is not Eve's.
    await world.transfers.cancel(bob, second.id)
    await world.transfers.decide(ann, first.id, "deny")
    third = await world.transfers.request(bob, D)
    assert third.giver == OwnedByUser(eve.id)
    assert (await world.transfers.decide(eve, third.id, "approve")).status is Status.APPROVED


async def test_a_device_goes_to_nobody_whose_account_is_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request in flight came on record just after its taker's account went."""
    ann, bob = await world.user("ann"), await world.user("bob")
    await owned(world, ann)
    is_member = world.products.is_member

    async def bob_goes(requester: User, product: ProductId | None) -> bool:
        await world.accounts.delete(bob, PASSWORD)
        return await is_member(requester, product)

    monkeypatch.setattr(world.products, "is_member", bob_goes)
    late = await world.transfers.request(bob, D)
    with pytest.raises(TransferOver, match="void"):
        await world.transfers.decide(ann, late.id, "approve")
    assert (await world.record(1)).owner == OwnedByUser(ann.id)
