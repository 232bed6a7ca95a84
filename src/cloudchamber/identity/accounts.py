"""What people change about their own account: name, information, password, and its end.

Whoever holds a token is not yet the person: what would take an account over for good asks for the password again.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from cloudchamber.access.model import Account, Action
from cloudchamber.access.requester import Requester, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock
from cloudchamber.identity.errors import CurrentPasswordWrong, OwnsProducts, UsernameTaken
from cloudchamber.identity.model import UserAccount
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.ports import USER_RENAMED, Leaver, LogIns
from cloudchamber.identity.rules import Ending, PasswordPolicy, check_password, ending, merged_info, normal_username
from cloudchamber.identity.service import Users
from cloudchamber.identity.store import FactorStore, ResetStore, UserStore
from cloudchamber.ids import SecretHash, UserId
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference, Duplicate

EndLogIns = Callable[[Transaction], Awaitable[Sequence[SecretHash]]]
"""A step of a transaction; the hashes that it gives are announced after the commit."""

_WRONG: Final = "Current password is incorrect"


class Accounts:
    def __init__(
        self,
        db: Database,
        users: Users,
        store: UserStore,
        resets: ResetStore,
        factors: FactorStore,
        passwords: Passwords,
        log_ins: LogIns,
        bus: InProcessBus,
        clock: Clock,
        *,
        policy: PasswordPolicy,
        lasting_tokens: bool,
        compat_uses: Counter[str],
        leavers: Sequence[Leaver] = (),
    ) -> None:
        """`lasting_tokens`: a change leaves other log-ins alone unless it says otherwise. `leavers` is the caller's
        list: what is built later joins it."""
        self._db = db
        self._users = users
        self._store = store
        self._resets = resets
        self._factors = factors
        self._passwords = passwords
        self._log_ins = log_ins
        self._bus = bus
        self._clock = clock
        self._policy = policy
        self._lasting = lasting_tokens
        self._compat_uses = compat_uses
        self._leavers = leavers

    async def confirm(self, requester: Requester, password: str) -> UserAccount:
        """The account of whoever asks, who has shown that they know its password.

        Raises AccessRefused, CurrentPasswordWrong, TooManyRequests, PasswordsBusy.
        """
        require(requester, Action.ACCOUNT_UPDATE, Account())
        assert isinstance(requester, User)
        account = await self._users.get(requester.id)
        assert account is not None, "a token outlived its user"
        if await self._users.with_password(account.username, password) is None:
            raise CurrentPasswordWrong(_WRONG)
        return account

    async def update_info(self, requester: Requester, changes: dict[str, Any]) -> UserAccount:
        """Changes some fields of the account information. Raises AccessRefused, AccountInfoUnusable."""
        require(requester, Action.ACCOUNT_UPDATE, Account())
        assert isinstance(requester, User)
        user, now = requester.id, self._clock.now()

        async def write(tx: Transaction) -> UserAccount:
            account = await self._store.by_id(tx, user)
            assert account is not None, "a token outlived its user"
            await self._store.set_account_info(tx, user, merged_info(account.account_info, changes), now)
            changed = await self._store.by_id(tx, user)
            assert changed is not None
            return changed

        return await self._db.transaction(write)

    async def rename(
        self, requester: Requester, username: str, password: str, invalidate_tokens: str | None
    ) -> UserAccount:
        """Raises AccessRefused, CurrentPasswordWrong, CredentialsMissing, UsernameUnusable, UsernameTaken."""
        account = await self.confirm(requester, password)
        name, now = normal_username(username), self._clock.now()
        # A new name is no reason to end anything, unless that is asked for.
        end = self.log_ins_to_end(requester, invalidate_tokens) if invalidate_tokens else None

        async def write(tx: Transaction) -> Sequence[SecretHash]:
            await self._store.set_username(tx, account.id, name, now)
            # What was mailed to the old address opens nothing any more.
            await self._resets.void(tx, account.id, now)
            return await end(tx) if end is not None else ()

        try:
            self._log_ins.announce(await self._db.transaction(write))
        except Duplicate as error:
            raise UsernameTaken("user with the username already exists") from error
        self._bus.publish(USER_RENAMED, account.id)
        renamed = await self._users.get(account.id)
        assert renamed is not None
        return renamed

    async def set_password(
        self, requester: Requester, password: str, current_password: str, invalidate_tokens: str | None
    ) -> None:
        """Raises AccessRefused, CurrentPasswordWrong, CredentialsMissing, PasswordUnusable, PasswordsBusy."""
        account = await self.confirm(requester, current_password)
        check_password(password, self._policy, account.username)
        password_hash = await self._passwords.hash(password)
        now = self._clock.now()
        end = self.log_ins_to_end(requester, invalidate_tokens)

        async def write(tx: Transaction) -> Sequence[SecretHash]:
            await self._store.set_password(tx, account.id, password_hash, now)
            await self._resets.void(tx, account.id, now)
            # A log-in that is half done showed the old password.
            await self._factors.delete_challenges(tx, account.id)
            return await end(tx)

        self._log_ins.announce(await self._db.transaction(write))

    def log_ins_to_end(self, requester: Requester, invalidate_tokens: str | None) -> EndLogIns:
        """What a change of password or second factor does, in its transaction, with the log-ins there are."""
        assert isinstance(requester, User)
        user, token = requester.id, requester.token
        which = ending(invalidate_tokens, lasting=self._lasting)
        self._compat_uses["lasting_tokens"] += which is Ending.NONE

        async def end(tx: Transaction) -> Sequence[SecretHash]:
            if which is Ending.NONE:
                return ()
            return await self._log_ins.end_of_user(tx, user, token if which is Ending.OTHERS else None)

        return end

    async def delete(self, requester: Requester, password: str) -> None:
        """The account and everything of its own goes, in one transaction; logs keep its id. Devices become ownerless.

        Raises AccessRefused, CurrentPasswordWrong, OwnsProducts.
        """
        account = await self.confirm(requester, password)
        user, now = account.id, self._clock.now()

        async def write(tx: Transaction) -> tuple[Sequence[SecretHash], list[Callable[[], None]]]:
            tell = [await leaver.leave(tx, user, now) for leaver in self._leavers]
            ended = await self._log_ins.end_of_user(tx, user)
            await self._factors.delete_all(tx, user)
            await self._store.delete(tx, user)
            return ended, tell

        try:
            ended, tell = await self._db.transaction(write)
        except BrokenReference as error:
            text = "The account owns products or organizations: delete them or hand them over first"
            raise OwnsProducts(text) from error
        self._log_ins.announce(ended)
        for each in tell:
            each()
        self._bus.publish(USER_RENAMED, UserId(user))
