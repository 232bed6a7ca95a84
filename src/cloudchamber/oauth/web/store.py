"""SQL of log-ins through a browser. Codes, user codes and session cookies are stored as SHA-256."""

from collections.abc import Sequence

from cloudchamber.clock import Millis
from cloudchamber.ids import ClientId, OrganizationId, ProductId, SecretHash
from cloudchamber.oauth.model import Principal, PrincipalKind
from cloudchamber.oauth.web.model import AuthorizationCode, BrowserSession, Consent, DeviceGrant, GrantState
from cloudchamber.storage.database import Reader, Row, Transaction, Value

_CODE = (
    "SELECT hash, client_id, scope, redirect_uri, code_challenge, expires_at, used_at, family,"
    " principal_kind, principal_id, product_id, organization_id FROM authorization_codes"
)
_GRANT = (
    "SELECT hash, user_code, client_id, scope, state, interval_s, polled_at, expires_at,"
    " principal_kind, principal_id, product_id, organization_id FROM device_grants"
)
_SESSION = (
    "SELECT hash, created_at, expires_at, principal_kind, principal_id, product_id, organization_id"
    " FROM browser_sessions"
)


class AuthorizationCodeStore:
    async def insert(self, tx: Transaction, code: AuthorizationCode) -> None:
        await tx.execute(
            "INSERT INTO authorization_codes (hash, client_id, scope, redirect_uri, code_challenge, expires_at,"
            " used_at, family, principal_kind, principal_id, product_id, organization_id)"
            " VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, $8, $9, $10, $11)",
            code.hash,
            code.client,
            code.scope,
            code.redirect_uri,
            code.code_challenge,
            code.expires_at,
            code.family,
            *_columns(code.principal),
        )

    async def by_hash(self, db: Reader, hash_: SecretHash) -> AuthorizationCode | None:
        row = await db.fetch_one(f"{_CODE} WHERE hash = $1", hash_)
        if row is None:
            return None
        return AuthorizationCode(
            hash=SecretHash(row[0]),
            client=ClientId(row[1]),
            principal=_principal(row[8:]),
            scope=row[2],
            redirect_uri=row[3],
            code_challenge=row[4],
            expires_at=Millis(row[5]),
            used_at=None if row[6] is None else Millis(row[6]),
            family=row[7],
        )

    async def mark_used(self, tx: Transaction, hash_: SecretHash, now: Millis) -> bool:
        return (
            await tx.execute(
                "UPDATE authorization_codes SET used_at = $2 WHERE hash = $1 AND used_at IS NULL", hash_, now
            )
            == 1
        )

    async def spoil(self, tx: Transaction, hash_: SecretHash) -> None:
        """It was shown twice: the tokens of its first use, if they are still on their way, come too late."""
        await tx.execute("UPDATE authorization_codes SET expires_at = 0 WHERE hash = $1", hash_)

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM authorization_codes WHERE expires_at < $1", before)


class DeviceGrantStore:
    async def insert(self, tx: Transaction, grant: DeviceGrant) -> None:
        await tx.execute(
            "INSERT INTO device_grants (hash, user_code, client_id, scope, state, interval_s, polled_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, NULL, $7)",
            grant.hash,
            grant.user_code,
            grant.client,
            grant.scope,
            grant.state.value,
            grant.interval_s,
            grant.expires_at,
        )

    async def by_hash(self, db: Reader, hash_: SecretHash) -> DeviceGrant | None:
        return _grant(await db.fetch_one(f"{_GRANT} WHERE hash = $1", hash_))

    async def by_user_code(self, db: Reader, user_code: SecretHash, now: Millis) -> DeviceGrant | None:
        """One that still waits."""
        row = await db.fetch_one(
            f"{_GRANT} WHERE user_code = $1 AND state = 'pending' AND expires_at > $2", user_code, now
        )
        return _grant(row)

    async def settle(self, tx: Transaction, hash_: SecretHash, state: GrantState, principal: Principal | None) -> bool:
        """Approves or denies one that waits."""
        kind, id_, product, organization = _columns(principal) if principal is not None else (None,) * 4
        return (
            await tx.execute(
                "UPDATE device_grants SET state = $2, principal_kind = $3, principal_id = $4, product_id = $5,"
                " organization_id = $6 WHERE hash = $1 AND state = 'pending'",
                hash_,
                state.value,
                kind,
                id_,
                product,
                organization,
            )
            == 1
        )

    async def polled(self, tx: Transaction, hash_: SecretHash, now: Millis, interval_s: int) -> None:
        await tx.execute(
            "UPDATE device_grants SET polled_at = $2, interval_s = $3 WHERE hash = $1", hash_, now, interval_s
        )

    async def use(self, tx: Transaction, hash_: SecretHash) -> bool:
        return (
            await tx.execute("UPDATE device_grants SET state = 'used' WHERE hash = $1 AND state = 'approved'", hash_)
            == 1
        )

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM device_grants WHERE expires_at < $1", before)


class SessionStore:
    async def insert(self, tx: Transaction, session: BrowserSession) -> None:
        await tx.execute(
            "INSERT INTO browser_sessions (hash, created_at, expires_at, principal_kind, principal_id, product_id,"
            " organization_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            session.hash,
            session.created_at,
            session.expires_at,
            *_columns(session.principal),
        )

    async def by_hash(self, db: Reader, hash_: SecretHash) -> BrowserSession | None:
        row = await db.fetch_one(f"{_SESSION} WHERE hash = $1", hash_)
        if row is None:
            return None
        return BrowserSession(SecretHash(row[0]), _principal(row[3:]), Millis(row[1]), Millis(row[2]))

    async def delete(self, tx: Transaction, hash_: SecretHash) -> None:
        await tx.execute("DELETE FROM browser_sessions WHERE hash = $1", hash_)

    async def delete_of_principal(self, tx: Transaction, principal: Principal, keep: SecretHash | None = None) -> int:
        return await tx.execute(
            "DELETE FROM browser_sessions WHERE principal_kind = $1 AND principal_id = $2 AND hash IS DISTINCT FROM $3",
            principal.kind.value,
            principal.id,
            keep,
        )

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM browser_sessions WHERE expires_at < $1", before)


class ConsentStore:
    async def put(
        self, tx: Transaction, principal: Principal, client: ClientId, scope: str | None, now: Millis
    ) -> None:
        await tx.execute(
            "INSERT INTO consents (principal_kind, principal_id, client_id, scope, given_at)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal_kind, principal_id, client_id)"
            " DO UPDATE SET scope = excluded.scope, given_at = excluded.given_at",
            principal.kind.value,
            principal.id,
            client,
            scope,
            now,
        )

    async def of_principal(self, db: Reader, principal: Principal) -> Sequence[Consent]:
        rows = await db.fetch_all(
            "SELECT consents.client_id, clients.name, consents.scope, consents.given_at FROM consents"
            " JOIN clients ON clients.id = consents.client_id"
            " WHERE principal_kind = $1 AND principal_id = $2 ORDER BY given_at DESC",
            principal.kind.value,
            principal.id,
        )
        return [Consent(ClientId(row[0]), row[1], row[2], Millis(row[3])) for row in rows]

    async def delete(self, tx: Transaction, principal: Principal, client: ClientId) -> bool:
        return (
            await tx.execute(
                "DELETE FROM consents WHERE principal_kind = $1 AND principal_id = $2 AND client_id = $3",
                principal.kind.value,
                principal.id,
                client,
            )
            == 1
        )


def _columns(principal: Principal) -> tuple[Value, Value, Value, Value]:
    return principal.kind.value, principal.id, principal.product, principal.organization


def _principal(row: Row) -> Principal:
    kind, id_, product, organization = row
    return Principal(
        PrincipalKind(kind),
        id_,
        None if product is None else ProductId(product),
        None if organization is None else OrganizationId(organization),
    )


def _grant(row: Row | None) -> DeviceGrant | None:
    if row is None:
        return None
    return DeviceGrant(
        hash=SecretHash(row[0]),
        user_code=SecretHash(row[1]),
        client=ClientId(row[2]),
        scope=row[3],
        state=GrantState(row[4]),
        principal=None if row[8] is None else _principal(row[8:]),
        interval_s=row[5],
        polled_at=None if row[6] is None else Millis(row[6]),
        expires_at=Millis(row[7]),
    )
