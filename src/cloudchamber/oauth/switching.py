"""Accounts shut out and let in again by whoever runs the cloud. Nobody is asked: it is no part of the API.

An account that is switched off has no log-in: its tokens, browser sessions and half-done log-ins end, its password and
its own clients open nothing. What it has stays as it is: devices connect, products and their teams, clients and
customers go on.
"""

from cloudchamber.audit.model import Entry, Outcome
from cloudchamber.audit.store import AuditStore
from cloudchamber.clock import Clock, Millis
from cloudchamber.identity.model import UserAccount
from cloudchamber.identity.store import FactorStore, UserStore
from cloudchamber.oauth.model import Principal, PrincipalKind
from cloudchamber.oauth.store import TokenStore
from cloudchamber.storage.database import Database, Transaction


class AccountSwitch:
    def __init__(
        self,
        db: Database,
        users: UserStore,
        factors: FactorStore,
        tokens: TokenStore,
        audit: AuditStore,
        clock: Clock,
    ) -> None:
        self._audit = audit
        self._db = db
        self._users = users
        self._factors = factors
        self._tokens = tokens
        self._clock = clock

    async def disable(self, username: str) -> str | None:
        """Shuts an account out, at once. Its name; None where there is none."""
        return await self._end(username, disables=True)

    async def log_out(self, username: str) -> str | None:
        """Ends all log-ins of an account, which can log in anew. Its name; None where there is none."""
        return await self._end(username, disables=False)

    async def enable(self, username: str) -> str | None:
        """Lets an account log in again. Its name; None where there is none."""

        async def write(tx: Transaction) -> str | None:
            account = await self._users.by_username(tx, username.strip().lower())
            if account is None:
                return None
            now = self._clock.now()
            await self._users.set_disabled(tx, account.id, now, None)
            await self._note(tx, "account.enable", account, now)
            return account.username

        return await self._db.transaction(write)

    async def _note(self, tx: Transaction, event: str, account: UserAccount, now: Millis) -> None:
        await self._audit.append(tx, [Entry(now, event, Outcome.DONE, "operator", subject=f"user:{account.id}")])

    async def _end(self, username: str, *, disables: bool) -> str | None:
        async def write(tx: Transaction) -> str | None:
            account = await self._users.by_username(tx, username.strip().lower())
            if account is None:
                return None
            now = self._clock.now()
            # The cloud that runs has them in memory, and is another process (`Tokens.follow`).
            await self._tokens.delete_of_principal(tx, Principal(PrincipalKind.USER, account.id), now)
            await self._factors.delete_challenges(tx, account.id)
            if disables:
                await self._users.set_disabled(tx, account.id, now, now)
            await self._note(tx, "account.disable" if disables else "account.log-out", account, now)
            return account.username

        return await self._db.transaction(write)
