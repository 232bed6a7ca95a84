"""Tokens: issued, checked on every request, listed, refreshed, revoked.

**The hot path.** A token in use is one dictionary look-up: `cached()` hashes it and finds the requester that the first
check of this token made. The database is asked once per token and process. A cached answer is safe because all that
can end a token - revocation, a change of its client - is published on the bus and drops the entry before the
publisher answers its caller, and because an expiry is kept in the entry. Time and address of the last use are noted in
the entry, and written down together once a minute; a crash loses the last minute of that and nothing else.

Refreshing is in refreshing.py.
"""

import contextlib
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cloudchamber.access.model import Action, OrganizationResource, OwnThings, ProductResource
from cloudchamber.access.requester import ApiUser, Bearer, Customer, ProductClient, Requester
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.errors import Unavailable
from cloudchamber.identity.model import CustomerAccount
from cloudchamber.ids import (
    ClientId,
    CustomerId,
    OrganizationId,
    ProductId,
    SecretHash,
    UserId,
    hash_secret,
)
from cloudchamber.oauth.drawing import Drawing
from cloudchamber.oauth.errors import (
    client_unknown,
    log_in_ended,
    token_expired,
    token_not_found,
    token_unknown,
)
from cloudchamber.oauth.issuing import Issuing
from cloudchamber.oauth.known import KnownClients
from cloudchamber.oauth.model import (
    REFRESH_MARGIN_S,
    AccessToken,
    Client,
    Introspection,
    Issued,
    KnownToken,
    ListedToken,
    NewLogIn,
    Principal,
    PrincipalKind,
    Use,
    customer_principal,
)
from cloudchamber.oauth.refreshing import Refreshing
from cloudchamber.oauth.rules import ANY_LIFETIME, NEVER, Lifetimes, lifetime_s, may_see, scopes_of
from cloudchamber.oauth.store import ClientStore, TokenStore
from cloudchamber.sealing import Sealer
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference
from cloudchamber.tally import Figure, Tally

TOKENS_REVOKED: Final = "tokens.revoked"
"""Bus subject; the message is a frozenset of token hashes. Open streams of these tokens end."""

CLIENT_CHANGED: Final = "client.changed"
"""Bus subject; the message is a ClientId. What is cached of its tokens is forgotten."""

# About 400 bytes each. A token that fell out is read from the database at its next use.
MAX_CACHED: Final = 100_000
# Introspections of good tokens; about 300 bytes each.
MAX_TOLD: Final = 20_000


# How far back `follow` looks again: clocks of two machines differ, and a transaction takes its time.
_OVERLAP_MS: Final = 60_000

# How many last uses are written down in one transaction: others must not wait long behind it.
_USES_AT_ONCE: Final = 200
# A tuple: `A | B` makes a new object each time that it is read.
_OF_PRODUCTS: Final = (ProductClient, Customer, ApiUser)
_USED: Final = int(Figure.TOKENS)  # a plain number is counted in half the time
_SHOWN: Final = "sha256:"
_DIGITS = re.compile(r"[0-9a-f]{12}")


def shown(hash_: SecretHash) -> str:
    """How lists name a token that they do not show."""
    return f"{_SHOWN}{hash_.hex()[:12]}"


@dataclass(slots=True)
class _Live:
    requester: Bearer
    client: ClientId
    expires_at: Millis | None
    used_at: Millis
    used_ip: str
    is_noted: bool = False
    """Its last use waits to be written down."""
    product: ProductId | None = None
    """Whose team may hear how much it is used."""


def _product_of(requester: Bearer) -> ProductId | None:
    """Whose token it is. A user's is the user's, in whichever product it is used."""
    return requester.product if isinstance(requester, _OF_PRODUCTS) else None


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
        refresh_key: bytes,
        *,
        lifetimes: Lifetimes = ANY_LIFETIME,
        refresh_idle_s: int = REFRESH_MARGIN_S,
        refresh_max_age_s: int = 0,
        compat_uses: Counter[str] | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._db = db
        self._store = store
        self.clients = KnownClients(db, clients, clock)
        self._bus = bus
        self._clock = clock
        self._sealer = sealer
        self._lifetimes = lifetimes
        self._compat_uses = Counter[str]() if compat_uses is None else compat_uses
        self._drawing = Drawing(clock, sealer, refresh_idle_s, refresh_max_age_s)
        self._issuing = Issuing(db, store)
        self._refreshing = Refreshing(db, store, clock, self._drawing, self, refresh_key, grace_s)
        self._live: OrderedDict[SecretHash, _Live] = OrderedDict()
        self._used: list[SecretHash] = []
        self._revocations = 0
        self._made_at: OrderedDict[tuple[str, str], Millis] = OrderedDict()
        self._followed: set[SecretHash] = set()
        self._followed_at = clock.now()
        self._told: OrderedDict[SecretHash, Introspection] = OrderedDict()
        bus.subscribe(TOKENS_REVOKED, self._forget)
        bus.subscribe(CLIENT_CHANGED, self._forget_client)

    # -- checking ---------------------------------------------------------------------------------------------------

    def cached(self, token: str, ip: str = "", *, counts: bool = True) -> Bearer | None:
        """Whom a token acts for, without waiting; None when only `load` can tell. `ip` is who uses it. Without `counts`
        it is for `used` to count the request, for which the token may be looked at again.

        Raises InvalidToken once the token has expired.
        """
        return self.cached_by_hash(hash_secret(token), ip, counts=counts)

    def cached_by_hash(self, hash_: SecretHash, ip: str, *, counts: bool = True) -> Bearer | None:
        """As `cached`, for who keeps what a token hashes to and not the token."""
        live = self._live.get(hash_)
        if live is None:
            return None
        now = self._clock.now()
        if live.expires_at is not None and live.expires_at <= now:
            raise token_expired()
        self._live.move_to_end(hash_)
        live.used_at, live.used_ip = now, ip
        if not live.is_noted:
            live.is_noted = True
            self._used.append(hash_)
        if counts:
            self._tally.note(live.product, _USED)
        return live.requester

    def used(self, requester: Bearer) -> None:
        """One request more with a token that acts for `requester`."""
        self._tally.note(_product_of(requester), _USED)

    async def load(self, token: str, ip: str = "") -> Bearer:
        """Whom a token acts for, from the database. Raises InvalidToken."""
        hash_ = hash_secret(token)
        revocations = self._revocations
        found, is_repeatable = await self._store.access_in_use(self._db, hash_)
        if found is None:
            raise token_unknown()
        client = await self.clients.get(found.client)
        if client is None or not client.is_enabled:
            raise token_unknown()
        if found.expires_at is not None and found.expires_at <= self._clock.now():
            raise token_expired()
        requester = found.principal.requester(found.client, scopes_of(client, found.principal, found.scope), hash_)
        product = _product_of(requester)
        self._tally.note(product, _USED)
        if is_repeatable:
            # Where it cannot be written now, this process knows it by what it keeps below; who has a good token must
            # not suffer from a full disk.
            with contextlib.suppress(Unavailable):
                await self._refreshing.used_first(found)
        # A revocation while we read would have found nothing to drop: then this answer is for this request alone.
        if revocations == self._revocations:
            live = _Live(requester, found.client, found.expires_at, self._clock.now(), ip, True, product)
            self._live[hash_] = live
            self._used.append(hash_)
            if len(self._live) > MAX_CACHED:
                self._live.popitem(last=False)
        return requester

    async def check(self, token: str, ip: str = "") -> Bearer:
        """`cached`, else `load`. Raises InvalidToken."""
        return self.cached(token, ip) or await self.load(token, ip)

    async def account_made_at(self, requester: Bearer) -> Millis | None:
        """When the account that a token acts for was made, or its product or organization; None when it is gone."""
        principal = Principal.of(requester)
        key = (principal.kind.value, principal.id)
        if key not in self._made_at:
            made_at = await self._store.account_made_at(self._db, principal)
            if made_at is None:
                return None
            # It never changes, so nothing has to drop it.
            self._made_at[key] = made_at
            if len(self._made_at) > MAX_CACHED:
                self._made_at.popitem(last=False)
        return self._made_at[key]

    async def write_uses(self) -> int:
        """Writes down the last uses that were noted since the last time; returns how many."""
        noted, self._used = self._used, []
        uses = []
        for hash_ in noted:
            live = self._live.get(hash_)
            if live is not None and live.is_noted:
                live.is_noted = False
                uses.append((hash_, Use(live.used_at, live.used_ip)))
        for first in range(0, len(uses), _USES_AT_ONCE):
            some = uses[first : first + _USES_AT_ONCE]

            async def write(tx: Transaction, some: Sequence[tuple[SecretHash, Use]] = some) -> None:
                for hash_, use in some:
                    await self._store.set_last_use(tx, hash_, use)

            await self._db.transaction(write)
        return len(uses)

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

    async def lifetime_s(self, client: Client, expires_in: str | None, expires_at: str | None) -> int:
        """What `issue` takes, from what a request asked for, under the caps of the server and of the client's product.

        Raises OAuthError (invalid_request).
        """
        lifetimes = await self.lifetimes_of(client)
        lifetime = lifetime_s(expires_in, expires_at, self._clock.now(), lifetimes)
        self._compat_uses["endless_tokens"] += lifetime == NEVER
        return lifetime

    async def program_lifetime_s(self, product: ProductId | None, expires_in: str | None) -> int:
        """What `issue_in` takes for a program of `product`'s: without end where neither the request nor a cap says
        otherwise. Raises OAuthError (invalid_request)."""
        lifetimes = await self._lifetimes_in(product)
        if expires_in in (None, ""):
            lifetime = lifetimes.unasked()
        else:
            lifetime = lifetime_s(expires_in, None, self._clock.now(), lifetimes)
        self._compat_uses["endless_tokens"] += lifetime == NEVER
        return lifetime

    async def lifetimes_of(self, client: Client) -> Lifetimes:
        """Under the caps of the server and of the client's product."""
        return await self._lifetimes_in(client.product)

    async def _lifetimes_in(self, product: ProductId | None) -> Lifetimes:
        if product is None:
            return self._lifetimes
        return self._lifetimes.within(await self.clients.product_settings(product))

    async def issue(
        self,
        client: Client,
        principal: Principal,
        scope: str | None,
        lifetime_s: int,
        *,
        created_by: str | None = None,
        family: str | None = None,
        is_public: bool = False,
        with_refresh: bool = True,
        began: Millis | None = None,
    ) -> Issued:
        """A new pair for a new log-in. `lifetime_s` NEVER gives a token without end and without refresh token.
        `created_by` is who asked for it, as `describe` writes requesters; None for whom it acts for. `family` is the
        log-in's name where an authorization code knows it already; `is_public`: its client has no secret to refresh
        with. `began` is when the log-in's first request came, None for now: what was right then may be so no more.

        Raises OAuthError: invalid_client when the client was removed in the meantime, invalid_grant when the account's
        log-ins ended in the meantime or it is switched off.
        """
        now = self._clock.now()
        log_in = self._drawing.log_in(family, client.id, principal, now, created_by)
        pair = self._drawing.pair(client.id, principal, scope, log_in, lifetime_s)
        issued, access, refresh = pair.issued, pair.access, pair.refresh
        if not with_refresh:
            issued, refresh = replace(issued, refresh_token=None), None

        try:
            await self._issuing.put(
                NewLogIn(log_in, access, refresh, now if began is None else began, is_public, family is not None)
            )
        except BrokenReference as error:
            raise client_unknown() from error
        return issued

    async def issue_in(
        self,
        tx: Transaction,
        client: ClientId,
        principal: Principal,
        scope: str,
        lifetime_s: int,
        created_by: str | None = None,
    ) -> str:
        """A token that nothing refreshes, inside the transaction that makes its principal or replaces its token."""
        log_in = self._drawing.log_in(None, client, principal, self._clock.now(), created_by)
        pair = self._drawing.pair(client, principal, scope, log_in, lifetime_s)
        await self._store.insert_log_in(tx, log_in)
        await self._store.insert_access(tx, pair.access)
        return pair.issued.access_token

    async def refresh(self, client: Client, token: str, *, has_secret: bool = True) -> Issued:
        """The next pair of the same log-in.

        Raises OAuthError (invalid_grant; invalid_client without the secret that the log-in needs).
        """
        return await self._refreshing.refresh(client, token, has_secret=has_secret)

    def is_in_use(self, hash_: SecretHash) -> bool:
        """Has this access token been used in this process? It gets into `_live` only by being checked."""
        return hash_ in self._live

    # -- listing and revoking -----------------------------------------------------------------------------------------

    async def of_principal(self, principal: Principal) -> list[ListedToken]:
        """A principal's living tokens; whole where they are kept to be read back, else their hash's first digits."""
        listed = []
        for known in await self._store.of_principal(self._db, principal, self._clock.now()):
            opened = self._opened(known.token)
            self._compat_uses["token_listing"] += opened is not None
            listed.append(ListedToken(opened or shown(known.token.hash), self._up_to_date(known)))
        return listed

    async def of_product(
        self, requester: Requester, product: ProductResource, *, only_endless: bool, page: int, per_page: int
    ) -> tuple[list[ListedToken], int]:
        """One page (from 1) of the living tokens that act for a product or its customers, and the number of all.

        Raises AccessRefused.
        """
        require(requester, Action.PRODUCTS_UPDATE, product)
        now = self._clock.now()
        found = await self._store.of_product(
            self._db, product.id, now, only_endless=only_endless, limit=per_page, offset=(page - 1) * per_page
        )
        total = await self._store.count_of_product(self._db, product.id, now, only_endless=only_endless)
        return [ListedToken(shown(known.token.hash), self._up_to_date(known)) for known in found], total

    async def mine(self, requester: Bearer) -> list[ListedToken]:
        """The requester's living tokens, none of them whole, for a page that somebody else may be looking at.

        Raises AccessRefused.
        """
        require(requester, Action.TOKENS_GET, OwnThings())
        found = await self._store.of_principal(self._db, Principal.of(requester), self._clock.now())
        return [ListedToken(shown(known.token.hash), self._up_to_date(known)) for known in found]

    async def of_customer(
        self, requester: Requester, pool: ProductResource | OrganizationResource, customer: CustomerAccount
    ) -> list[ListedToken]:
        """A customer's living tokens, none of them whole: for the team, which may end them and not use them.

        Raises AccessRefused.
        """
        require(requester, Action.CUSTOMERS_UPDATE, pool)
        found = await self._store.of_principal(self._db, customer_principal(customer), self._clock.now())
        return [ListedToken(shown(known.token.hash), self._up_to_date(known)) for known in found]

    async def end_one_of_customer(
        self, requester: Requester, pool: ProductResource | OrganizationResource, customer: CustomerAccount, listed: str
    ) -> None:
        """Ends the log-in of a token that `of_customer` lists. Raises AccessRefused."""
        for each in await self.of_customer(requester, pool, customer):
            if each.shown == listed:
                await self.revoke_family(each.known.token.family)

    def _up_to_date(self, known: KnownToken) -> KnownToken:
        """With a last use that is not written down yet."""
        live = self._live.get(known.token.hash)
        return known if live is None else replace(known, last_use=Use(live.used_at, live.used_ip))

    def introspect_now(self, client: Client, token: str) -> Introspection | None:
        """As `introspect` of an access token, from memory; None where only the database can tell. What is kept is right
        for the reason for which what `cached` gives is right."""
        hash_ = hash_secret(token)
        told = self._told.get(hash_)
        if told is None or not may_see(client, told.client, told.principal):
            return None
        if told.expires_at is not None and told.expires_at <= self._clock.now():
            return None
        return told

    async def introspect(self, client: Client, token: str) -> Introspection | None:
        """A good token that `client` may see; None for every other, whatever is the matter with it."""
        hash_, now = hash_secret(token), self._clock.now()
        revocations = self._revocations
        access = await self._store.access(self._db, hash_)
        if access is not None:
            issuer = await self.clients.get(access.client)
            ends = access.expires_at
            if issuer is None or not issuer.is_enabled or not may_see(client, access.client, access.principal):
                return None
            if ends is not None and ends <= now:
                return None
            scope = access.scope or issuer.scope
            told = Introspection(access.client, access.principal, "access_token", scope, access.issued_at, ends)
            if revocations == self._revocations:
                self._told[hash_] = told
                if len(self._told) > MAX_TOLD:
                    self._told.popitem(last=False)
            return told
        refresh = await self._store.refresh(self._db, hash_)
        if refresh is None or refresh.used_at is not None or refresh.expires_at <= now:
            return None
        if not may_see(client, refresh.client, refresh.principal):
            return None
        return Introspection(
            *(refresh.client, refresh.principal, "refresh_token", refresh.scope, refresh.issued_at),
            refresh.expires_at,
        )

    def _opened(self, token: AccessToken) -> str | None:
        if self._sealer is None or token.sealed is None:
            return None
        opened = self._sealer.open(token.sealed, token.hash)
        return opened.decode() if opened is not None else None

    async def revoke(self, token: str) -> None:
        """Ends one token and its log-in's refresh tokens; an unknown one is no error (RFC 7009 2.2)."""
        hash_, now = hash_secret(token), self._clock.now()

        async def delete(tx: Transaction) -> list[SecretHash]:
            found = await self._store.access(tx, hash_)
            if found is None:
                return []
            return [
                *await self._store.delete_family(tx, found.family, now),
                *await self._store.delete_access(tx, hash_, now),
            ]

        self._publish(await self._db.transaction(delete))

    async def revoke_as_client(self, client: Client, token: str) -> None:
        """Ends an access or refresh token, with its log-in, if it is the client's; else nothing happens, and the
        answer is the same (RFC 7009 2.2)."""
        hash_, now = hash_secret(token), self._clock.now()

        async def delete(tx: Transaction) -> list[SecretHash]:
            found = await self._store.access(tx, hash_) or await self._store.refresh(tx, hash_)
            if found is None or found.client != client.id:
                return []
            return await self._store.delete_family(tx, found.family, now)

        self._publish(await self._db.transaction(delete))

    async def revoke_listed(self, principal: Principal, listed: str) -> None:
        """Ends the log-in of a token that a principal's list shows so; one that is not there is no error."""
        now = self._clock.now()

        async def delete(tx: Transaction) -> list[SecretHash]:
            families = [
                known.token.family
                for known in await self._store.of_principal(tx, principal, now)
                if shown(known.token.hash) == listed
            ]
            return [hash_ for family in families for hash_ in await self._store.delete_family(tx, family, now)]

        self._publish(await self._db.transaction(delete))

    async def revoke_of_product(self, requester: Requester, product: ProductResource, listed: str) -> None:
        """Ends the log-in of a token that the product's list shows so. Raises AccessRefused, TokenNotFound."""
        require(requester, Action.PRODUCTS_UPDATE, product)
        digits = listed.removeprefix(_SHOWN)
        if _DIGITS.fullmatch(digits) is None:
            raise token_not_found()
        now = self._clock.now()

        async def delete(tx: Transaction) -> list[SecretHash]:
            families = await self._store.families_of_product(tx, product.id, bytes.fromhex(digits))
            return [hash_ for family in families for hash_ in await self._store.delete_family(tx, family, now)]

        ended = await self._db.transaction(delete)
        if not ended:
            raise token_not_found()
        self._publish(ended)

    async def revoke_all(self, principal: Principal) -> None:
        """Ends every token of a principal."""

        async def delete(tx: Transaction) -> list[SecretHash]:
            return await self._store.delete_of_principal(tx, principal, self._clock.now())

        self._publish(await self._db.transaction(delete))

    async def revoke_client(self, tx: Transaction, client: ClientId) -> list[SecretHash]:
        """Ends every token made with a client, inside the caller's transaction; publish with `announce` after it."""
        return await self._store.delete_of_client(tx, client)

    async def end_of_user(self, tx: Transaction, user: UserId, keep: SecretHash | None = None) -> list[SecretHash]:
        """Ends every token of a user, but for the log-in that the token `keep` belongs to, inside the caller's
        transaction; publish with `announce` after it."""
        kept = await self._store.access(tx, keep) if keep is not None else None
        principal = Principal(PrincipalKind.USER, user)
        return await self._store.delete_of_principal(
            tx, principal, self._clock.now(), keep=kept.family if kept else None
        )

    async def end_of_customer(self, tx: Transaction, customer: CustomerId) -> list[SecretHash]:
        """As `end_of_user`, for a customer."""
        principal = Principal(PrincipalKind.CUSTOMER, customer)
        return await self._store.delete_of_principal(tx, principal, self._clock.now())

    async def end_of(self, tx: Transaction, principal: Principal) -> list[SecretHash]:
        """As `end_of_user`, for anybody."""
        return await self._store.delete_of_principal(tx, principal, self._clock.now())

    async def end_in_product(self, tx: Transaction, product: ProductId) -> list[SecretHash]:
        """As `end_of_user`, for a product's clients, customers and API users."""
        return await self._store.delete_in_product(tx, product)

    async def end_in_organization(self, tx: Transaction, organization: OrganizationId) -> list[SecretHash]:
        """As `end_of_user`, for an organization's clients, customers and API users; not for its products'."""
        return await self._store.delete_in_organization(tx, organization)

    def announce(self, hashes: Iterable[SecretHash]) -> None:
        self._publish(hashes)

    async def follow(self) -> int:
        """Of tokens that ended without this process (another one behind a balancer, the command line): they are
        forgotten, and the streams that they opened end. How many were."""
        now = self._clock.now()
        ended = set(await self._store.ended_since(self._db, Millis(self._followed_at - _OVERLAP_MS)))
        new = ended - self._followed
        self._followed, self._followed_at = ended, now
        if new:
            self._publish(new)
        return len(new)

    async def require_counts(self, tx: Transaction, principal: Principal, began: Millis) -> None:
        """Raises OAuthError (invalid_grant) where a log-in that began then is one of those that ended since."""
        if not await self._store.counts(tx, principal, began, self._clock.now()):
            raise log_in_ended()

    def now(self) -> Millis:
        """When a log-in begins, for `issue`."""
        return self._clock.now()

    async def purge(self) -> int:
        """Removes rows that ended over a week ago; returns how many."""
        before = Millis(self._clock.now() - 7 * 24 * 3600 * 1000)

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, before)

        return await self._db.transaction(delete)

    async def revoke_of_client(self, principal: Principal, client: ClientId) -> None:
        """Ends every token that a client has for a principal."""
        now = self._clock.now()

        async def delete(tx: Transaction) -> list[SecretHash]:
            return await self._store.delete_of_principal_and_client(tx, principal, client, now)

        self._publish(await self._db.transaction(delete))

    async def revoke_family(self, family: str) -> None:
        """Ends every token of one log-in."""
        now = self._clock.now()

        async def delete(tx: Transaction) -> list[SecretHash]:
            return await self._store.delete_family(tx, family, now)

        self._publish(await self._db.transaction(delete))

    def forget_in(self, *, product: ProductId | None = None, organization: OrganizationId | None = None) -> None:
        """Of a product or an organization that another process removed, with every token that acts for it or for its
        customers: they are forgotten here, and the streams that they opened end."""
        self._publish(
            hash_
            for hash_, live in self._live.items()
            if (product is not None and live.product == product)
            or (organization is not None and getattr(live.requester, "organization", None) == organization)
        )

    def _publish(self, hashes: Iterable[SecretHash]) -> None:
        ended = frozenset(hashes)
        self._followed |= ended  # `follow` has them to tell only where it was somebody else who ended them
        self._bus.publish(TOKENS_REVOKED, ended)

    def _forget(self, hashes: frozenset[SecretHash]) -> None:
        self._revocations += 1
        # Where clients go, so do their tokens.
        self.clients.forget()
        for hash_ in hashes:
            self._live.pop(hash_, None)
            self._told.pop(hash_, None)

    def _forget_client(self, client: ClientId) -> None:
        self._revocations += 1
        self.clients.forget()
        for hash_ in [hash_ for hash_, told in self._told.items() if told.client == client]:
            del self._told[hash_]
        for hash_ in [hash_ for hash_, live in self._live.items() if live.client == client]:
            del self._live[hash_]
