"""What becomes of a customer's account: a new password, by the team or by mail, and its end."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cloudchamber.access.model import Action, OrganizationResource, ProductResource
from cloudchamber.access.requester import Requester, describe
from cloudchamber.access.service import require
from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.identity.errors import CustomerNotFound, ResetTokenInvalid
from cloudchamber.identity.model import CustomerAccount
from cloudchamber.identity.outbox import Background, Outbox
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.rules import PasswordPolicy, check_password
from cloudchamber.identity.service import Customers
from cloudchamber.identity.store import CustomerResetStore, CustomerStore
from cloudchamber.ids import CustomerId, OrganizationId, ProductId, SecretHash, hash_secret, new_token
from cloudchamber.storage.database import Database, Transaction

Pool = ProductResource | OrganizationResource

_LIFETIME_MS: Final = 60 * MINUTE
# Mail that is being sent at one time; more requests than that are somebody's attempt to send mail through us.
_MAX_SENDING: Final = 200


class CustomerLogIns(Protocol):
    """What ends with a password or an account. The tokens answer."""

    async def end_of_customer(self, tx: Transaction, customer: CustomerId) -> Sequence[SecretHash]:
        """Ends all of a customer's tokens inside the caller's transaction."""
        ...

    def announce(self, hashes: Sequence[SecretHash]) -> None:
        """Tells caches and streams of tokens that ended, once the transaction is committed."""
        ...


class CustomerLeaver(Protocol):
    """Something that a customer has things in."""

    async def leave_customer(
        self, tx: Transaction, customer: CustomerId, actor: str, now: Millis
    ) -> Callable[[], None]:
        """Lets go of what a customer had, inside the transaction that removes the account; what it returns is called
        once that is committed."""
        ...


class CustomerAccounts:
    def __init__(
        self,
        db: Database,
        customers: Customers,
        store: CustomerStore,
        resets: CustomerResetStore,
        passwords: Passwords,
        outbox: Outbox,
        log_ins: CustomerLogIns,
        clock: Clock,
        public_url: str,
        policy: PasswordPolicy,
        leavers: Sequence[CustomerLeaver],
    ) -> None:
        """`leavers` is the caller's list: what is built later joins it."""
        self._db = db
        self._customers = customers
        self._store = store
        self._resets = resets
        self._passwords = passwords
        self._outbox = outbox
        self._log_ins = log_ins
        self._clock = clock
        self._public_url = public_url
        self._policy = policy
        self._leavers = leavers
        self._background = Background("a password-reset mail could not be sent")

    async def set_password(self, requester: Requester, pool: Pool, username: str, password: str) -> None:
        """By the team or a server, for somebody who lost theirs. Ends the log-ins of before.

        Raises AccessRefused, CustomerNotFound, CredentialsMissing, PasswordUnusable.
        """
        require(requester, Action.CUSTOMERS_UPDATE, pool)
        customer = await self._own(pool, username)
        self._customers.check_password(password, customer.username)
        await self._set(customer, password)

    async def remove(self, requester: Requester, pool: Pool, username: str) -> None:
        """The account, its tokens, its claim codes and whatever else is its own go in one transaction; its devices stay
        in the product and are nobody's. Logs keep the id.

        Raises AccessRefused, CustomerNotFound.
        """
        require(requester, Action.CUSTOMERS_REMOVE, pool)
        customer = await self._own(pool, username)
        now, actor = self._clock.now(), describe(requester)

        async def write(tx: Transaction) -> tuple[Sequence[SecretHash], list[Callable[[], None]]] | None:
            if await self._store.by_id(tx, customer.id) is None:
                return None
            tell = [await leaver.leave_customer(tx, customer.id, actor, now) for leaver in self._leavers]
            ended = await self._log_ins.end_of_customer(tx, customer.id)
            await self._store.delete(tx, customer.id)
            return ended, tell

        done = await self._db.transaction(write)
        if done is None:
            raise CustomerNotFound("Customer not found")
        ended, tell = done
        self._log_ins.announce(ended)
        for each in tell:
            each()

    # -- by mail ------------------------------------------------------------------------------------------------------

    async def request_reset(
        self, product: ProductId | None, organization: OrganizationId | None, username: str, brand: str
    ) -> None:
        """Mails a link; for an unknown name nothing happens. Neither the answer nor its time tells which."""
        name = username.strip().lower()
        customer = await (
            self._customers.find(None, name, organization)
            if product is None
            else self._store.seen_by(self._db, product, name)
        )
        if customer is not None and len(self._background) < _MAX_SENDING:
            self._background.start(self._send(customer, brand))

    async def complete_reset(self, token: str, password: str) -> CustomerId:
        """Sets the password and ends all log-ins of before, in one transaction; the token works once.

        Raises ResetTokenInvalid, CredentialsMissing, PasswordUnusable.
        """
        check_password(password, self._policy)
        hash_, now = hash_secret(token), self._clock.now()
        password_hash = await self._passwords.hash(password)

        async def write(tx: Transaction) -> tuple[CustomerId, Sequence[SecretHash]] | None:
            customer = await self._resets.use(tx, hash_, now)
            if customer is None:
                return None
            await self._store.set_password(tx, customer, password_hash, now)
            return customer, await self._log_ins.end_of_customer(tx, customer)

        done = await self._db.transaction(write)
        if done is None:
            raise ResetTokenInvalid("This reset link was used before or is too old: ask for a new one")
        customer, ended = done
        self._log_ins.announce(ended)
        return customer

    async def purge(self) -> int:
        before = self._clock.now()

        async def delete(tx: Transaction) -> int:
            return await self._resets.delete_expired(tx, before)

        return await self._db.transaction(delete)

    async def close(self) -> None:
        """Waits for mail that is being sent."""
        await self._background.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _own(self, pool: Pool, username: str) -> CustomerAccount:
        """Raises CustomerNotFound."""
        found = await (
            self._customers.find(pool.id, username)
            if isinstance(pool, ProductResource)
            else self._customers.find(None, username, pool.id)
        )
        if found is None:
            raise CustomerNotFound("Customer not found")
        return found

    async def _set(self, customer: CustomerAccount, password: str) -> None:
        password_hash, now = await self._passwords.hash(password), self._clock.now()

        async def write(tx: Transaction) -> Sequence[SecretHash]:
            await self._store.set_password(tx, customer.id, password_hash, now)
            await self._resets.void(tx, customer.id, now)
            return await self._log_ins.end_of_customer(tx, customer.id)

        self._log_ins.announce(await self._db.transaction(write))

    async def _send(self, customer: CustomerAccount, brand: str) -> None:
        token, now = new_token(), self._clock.now()
        hash_, expires_at = hash_secret(token), Millis(now + _LIFETIME_MS)

        async def insert(tx: Transaction) -> None:
            await self._resets.insert(tx, hash_, customer.id, now, expires_at)

        await self._db.transaction(insert)
        await self._outbox.send(
            customer.username,
            f"{brand}: choose a new password",
            f"Somebody, hopefully you, asked for a new password for {customer.username} at {brand}.\n\n"
            "To choose one within the hour, open:\n\n"
            f"  {self._public_url}/oauth/reset?kind=customer&token={token}\n\n"
            "If it was not you, there is nothing to do.\n",
            sender_name=brand,
        )
