"""Asking for somebody's device, and answering.

A device goes from its giver to its taker in one transaction, without ever being nobody's. What the giver wrote down of
it goes with the giver, as at every change of owner (fleet/store.py, `set_owner`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cloudchamber.access.model import Action, OwnedByCustomer, OwnedByUser, Owner, OwnThings
from cloudchamber.access.requester import Requester, describe
from cloudchamber.access.rules import may_own, owner_of
from cloudchamber.access.service import require
from cloudchamber.clock import DAY, Clock, Millis
from cloudchamber.errors import CloudError
from cloudchamber.fleet.model import Change, Custody, DeviceRecord
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.store import CustodyLog, DeviceStore
from cloudchamber.identity.outbox import Background, Outbox
from cloudchamber.identity.service import Customers
from cloudchamber.ids import CustomerId, DeviceId, ProductId, UserId, new_id
from cloudchamber.ownership.errors import BelongsToAnother, DeviceDoesNotExist
from cloudchamber.ownership.transfers.errors import TooManyTransfers, TransferInvalid, TransferOver, transfer_not_found
from cloudchamber.ownership.transfers.model import Status, Transfer, TransferView
from cloudchamber.ownership.transfers.rules import LIFETIME_MS, RESPITE_MS, Asking, approval, asking, at, of_giver
from cloudchamber.ownership.transfers.store import TransferStore
from cloudchamber.storage.database import Database, Transaction

# Long enough to look back at, and longer than an owner's respite.
_KEPT_MS: Final = 30 * DAY
assert _KEPT_MS > RESPITE_MS

_OVER: Final = {
    Status.APPROVED: "was approved before",
    Status.DENIED: "was denied before",
    Status.CANCELLED: "was taken back by whoever asked",
    Status.EXPIRED: "was not answered in time",
    Status.VOID: "is void: the device cannot go to whoever asked any more",
}


class Transfers:
    def __init__(
        self,
        db: Database,
        store: TransferStore,
        devices: Devices,
        device_store: DeviceStore,
        custody: CustodyLog,
        products: Products,
        customers: Customers,
        outbox: Outbox,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._db = db
        self._store = store
        self._devices = devices
        self._device_store = device_store
        self._custody = custody
        self._products = products
        self._customers = customers
        self._outbox = outbox
        self._clock = clock
        self._public_url = public_url
        self._background = Background("a mail about a transfer could not be sent")

    # -- asking -------------------------------------------------------------------------------------------------------

    async def request(self, requester: Requester, device: DeviceId) -> Transfer:
        """For a device that a claim said belongs to somebody else. Its owner gets a mail; who asks again while the
        owner thinks gets the same transfer, and the owner no mail.

        Raises AccessRefused, DeviceDoesNotExist, BelongsToAnother, TooManyTransfers.
        """
        require(requester, Action.DEVICES_TRANSFER, OwnThings())
        taker = owner_of(requester)
        assert taker is not None, "only users and customers pass the rule"
        record = await self._devices.get(device)
        product = record.product if record else None
        is_member = await self._products.is_member(requester, product)
        organization = await self._products.organization_of(product)
        now, id_ = self._clock.now(), new_id()

        async def write(tx: Transaction) -> tuple[Asking, Transfer] | None:
            known = await self._device_store.by_id(tx, device)
            if (
                known is None
                or known.owner in (None, taker)
                or known.product != product
                or known.is_shut_out
                or not may_own(requester, known.product, is_member=is_member, organization=organization)
            ):
                return None
            assert known.owner is not None
            earlier = of_giver(await self._store.of_device(tx, device), known.owner)
            outcome = asking(earlier, await self._store.pending_of_taker(tx, taker, now), known.owner, taker, now)
            if outcome is Asking.ASKED_ALREADY:
                waits = (each for each in earlier if each.taker == taker and at(each, now).status is Status.PENDING)
                return outcome, next(waits)
            made = Transfer(id_, device, known.owner, taker, Status.PENDING, now, Millis(now + LIFETIME_MS), None)
            if outcome is Asking.ASK:
                await self._store.insert(tx, made)
            return outcome, made

        done = await self._db.transaction(write)
        if done is None:
            raise DeviceDoesNotExist("device does not exist")
        outcome, transfer = done
        match outcome:
            case Asking.REFUSED_LATELY:
                raise BelongsToAnother("That belongs to someone else. Its owner was asked lately, and refused.")
            case Asking.TOO_MANY:
                raise TooManyTransfers(DAY, "Too many transfer requests wait for an answer: try again later")
            case Asking.ASK:
                self._background.start(self._ask_giver(transfer))
        return transfer

    async def cancel(self, requester: Requester, id_: str) -> None:
        """By whoever asked. Raises AccessRefused, TransferNotFound, TransferOver."""
        party = self._party(requester)
        now = self._clock.now()

        async def write(tx: Transaction) -> Status | None:
            known = await self._store.by_id(tx, id_)
            if known is None or known.taker != party:
                return None
            known = at(known, now)
            if known.status is Status.PENDING:
                await self._store.decide(tx, id_, Status.CANCELLED, now)
            return known.status

        found = await self._db.transaction(write)
        if found is not Status.PENDING:
            raise _over(found)

    # -- answering ----------------------------------------------------------------------------------------------------

    async def decide(self, requester: Requester, id_: str, answer: str | None) -> Transfer:
        """`approve` or `deny`, by the owner who was asked.

        Raises AccessRefused, TransferNotFound, TransferOver, TransferInvalid.
        """
        party = self._party(requester)
        found = await self._store.by_id(self._db, id_)
        if found is None or found.giver != party:
            raise transfer_not_found()
        match answer:
            case "approve":
                return await self._approve(requester, found)
            case "deny":
                return await self._deny(found)
            case _:
                raise TransferInvalid("action must be approve or deny")

    async def _approve(self, requester: Requester, transfer: Transfer) -> Transfer:
        record = await self._devices.get(transfer.device)
        product = record.product if record else None
        is_allowed = await self._may_own(transfer.taker, product)
        now, actor = self._clock.now(), describe(requester)

        async def write(tx: Transaction) -> tuple[Status | None, DeviceRecord | None]:
            known = await self._store.by_id(tx, transfer.id)
            if known is None:
                return None, None
            device = await self._device_store.by_id(tx, known.device)
            allowed = is_allowed and device is not None and device.product == product
            allowed = allowed and await self._device_store.has_account(tx, known.taker)
            outcome = approval(known, device, now, may_own=allowed)
            if outcome is Status.VOID and known.status is Status.PENDING:
                await self._store.decide(tx, known.id, Status.VOID, now)
            if outcome is not Status.APPROVED or known.status is not Status.PENDING:
                return outcome, None
            assert device is not None
            await self._store.decide(tx, known.id, Status.APPROVED, now)
            await self._store.void_others(tx, known.device, known.id, now)
            await self._device_store.set_owner(tx, known.device, known.taker, now)
            after = Custody.of(device.product, known.taker)
            await self._custody.append(tx, device, after, Change.TRANSFERRED, actor, now)
            return outcome, await self._device_store.by_id(tx, known.device)

        outcome, changed = await self._db.transaction(write)
        if changed is None:
            raise _over(outcome)
        self._devices.publish(changed)
        self._background.start(self._tell_taker(transfer, is_approved=True))
        return await self._again(transfer)

    async def _deny(self, transfer: Transfer) -> Transfer:
        now = self._clock.now()

        async def write(tx: Transaction) -> Status | None:
            known = await self._store.by_id(tx, transfer.id)
            if known is None:
                return None
            known = at(known, now)
            if known.status is Status.PENDING:
                await self._store.decide(tx, known.id, Status.DENIED, now)
            return known.status

        found = await self._db.transaction(write)
        if found is not Status.PENDING:
            raise _over(found)
        self._background.start(self._tell_taker(transfer, is_approved=False))
        return await self._again(transfer)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def mine(self, requester: Requester) -> list[TransferView]:
        """Those that the requester asked for, and those that the requester is asked. Raises AccessRefused."""
        party = self._party(requester)
        return [await self._view(transfer, party) for transfer in await self._store.of_party(self._db, party)]

    async def get(self, requester: Requester, id_: str) -> TransferView:
        """Raises AccessRefused, TransferNotFound."""
        party = self._party(requester)
        found = await self._store.by_id(self._db, id_)
        if found is None or party not in (found.giver, found.taker):
            raise transfer_not_found()
        return await self._view(found, party)

    # -- accounts that go ---------------------------------------------------------------------------------------------

    async def leave(self, tx: Transaction, user: UserId, now: Millis) -> Callable[[], None]:
        await self._store.delete_of(tx, OwnedByUser(user))
        return _nothing

    async def leave_customer(
        self, tx: Transaction, customer: CustomerId, actor: str, now: Millis
    ) -> Callable[[], None]:
        await self._store.delete_of(tx, OwnedByCustomer(customer))
        return _nothing

    async def purge(self) -> int:
        before = Millis(self._clock.now() - _KEPT_MS)

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_older(tx, before)

        return await self._db.transaction(delete)

    async def close(self) -> None:
        """Waits for mail that is being sent."""
        await self._background.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _party(self, requester: Requester) -> Owner:
        """Raises AccessRefused."""
        require(requester, Action.DEVICES_TRANSFER, OwnThings())
        party = owner_of(requester)
        assert party is not None, "only users and customers pass the rule"
        return party

    async def _again(self, transfer: Transfer) -> Transfer:
        found = await self._store.by_id(self._db, transfer.id)
        if found is None:
            raise transfer_not_found()
        return found

    async def _view(self, transfer: Transfer, party: Owner) -> TransferView:
        is_incoming = transfer.giver == party
        name = await self._devices.owner_name(transfer.taker) if is_incoming else None
        transfer = at(transfer, self._clock.now())
        if transfer.status is Status.PENDING:
            device = await self._devices.get(transfer.device)
            if device is None or device.owner != transfer.giver:
                transfer = replace(transfer, status=Status.VOID)
        return TransferView(transfer, is_incoming, name)

    async def _may_own(self, taker: Owner, product: ProductId | None) -> bool:
        """As `access.rules.may_own`, of somebody who is not asking now."""
        if isinstance(taker, OwnedByUser):
            return product is None or taker.id in (await self._products.by_id(product)).team
        account = await self._customers.get(taker.id)
        if account is None or product is None:
            return False
        if account.organization is not None:
            return await self._products.organization_of(product) == account.organization
        return account.product == product

    # -- mail ---------------------------------------------------------------------------------------------------------

    async def _ask_giver(self, transfer: Transfer) -> None:
        giver = await self._devices.owner_name(transfer.giver)
        taker = await self._devices.owner_name(transfer.taker)
        if giver is None or taker is None:
            return
        path = f"{self._public_url}/v1/transfers/{transfer.id}"
        header = '-H "Authorization: Bearer YOUR-TOKEN"'
        await self._outbox.send(
            giver,
            "Somebody asks for one of your devices",
            f"{taker} asks you for the device {transfer.device}.\n\n"
            "It stays yours unless you give it away. To give it to them, run within seven days:\n\n"
            f"  curl -X POST {path} {header} -d action=approve\n\n"
            "From then on you can neither see it nor use it. To say no:\n\n"
            f"  curl -X POST {path} {header} -d action=deny\n",
        )

    async def _tell_taker(self, transfer: Transfer, *, is_approved: bool) -> None:
        taker = await self._devices.owner_name(transfer.taker)
        if taker is not None:
            outcome = "is yours now" if is_approved else "stays with its owner, who said no"
            await self._outbox.send(
                taker, "The device that you asked for", f"The device {transfer.device} {outcome}.\n"
            )


def _over(status: Status | None) -> CloudError:
    """Why a transfer cannot be answered or taken back: what it was found to be, None when it is not there."""
    return transfer_not_found() if status is None else TransferOver(f"The transfer {_OVER[status]}")


def _nothing() -> None:
    """Nobody keeps anything of transfers in memory."""
