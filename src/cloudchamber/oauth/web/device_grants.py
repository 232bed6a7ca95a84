"""Devices without a keyboard (RFC 8628): a device shows a code, a person types it into a page and approves."""

import secrets
from dataclasses import dataclass
from typing import Final

from cloudchamber.clock import SECOND, Clock, Millis
from cloudchamber.ids import hash_secret, new_token
from cloudchamber.oauth.errors import OAuthError, log_in_ended
from cloudchamber.oauth.model import Client
from cloudchamber.oauth.store import TokenStore
from cloudchamber.oauth.web.model import BrowserSession, DeviceGrant, GrantState
from cloudchamber.oauth.web.rules import (
    DEVICE_GRANT_LIFETIME_S,
    POLL_INTERVAL_S,
    Poll,
    Refusal,
    narrowed,
    poll,
    shown_user_code,
    slower,
    typed_user_code,
    user_code_from,
)
from cloudchamber.oauth.web.store import DeviceGrantStore
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate

_ATTEMPTS: Final = 5
_DRAWN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Begun:
    """What the device is told (RFC 8628 3.2); times in seconds."""

    device_code: str
    user_code: str
    expires_in: int = DEVICE_GRANT_LIFETIME_S
    interval: int = POLL_INTERVAL_S


class DeviceGrants:
    def __init__(self, db: Database, store: DeviceGrantStore, tokens: TokenStore, clock: Clock) -> None:
        self._db = db
        self._tokens = tokens
        self._store = store
        self._clock = clock

    async def begin(self, client: Client, scope: str | None) -> Begun:
        """Raises OAuthError (invalid_scope)."""
        try:
            wanted = narrowed(scope, client)
        except Refusal as error:
            raise OAuthError(error.error, error.description) from error
        for _ in range(_ATTEMPTS):
            device_code, user_code = new_token(), user_code_from(secrets.token_bytes(_DRAWN_BYTES))
            grant = DeviceGrant(
                hash=hash_secret(device_code),
                user_code=hash_secret(user_code),
                client=client.id,
                scope=wanted,
                state=GrantState.PENDING,
                principal=None,
                interval_s=POLL_INTERVAL_S,
                polled_at=None,
                expires_at=Millis(self._clock.now() + DEVICE_GRANT_LIFETIME_S * SECOND),
            )

            async def insert(tx: Transaction, grant: DeviceGrant = grant) -> None:
                await self._store.insert(tx, grant)

            try:
                await self._db.transaction(insert)
            except Duplicate:  # of a user code: there are 25 billion, and some wait
                continue
            return Begun(device_code, shown_user_code(user_code))
        raise OAuthError("server_error", "No code could be made just now: try again")

    async def waiting(self, typed: str) -> DeviceGrant | None:
        """The grant whose code somebody typed, if it still waits. Who calls limits how often somebody may guess."""
        code = typed_user_code(typed)
        if code is None:
            return None
        return await self._store.by_user_code(self._db, hash_secret(code), self._clock.now())

    async def settle(self, grant: DeviceGrant, session: BrowserSession | None) -> bool:
        """Approves it for whoever's session it is, or denies it. False when it no longer waits.

        Raises OAuthError (invalid_grant) when the account's log-ins ended while they thought about it.
        """
        state = GrantState.DENIED if session is None else GrantState.APPROVED
        principal = None if session is None else session.principal
        now = self._clock.now()

        async def write(tx: Transaction) -> bool:
            if session is not None and not await self._tokens.counts(tx, session.principal, session.created_at, now):
                raise log_in_ended()
            return await self._store.settle(tx, grant.hash, state, principal)

        return await self._db.transaction(write)

    async def redeem(self, client: Client, device_code: str) -> DeviceGrant:
        """An approved grant, once. Raises OAuthError as RFC 8628 3.5 has it."""
        hash_ = hash_secret(device_code)
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[Poll, DeviceGrant | None]:
            grant = await self._store.by_hash(tx, hash_)
            verdict = poll(grant, client.id, now)
            if grant is None:
                return verdict, None
            if verdict is Poll.GOOD and not await self._store.use(tx, hash_):
                return Poll.UNKNOWN, grant
            if verdict in {Poll.PENDING, Poll.SLOW_DOWN}:
                interval = slower(grant.interval_s) if verdict is Poll.SLOW_DOWN else grant.interval_s
                await self._store.polled(tx, hash_, now, interval)
            return verdict, grant

        verdict, grant = await self._db.transaction(write)
        match verdict:
            case Poll.GOOD:
                assert grant is not None, "only a grant is good"
                return grant
            case Poll.PENDING:
                raise OAuthError("authorization_pending", "Nobody has approved it yet")
            case Poll.SLOW_DOWN:
                raise OAuthError("slow_down", "Ask less often: five seconds more between two questions")
            case Poll.DENIED:
                raise OAuthError("access_denied", "The user denied access")
            case Poll.EXPIRED:
                raise OAuthError("expired_token", "The code has expired: begin again")
            case Poll.UNKNOWN:
                raise OAuthError("invalid_grant", "Invalid device code")

    async def purge(self) -> int:
        now = self._clock.now()

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, now)

        return await self._db.transaction(delete)
