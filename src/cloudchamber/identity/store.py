"""SQL of users, customers and password resets."""

import json

from cloudchamber.clock import Millis
from cloudchamber.identity.model import CustomerAccount, UserAccount
from cloudchamber.ids import CustomerId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.storage.database import Reader, Row, Transaction

_USER = "SELECT id, username, password_hash, account_info, is_admin, created_at FROM users"
_CUSTOMER = "SELECT id, product_id, username, password_hash, created_at, organization_id FROM customers"

_SEEN = "(product_id = $1 OR organization_id = (SELECT p.organization_id FROM products p WHERE p.id = $1))"
_OWNS_A_DEVICE = (
    " AND EXISTS (SELECT 1 FROM devices WHERE devices.owner_kind = 'customer' AND devices.owner_id = customers.id)"
)
_OWNS_A_DEVICE_OF_IT = (
    " AND EXISTS (SELECT 1 FROM devices WHERE devices.owner_kind = 'customer' AND devices.owner_id = customers.id"
    " AND devices.product_id = $1)"
)


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
        # Here, so that an account made on the command line is in its teams as well.
        for table, column in (
            ("memberships", "product_id"),
            ("organization_memberships", "organization_id"),
        ):
            await tx.execute(
                f"INSERT INTO {table} ({column}, user_id, role, created_at)"
                f" SELECT {column}, CAST($1 AS TEXT), role, CAST($3 AS BIGINT) FROM invitations"
                f" WHERE username = $2 AND {column} IS NOT NULL AND expires_at > $3",
                user.id,
                user.username,
                user.created_at,
            )
        await tx.execute("DELETE FROM invitations WHERE username = $1", user.username)

    async def by_id(self, db: Reader, user: UserId) -> UserAccount | None:
        row = await db.fetch_one(f"{_USER} WHERE id = $1", user)
        return _user(row) if row else None

    async def by_username(self, db: Reader, username: str) -> UserAccount | None:
        row = await db.fetch_one(f"{_USER} WHERE username = $1", username)
        return _user(row) if row else None

    async def set_password(self, tx: Transaction, user: UserId, password_hash: str, now: Millis) -> None:
        await tx.execute("UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1", user, password_hash, now)


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

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM password_resets WHERE expires_at < $1", before)


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
        self, db: Reader, product: ProductId, *, with_devices_only: bool, limit: int, offset: int
    ) -> list[CustomerAccount]:
        """The product's own and its organization's."""
        owns = _OWNS_A_DEVICE_OF_IT if with_devices_only else ""
        rows = await db.fetch_all(
            f"{_CUSTOMER} WHERE {_SEEN}{owns} ORDER BY created_at, id LIMIT $2 OFFSET $3", product, limit, offset
        )
        return [_customer(row) for row in rows]

    async def count(self, db: Reader, product: ProductId, *, with_devices_only: bool) -> int:
        owns = _OWNS_A_DEVICE_OF_IT if with_devices_only else ""
        row = await db.fetch_one(f"SELECT count(*) FROM customers WHERE {_SEEN}{owns}", product)
        return int(row[0]) if row else 0

    async def of_organization(
        self, db: Reader, organization: OrganizationId, *, with_devices_only: bool, limit: int, offset: int
    ) -> list[CustomerAccount]:
        owns = _OWNS_A_DEVICE if with_devices_only else ""
        rows = await db.fetch_all(
            f"{_CUSTOMER} WHERE organization_id = $1{owns} ORDER BY created_at, id LIMIT $2 OFFSET $3",
            organization,
            limit,
            offset,
        )
        return [_customer(row) for row in rows]

    async def count_of_organization(self, db: Reader, organization: OrganizationId, *, with_devices_only: bool) -> int:
        owns = _OWNS_A_DEVICE if with_devices_only else ""
        row = await db.fetch_one(f"SELECT count(*) FROM customers WHERE organization_id = $1{owns}", organization)
        return int(row[0]) if row else 0


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
