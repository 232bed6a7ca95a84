"""Accounts: making them, finding them, checking their passwords."""

from collections import Counter
from dataclasses import replace
from typing import Any, Final

from cloudchamber.access.model import Account, Action, OrganizationResource, ProductResource
from cloudchamber.access.requester import Anonymous, Requester, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import HOUR, Clock, Millis
from cloudchamber.errors import TooManyRequests
from cloudchamber.identity.errors import (
    CustomerExists,
    CustomerNotFound,
    PasswordUnusable,
    RegistrationClosed,
    UsernameTaken,
)
from cloudchamber.identity.model import CustomerAccount, UserAccount
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.rules import MAX_USERNAME_LENGTH, PasswordPolicy, check_password, normal_username
from cloudchamber.identity.store import CustomerStore, UserStore
from cloudchamber.ids import CustomerId, OrganizationId, ProductId, UserId, new_id
from cloudchamber.ratelimit import Allowance
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate

USER_CREATED: Final = "user.created"
"""Bus subject; the message is a UserId. Invitations that waited for the account are memberships now."""

# Ten thousand addresses may each try a little: this is what all of them have for one name. Its owner's tokens go on.
GUESSES: Final = 100
GUESSES_PER_MS: Final = HOUR


def check_guesses(guesses: Allowance[str] | None, name: str, now: Millis) -> None:
    """Raises TooManyRequests."""
    if guesses is not None and (wait := guesses.wait_ms(name, now)):
        raise TooManyRequests(wait)


def count_guess(guesses: Allowance[str] | None, name: str, now: Millis, *, right: bool) -> None:
    if guesses is not None and not right:
        guesses.take(name, now)


class Users:
    def __init__(
        self,
        db: Database,
        store: UserStore,
        passwords: Passwords,
        clock: Clock,
        *,
        is_open: bool,
        policy: PasswordPolicy,
        guesses: Allowance[str] | None = None,
        bus: InProcessBus | None = None,
    ) -> None:
        """`guesses` bounds wrong passwords for one name, from wherever they come."""
        self._db = db
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._is_open = is_open
        self._bus = bus
        self._policy = policy
        self._guesses = guesses

    @property
    def is_open(self) -> bool:
        """May people make accounts for themselves?"""
        return self._is_open

    async def register(
        self, requester: Requester, username: str, password: str, account_info: dict[str, Any]
    ) -> UserAccount:
        """An account that somebody makes for themselves.

        Raises RegistrationClosed, CredentialsMissing, UsernameUnusable, PasswordUnusable, UsernameTaken.
        """
        if isinstance(requester, Anonymous) and not self._is_open:
            raise RegistrationClosed("Registration is closed on this server: ask its administrator for an account")
        return await self.create(username, password, account_info)

    async def create(
        self, username: str, password: str, account_info: dict[str, Any] | None = None, *, is_admin: bool = False
    ) -> UserAccount:
        """An account made by whoever runs the cloud (command line). Raises as `register`."""
        name = normal_username(username)
        check_password(password, self._policy, name)
        user = UserAccount(
            id=UserId(new_id()),
            username=name,
            password_hash=await self._passwords.hash(password),
            account_info=account_info or {},
            is_admin=is_admin,
            created_at=self._clock.now(),
        )

        async def insert(tx: Transaction) -> None:
            await self._store.insert(tx, user)

        try:
            await self._db.transaction(insert)
        except Duplicate as error:
            raise UsernameTaken("user with the username already exists") from error
        if self._bus is not None:
            self._bus.publish(USER_CREATED, user.id)
        return user

    async def find(self, username: str) -> UserAccount | None:
        return await self._store.by_username(self._db, username.strip().lower())

    async def get(self, user: UserId) -> UserAccount | None:
        return await self._store.by_id(self._db, user)

    async def profile(self, requester: Requester) -> UserAccount:
        """The account of whoever asks. Raises AccessRefused."""
        require(requester, Action.ACCOUNT_GET, Account())
        assert isinstance(requester, User)
        user = await self._store.by_id(self._db, requester.id)
        assert user is not None, "a token outlived its user"
        return user

    async def with_password(self, username: str, password: str) -> UserAccount | None:
        """The account with this name and password; None, after the same time, for whatever is wrong."""
        name = username.strip().lower()[: MAX_USERNAME_LENGTH + 1]
        check_guesses(self._guesses, name, self._clock.now())
        user = await self.find(username)
        right = await self._passwords.verify(user.password_hash if user else None, password)
        count_guess(self._guesses, name, self._clock.now(), right=right)
        # An account that is switched off looks like none, even to whoever knows its password.
        return user if right and user is not None and await self.is_enabled(user.id) else None

    async def is_enabled(self, user: UserId) -> bool:
        """False while whoever runs the cloud has switched the account off."""
        return not await self._store.is_disabled(self._db, user)


Pool = ProductResource | OrganizationResource
"""Whose customer somebody is."""


class Customers:
    def __init__(
        self,
        db: Database,
        store: CustomerStore,
        passwords: Passwords,
        clock: Clock,
        *,
        policy: PasswordPolicy,
        compat_uses: Counter[str] | None = None,
        guesses: Allowance[str] | None = None,
    ) -> None:
        """With `compat_uses`, passwords that `policy` refuses are taken all the same, and counted."""
        self._db = db
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._policy = policy
        self._guesses = guesses
        self._compat_uses = compat_uses

    async def create(self, requester: Requester, pool: Pool, username: str, password: str | None) -> CustomerAccount:
        """A customer of `pool`; `password` None makes a shadow customer, who has no log-in of their own.

        Raises AccessRefused, CredentialsMissing, UsernameUnusable, PasswordUnusable, CustomerExists.
        """
        require(requester, Action.CUSTOMERS_CREATE, pool)
        name = normal_username(username)
        if password is not None:
            self.check_password(password, name)
        customer = CustomerAccount(
            id=CustomerId(new_id()),
            product=pool.id if isinstance(pool, ProductResource) else None,
            username=name,
            password_hash=None,
            created_at=self._clock.now(),
            organization=pool.id if isinstance(pool, OrganizationResource) else None,
        )
        exists = CustomerExists("Customer already exists")
        # Before a password is hashed for nothing.
        if await self._store.is_taken(self._db, customer):
            raise exists
        if password is not None:
            customer = replace(customer, password_hash=await self._passwords.hash(password))

        async def insert(tx: Transaction) -> None:
            if await self._store.is_taken(tx, customer):
                raise exists
            await self._store.insert(tx, customer)

        try:
            await self._db.transaction(insert)
        except Duplicate as error:
            raise exists from error
        return customer

    def check_password(self, password: str, username: str) -> None:
        """Raises CredentialsMissing, PasswordUnusable."""
        check_password(password, PasswordPolicy())
        try:
            check_password(password, self._policy, username)
        except PasswordUnusable:
            if self._compat_uses is None:
                raise
            self._compat_uses["any_customer_password"] += 1

    async def find(
        self, product: ProductId | None, username: str, organization: OrganizationId | None = None
    ) -> CustomerAccount | None:
        """The product's or the organization's own customer."""
        return await self._store.by_username(self._db, product, organization, username.strip().lower())

    async def get(self, customer: CustomerId) -> CustomerAccount | None:
        return await self._store.by_id(self._db, customer)

    async def visible(self, requester: Requester, pool: Pool, customer: str) -> CustomerAccount:
        """A customer by id, as `of` lists them: of the organization, or of the product or its organization.

        Raises AccessRefused, CustomerNotFound.
        """
        require(requester, Action.CUSTOMERS_LIST, pool)
        found = await self._store.by_id(self._db, CustomerId(customer))
        product, above = (pool.id, pool.organization) if isinstance(pool, ProductResource) else (None, pool.id)
        if found is None or not (
            (product is not None and found.product == product) or (above is not None and found.organization == above)
        ):
            raise CustomerNotFound("Customer not found")
        return found

    async def with_password(
        self, product: ProductId | None, username: str, password: str, organization: OrganizationId | None = None
    ) -> CustomerAccount | None:
        """The customer with this name and password, who may be the product's organization's as well; None, after the
        same time, for whatever is wrong."""
        name = username.strip().lower()[: MAX_USERNAME_LENGTH + 1]
        guessed = f"{organization if product is None else product}:{name}"
        check_guesses(self._guesses, guessed, self._clock.now())
        customer = await (
            self._store.by_username(self._db, None, organization, name)
            if product is None
            else self._store.seen_by(self._db, product, name)
        )
        right = await self._passwords.verify(customer.password_hash if customer else None, password)
        count_guess(self._guesses, guessed, self._clock.now(), right=right)
        return customer if right else None

    async def of(
        self,
        requester: Requester,
        pool: Pool,
        *,
        page: int,
        per_page: int,
        everybody: bool = False,
        text: str | None = None,
    ) -> tuple[list[CustomerAccount], int]:
        """One page (from 1) and the number of all; a product shows its organization's customers as well. Without
        `everybody`, only customers who own a device there; with `text`, only those whose name has it as a part.

        Raises AccessRefused.
        """
        require(requester, Action.CUSTOMERS_LIST, pool)
        owners_only, offset = not everybody, (page - 1) * per_page
        if isinstance(pool, ProductResource):
            total = await self._store.count(self._db, pool.id, with_devices_only=owners_only, text=text)
            found = await self._store.of_product(
                self._db, pool.id, with_devices_only=owners_only, limit=per_page, offset=offset, text=text
            )
        else:
            total = await self._store.count_of_organization(self._db, pool.id, with_devices_only=owners_only, text=text)
            found = await self._store.of_organization(
                self._db, pool.id, with_devices_only=owners_only, limit=per_page, offset=offset, text=text
            )
        return found, total
