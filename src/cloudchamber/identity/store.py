"""SQL of users, their second factors, customers and password resets."""

import json
from collections.abc import Sequence
from typing import Any

from cloudchamber.clock import Millis
from cloudchamber.identity.model import (
    NO_FAILURES,
    Challenge,
    ChallengeKind,
    CodeFailures,
    CustomerAccount,
    Factor,
    UserAccount,
)
from cloudchamber.identity.ports import USER_NOTICE
from cloudchamber.ids import ClientId, CustomerId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.storage.notices import put_notice

_USER = "SELECT id, username, password_hash, account_info, is_admin, created_at FROM users"
_CUSTOMER = "SELECT id, product_id, username, password_hash, created_at, organization_id FROM customers"

_SEEN = "(product_id = $1 OR organization_id = (SELECT p.organization_id FROM products p WHERE p.id = $1))"
_OWNS_A_DEVICE = (
    " AND EXISTS (SELECT 1 FROM devices WHERE devices.owner_kind = 'customer' AND devices.owner_id = customers.id)"
)
# The plus keeps SQLite from walking the product's whole fleet for each customer: to it an index by the product looks as
# good as the one by the owner, and which of the two it takes is chance. Ten thousand customers would take minutes.
_OWNS_A_DEVICE_OF_IT = (
    " AND EXISTS (SELECT 1 FROM devices WHERE devices.owner_kind = 'customer' AND devices.owner_id = customers.id"
    " AND +devices.product_id = $1)"
)

_BY_NAME = "NOT EXISTS (SELECT 1 FROM invitation_codes c WHERE c.invitation_id = invitations.id)"


class UserStore:
    async def insert(self, tx: Transaction, user: UserAccount) -> None:
        await tx.execute(
            "INSERT INTO users (id, username, password_hash, account_info, is_admin, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $6)",
            user.id,
            user.username,
            user.password_hash,
            json.dumps(user.account_info),
            int(user.is_admin),
            user.created_at,
        )
        await self._take_invitations(tx, user.id, user.username, user.created_at)

    async def _take_invitations(self, tx: Transaction, user: UserId, username: str, now: Millis) -> None:
        """Those that waited for this name become memberships, but for those that wait for a mailed code.
        Here, so that an account made on the command line is in its teams as well."""
        for table, column in (
            ("memberships", "product_id"),
            ("organization_memberships", "organization_id"),
        ):
            await tx.execute(
                f"INSERT INTO {table} ({column}, user_id, role, created_at)"
                f" SELECT {column}, CAST($1 AS TEXT), role, CAST($3 AS BIGINT) FROM invitations"
                f" WHERE username = $2 AND {column} IS NOT NULL AND expires_at > $3 AND {_BY_NAME}"
                " ON CONFLICT DO NOTHING",
                user,
                username,
                now,
            )
        await tx.execute(f"DELETE FROM invitations WHERE username = $1 AND {_BY_NAME}", username)

    async def by_id(self, db: Reader, user: UserId) -> UserAccount | None:
        row = await db.fetch_one(f"{_USER} WHERE id = $1", user)
        return _user(row) if row else None

    async def by_username(self, db: Reader, username: str) -> UserAccount | None:
        row = await db.fetch_one(f"{_USER} WHERE username = $1", username)
        return _user(row) if row else None

    async def set_password(self, tx: Transaction, user: UserId, password_hash: str, now: Millis) -> None:
        await tx.execute("UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1", user, password_hash, now)

    async def set_username(self, tx: Transaction, user: UserId, username: str, now: Millis) -> None:
        await tx.execute("UPDATE users SET username = $2, updated_at = $3 WHERE id = $1", user, username, now)
        await put_notice(tx, USER_NOTICE, user, now)
        await self._take_invitations(tx, user, username, now)

    async def set_account_info(self, tx: Transaction, user: UserId, info: dict[str, Any], now: Millis) -> None:
        await tx.execute(
            "UPDATE users SET account_info = $2, updated_at = $3 WHERE id = $1", user, json.dumps(info), now
        )

    async def delete(self, tx: Transaction, user: UserId) -> None:
        await tx.execute("DELETE FROM users WHERE id = $1", user)

    async def is_disabled(self, db: Reader, user: UserId) -> bool:
        row = await db.fetch_one(
            "SELECT 1 FROM account_states WHERE principal_kind = 'user' AND principal_id = $1"
            " AND disabled_at IS NOT NULL",
            user,
        )
        return row is not None

    async def set_disabled(self, tx: Transaction, user: UserId, now: Millis, disabled_at: Millis | None) -> None:
        await tx.execute(
            "INSERT INTO account_states (principal_kind, principal_id, log_ins_from, disabled_at)"
            " VALUES ('user', $1, $2, $3)"
            " ON CONFLICT (principal_kind, principal_id) DO UPDATE SET disabled_at = excluded.disabled_at",
            *(user, now, disabled_at),
        )


class FactorStore:
    async def insert(self, tx: Transaction, factor: Factor) -> None:
        await tx.execute(
            "INSERT INTO mfa_factors (id, user_id, name, sealed, last_step, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            *(factor.id, factor.user, factor.name, factor.sealed, factor.last_step, factor.created_at),
        )

    async def of_user(self, db: Reader, user: UserId) -> list[Factor]:
        rows = await db.fetch_all(
            "SELECT id, user_id, name, sealed, last_step, created_at, last_used_at FROM mfa_factors WHERE user_id = $1"
            " ORDER BY created_at, id",
            user,
        )
        return [_factor(row) for row in rows]

    async def use_step(self, tx: Transaction, factor: str, step: int, now: Millis) -> bool:
        """True for exactly one of all who show a code of this step, and of none before the last one shown."""
        return (
            await tx.execute(
                "UPDATE mfa_factors SET last_step = $2, last_used_at = $3 WHERE id = $1 AND last_step < $2",
                *(factor, step, now),
            )
            == 1
        )

    async def delete(self, tx: Transaction, user: UserId, factor: str) -> bool:
        return await tx.execute("DELETE FROM mfa_factors WHERE id = $1 AND user_id = $2", factor, user) == 1

    async def delete_all(self, tx: Transaction, user: UserId) -> None:
        """Everything about a user's second factors, codes and half-finished log-ins included."""
        for table in ("mfa_factors", "mfa_recovery_codes", "mfa_challenges", "mfa_failures"):
            await tx.execute(f"DELETE FROM {table} WHERE user_id = $1", user)

    # -- recovery codes -----------------------------------------------------------------------------------------------

    async def replace_codes(self, tx: Transaction, user: UserId, hashes: Sequence[SecretHash], now: Millis) -> None:
        await tx.execute("DELETE FROM mfa_recovery_codes WHERE user_id = $1", user)
        for hash_ in hashes:
            await tx.execute(
                "INSERT INTO mfa_recovery_codes (hash, user_id, created_at) VALUES ($1, $2, $3)", hash_, user, now
            )

    async def use_code(self, tx: Transaction, user: UserId, hash_: SecretHash, now: Millis) -> bool:
        """True for exactly one of all who show a code."""
        return (
            await tx.execute(
                "UPDATE mfa_recovery_codes SET used_at = $3 WHERE hash = $1 AND user_id = $2 AND used_at IS NULL",
                *(hash_, user, now),
            )
            == 1
        )

    async def codes_left(self, db: Reader, user: UserId) -> int:
        row = await db.fetch_one("SELECT count(*) FROM mfa_recovery_codes WHERE user_id = $1 AND used_at IS NULL", user)
        return int(row[0]) if row else 0

    # -- challenges ---------------------------------------------------------------------------------------------------

    async def insert_challenge(self, tx: Transaction, challenge: Challenge) -> None:
        await tx.execute(
            "INSERT INTO mfa_challenges (hash, kind, user_id, client_id, scope, lifetime_s, sealed, attempts,"
            " created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9)",
            challenge.hash,
            challenge.kind.value,
            challenge.user,
            challenge.client,
            challenge.scope,
            challenge.lifetime_s,
            challenge.sealed,
            challenge.created_at,
            challenge.expires_at,
        )

    async def challenge(self, db: Reader, hash_: SecretHash) -> Challenge | None:
        row = await db.fetch_one(
            "SELECT hash, kind, user_id, client_id, scope, lifetime_s, sealed, attempts, created_at, expires_at"
            " FROM mfa_challenges WHERE hash = $1",
            hash_,
        )
        return _challenge(row) if row else None

    async def count_attempt(self, tx: Transaction, hash_: SecretHash) -> None:
        await tx.execute("UPDATE mfa_challenges SET attempts = attempts + 1 WHERE hash = $1", hash_)

    async def finish(self, tx: Transaction, hash_: SecretHash) -> bool:
        """True for exactly one of all who try: a challenge is answered once."""
        return await tx.execute("DELETE FROM mfa_challenges WHERE hash = $1", hash_) == 1

    async def keep_newest(self, tx: Transaction, user: UserId, kind: ChallengeKind, count: int) -> None:
        """Forgets a user's older challenges, so that there are never more than a few."""
        await tx.execute(
            "DELETE FROM mfa_challenges WHERE user_id = $1 AND kind = $2 AND hash NOT IN"
            " (SELECT hash FROM mfa_challenges WHERE user_id = $1 AND kind = $2"
            " ORDER BY created_at DESC, hash LIMIT $3)",
            *(user, kind.value, count),
        )

    async def delete_challenges(self, tx: Transaction, user: UserId) -> None:
        await tx.execute("DELETE FROM mfa_challenges WHERE user_id = $1", user)

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM mfa_challenges WHERE expires_at < $1", before)

    # -- failures -----------------------------------------------------------------------------------------------------

    async def failures(self, db: Reader, user: UserId) -> CodeFailures:
        row = await db.fetch_one("SELECT count, last_at FROM mfa_failures WHERE user_id = $1", user)
        return CodeFailures(row[0], Millis(row[1])) if row else NO_FAILURES

    async def set_failures(self, tx: Transaction, user: UserId, failures: CodeFailures) -> None:
        await tx.execute(
            "INSERT INTO mfa_failures (user_id, count, last_at) VALUES ($1, $2, $3)"
            " ON CONFLICT (user_id) DO UPDATE SET count = excluded.count, last_at = excluded.last_at",
            *(user, failures.count, failures.last_at),
        )

    async def clear_failures(self, tx: Transaction, user: UserId) -> None:
        await tx.execute("DELETE FROM mfa_failures WHERE user_id = $1", user)


class ResetStore:
    async def insert(self, tx: Transaction, hash_: SecretHash, user: UserId, now: Millis, expires_at: Millis) -> None:
        await tx.execute(
            "INSERT INTO password_resets (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            hash_,
            user,
            now,
            expires_at,
        )

    async def use(self, tx: Transaction, hash_: SecretHash, now: Millis) -> UserId | None:
        """Whose password it resets, for exactly one of all who try, and only while it lives. The user's other tokens
        end with it: whoever asked for them knows another mailbox or an older mail."""
        row = await tx.fetch_one(
            "UPDATE password_resets SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2"
            " RETURNING user_id",
            hash_,
            now,
        )
        if row is None:
            return None
        await tx.execute("UPDATE password_resets SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL", row[0], now)
        return UserId(row[0])

    async def void(self, tx: Transaction, user: UserId, now: Millis) -> None:
        """Ends what was mailed to a user, perhaps to an address that is no longer theirs."""
        await tx.execute("UPDATE password_resets SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL", user, now)

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM password_resets WHERE expires_at < $1", before)


class CustomerResetStore:
    async def insert(
        self, tx: Transaction, hash_: SecretHash, customer: CustomerId, now: Millis, expires_at: Millis
    ) -> None:
        await tx.execute(
            "INSERT INTO customer_resets (hash, customer_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            *(hash_, customer, now, expires_at),
        )

    async def use(self, tx: Transaction, hash_: SecretHash, now: Millis) -> CustomerId | None:
        """Whose password it resets, for exactly one of all who try, and only while it lives; the customer's others end
        with it."""
        row = await tx.fetch_one(
            "UPDATE customer_resets SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2"
            " RETURNING customer_id",
            hash_,
            now,
        )
        if row is None:
            return None
        await self.void(tx, CustomerId(row[0]), now)
        return CustomerId(row[0])

    async def void(self, tx: Transaction, customer: CustomerId, now: Millis) -> None:
        await tx.execute(
            "UPDATE customer_resets SET used_at = $2 WHERE customer_id = $1 AND used_at IS NULL", customer, now
        )

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM customer_resets WHERE expires_at < $1", before)


class CustomerStore:
    async def insert(self, tx: Transaction, customer: CustomerAccount) -> None:
        await tx.execute(
            "INSERT INTO customers (id, product_id, username, password_hash, created_at, updated_at, organization_id)"
            " VALUES ($1, $2, $3, $4, $5, $5, $6)",
            customer.id,
            customer.product,
            customer.username,
            customer.password_hash,
            customer.created_at,
            customer.organization,
        )

    async def is_taken(self, db: Reader, customer: CustomerAccount) -> bool:
        """Has somebody whom the same product sees this name? Names have to tell customers apart in an organization and
        its product together; two of its products may each have their own."""
        row = await db.fetch_one(
            "SELECT 1 FROM customers WHERE username = $1 AND (product_id = $2 OR organization_id = $3"
            " OR organization_id = (SELECT p.organization_id FROM products p WHERE p.id = $2)"
            " OR product_id IN (SELECT p.id FROM products p WHERE p.organization_id = $3))",
            customer.username,
            customer.product,
            customer.organization,
        )
        return row is not None

    async def set_password(self, tx: Transaction, customer: CustomerId, password_hash: str, now: Millis) -> None:
        await tx.execute(
            "UPDATE customers SET password_hash = $2, updated_at = $3 WHERE id = $1", customer, password_hash, now
        )

    async def delete(self, tx: Transaction, customer: CustomerId) -> None:
        await tx.execute("DELETE FROM customers WHERE id = $1", customer)

    async def by_id(self, db: Reader, customer: CustomerId) -> CustomerAccount | None:
        row = await db.fetch_one(f"{_CUSTOMER} WHERE id = $1", customer)
        return _customer(row) if row else None

    async def by_username(
        self, db: Reader, product: ProductId | None, organization: OrganizationId | None, username: str
    ) -> CustomerAccount | None:
        """The product's or the organization's own."""
        row = await db.fetch_one(
            f"{_CUSTOMER} WHERE username = $3 AND (product_id = $1 OR organization_id = $2)",
            product,
            organization,
            username,
        )
        return _customer(row) if row else None

    async def seen_by(self, db: Reader, product: ProductId, username: str) -> CustomerAccount | None:
        """The product's own, or its organization's."""
        row = await db.fetch_one(f"{_CUSTOMER} WHERE username = $2 AND {_SEEN}", product, username)
        return _customer(row) if row else None

    async def of_product(
        self,
        db: Reader,
        product: ProductId,
        *,
        with_devices_only: bool,
        limit: int,
        offset: int,
        text: str | None = None,
    ) -> list[CustomerAccount]:
        """The product's own and its organization's."""
        owns = _OWNS_A_DEVICE_OF_IT if with_devices_only else ""
        rows = await db.fetch_all(
            f"{_CUSTOMER} WHERE {_SEEN}{owns}{_named(text, '$4')} ORDER BY created_at, id LIMIT $2 OFFSET $3",
            product,
            limit,
            offset,
            *_part(text),
        )
        return [_customer(row) for row in rows]

    async def count(self, db: Reader, product: ProductId, *, with_devices_only: bool, text: str | None = None) -> int:
        owns = _OWNS_A_DEVICE_OF_IT if with_devices_only else ""
        row = await db.fetch_one(
            f"SELECT count(*) FROM customers WHERE {_SEEN}{owns}{_named(text, '$2')}", product, *_part(text)
        )
        return int(row[0]) if row else 0

    async def of_organization(
        self,
        db: Reader,
        organization: OrganizationId,
        *,
        with_devices_only: bool,
        limit: int,
        offset: int,
        text: str | None = None,
    ) -> list[CustomerAccount]:
        owns = _OWNS_A_DEVICE if with_devices_only else ""
        rows = await db.fetch_all(
            f"{_CUSTOMER} WHERE organization_id = $1{owns}{_named(text, '$4')}"
            " ORDER BY created_at, id LIMIT $2 OFFSET $3",
            organization,
            limit,
            offset,
            *_part(text),
        )
        return [_customer(row) for row in rows]

    async def count_of_organization(
        self, db: Reader, organization: OrganizationId, *, with_devices_only: bool, text: str | None = None
    ) -> int:
        owns = _OWNS_A_DEVICE if with_devices_only else ""
        row = await db.fetch_one(
            f"SELECT count(*) FROM customers WHERE organization_id = $1{owns}{_named(text, '$2')}",
            organization,
            *_part(text),
        )
        return int(row[0]) if row else 0


def _named(text: str | None, place: str) -> str:
    """Names are kept in lower case."""
    return f" AND username LIKE {place} ESCAPE '\\'" if text else ""


def _part(text: str | None) -> tuple[str, ...]:
    """The value for that place."""
    if not text:
        return ()
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return (f"%{escaped}%",)


def _user(row: Row) -> UserAccount:
    return UserAccount(UserId(row[0]), row[1], row[2], json.loads(row[3]), bool(row[4]), Millis(row[5]))


def _customer(row: Row) -> CustomerAccount:
    return CustomerAccount(
        id=CustomerId(row[0]),
        product=ProductId(row[1]) if row[1] is not None else None,
        username=row[2],
        password_hash=row[3],
        created_at=Millis(row[4]),
        organization=OrganizationId(row[5]) if row[5] is not None else None,
    )


def _factor(row: Row) -> Factor:
    return Factor(
        row[0],
        UserId(row[1]),
        row[2],
        bytes(row[3]),
        row[4],
        Millis(row[5]),
        None if row[6] is None else Millis(row[6]),
    )


def _challenge(row: Row) -> Challenge:
    return Challenge(
        hash=SecretHash(bytes(row[0])),
        kind=ChallengeKind(row[1]),
        user=UserId(row[2]),
        client=None if row[3] is None else ClientId(row[3]),
        scope=row[4],
        lifetime_s=row[5],
        sealed=None if row[6] is None else bytes(row[6]),
        attempts=row[7],
        created_at=Millis(row[8]),
        expires_at=Millis(row[9]),
    )
