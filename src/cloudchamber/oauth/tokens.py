"""Tokens: issued, checked on every request, refreshed, revoked.

**The hot path.** A token in use is one dictionary look-up: `cached()` hashes it and finds the requester that the first
check of this token made. The database is asked once per token and process. A cached answer is safe because all that
can end a token - revocation, a change of its client - is published on the bus and drops the entry before the
publisher answers its caller, and because an expiry is kept in the entry.

**Refreshing.** A refresh token works once (RFC 9700 2.2.2, 4.14.2). An answer can be lost on the way, and the client
then asks again: within a short grace, and only as long as nobody used the pair that the first use gave, the same pair
is given again; where the pair is not known (another process, a restart), the second use is refused. Any other means
that two parties hold the token, and ends every token of that log-in.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloudchamber.access.requester import Bearer
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.ids import ClientId, OrganizationId, ProductId, SecretHash, UserId, hash_secret, new_id, new_token
from cloudchamber.oauth.errors import (
    OAuthError,
    client_unknown,
    refresh_token_invalid,
    token_expired,
    token_unknown,
)
from cloudchamber.oauth.model import (
    REFRESH_MARGIN_S,
    AccessToken,
    Client,
    Issued,
    ListedToken,
    Principal,
    PrincipalKind,
    RefreshToken,
)
from cloudchamber.oauth.rules import (
    ANY_LIFETIME,
    NEVER,
    Lifetimes,
    Rotation,
    Successor,
    lifetime_s,
    rotation,
    scopes_of,
)
from cloudchamber.oauth.store import ClientStore, TokenStore
from cloudchamber.sealing import Sealer
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference

TOKENS_REVOKED: Final = "tokens.revoked"
"""Bus subject; the message is a frozenset of token hashes. Open streams of these tokens end."""

CLIENT_CHANGED: Final = "client.changed"
"""Bus subject; the message is a ClientId. What is cached of its tokens is forgotten."""

# About 400 bytes each. A token that fell out is read from the database at its next use.
MAX_CACHED: Final = 100_000
# Refreshes that can be repeated at one time; the oldest go first.
MAX_REPEATABLE: Final = 10_000


@dataclass(slots=True)
class _Live:
    requester: Bearer
    client: ClientId
    expires_at: Millis | None


@dataclass(frozen=True, slots=True)
class _Pair:
    issued: Issued
    access_hash: SecretHash
    refresh_hash: SecretHash | None


class Tokens:
    def __init__(
        self,
        db: Database,
        store: TokenStore,
        clients: ClientStore,
        bus: InProcessBus,
        clock: Clock,
        sealer: Sealer | None,
        grace_s: int,
        *,
        lifetimes: Lifetimes = ANY_LIFETIME,
        compat_uses: Counter[str] | None = None,
    ) -> None:
        self._db = db
        self._store = store
        self._clients = clients
        self._bus = bus
        self._clock = clock
        self._sealer = sealer
        self._grace_s = grace_s
        self._lifetimes = lifetimes
        self._compat_uses = Counter[str]() if compat_uses is None else compat_uses
        self._live: OrderedDict[SecretHash, _Live] = OrderedDict()
        self._revocations = 0
        self._pairs: OrderedDict[SecretHash, _Pair] = OrderedDict()
        self._refreshing: dict[SecretHash, asyncio.Task[Issued]] = {}
        bus.subscribe(TOKENS_REVOKED, self._forget)
        bus.subscribe(CLIENT_CHANGED, self._forget_client)

    # -- checking ---------------------------------------------------------------------------------------------------

    def cached(self, token: str) -> Bearer | None:
        """Whom a token acts for, without waiting; None when only `load` can tell.

        Raises InvalidToken once the token has expired.
        """
        hash_ = hash_secret(token)
        live = self._live.get(hash_)
        if live is None:
            return None
        if live.expires_at is not None and live.expires_at <= self._clock.now():
            raise token_expired()
        self._live.move_to_end(hash_)
        return live.requester

    async def load(self, token: str) -> Bearer:
        """Whom a token acts for, from the database. Raises InvalidToken."""
        hash_ = hash_secret(token)
        revocations = self._revocations
        found = await self._store.access(self._db, hash_)
        if found is None:
            raise token_unknown()
        client = await self._clients.by_id(self._db, found.client)
        if client is None or not client.is_enabled:
            raise token_unknown()
        if found.expires_at is not None and found.expires_at <= self._clock.now():
            raise token_expired()
        requester = found.principal.requester(found.client, scopes_of(client, found.principal, found.scope), hash_)
        # A revocation while we read would have found nothing to drop: then this answer is for this request alone.
        if revocations == self._revocations:
            self._live[hash_] = _Live(requester, found.client, found.expires_at)
            if len(self._live) > MAX_CACHED:
                self._live.popitem(last=False)
        return requester

    async def check(self, token: str) -> Bearer:
        """`cached`, else `load`. Raises InvalidToken."""
        return self.cached(token) or await self.load(token)

    async def expires_at(self, hash_: SecretHash) -> Millis | None:
        """When a token that was just checked ends; None for never. Nothing revoked it until this returns.

        Raises InvalidToken.
        """
        while True:
            live = self._live.get(hash_)
            if live is not None:
                return live.expires_at
            revocations = self._revocations
            found = await self._store.access(self._db, hash_)
            if found is None:
                raise token_unknown()
            # A stream that opened now would not hear of a revocation that was told while we read.
            if revocations == self._revocations:
                return found.expires_at

    # -- issuing ----------------------------------------------------------------------------------------------------

    def lifetime_s(self, expires_in: str | None, expires_at: str | None) -> int:
        """What `issue` takes, from what a request asked for. Raises OAuthError (invalid_request)."""
        lifetime = lifetime_s(expires_in, expires_at, self._clock.now(), self._lifetimes)
        self._compat_uses["endless_tokens"] += lifetime == NEVER
        return lifetime

    async def issue(self, client: Client, principal: Principal, scope: str | None, lifetime_s: int) -> Issued:
        """A new pair for a new log-in. `lifetime_s` NEVER gives a token without end and without refresh token.

        Raises OAuthError (invalid_client) when the client was removed in the meantime.
        """
        pair, access, refresh = self._draw(client.id, principal, scope, new_id(), lifetime_s)

        async def insert(tx: Transaction) -> None:
            await self._store.insert_access(tx, access)
            if refresh is not None:
                await self._store.insert_refresh(tx, refresh)

        try:
            await self._db.transaction(insert)
        except BrokenReference as error:
            raise client_unknown() from error
        return pair.issued

    async def issue_endless(self, tx: Transaction, client: ClientId, principal: Principal, scope: str) -> str:
        """A token without end, inside the transaction that makes its principal or replaces its token."""
        pair, access, _ = self._draw(client, principal, scope, new_id(), NEVER)
        await self._store.insert_access(tx, access)
        return pair.issued.access_token

    async def refresh(self, client: Client, token: str) -> Issued:
        """The next pair of the same log-in. Raises OAuthError (invalid_grant)."""
        hash_ = hash_secret(token)
        found = await self._store.refresh(self._db, hash_)
        if found is None or found.client != client.id:
            raise refresh_token_invalid("unknown, revoked, or another client's")
        # A hundred requests with one token share one rotation and its answer. It is a task of its own, so that a
        # request which is cancelled takes neither the answer from the others nor the pair from its own repetition.
        running = self._refreshing.get(hash_)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._rotate(client, hash_))
            self._refreshing[hash_] = running
            running.add_done_callback(lambda task: self._refreshed(hash_, task))
        return await asyncio.shield(running)

    def _refreshed(self, hash_: SecretHash, task: asyncio.Task[Issued]) -> None:
        del self._refreshing[hash_]
        if not task.cancelled():
            task.exception()  # seen, even when everybody who waited is gone

    async def _rotate(self, client: Client, hash_: SecretHash) -> Issued:
        found = await self._store.refresh(self._db, hash_)
        if found is None:
            raise refresh_token_invalid("revoked at the same moment")
        now = self._clock.now()
        pair = self._pairs.get(hash_)
        match rotation(found, self._successor(pair), now, self._grace_s):
            case Rotation.EXPIRED:
                raise OAuthError("invalid_grant", "Refresh token has expired")
            case Rotation.REPLAYED:
                await self._revoke_family(found.family)
                raise refresh_token_invalid(f"replayed: the whole family {found.family} is revoked")
            case Rotation.FORGOTTEN:
                raise refresh_token_invalid("used moments ago, through another process or before a restart")
            case Rotation.REPEAT:
                assert pair is not None
                return pair.issued
            case Rotation.ROTATE:
                return await self._next_pair(client, found)

    async def _next_pair(self, client: Client, old: RefreshToken) -> Issued:
        pair, access, refresh = self._draw(
            client.id, old.principal, old.scope, old.family, self._lifetimes.capped(old.access_lifetime_s)
        )
        now = self._clock.now()

        async def rotate(tx: Transaction) -> bool:
            if not await self._store.mark_used(tx, old.hash, now):
                return False
            await self._store.insert_access(tx, access)
            if refresh is not None:
                await self._store.insert_refresh(tx, refresh)
            return True

        if not await self._db.transaction(rotate):
            raise refresh_token_invalid("used at the same moment through another process")
        self._pairs[old.hash] = pair
        if len(self._pairs) > MAX_REPEATABLE:
            self._pairs.popitem(last=False)
        return pair.issued

    def _successor(self, pair: _Pair | None) -> Successor | None:
        if pair is None:
            return None
        # A token gets into `_live` only by being checked, and into `_pairs` only by being refreshed.
        used = pair.access_hash in self._live or (pair.refresh_hash is not None and pair.refresh_hash in self._pairs)
        return Successor(used)

    def _draw(
        self, client: ClientId, principal: Principal, scope: str | None, family: str, lifetime_s: int
    ) -> tuple[_Pair, AccessToken, RefreshToken | None]:
        now = self._clock.now()
        token = new_token()
        hash_ = hash_secret(token)
        ends = lifetime_s != NEVER
        access = AccessToken(
            hash=hash_,
            client=client,
            principal=principal,
            scope=scope,
            family=family,
            sealed=self._sealed(token, hash_, principal),
            issued_at=now,
            expires_at=Millis(now + lifetime_s * 1000) if ends else None,
        )
        if not ends:
            return _Pair(Issued(token, 0, None, scope), hash_, None), access, None
        again = new_token()
        refresh = RefreshToken(
            hash=hash_secret(again),
            client=client,
            principal=principal,
            scope=scope,
            family=family,
            access_lifetime_s=lifetime_s,
            issued_at=now,
            expires_at=Millis(now + (lifetime_s + REFRESH_MARGIN_S) * 1000),
            used_at=None,
        )
        return _Pair(Issued(token, lifetime_s, again, scope), hash_, refresh.hash), access, refresh

    # -- listing and revoking -----------------------------------------------------------------------------------------

    async def of_principal(self, principal: Principal) -> list[ListedToken]:
        """A principal's living tokens; whole where they are kept to be read back, else their hash's first digits."""
        listed = []
        for token in await self._store.of_principal(self._db, principal, self._clock.now()):
            opened = self._opened(token)
            self._compat_uses["token_listing"] += opened is not None
            listed.append(ListedToken(opened or f"sha256:{token.hash.hex()[:12]}", token.client, token.expires_at))
        return listed

    def _sealed(self, token: str, hash_: SecretHash, principal: Principal) -> bytes | None:
        """Only people can list their tokens, so only their tokens are kept to be read back."""
        if self._sealer is None or principal.kind is not PrincipalKind.USER:
            return None
        return self._sealer.seal(token.encode(), hash_)

    def _opened(self, token: AccessToken) -> str | None:
        if self._sealer is None or token.sealed is None:
            return None
        opened = self._sealer.open(token.sealed, token.hash)
        return opened.decode() if opened is not None else None

    async def revoke(self, token: str) -> None:
        """Ends one token and its log-in's refresh tokens; an unknown one is no error (RFC 7009 2.2)."""
        hash_ = hash_secret(token)

        async def delete(tx: Transaction) -> list[SecretHash]:
            found = await self._store.access(tx, hash_)
            if found is None:
                return []
            return [*await self._store.delete_family(tx, found.family), *await self._store.delete_access(tx, hash_)]

        self._publish(await self._db.transaction(delete))

    async def revoke_all(self, principal: Principal) -> None:
        """Ends every token of a principal."""

        async def delete(tx: Transaction) -> list[SecretHash]:
            return await self._store.delete_of_principal(tx, principal)

        self._publish(await self._db.transaction(delete))

    async def revoke_client(self, tx: Transaction, client: ClientId) -> list[SecretHash]:
        """Ends every token made with a client, inside the caller's transaction; publish with `announce` after it."""
        return await self._store.delete_of_client(tx, client)

    async def end_of_user(self, tx: Transaction, user: UserId, keep: SecretHash | None = None) -> list[SecretHash]:
        """Ends every token of a user, but for the log-in that the token `keep` belongs to, inside the caller's
        transaction; publish with `announce` after it."""
        kept = await self._store.access(tx, keep) if keep is not None else None
        principal = Principal(PrincipalKind.USER, user)
        return await self._store.delete_of_principal(tx, principal, keep=kept.family if kept else None)

    async def end_of(self, tx: Transaction, principal: Principal) -> list[SecretHash]:
        """As `end_of_user`, for anybody."""
        return await self._store.delete_of_principal(tx, principal)

    async def end_in_product(self, tx: Transaction, product: ProductId) -> list[SecretHash]:
        """As `end_of_user`, for a product's clients, customers and API users."""
        return await self._store.delete_in_product(tx, product)

    async def end_in_organization(self, tx: Transaction, organization: OrganizationId) -> list[SecretHash]:
        """As `end_of_user`, for an organization's clients, customers and API users; not for its products'."""
        return await self._store.delete_in_organization(tx, organization)

    def announce(self, hashes: Iterable[SecretHash]) -> None:
        self._publish(hashes)

    async def purge(self) -> int:
        """Removes rows that ended over a week ago; returns how many."""
        before = Millis(self._clock.now() - 7 * 24 * 3600 * 1000)

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, before)

        return await self._db.transaction(delete)

    async def _revoke_family(self, family: str) -> None:
        async def delete(tx: Transaction) -> list[SecretHash]:
            return await self._store.delete_family(tx, family)

        self._publish(await self._db.transaction(delete))

    def _publish(self, hashes: Iterable[SecretHash]) -> None:
        self._bus.publish(TOKENS_REVOKED, frozenset(hashes))

    def _forget(self, hashes: frozenset[SecretHash]) -> None:
        self._revocations += 1
        for hash_ in hashes:
            self._live.pop(hash_, None)
        if self._pairs:
            for parent in [parent for parent, pair in self._pairs.items() if pair.access_hash in hashes]:
                del self._pairs[parent]

    def _forget_client(self, client: ClientId) -> None:
        self._revocations += 1
        for hash_ in [hash_ for hash_, live in self._live.items() if live.client == client]:
            del self._live[hash_]
