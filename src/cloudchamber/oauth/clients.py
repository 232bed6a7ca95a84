"""OAuth clients: made, listed, changed and removed by those they belong to; authenticated at the token endpoint."""

import hmac
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cloudchamber.access.model import Account, Action, OrganizationResource, ProductResource
from cloudchamber.access.requester import Anonymous, Device, Requester, Scopes, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.ids import ClientId, SecretHash, UserId, hash_secret, new_token
from cloudchamber.oauth.errors import ClientInvalid, ClientNotFound, client_unknown
from cloudchamber.oauth.model import Client, ClientType
from cloudchamber.oauth.rules import client_id_for, redirect_is_safe
from cloudchamber.oauth.store import ClientStore
from cloudchamber.oauth.tokens import CLIENT_CHANGED, Tokens
from cloudchamber.storage.database import Database, Reader, Transaction
from cloudchamber.storage.errors import Duplicate

# Public by design: these ids and secrets are compiled into the CLI and the SDKs. They identify nobody.
WELL_KNOWN: Final = {
    "particle": "particle",
    "particle-api": "particle-api",
    "particle-cli": "particle-cli",
    "CLI2": "client_secret_here",
    "spark": "spark",
    # `particle token create` of 3.43 comes with it, where its log-in comes with CLI2.
    "user": "client_secret_here",
}

CONSOLE: Final = ClientId("console")
"""Through which the requests of people in the console are made."""

Place = ProductResource | OrganizationResource
"""What a client can act for, other than its user."""

MAX_NAME_LENGTH: Final = 100
_ATTEMPTS: Final = 20


class Clients:
    def __init__(
        self,
        db: Database,
        store: ClientStore,
        tokens: Tokens,
        bus: InProcessBus,
        clock: Clock,
        *,
        takes_passwords: bool = True,
        compat_uses: Counter[str] | None = None,
    ) -> None:
        """`takes_passwords`: so does a new client that does not say otherwise."""
        self._takes_passwords = takes_passwords
        self._compat_uses = Counter[str]() if compat_uses is None else compat_uses
        self._db = db
        self._store = store
        self._tokens = tokens
        self._bus = bus
        self._clock = clock

    async def install_well_known(self, *, is_enabled: bool) -> None:
        """Makes the public clients at the first start, and switches them on or off as the settings have it."""
        for name, secret in WELL_KNOWN.items():
            known = await self._store.by_id(self._db, ClientId(name))
            if known is not None and known.is_enabled == is_enabled:
                continue
            client = known or Client(
                id=ClientId(name),
                secret_hash=hash_secret(secret),
                name=name,
                type=ClientType.INSTALLED,
                redirect_uri=None,
                scope=None,
                user=None,
                product=None,
                is_builtin=True,
                is_enabled=is_enabled,
                created_at=self._clock.now(),
            )

            now = self._clock.now()

            async def write(
                tx: Transaction, client: Client = client, now: Millis = now, *, is_new: bool = known is None
            ) -> None:
                if is_new:
                    await self._store.insert(tx, client)
                else:
                    await self._store.update(tx, replace(client, is_enabled=is_enabled), now)

            await self._db.transaction(write)
            self._bus.publish(CLIENT_CHANGED, client.id)

    async def install_console(self) -> None:
        """The console, as what people sign in to: their second factors' challenges belong to a client. It has no secret
        and no redirect, so no grant takes it, and it is not one of the public clients that can be switched off."""
        if await self._store.by_id(self._db, CONSOLE) is not None:
            return
        client = Client(
            id=CONSOLE,
            secret_hash=None,
            name="Console",
            type=ClientType.INSTALLED,
            redirect_uri=None,
            scope=None,
            user=None,
            product=None,
            is_builtin=True,
            is_enabled=True,
            created_at=self._clock.now(),
        )

        async def write(tx: Transaction) -> None:
            await self._store.insert(tx, client)

        await self._db.transaction(write)

    async def authenticate(self, client: str, secret: str) -> Client:
        """Raises OAuthError (invalid_client), the same for an unknown id and a wrong secret."""
        found = await self._tokens.clients.get(ClientId(client))
        return _authenticated(found, secret)

    def authenticate_now(self, client: str, secret: str) -> Client | None:
        """As `authenticate`, from memory; None where only the database can tell. Raises OAuthError."""
        found = self._tokens.clients.now(ClientId(client))
        return None if found is None else _authenticated(found, secret)

    async def find(self, client: str) -> Client | None:
        """A client by its id alone, for flows in which a public client has no secret to show."""
        found = await self._tokens.clients.get(ClientId(client))
        return found if found is not None and found.is_enabled else None

    async def of_user(self, requester: Requester) -> list[Client]:
        """Raises AccessRefused."""
        require(requester, Action.CLIENTS_LIST, Account())
        assert isinstance(requester, User)
        return await self._store.of_user(self._db, requester.id)

    async def of(self, requester: Requester, place: Place) -> list[Client]:
        """Raises AccessRefused."""
        require(requester, Action.CLIENTS_LIST, place)
        if isinstance(place, ProductResource):
            return await self._store.of_product(self._db, place.id)
        return await self._store.of_organization(self._db, place.id)

    async def create(
        self,
        requester: Requester,
        place: Place | None,
        *,
        name: str,
        type_: str,
        redirect_uri: str | None,
        scope: str | None,
        takes_passwords: bool | None = None,
    ) -> tuple[Client, str]:
        """A client of `place`, or of the user who asks. Returns it with its secret, which nothing shows again.

        Raises AccessRefused, ClientInvalid.
        """
        require(requester, Action.CLIENTS_CREATE, place or Account())
        _check(name, type_, redirect_uri)
        _check_scope(requester, scope)
        self._compat_uses["password_clients"] += takes_passwords is None and self._takes_passwords
        secret = new_token()
        user: UserId | None = None
        if place is None:
            assert isinstance(requester, User)
            user = requester.id
        for _ in range(_ATTEMPTS):
            client = Client(
                id=ClientId(client_id_for(name, secrets.randbelow(10_000))),
                secret_hash=hash_secret(secret),
                name=name,
                type=ClientType(type_),
                redirect_uri=redirect_uri or None,
                scope=scope or None,
                user=user,
                product=place.id if isinstance(place, ProductResource) else None,
                is_builtin=False,
                is_enabled=True,
                created_at=self._clock.now(),
                organization=place.id if isinstance(place, OrganizationResource) else None,
                takes_passwords=self._takes_passwords if takes_passwords is None else takes_passwords,
            )

            async def insert(tx: Transaction, client: Client = client) -> None:
                await self._store.insert(tx, client)

            try:
                await self._db.transaction(insert)
            except Duplicate:
                continue
            return client, secret
        raise ClientInvalid("Too many clients have this name: choose another")

    async def update(
        self,
        requester: Requester,
        place: Place | None,
        client: str,
        *,
        name: str | None,
        scope: str | None,
        takes_passwords: bool | None = None,
    ) -> Client:
        """`scope` "none" clears it; None leaves it. Raises AccessRefused, ClientNotFound, ClientInvalid."""
        require(requester, Action.CLIENTS_UPDATE, place or Account())
        if scope:
            _check_scope(requester, None if scope == "none" else scope)
        now = self._clock.now()

        async def write(tx: Transaction) -> Client:
            # Read here: a scope that somebody else has just narrowed must not come back with a new name.
            found = await self._own(tx, requester, place, client)
            changed = replace(
                found,
                name=name or found.name,
                scope=None if scope == "none" else scope or found.scope,
                takes_passwords=found.takes_passwords if takes_passwords is None else takes_passwords,
            )
            _check(changed.name, changed.type.value, changed.redirect_uri)
            await self._store.update(tx, changed, now)
            return changed

        changed = await self._db.transaction(write)
        self._bus.publish(CLIENT_CHANGED, changed.id)
        return changed

    async def delete(self, requester: Requester, place: Place | None, client: str) -> None:
        """Ends the client and every token made with it. Raises AccessRefused, ClientNotFound."""
        require(requester, Action.CLIENTS_REMOVE, place or Account())
        found = await self._own(self._db, requester, place, client)
        now = self._clock.now()

        async def write(tx: Transaction) -> list[SecretHash]:
            hashes = await self._tokens.revoke_client(tx, found.id)
            await self._store.delete(tx, found.id, now)
            return hashes

        self._tokens.announce(await self._db.transaction(write))

    async def leave(self, tx: Transaction, user: UserId, now: Millis) -> Callable[[], None]:
        """The clients of a user who goes, and every token made with them, whoever's it is."""
        hashes = []
        for client in await self._store.of_user(tx, user):
            hashes += await self._tokens.revoke_client(tx, client.id)
            await self._store.delete(tx, client.id, now)
        return lambda: self._tokens.announce(hashes)

    async def _own(self, db: Reader, requester: Requester, place: Place | None, client: str) -> Client:
        found = await self._store.by_id(db, ClientId(client))
        if found is None or not _belongs(found, requester, place):
            raise ClientNotFound("Client not found")
        return found


def _authenticated(found: Client | None, secret: str) -> Client:
    """Raises OAuthError."""
    stored = found.secret_hash if found and found.secret_hash is not None else b"\0" * 32
    right = hmac.compare_digest(stored, hash_secret(secret))
    if found is None or not right or not found.is_enabled:
        raise client_unknown()
    return found


def _check_scope(requester: Requester, scope: str | None) -> None:
    """A limited token must not make a client that may do more than itself (RFC 6749 3.3). Raises ClientInvalid."""
    if isinstance(requester, Anonymous | Device) or requester.scopes.names is None:
        return
    wanted = Scopes.parse(scope).names
    if wanted is None or not wanted <= requester.scopes.names:
        own = " ".join(sorted(requester.scopes.names))
        raise ClientInvalid(f"A limited token can only make clients with a scope within its own: {own}")


def _belongs(client: Client, requester: Requester, place: Place | None) -> bool:
    match place:
        case ProductResource(id=product):
            return client.product == product
        case OrganizationResource(id=organization):
            return client.organization == organization
        case None:
            return isinstance(requester, User) and client.user == requester.id


def _check(name: str, type_: str, redirect_uri: str | None) -> None:
    if not name or len(name) > MAX_NAME_LENGTH:
        raise ClientInvalid("name is required" if not name else f"name is longer than {MAX_NAME_LENGTH} characters")
    if type_ not in {known.value for known in ClientType}:
        raise ClientInvalid("type must be installed or web")
    if type_ == ClientType.WEB and not redirect_uri:
        raise ClientInvalid("redirect_uri is required for clients of type web")
    if redirect_uri and not redirect_is_safe(redirect_uri):
        raise ClientInvalid("redirect_uri must be an https URL, or http on this machine's loopback, without blanks")
