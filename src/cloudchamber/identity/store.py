"""SQL of users, customers and password resets."""

import json

from cloudchamber.clock import Millis
from cloudchamber.identity.model import CustomerAccount, UserAccount
from cloudchamber.ids import CustomerId, ProductId, SecretHash, UserId
from cloudchamber.storage.database import Reader, Row, Transaction

_USER = "SELECT id, username, password_hash, account_info, is_admin, created_at FROM users"
_CUSTOMER = "SELECT id, product_id, username, password_hash, created_at FROM customers"

_OWNS_A_DEVICE = (
    " AND EXISTS (SELECT 1 FROM devices WHERE devices.owner_kind = 'customer' AND devices.owner_id = customers.id)"
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
            "INSERT INTO customers (id, product_id, username, password_hash, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $5)",
            customer.id,
            customer.product,
            customer.username,
            customer.password_hash,
            customer.created_at,
        )

    async def by_id(self, db: Reader, customer: CustomerId) -> CustomerAccount | None:
        row = await db.fetch_one(f"{_CUSTOMER} WHERE id = $1", customer)
        return _customer(row) if row else None

    async def by_username(self, db: Reader, product: ProductId, username: str) -> CustomerAccount | None:
        row = await db.fetch_one(f"{_CUSTOMER} WHERE product_id = $1 AND username = $2", product, username)
        return _customer(row) if row else None

    async def of_product(
        self, db: Reader, product: ProductId, *, with_devices_only: bool, limit: int, offset: int
    ) -> list[CustomerAccount]:
        owns = _OWNS_A_DEVICE if with_devices_only else ""
        rows = await db.fetch_all(
            f"{_CUSTOMER} WHERE product_id = $1{owns} ORDER BY created_at, id LIMIT $2 OFFSET $3",
            product,
            limit,
            offset,
        )
        return [_customer(row) for row in rows]

    async def count(self, db: Reader, product: ProductId, *, with_devices_only: bool) -> int:
        owns = _OWNS_A_DEVICE if with_devices_only else ""
        row = await db.fetch_one(f"SELECT count(*) FROM customers WHERE product_id = $1{owns}", product)
        return int(row[0]) if row else 0


def _user(row: Row) -> UserAccount:
    return UserAccount(UserId(row[0]), row[1], row[2], json.loads(row[3]), bool(row[4]), Millis(row[5]))


def _customer(row: Row) -> CustomerAccount:
    return CustomerAccount(CustomerId(row[0]), ProductId(row[1]), row[2], row[3], Millis(row[4]))
