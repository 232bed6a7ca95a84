"""Refreshing: the next pair of a log-in, for a refresh token that works once (RFC 9700 2.2.2, 4.14.2).

An answer can be lost on its way, with the connection or with the whole process, and the client then asks again: within
a short grace, and only as long as nobody used the pair that the first use gave, the same pair is given again, by
whichever process is asked. Any other second use means that two parties hold the token, and ends every token of that
log-in.

So that no process has to remember the pair and no database holds it, it is not drawn but derived: from the server's
key, from the refresh token, which its holder shows, and from a salt that stands on record until the pair is used
(decision 15). Who has any two of the three learns nothing.
"""

import asyncio
import hmac
import logging
import os
from typing import Final, Protocol

from cloudchamber.clock import Clock
from cloudchamber.ids import SecretHash, hash_secret
from cloudchamber.oauth.drawing import Drawing, acts_for
from cloudchamber.oauth.errors import OAuthError, client_missing, refresh_token_invalid
from cloudchamber.oauth.model import AccessToken, Client, Issued, LastRefresh, RefreshToken
from cloudchamber.oauth.rules import Lifetimes, Rotation, Successor, rotation
from cloudchamber.oauth.store import TokenStore
from cloudchamber.storage.database import Database, Transaction

_log = logging.getLogger(__name__)

SALT_BYTES: Final = 32
_TOKEN_BYTES: Final = 20


def pair_after(key: bytes, salt: bytes, refresh_token: str) -> tuple[str, str]:
    """The access and the refresh token that follow: 40 hex digits each, of a keyed hash that nobody without `key` can
    tell from random digits. Salts are of one length, so that no two inputs read alike."""
    assert len(salt) == SALT_BYTES
    drawn = hmac.digest(key, salt + refresh_token.encode(), "sha512")
    return drawn[:_TOKEN_BYTES].hex(), drawn[_TOKEN_BYTES : 2 * _TOKEN_BYTES].hex()


class Others(Protocol):
    """What refreshing asks of all that is known of tokens."""

    async def lifetimes_of(self, client: Client) -> Lifetimes: ...

    def is_in_use(self, hash_: SecretHash) -> bool:
        """Has this access token been used here?"""
        ...

    async def revoke_family(self, family: str) -> None: ...


class Refreshing:
    def __init__(
        self, db: Database, store: TokenStore, clock: Clock, drawing: Drawing, others: Others, key: bytes, grace_s: int
    ) -> None:
        """`key` is the same in every process of one database, and of use to nothing else."""
        self._db = db
        self._store = store
        self._clock = clock
        self._drawing = drawing
        self._others = others
        self._key = key
        self._grace_s = grace_s
        self._running: dict[SecretHash, asyncio.Task[Issued]] = {}

    async def refresh(self, client: Client, token: str, *, has_secret: bool = True) -> Issued:
        """The next pair of the same log-in.

        Raises OAuthError (invalid_grant; invalid_client without the secret that the log-in needs).
        """
        hash_ = hash_secret(token)
        found = await self._store.refresh(self._db, hash_)
        if not has_secret and (found is None or not found.is_public):
            raise client_missing("Missing client_secret parameter")
        if found is None:
            raise refresh_token_invalid("unknown or revoked")
        if found.client != client.id:
            # Somebody has what was given to another client: worth a line that is looked for.
            text = f"client {client.id} showed a refresh token of client {found.client}"
            _log.warning("%s", text)
            raise refresh_token_invalid(text)
        # A hundred requests with one token share one rotation and its answer. It is a task of its own, so that a
        # request which is cancelled does not take the answer from the others.
        running = self._running.get(hash_)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._rotate(client, token))
            self._running[hash_] = running
            running.add_done_callback(lambda task: self._ended(hash_, task))
        return await asyncio.shield(running)

    def _ended(self, hash_: SecretHash, task: asyncio.Task[Issued]) -> None:
        del self._running[hash_]
        if not task.cancelled():
            task.exception()  # seen, even when everybody who waited is gone

    async def used_first(self, access: AccessToken) -> None:
        """Whoever has the pair uses it: from now on nobody is given it again, and nobody can derive it any more."""

        async def forget(tx: Transaction) -> None:
            await self._store.forget_salt(tx, access)

        await self._db.transaction(forget)

    async def _rotate(self, client: Client, token: str) -> Issued:
        # Twice, because another process may use the token between the look at it and its use.
        for _ in range(2):
            found = await self._store.refresh(self._db, hash_secret(token))
            if found is None:
                raise refresh_token_invalid("revoked at the same moment")
            last = await self._store.last_refresh(self._db, found.family) if found.used_at is not None else None
            pair = self._given(found, last, token)
            match rotation(found, self._successor(found, last, pair), self._clock.now(), self._grace_s):
                case Rotation.EXPIRED:
                    raise OAuthError("invalid_grant", "Refresh token has expired")
                case Rotation.REPLAYED:
                    await self._others.revoke_family(found.family)
                    raise refresh_token_invalid(f"replayed: the whole family {found.family} is revoked")
                case Rotation.FORGOTTEN:
                    raise refresh_token_invalid("used moments ago, and nobody here can tell the pair that was given")
                case Rotation.REPEAT:
                    assert pair is not None
                    return await self._repeated(client, found, pair)
                case Rotation.ROTATE:
                    issued = await self._next_pair(client, found, token)
                    if issued is not None:
                        return issued
        raise refresh_token_invalid("used at the same moment through another process")

    def _given(self, found: RefreshToken, last: LastRefresh | None, token: str) -> tuple[str, str] | None:
        """The pair that the token's first use gave; None where nothing is left to derive it from."""
        if last is None or last.used != found.hash or last.salt is None:
            return None
        pair = pair_after(self._key, last.salt, token)
        # With another key it is none of ours.
        return pair if hash_secret(pair[0]) == last.access else None

    def _successor(
        self, found: RefreshToken, last: LastRefresh | None, pair: tuple[str, str] | None
    ) -> Successor | None:
        if last is None:
            return None  # it was used before refreshes were written down
        if last.used != found.hash or last.salt is None:
            return Successor(is_used=True)
        # Its use may not be on record yet, where the disk is full.
        return Successor(self._others.is_in_use(last.access)) if pair is not None else None

    async def _repeated(self, client: Client, old: RefreshToken, pair: tuple[str, str]) -> Issued:
        access, refresh = pair
        found = await self._store.refresh(self._db, hash_secret(refresh))
        if found is None:
            raise refresh_token_invalid("revoked at the same moment")
        return Issued(access, found.access_lifetime_s, refresh, found.scope, acts_for(old.principal, client.id))

    async def _next_pair(self, client: Client, old: RefreshToken, token: str) -> Issued | None:
        """None when somebody else was faster."""
        now = self._clock.now()
        lifetime = (await self._others.lifetimes_of(client)).capped(old.access_lifetime_s)
        # Log-ins of before they were written down began, as far as we know, with this refresh token.
        log_in = await self._store.log_in(self._db, old.family) or self._drawing.log_in(
            old.family, client.id, old.principal, old.issued_at, None
        )
        salt = os.urandom(SALT_BYTES)
        secrets = pair_after(self._key, salt, token)
        pair = self._drawing.pair(client.id, old.principal, old.scope, log_in, lifetime, secrets)
        last = LastRefresh(old.family, old.hash, pair.access.hash, salt)

        async def rotate(tx: Transaction) -> bool:
            if not await self._store.mark_used(tx, old.hash, now):
                return False
            await self._store.insert_log_in(tx, log_in)
            await self._store.insert_access(tx, pair.access)
            if pair.refresh is not None:
                await self._store.insert_refresh(tx, pair.refresh)
            await self._store.set_last_refresh(tx, last)
            return True

        return pair.issued if await self._db.transaction(rotate) else None
