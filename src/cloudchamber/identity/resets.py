"""Resetting a user's password by mail."""

from collections.abc import Sequence

from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.identity.errors import ResetTokenInvalid
from cloudchamber.identity.outbox import Background, Outbox
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.ports import LogIns
from cloudchamber.identity.rules import PasswordPolicy, check_password
from cloudchamber.identity.store import FactorStore, ResetStore, UserStore
from cloudchamber.ids import SecretHash, UserId, hash_secret, new_token
from cloudchamber.storage.database import Database, Transaction

_LIFETIME_MS = 60 * MINUTE


class PasswordResets:
    def __init__(
        self,
        db: Database,
        store: ResetStore,
        users: UserStore,
        factors: FactorStore,
        passwords: Passwords,
        outbox: Outbox,
        log_ins: LogIns,
        clock: Clock,
        public_url: str,
        policy: PasswordPolicy,
    ) -> None:
        self._db = db
        self._store = store
        self._users = users
        self._factors = factors
        self._passwords = passwords
        self._outbox = outbox
        self._log_ins = log_ins
        self._clock = clock
        self._public_url = public_url
        self._policy = policy
        self._background = Background("a password-reset mail could not be written")

    async def request(self, username: str) -> None:
        """Mails a reset token to the user; for an unknown one nothing happens. The answer is the same, and it does not
        wait for the mail, so that neither text nor time tells whether the account exists."""
        user = await self._users.by_username(self._db, username.strip().lower())
        if user is not None:
            self._background.start(self._send(user.id, user.username))

    async def complete(self, token: str, password: str) -> UserId:
        """Sets the password and ends all log-ins of before, in one transaction; the token works once.

        Raises ResetTokenInvalid, CredentialsMissing, PasswordUnusable.
        """
        check_password(password, self._policy)
        hash_ = hash_secret(token)
        password_hash = await self._passwords.hash(password)
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[UserId, Sequence[SecretHash]] | None:
            user = await self._store.use(tx, hash_, now)
            if user is None:
                return None
            await self._users.set_password(tx, user, password_hash, now)
            await self._factors.delete_challenges(tx, user)
            return user, await self._log_ins.end_of_user(tx, user)

        done = await self._db.transaction(write)
        if done is None:
            raise ResetTokenInvalid("This reset link was used before or is too old: ask for a new one")
        user, ended = done
        self._log_ins.announce(ended)
        return user

    async def purge(self) -> int:
        """Removes resets that can no longer be used; returns how many."""
        before = self._clock.now()

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, before)

        return await self._db.transaction(delete)

    async def close(self) -> None:
        """Waits for mail that is being written."""
        await self._background.close()

    async def _send(self, user: UserId, username: str) -> None:
        token = new_token()
        now = self._clock.now()
        hash_, expires_at = hash_secret(token), Millis(now + _LIFETIME_MS)

        async def insert(tx: Transaction) -> None:
            await self._store.insert(tx, hash_, user, now, expires_at)

        await self._db.transaction(insert)
        await self._outbox.send(
            username,
            "Reset your password",
            f"Somebody, hopefully you, asked for a new password for {username}.\n\n"
            f"To choose one within the hour, open:\n\n"
            f"  {self._public_url}/oauth/reset?token={token}\n\n"
            "If it was not you, there is nothing to do.\n",
        )
