"""Claiming and unclaiming. Every change is one transaction that reads the device again, decides, writes and appends to
the custody log: of a thousand who claim one device at once, one gets it."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from cloudchamber.access.model import Action, OwnedByCustomer, OwnedByUser, Owner, OwnThings
from cloudchamber.access.requester import Customer, Requester, User, describe
from cloudchamber.access.requester import Device as DeviceRequester
from cloudchamber.access.rules import may_own, owner_of
from cloudchamber.access.service import require
from cloudchamber.clock import DAY, Clock, Millis
from cloudchamber.fleet.errors import device_not_in_product
from cloudchamber.fleet.model import Change, Custody, DeviceRecord, Product
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Arrival, Devices
from cloudchamber.fleet.store import CustodyLog, DeviceStore, KeyStore
from cloudchamber.ids import CustomerId, DeviceId, ProductId, UserId, hash_secret, new_claim_code, parse_device_id
from cloudchamber.ownership.errors import BelongsToAnother, DeviceDoesNotExist, DeviceIdMissing, DeviceOffline
from cloudchamber.ownership.model import ClaimCode
from cloudchamber.ownership.rules import Circumstances, Claim, CodeState, claim, code_reaches, code_state
from cloudchamber.ownership.store import ClaimCodeStore
from cloudchamber.storage.database import Database, Transaction


class NewClaimCode(msgspec.Struct, frozen=True):
    """`device_ids`: what the requester owns already, so that an app can see the new one appear."""

    code: str
    device_ids: tuple[DeviceId, ...]


_DOES_NOT_EXIST: Final = "device does not exist"


class Ownership:
    def __init__(
        self,
        db: Database,
        codes: ClaimCodeStore,
        devices: Devices,
        store: DeviceStore,
        keys: KeyStore,
        custody: CustodyLog,
        products: Products,
        live: LiveDevices,
        clock: Clock,
        *,
        code_lifetime_s: int,
        claims_by_id_outside_products: bool,
        compat_uses: Counter[str] | None = None,
    ) -> None:
        self._db = db
        self._codes = codes
        self._devices = devices
        self._store = store
        self._keys = keys
        self._custody = custody
        self._products = products
        self._live = live
        self._clock = clock
        self._code_lifetime_s = code_lifetime_s
        self._by_id_outside_products = claims_by_id_outside_products
        self._compat_uses = Counter[str]() if compat_uses is None else compat_uses

    # -- claim codes ------------------------------------------------------------------------------------------------

    async def issue_code(self, requester: Requester, product: Product | None = None) -> NewClaimCode:
        """A code for the device that the requester sets up next. Under a product's path only its customers get one.

        Raises AccessRefused.
        """
        require(requester, Action.CLAIM_CODES_CREATE, product.resource(requester) if product else OwnThings())
        owner = owner_of(requester)
        assert owner is not None, "only users and customers pass the rule"
        code = new_claim_code()
        now = self._clock.now()
        record = ClaimCode(
            hash=hash_secret(code),
            owner=owner,
            product=_reach(requester, product),
            created_at=now,
            expires_at=Millis(now + self._code_lifetime_s * 1000),
            used_by=None,
        )

        async def insert(tx: Transaction) -> None:
            await self._codes.insert(tx, record)

        await self._db.transaction(insert)
        owned = await self._store.of_owner(self._db, owner)
        return NewClaimCode(code, tuple(device.id for device in owned))

    async def present_code(self, device: DeviceId, code: str) -> DeviceRecord | None:
        """The device presents a code. Returns its record when it belongs to the code's owner now, else None: a wrong,
        spent or expired code leaves the device as it was."""
        hash_ = hash_secret(code)
        now = self._clock.now()
        found = await self._codes.by_hash(self._db, hash_)
        if found is None:
            return None
        record = await self._devices.get(device)
        product = record.product if record else None
        is_member = await self._is_member(found.owner, product)
        organization = await self._products.organization_of(product)
        arrival = self._devices.arrival(device)
        presented = self._live.presented_key(device)
        actor = describe(DeviceRequester(device))

        async def consume(tx: Transaction) -> tuple[DeviceRecord | None, bool]:
            known = await self._codes.by_hash(tx, hash_)
            if known is None:
                return None, False
            state = code_state(known, device, now)
            if state in {CodeState.SPENT, CodeState.EXPIRED}:
                return None, False
            record = await self._store.by_id(tx, device)
            if record is None and (isinstance(known.owner, OwnedByCustomer) or arrival is None):
                return None, False
            record = record or await self._devices.register(tx, device, arrival, now)
            if not code_reaches(known, record, organization if record.product == product else None):
                return None, False
            given = Circumstances(
                may_own=isinstance(known.owner, OwnedByCustomer)
                or record.product is None
                or (is_member and record.product == product),
                is_online=True,
                has_code=True,
                by_id_outside_products=self._by_id_outside_products,
            )
            match claim(record, known.owner, given):
                case Claim.YOURS_ALREADY:
                    await self._codes.mark_used(tx, hash_, device, now)
                    return record, False
                case Claim.TAKE if state is CodeState.GOOD:
                    if not await self._store.has_account(tx, known.owner):
                        return None, False
                    await self._codes.mark_used(tx, hash_, device, now)
                    await self._keys.settle(tx, device, presented)
                    return await self._set_owner(tx, record, known.owner, Change.CLAIMED, actor, now), True
                case _:
                    return None, False

        claimed, is_changed = await self._db.transaction(consume)
        if claimed is not None and is_changed:
            self._publish(claimed, arrival)
        return claimed

    async def purge(self) -> int:
        """Removes codes that ended over a week ago; until then a device that repeats one is recognised."""
        before = Millis(self._clock.now() - 7 * DAY)

        async def delete(tx: Transaction) -> int:
            return await self._codes.delete_expired(tx, before)

        return await self._db.transaction(delete)

    # -- claiming by id -----------------------------------------------------------------------------------------------

    async def claim(self, requester: Requester, reference: str | None) -> DeviceRecord:
        """The device becomes the requester's. It stays in its product.

        Raises AccessRefused, DeviceIdMissing, DeviceDoesNotExist, DeviceOffline, BelongsToAnother.
        """
        require(requester, Action.DEVICES_CLAIM, OwnThings())
        claimant = owner_of(requester)
        assert claimant is not None, "only users and customers pass the rule"
        if not reference:
            raise DeviceIdMissing("data.deviceID is empty")
        device = parse_device_id(reference.strip())
        if device is None:
            raise DeviceDoesNotExist(_DOES_NOT_EXIST)
        record = await self._devices.get(device)
        product = record.product if record else None
        is_member = await self._products.is_member(requester, product)
        organization = await self._products.organization_of(product)
        is_online = self._live.is_online(device)
        arrival = self._devices.arrival(device)
        presented = self._live.presented_key(device)
        now = self._clock.now()

        async def take(tx: Transaction) -> tuple[Claim, DeviceRecord | None]:
            if not await self._store.has_account(tx, claimant):
                return Claim.OUT_OF_REACH, None
            known = await self._store.by_id(tx, device)
            if known is None:
                # An unknown id counts only while a device that goes by it is connected.
                if not isinstance(requester, User) or arrival is None or not self._by_id_outside_products:
                    return Claim.OUT_OF_REACH, None
                known = await self._devices.register(tx, device, arrival, now)
            given = Circumstances(
                # Team and organization were looked up for the product in which the device was then.
                may_own=may_own(
                    requester,
                    known.product,
                    is_member=is_member and known.product == product,
                    organization=organization if known.product == product else None,
                ),
                is_online=is_online,
                has_code=False,
                by_id_outside_products=self._by_id_outside_products,
            )
            outcome = claim(known, claimant, given)
            if outcome is Claim.TAKE:
                await self._keys.settle(tx, device, presented)
                return outcome, await self._set_owner(tx, known, claimant, Change.CLAIMED, describe(requester), now)
            return outcome, known

        outcome, taken = await self._db.transaction(take)
        match outcome:
            case Claim.OUT_OF_REACH:
                raise DeviceDoesNotExist(_DOES_NOT_EXIST)
            case Claim.OFFLINE:
                raise DeviceOffline("Core isn't online")
            case Claim.BELONGS_TO_ANOTHER:
                raise BelongsToAnother("That belongs to someone else.")
            case Claim.TAKE | Claim.YOURS_ALREADY:
                assert taken is not None
                if outcome is Claim.TAKE:
                    self._publish(taken, arrival)
                    self._compat_uses["claim_by_id"] += taken.product is None
                return taken

    # -- giving up ----------------------------------------------------------------------------------------------------

    async def unclaim(self, requester: Requester, reference: str) -> None:
        """The owner gives the device up; its product keeps it. Raises DeviceUnknown, AccessRefused."""
        record = await self._devices.own(requester, reference, Action.DEVICES_RELEASE)
        await self._give_up(record, Change.UNCLAIMED, describe(requester))

    async def release(self, requester: Requester, product: Product, reference: str) -> None:
        """The product's team takes the device from its owner. Raises AccessRefused, DeviceNotInProduct."""
        record = await self._devices.in_product(requester, product, reference, Action.DEVICES_RELEASE)
        if not await self._give_up(record, Change.RELEASED, describe(requester), of=product.id):
            raise device_not_in_product()

    async def leave(self, tx: Transaction, user: UserId, now: Millis) -> Callable[[], None]:
        """Everything that a user who goes has: the devices become nobody's and stay in their products."""
        return await self._leave(tx, OwnedByUser(user), Change.UNCLAIMED, f"user:{user}", now)

    async def leave_customer(
        self, tx: Transaction, customer: CustomerId, actor: str, now: Millis
    ) -> Callable[[], None]:
        """The same for a customer whom the team removes."""
        return await self._leave(tx, OwnedByCustomer(customer), Change.RELEASED, actor, now)

    async def _leave(
        self, tx: Transaction, owner: Owner, change: Change, actor: str, now: Millis
    ) -> Callable[[], None]:
        changed = [
            await self._set_owner(tx, record, None, change, actor, now)
            for record in await self._store.of_owner(tx, owner)
        ]
        await self._codes.delete_of(tx, owner)

        def tell() -> None:
            for record in changed:
                self._devices.publish(record)

        return tell

    async def _give_up(self, record: DeviceRecord, change: Change, actor: str, *, of: ProductId | None = None) -> bool:
        """False where it is not in the product `of` any more, whose team takes it away."""
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[bool, DeviceRecord | None]:
            known = await self._store.by_id(tx, record.id)
            # Moved, given up or taken over by somebody else while we asked: nothing of theirs may change.
            if of is not None and (known is None or known.product != of):
                return False, None
            if known is None or known.owner is None or known.owner != record.owner:
                return True, None
            return True, await self._set_owner(tx, known, None, change, actor, now)

        is_there, changed = await self._db.transaction(write)
        if changed is not None:
            self._devices.publish(changed)
        return is_there

    def _publish(self, record: DeviceRecord, arrival: Arrival | None) -> None:
        if arrival is None:
            self._devices.publish(record)
        else:
            self._devices.publish_registered(record, arrival)

    async def _set_owner(
        self, tx: Transaction, record: DeviceRecord, owner: Owner | None, change: Change, actor: str, now: Millis
    ) -> DeviceRecord:
        await self._store.set_owner(tx, record.id, owner, now)
        await self._custody.append(tx, record, Custody.of(record.product, owner), change, actor, now)
        changed = await self._store.by_id(tx, record.id)
        assert changed is not None
        return changed

    async def _is_member(self, owner: Owner, product: ProductId | None) -> bool:
        if product is None or not isinstance(owner, OwnedByUser):
            return False
        return owner.id in (await self._products.by_id(product)).team


def _reach(requester: Requester, product: Product | None) -> ProductId | None:
    """The product to which a code is limited: the customer's own, or the one under whose path an organization's
    customer asked."""
    if not isinstance(requester, Customer):
        return None
    return requester.product if product is None else product.id
