"""SQL of clients, access tokens and refresh tokens."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from cloudchamber.clock import Millis
from cloudchamber.ids import ClientId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.oauth.model import (
    AccessToken,
    Client,
    ClientType,
    KnownToken,
    LastRefresh,
    LogIn,
    NewLogIn,
    Principal,
    PrincipalKind,
    RefreshToken,
    Use,
)
from cloudchamber.oauth.rules import log_in_counts
from cloudchamber.storage.database import Reader, Row, Transaction, Value
from cloudchamber.storage.notices import put_notice
from cloudchamber.storage.sql import in_steps, places, rows_of_places

CLIENT_NOTICE: Final = "client"
"""Subject of a notice (storage/notices.py), about a client's id: it was changed, or has gone with its tokens."""

_CLIENT = (
    "SELECT id, secret_hash, name, type, redirect_uri, scope, user_id, product_id, is_builtin, is_enabled, created_at,"
    " EXISTS (SELECT 1 FROM clients_without_passwords w WHERE w.client_id = clients.id), organization_id FROM clients"
)
_ACCESS = (
    "SELECT hash, client_id, principal_kind, principal_id, product_id, scope, family, sealed, issued_at, expires_at,"
    " organization_id FROM access_tokens"
)
_REFRESH = (
    "SELECT hash, client_id, principal_kind, principal_id, product_id, scope, family, access_lifetime_s, issued_at,"
    " expires_at, used_at,"
    " EXISTS (SELECT 1 FROM public_log_ins WHERE public_log_ins.family = refresh_tokens.family), organization_id"
    " FROM refresh_tokens"
)

# Of _ACCESS, and whether its pair can be given again.
_ACCESS_IN_USE = _ACCESS.replace(
    ", organization_id",
    ", EXISTS (SELECT 1 FROM last_refreshes l"
    " WHERE l.family = access_tokens.family AND l.access = access_tokens.hash AND l.salt IS NOT NULL), organization_id",
)

# The columns of _ACCESS, and after them what else is known of a token.
_KNOWN = _ACCESS.replace(
    " FROM access_tokens",
    ", last_used_at, last_used_ip,"
    " (SELECT l.created_by FROM log_ins l WHERE l.family = access_tokens.family),"
    " (SELECT l.created_at FROM log_ins l WHERE l.family = access_tokens.family),"
    " (SELECT l.ends_at FROM log_ins l WHERE l.family = access_tokens.family),"
    " (SELECT max(r.expires_at) FROM refresh_tokens r WHERE r.family = access_tokens.family AND r.used_at IS NULL)"
    " FROM access_tokens",
)
_LIVING = "(expires_at IS NULL OR (expires_at > $2 AND CAST($3 AS BIGINT) = 0))"


@dataclass(frozen=True, slots=True, eq=False)
class _Insert:
    """`INSERT INTO <into> VALUES (...), ... <end>`."""

    into: str
    end: str = ""

    @lru_cache(maxsize=128)  # noqa: B019 - the objects are this module's own, and their statements literals but for length
    def of(self, rows: int) -> str:
        return f"INSERT INTO {self.into} VALUES {rows_of_places(rows, self.into.count(',') + 1)}{self.end}"


_INSERT_LOG_IN = _Insert("log_ins (family, created_by, created_at, ends_at)", " ON CONFLICT (family) DO NOTHING")
_INSERT_PUBLIC = _Insert("public_log_ins (family)", " ON CONFLICT (family) DO NOTHING")
_INSERT_ACCESS = _Insert(
    "access_tokens (hash, client_id, principal_kind, principal_id, product_id, scope, family, sealed, issued_at,"
    " expires_at, organization_id)"
)
_INSERT_ENDED = _Insert("ended_tokens (hash, ended_at)")
_INSERT_REFRESH = _Insert(
    "refresh_tokens (hash, client_id, principal_kind, principal_id, product_id, scope, family, access_lifetime_s,"
    " issued_at, expires_at, organization_id)"
)


async def _insert(tx: Transaction, insert: _Insert, rows: Sequence[tuple[Value, ...]]) -> None:
    for part in in_steps(rows):
        await tx.execute(insert.of(len(part)), *chain.from_iterable(part))


def _log_in_row(log_in: LogIn) -> tuple[Value, ...]:
    return log_in.family, log_in.created_by, log_in.created_at, log_in.ends_at


def _access_row(token: AccessToken) -> tuple[Value, ...]:
    principal = token.principal
    return (
        *(token.hash, token.client, principal.kind.value, principal.id, principal.product, token.scope, token.family),
        *(token.sealed, token.issued_at, token.expires_at, principal.organization),
    )


def _refresh_row(token: RefreshToken) -> tuple[Value, ...]:
    principal = token.principal
    return (
        *(token.hash, token.client, principal.kind.value, principal.id, principal.product, token.scope, token.family),
        *(token.access_lifetime_s, token.issued_at, token.expires_at, principal.organization),
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
        await self._set_takes_passwords(tx, client)

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

    async def update(self, tx: Transaction, client: Client, now: Millis) -> None:
        await put_notice(tx, CLIENT_NOTICE, client.id, now)
        await tx.execute(
            "UPDATE clients SET name = $2, scope = $3, redirect_uri = $4, is_enabled = $5 WHERE id = $1",
            client.id,
            client.name,
            client.scope,
            client.redirect_uri,
            int(client.is_enabled),
        )
        await self._set_takes_passwords(tx, client)

    async def _set_takes_passwords(self, tx: Transaction, client: Client) -> None:
        if client.takes_passwords:
            await tx.execute("DELETE FROM clients_without_passwords WHERE client_id = $1", client.id)
        else:
            await tx.execute(
                "INSERT INTO clients_without_passwords (client_id) VALUES ($1) ON CONFLICT (client_id) DO NOTHING",
                client.id,
            )

    async def delete(self, tx: Transaction, client: ClientId, now: Millis) -> None:
        await put_notice(tx, CLIENT_NOTICE, client, now)
        await tx.execute("DELETE FROM clients WHERE id = $1", client)

    async def product_settings(self, db: Reader, product: ProductId) -> dict[str, Any]:
        """What a product's team has set, of which `tokens` concerns its clients."""
        row = await db.fetch_one("SELECT settings FROM products WHERE id = $1", product)
        return dict(json.loads(row[0])) if row else {}


class TokenStore:
    async def insert_new(self, tx: Transaction, new: Sequence[NewLogIn]) -> None:
        """Log-ins with their first tokens, many to a statement."""
        await _insert(tx, _INSERT_LOG_IN, [_log_in_row(each.log_in) for each in new])
        await _insert(tx, _INSERT_PUBLIC, [(each.log_in.family,) for each in new if each.is_public])
        await _insert(tx, _INSERT_ACCESS, [_access_row(each.access) for each in new])
        await _insert(tx, _INSERT_REFRESH, [_refresh_row(each.refresh) for each in new if each.refresh is not None])

    async def insert_access(self, tx: Transaction, token: AccessToken) -> None:
        await _insert(tx, _INSERT_ACCESS, [_access_row(token)])

    async def insert_refresh(self, tx: Transaction, token: RefreshToken) -> None:
        await _insert(tx, _INSERT_REFRESH, [_refresh_row(token)])

    async def access(self, db: Reader, hash_: SecretHash) -> AccessToken | None:
        row = await db.fetch_one(f"{_ACCESS} WHERE hash = $1", hash_)
        return _access(row) if row else None

    async def access_in_use(self, db: Reader, hash_: SecretHash) -> tuple[AccessToken | None, bool]:
        """The token, and whether whoever refreshed for it can still be given it again."""
        row = await db.fetch_one(f"{_ACCESS_IN_USE} WHERE hash = $1", hash_)
        return (_access(row), bool(row[10])) if row else (None, False)

    async def refresh(self, db: Reader, hash_: SecretHash) -> RefreshToken | None:
        row = await db.fetch_one(f"{_REFRESH} WHERE hash = $1", hash_)
        return _refresh(row) if row else None

    async def mark_used(self, tx: Transaction, hash_: SecretHash, now: Millis) -> bool:
        """True for exactly one of all who try: it is what makes a refresh token single-use."""
        return (
            await tx.execute("UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL", hash_, now)
            == 1
        )

    async def last_refresh(self, db: Reader, family: str) -> LastRefresh | None:
        row = await db.fetch_one("SELECT family, used, access, salt FROM last_refreshes WHERE family = $1", family)
        if row is None:
            return None
        salt = bytes(row[3]) if row[3] is not None else None
        return LastRefresh(row[0], SecretHash(bytes(row[1])), SecretHash(bytes(row[2])), salt)

    async def set_last_refresh(self, tx: Transaction, last: LastRefresh) -> None:
        await tx.execute(
            "INSERT INTO last_refreshes (family, used, access, salt) VALUES ($1, $2, $3, $4) ON CONFLICT (family)"
            " DO UPDATE SET used = excluded.used, access = excluded.access, salt = excluded.salt",
            *(last.family, last.used, last.access, last.salt),
        )

    async def forget_salt(self, tx: Transaction, access: AccessToken) -> None:
        """Of the refresh that gave this token, if it is its log-in's last."""
        await tx.execute(
            "UPDATE last_refreshes SET salt = NULL WHERE family = $1 AND access = $2", access.family, access.hash
        )

    async def insert_log_in(self, tx: Transaction, log_in: LogIn) -> None:
        await _insert(tx, _INSERT_LOG_IN, [_log_in_row(log_in)])

    async def log_in(self, db: Reader, family: str) -> LogIn | None:
        row = await db.fetch_one(
            "SELECT family, created_by, created_at, ends_at FROM log_ins WHERE family = $1", family
        )
        return LogIn(row[0], row[1], Millis(row[2]), _millis(row[3])) if row else None

    async def of_principal(self, db: Reader, principal: Principal, now: Millis) -> list[KnownToken]:
        rows = await db.fetch_all(
            f"{_KNOWN} WHERE principal_kind = $1 AND principal_id = $2 AND (expires_at IS NULL OR expires_at > $3)"
            " ORDER BY issued_at, hash",
            *(principal.kind.value, principal.id, now),
        )
        return [_known(row) for row in rows]

    async def of_product(
        self, db: Reader, product: ProductId, now: Millis, *, only_endless: bool, limit: int, offset: int
    ) -> list[KnownToken]:
        """What acts for a product and its customers, oldest first."""
        rows = await db.fetch_all(
            f"{_KNOWN} WHERE product_id = $1 AND {_LIVING} ORDER BY issued_at, hash LIMIT $4 OFFSET $5",
            *(product, now, int(only_endless), limit, offset),
        )
        return [_known(row) for row in rows]

    async def count_of_product(self, db: Reader, product: ProductId, now: Millis, *, only_endless: bool) -> int:
        row = await db.fetch_one(
            f"SELECT count(*) FROM access_tokens WHERE product_id = $1 AND {_LIVING}",
            *(product, now, int(only_endless)),
        )
        return int(row[0]) if row else 0

    async def families_of_product(self, db: Reader, product: ProductId, begin: bytes) -> list[str]:
        """The log-ins of those tokens of a product whose hash begins so."""
        rows = await db.fetch_all(
            "SELECT family FROM access_tokens WHERE hash >= $2 AND hash <= $3 AND product_id = $1",
            *(product, begin, begin + b"\xff" * 32),
        )
        return [row[0] for row in rows]

    async def set_last_use(self, tx: Transaction, hash_: SecretHash, use: Use) -> None:
        await tx.execute(
            "UPDATE access_tokens SET last_used_at = $2, last_used_ip = $3 WHERE hash = $1", hash_, use.at, use.ip
        )

    async def delete_access(self, tx: Transaction, hash_: SecretHash, now: Millis) -> list[SecretHash]:
        return await self._end(tx, now, "WHERE hash = $1", hash_)

    async def delete_family(self, tx: Transaction, family: str, now: Millis) -> list[SecretHash]:
        await tx.execute("DELETE FROM refresh_tokens WHERE family = $1", family)
        return await self._end(tx, now, "WHERE family = $1", family)

    async def _end(self, tx: Transaction, now: Millis, where: str, *which: Value) -> list[SecretHash]:
        """Deletes access tokens, and leaves word of those that other processes may have in memory (`ended_since`)."""
        rows = await tx.fetch_all(f"DELETE FROM access_tokens {where} RETURNING hash, expires_at", *which)
        living = [(bytes(hash_), now) for hash_, expires_at in rows if expires_at is None or expires_at > now]
        await _insert(tx, _INSERT_ENDED, living)
        return [SecretHash(bytes(hash_)) for hash_, _ in rows]

    async def delete_of_principal(
        self, tx: Transaction, principal: Principal, now: Millis, *, keep: str | None = None
    ) -> list[SecretHash]:
        """All but the tokens of the family `keep`. What a browser was let in with goes, too, and what is half way
        through a log-in comes too late."""
        await tx.execute(
            "INSERT INTO account_states (principal_kind, principal_id, log_ins_from) VALUES ($1, $2, $3)"
            " ON CONFLICT (principal_kind, principal_id) DO UPDATE SET log_ins_from = excluded.log_ins_from",
            *(principal.kind.value, principal.id, now),
        )
        for held in ("browser_sessions", "authorization_codes", "device_grants"):
            await tx.execute(
                f"DELETE FROM {held} WHERE principal_kind = $1 AND principal_id = $2",
                principal.kind.value,
                principal.id,
            )
        which = "WHERE principal_kind = $1 AND principal_id = $2 AND family IS DISTINCT FROM CAST($3 AS TEXT)"
        kind, id_ = principal.kind.value, principal.id
        await tx.execute(f"DELETE FROM refresh_tokens {which}", kind, id_, keep)
        return await self._end(tx, now, which, kind, id_, keep)

    async def delete_of_principal_and_client(
        self, tx: Transaction, principal: Principal, client: ClientId, now: Millis
    ) -> list[SecretHash]:
        found = (principal.kind.value, principal.id, client)
        where = "WHERE principal_kind = $1 AND principal_id = $2 AND client_id = $3"
        # What was allowed a moment ago and not fetched yet goes, too.
        for waiting in ("authorization_codes", "device_grants"):
            await tx.execute(f"DELETE FROM {waiting} {where}", *found)
        await tx.execute(f"DELETE FROM refresh_tokens {where}", *found)
        return await self._end(tx, now, where, *found)

    async def delete_of_client(self, tx: Transaction, client: ClientId) -> list[SecretHash]:
        """There may be very many. Other processes hear that the client has gone, and not of each of them; so it is
        where a product or an organization goes."""
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

    async def counts(self, db: Reader, principal: Principal, began: Millis, now: Millis) -> bool:
        """Does a log-in of `principal` that began then still count?"""
        row = await db.fetch_one(
            "SELECT log_ins_from, disabled_at FROM account_states WHERE principal_kind = $1 AND principal_id = $2",
            *(principal.kind.value, principal.id),
        )
        return row is None or log_in_counts(Millis(row[0]), began, now, is_disabled=row[1] is not None)

    async def all_count(self, tx: Transaction, new: Sequence[NewLogIn]) -> bool:
        """As `counts`, for many at once: False when one of them does not, or its code was shown twice."""
        now = max((each.access.issued_at for each in new), default=Millis(0))
        begun: defaultdict[str, dict[str, Millis]] = defaultdict(dict)
        for each in new:
            of_kind = begun[each.access.principal.kind.value]
            id_ = each.access.principal.id
            of_kind[id_] = min(each.began, of_kind.get(id_, each.began))
        for kind, of_kind in begun.items():
            for part in in_steps(list(of_kind)):
                for id_, log_ins_from, disabled_at in await tx.fetch_all(
                    "SELECT principal_id, log_ins_from, disabled_at FROM account_states"
                    f" WHERE principal_kind = $1 AND principal_id IN ({places(len(part), 2)})",
                    *(kind, *part),
                ):
                    if not log_in_counts(log_ins_from, of_kind[id_], now, is_disabled=disabled_at is not None):
                        return False
        for part in in_steps([each.log_in.family for each in new if each.is_of_code]):
            good = await tx.fetch_all(
                f"SELECT family FROM authorization_codes WHERE family IN ({places(len(part), 1)}) AND expires_at > 0",
                *part,
            )
            if len(good) < len(part):
                return False
        return True

    async def account_made_at(self, db: Reader, principal: Principal) -> Millis | None:
        """When the account was made, or the product or organization that a program acts for; None when it is gone."""
        table, id_ = {
            PrincipalKind.USER: ("users", principal.id),
            PrincipalKind.CUSTOMER: ("customers", principal.id),
            PrincipalKind.PRODUCT: ("products", principal.product),
            PrincipalKind.ORGANIZATION: ("organizations", principal.organization),
            PrincipalKind.API_USER: ("api_users", principal.id),
        }[principal.kind]
        row = await db.fetch_one(f"SELECT created_at FROM {table} WHERE id = $1", id_)
        return Millis(row[0]) if row else None

    async def ended_since(self, db: Reader, since: Millis) -> list[SecretHash]:
        rows = await db.fetch_all("SELECT hash FROM ended_tokens WHERE ended_at >= $1", since)
        return [SecretHash(bytes(row[0])) for row in rows]

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        await tx.execute("DELETE FROM ended_tokens WHERE ended_at < $1", before)
        # No log-in is under way for as long as that.
        await tx.execute("DELETE FROM account_states WHERE disabled_at IS NULL AND log_ins_from < $1", before)
        refresh = await tx.execute("DELETE FROM refresh_tokens WHERE expires_at < $1", before)
        access = await tx.execute("DELETE FROM access_tokens WHERE expires_at < $1", before)
        await tx.execute("DELETE FROM public_log_ins WHERE family NOT IN (SELECT family FROM refresh_tokens)")
        await tx.execute(
            "DELETE FROM log_ins WHERE created_at < $1"
            " AND NOT EXISTS (SELECT 1 FROM access_tokens a WHERE a.family = log_ins.family)"
            " AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.family = log_ins.family)",
            before,
        )
        return refresh + access


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
        takes_passwords=not row[11],
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
        is_public=bool(row[11]),
    )


def _known(row: Row) -> KnownToken:
    token = _access(row)
    used_at, used_ip, created_by, created_at, ends_at, refresh_expires_at = row[-6:]
    return KnownToken(
        token,
        LogIn(token.family, created_by, Millis(created_at), _millis(ends_at)) if created_by is not None else None,
        _millis(refresh_expires_at),
        Use(Millis(used_at), used_ip or "") if used_at is not None else None,
    )


def _millis(value: int | None) -> Millis | None:
    return None if value is None else Millis(value)
