"""Who is signed in to the hosted pages: a cookie with a random secret, of which only the hash is on record.

A session is no token: it opens pages, and nothing of the API. It ends by signing out, by its age, with its account,
and with every change of a password.
"""

from typing import Final

from cloudchamber.clock import DAY, HOUR, Clock, Millis
from cloudchamber.ids import SecretHash, hash_secret, new_token
from cloudchamber.oauth.errors import log_in_ended
from cloudchamber.oauth.model import Principal
from cloudchamber.oauth.store import TokenStore
from cloudchamber.oauth.web.model import BrowserSession
from cloudchamber.oauth.web.store import SessionStore
from cloudchamber.storage.database import Database, Transaction

# Long enough to set a device up and to come back in the evening, too short to be found on a shared computer next week.
LIFETIME_MS: Final = 12 * HOUR
REMEMBERED_MS: Final = 30 * DAY


class BrowserSessions:
    def __init__(self, db: Database, store: SessionStore, tokens: TokenStore, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._tokens = tokens
        self._clock = clock

    def now(self) -> Millis:
        """When a sign-in begins, for `begin`."""
        return self._clock.now()

    async def begin(
        self, principal: Principal, *, is_remembered: bool = False, began: Millis | None = None
    ) -> tuple[str, BrowserSession]:
        """The cookie's secret, which exists nowhere else, and the session. `began` is when the password was shown, None
        for now.

        Raises OAuthError (invalid_grant) when the account's log-ins ended in the meantime, or it is switched off.
        """
        secret = new_token()
        now = self._clock.now()
        start = now if began is None else began
        ends = Millis(now + (REMEMBERED_MS if is_remembered else LIFETIME_MS))
        session = BrowserSession(hash_secret(secret), principal, now, ends)

        async def insert(tx: Transaction) -> None:
            if not await self._tokens.counts(tx, principal, start, now):
                raise log_in_ended()
            await self._store.insert(tx, session)

        await self._db.transaction(insert)
        return secret, session

    async def find(self, secret: str) -> BrowserSession | None:
        if not secret:
            return None
        found = await self._store.by_hash(self._db, hash_secret(secret))
        return found if found is not None and found.expires_at > self._clock.now() else None

    async def end(self, session: BrowserSession) -> None:
        async def delete(tx: Transaction) -> None:
            await self._store.delete(tx, session.hash)

        await self._db.transaction(delete)

    async def end_all(self, principal: Principal, *, keep: SecretHash | None = None) -> int:
        """Signs somebody out everywhere, but for the session `keep`."""

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_of_principal(tx, principal, keep)

        return await self._db.transaction(delete)

    async def purge(self) -> int:
        now = self._clock.now()

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, now)

        return await self._db.transaction(delete)
