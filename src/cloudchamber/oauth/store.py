"""SQL of clients, access tokens and refresh tokens."""

from cloudchamber.clock import Millis
from cloudchamber.ids import ClientId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.oauth.model import AccessToken, Client, ClientType, Principal, PrincipalKind, RefreshToken
from cloudchamber.storage.database import Reader, Row, Transaction

_CLIENT = (
    "SELECT id, secret_hash, name, type, redirect_uri, scope, user_id, product_id, is_builtin, is_enabled, created_at,"
    " organization_id FROM clients"
)
_ACCESS = (
    "SELECT hash, client_id, principal_kind, principal_id, product_id, scope, family, sealed, issued_at, expires_at,"
    " organization_id FROM access_tokens"
)
_REFRESH = (
    "SELECT hash, client_id, principal_kind, principal_id, product_id, scope, family, access_lifetime_s, issued_at,"
    " expires_at, used_at, organization_id FROM refresh_tokens"
)


class ClientStore:
    async def insert(self, tx: Transaction, client: Client) -> None:
        owner = (
            "user"
            if client.user
            else "product"
            if client.product is not None
            else "organization"
            if client.organization
            else "none"
        )
        await tx.execute(
            "INSERT INTO clients (id, secret_hash, name, type, redirect_uri, scope, owner_kind, user_id, product_id,"
            " is_builtin, is_enabled, created_at, organization_id)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            client.id,
            client.secret_hash,
            client.name,
            client.type.value,
            client.redirect_uri,
            client.scope,
            owner,
            client.user,
            client.product,
            int(client.is_builtin),
            int(client.is_enabled),
            client.created_at,
            client.organization,
        )

    async def by_id(self, db: Reader, client: ClientId) -> Client | None:
        row = await db.fetch_one(f"{_CLIENT} WHERE id = $1", client)
        return _client(row) if row else None

    async def of_user(self, db: Reader, user: UserId) -> list[Client]:
        return [
            _client(row) for row in await db.fetch_all(f"{_CLIENT} WHERE user_id = $1 ORDER BY created_at, id", user)
        ]

    async def of_product(self, db: Reader, product: ProductId) -> list[Client]:
        rows = await db.fetch_all(f"{_CLIENT} WHERE product_id = $1 ORDER BY created_at, id", product)
        return [_client(row) for row in rows]

    async def of_organization(self, db: Reader, organization: OrganizationId) -> list[Client]:
        rows = await db.fetch_all(f"{_CLIENT} WHERE organization_id = $1 ORDER BY created_at, id", organization)
        return [_client(row) for row in rows]

    async def update(self, tx: Transaction, client: Client) -> None:
        await tx.execute(
            "UPDATE clients SET name = $2, scope = $3, redirect_uri = $4, is_enabled = $5 WHERE id = $1",
            client.id,
            client.name,
            client.scope,
            client.redirect_uri,
            int(client.is_enabled),
        )

    async def delete(self, tx: Transaction, client: ClientId) -> None:
        await tx.execute("DELETE FROM clients WHERE id = $1", client)


class TokenStore:
    async def insert_access(self, tx: Transaction, token: AccessToken) -> None:
        await tx.execute(
            "INSERT INTO access_tokens (hash, client_id, principal_kind, principal_id, product_id, scope, family,"
            " sealed, issued_at, expires_at, organization_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            token.hash,
            token.client,
            token.principal.kind.value,
            token.principal.id,
            token.principal.product,
            token.scope,
            token.family,
            token.sealed,
            token.issued_at,
            token.expires_at,
            token.principal.organization,
        )

    async def insert_refresh(self, tx: Transaction, token: RefreshToken) -> None:
        await tx.execute(
            "INSERT INTO refresh_tokens (hash, client_id, principal_kind, principal_id, product_id, scope, family,"
            " access_lifetime_s, issued_at, expires_at, organization_id)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            token.hash,
            token.client,
            token.principal.kind.value,
            token.principal.id,
            token.principal.product,
            token.scope,
            token.family,
            token.access_lifetime_s,
            token.issued_at,
            token.expires_at,
            token.principal.organization,
        )

    async def access(self, db: Reader, hash_: SecretHash) -> AccessToken | None:
        row = await db.fetch_one(f"{_ACCESS} WHERE hash = $1", hash_)
        return _access(row) if row else None

    async def refresh(self, db: Reader, hash_: SecretHash) -> RefreshToken | None:
        row = await db.fetch_one(f"{_REFRESH} WHERE hash = $1", hash_)
        return _refresh(row) if row else None

    async def mark_used(self, tx: Transaction, hash_: SecretHash, now: Millis) -> bool:
        """True for exactly one of all who try: it is what makes a refresh token single-use."""
        return (
            await tx.execute("UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL", hash_, now)
            == 1
        )

    async def of_principal(self, db: Reader, principal: Principal, now: Millis) -> list[AccessToken]:
        rows = await db.fetch_all(
            f"{_ACCESS} WHERE principal_kind = $1 AND principal_id = $2 AND (expires_at IS NULL OR expires_at > $3)"
            " ORDER BY issued_at, hash",
            principal.kind.value,
            principal.id,
            now,
        )
        return [_access(row) for row in rows]

    async def delete_access(self, tx: Transaction, hash_: SecretHash) -> list[SecretHash]:
        rows = await tx.fetch_all("DELETE FROM access_tokens WHERE hash = $1 RETURNING hash", hash_)
        return [SecretHash(bytes(row[0])) for row in rows]

    async def delete_family(self, tx: Transaction, family: str) -> list[SecretHash]:
        await tx.execute("DELETE FROM refresh_tokens WHERE family = $1", family)
        rows = await tx.fetch_all("DELETE FROM access_tokens WHERE family = $1 RETURNING hash", family)
        return [SecretHash(bytes(row[0])) for row in rows]

    async def delete_of_principal(
        self, tx: Transaction, principal: Principal, *, keep: str | None = None
    ) -> list[SecretHash]:
        """All but the tokens of the family `keep`."""
        which = "WHERE principal_kind = $1 AND principal_id = $2 AND family IS DISTINCT FROM CAST($3 AS TEXT)"
        kind, id_ = principal.kind.value, principal.id
        await tx.execute(f"DELETE FROM refresh_tokens {which}", kind, id_, keep)
        rows = await tx.fetch_all(f"DELETE FROM access_tokens {which} RETURNING hash", kind, id_, keep)
        return [SecretHash(bytes(row[0])) for row in rows]

    async def delete_of_client(self, tx: Transaction, client: ClientId) -> list[SecretHash]:
        await tx.execute("DELETE FROM refresh_tokens WHERE client_id = $1", client)
        rows = await tx.fetch_all("DELETE FROM access_tokens WHERE client_id = $1 RETURNING hash", client)
        return [SecretHash(bytes(row[0])) for row in rows]

    async def delete_in_product(self, tx: Transaction, product: ProductId) -> list[SecretHash]:
        return await self._delete_in(tx, "product_id", product)

    async def delete_in_organization(self, tx: Transaction, organization: OrganizationId) -> list[SecretHash]:
        return await self._delete_in(tx, "organization_id", organization)

    async def _delete_in(self, tx: Transaction, column: str, place: int | str) -> list[SecretHash]:
        await tx.execute(f"DELETE FROM refresh_tokens WHERE {column} = $1", place)
        rows = await tx.fetch_all(f"DELETE FROM access_tokens WHERE {column} = $1 RETURNING hash", place)
        return [SecretHash(bytes(row[0])) for row in rows]

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        refresh = await tx.execute("DELETE FROM refresh_tokens WHERE expires_at < $1", before)
        return refresh + await tx.execute("DELETE FROM access_tokens WHERE expires_at < $1", before)


def _client(row: Row) -> Client:
    return Client(
        id=ClientId(row[0]),
        secret_hash=SecretHash(bytes(row[1])) if row[1] is not None else None,
        name=row[2],
        type=ClientType(row[3]),
        redirect_uri=row[4],
        scope=row[5],
        user=UserId(row[6]) if row[6] else None,
        product=ProductId(row[7]) if row[7] is not None else None,
        is_builtin=bool(row[8]),
        is_enabled=bool(row[9]),
        created_at=Millis(row[10]),
        organization=_organization(row),
    )


def _organization(row: Row) -> OrganizationId | None:
    """The last column of clients and tokens alike."""
    return OrganizationId(row[-1]) if row[-1] is not None else None


def _principal(row: Row) -> Principal:
    product = ProductId(row[4]) if row[4] is not None else None
    return Principal(PrincipalKind(row[2]), row[3], product, _organization(row))


def _access(row: Row) -> AccessToken:
    return AccessToken(
        hash=SecretHash(bytes(row[0])),
        client=ClientId(row[1]),
        principal=_principal(row),
        scope=row[5],
        family=row[6],
        sealed=bytes(row[7]) if row[7] is not None else None,
        issued_at=Millis(row[8]),
        expires_at=Millis(row[9]) if row[9] is not None else None,
    )


def _refresh(row: Row) -> RefreshToken:
    return RefreshToken(
        hash=SecretHash(bytes(row[0])),
        client=ClientId(row[1]),
        principal=_principal(row),
        scope=row[5],
        family=row[6],
        access_lifetime_s=row[7],
        issued_at=Millis(row[8]),
        expires_at=Millis(row[9]),
        used_at=Millis(row[10]) if row[10] is not None else None,
    )
