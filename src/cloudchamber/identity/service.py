"""Accounts: making them, finding them, checking their passwords."""

from collections import Counter
from dataclasses import replace
from typing import Any, Final

from cloudchamber.access.model import Account, Action, ProductResource
from cloudchamber.access.requester import Anonymous, Requester, User
from cloudchamber.access.service import require
from cloudchamber.clock import HOUR, Clock, Millis
from cloudchamber.errors import TooManyRequests
from cloudchamber.identity.errors import CustomerExists, PasswordUnusable, RegistrationClosed, UsernameTaken
from cloudchamber.identity.model import CustomerAccount, UserAccount
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.rules import MAX_USERNAME_LENGTH, PasswordPolicy, check_password, normal_username
from cloudchamber.identity.store import CustomerStore, UserStore
from cloudchamber.ids import CustomerId, ProductId, UserId, new_id
from cloudchamber.ratelimit import Allowance
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate

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
    ) -> None:
        """`guesses` bounds wrong passwords for one name, from wherever they come."""
        self._db = db
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._is_open = is_open
        self._policy = policy
        self._guesses = guesses

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
        return user if right else None


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

    async def create(
        self, requester: Requester, product: ProductResource, username: str, password: str | None
    ) -> CustomerAccount:
        """A customer of `product`; `password` None makes a shadow customer, who has no log-in of their own.

        Raises AccessRefused, CredentialsMissing, UsernameUnusable, PasswordUnusable, CustomerExists.
        """
        require(requester, Action.CUSTOMERS_CREATE, product)
        name = normal_username(username)
        if password is not None:
            self._check_password(password, name)
        customer = CustomerAccount(CustomerId(new_id()), product.id, name, None, self._clock.now())
        if await self._store.by_username(self._db, product.id, name):
            raise CustomerExists("Customer already exists")
        if password is not None:
            customer = replace(customer, password_hash=await self._passwords.hash(password))

        async def insert(tx: Transaction) -> None:
            await self._store.insert(tx, customer)

        try:
            await self._db.transaction(insert)
        except Duplicate as error:
            raise CustomerExists("Customer already exists") from error
        return customer

    def _check_password(self, password: str, username: str) -> None:
        check_password(password, PasswordPolicy())
        try:
            check_password(password, self._policy, username)
        except PasswordUnusable:
            if self._compat_uses is None:
                raise
            self._compat_uses["any_customer_password"] += 1

    async def find(self, product: ProductId, username: str) -> CustomerAccount | None:
        return await self._store.by_username(self._db, product, username.strip().lower())

    async def get(self, customer: CustomerId) -> CustomerAccount | None:
        return await self._store.by_id(self._db, customer)

    async def with_password(self, product: ProductId, username: str, password: str) -> CustomerAccount | None:
        """The product's customer with this name and password; None, after the same time, for whatever is wrong."""
        name = f"{product}:{username.strip().lower()[: MAX_USERNAME_LENGTH + 1]}"
        check_guesses(self._guesses, name, self._clock.now())
        customer = await self.find(product, username)
        right = await self._passwords.verify(customer.password_hash if customer else None, password)
        count_guess(self._guesses, name, self._clock.now(), right=right)
        return customer if right else None

    async def of_product(
        self, requester: Requester, product: ProductResource, *, page: int, per_page: int, everybody: bool = False
    ) -> tuple[list[CustomerAccount], int]:
        """One page (from 1) and the number of all. Without `everybody`, only customers who own a device.

        Raises AccessRefused.
        """
        require(requester, Action.CUSTOMERS_LIST, product)
        total = await self._store.count(self._db, product.id, with_devices_only=not everybody)
        found = await self._store.of_product(
            self._db, product.id, with_devices_only=not everybody, limit=per_page, offset=(page - 1) * per_page
        )
        return found, total
