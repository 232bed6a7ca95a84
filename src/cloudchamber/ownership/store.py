"""SQL of claim codes."""

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner
from cloudchamber.clock import Millis
from cloudchamber.fleet.model import owner_columns
from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.ownership.model import ClaimCode
from cloudchamber.storage.database import Reader, Transaction


class ClaimCodeStore:
    async def insert(self, tx: Transaction, code: ClaimCode) -> None:
        kind, id_ = owner_columns(code.owner)
        await tx.execute(
            "INSERT INTO claim_codes (hash, principal_kind, principal_id, product_id, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            code.hash,
            kind,
            id_,
            code.product,
            code.created_at,
            code.expires_at,
        )

    async def by_hash(self, db: Reader, hash_: SecretHash) -> ClaimCode | None:
        """A code whose owner is gone is void."""
        row = await db.fetch_one(
            "SELECT hash, principal_kind, principal_id, product_id, created_at, expires_at, device_id,"
            " CASE WHEN principal_kind = 'customer'"
            " THEN (SELECT organization_id FROM customers WHERE customers.id = principal_id) END FROM claim_codes"
            " WHERE hash = $1 AND CASE WHEN principal_kind = 'user'"
            " THEN EXISTS (SELECT 1 FROM users WHERE users.id = principal_id)"
            " ELSE EXISTS (SELECT 1 FROM customers WHERE customers.id = principal_id) END",
            hash_,
        )
        if row is None:
            return None
        owner: Owner = OwnedByUser(UserId(row[2])) if row[1] == "user" else OwnedByCustomer(CustomerId(row[2]))
        return ClaimCode(
            hash=SecretHash(bytes(row[0])),
            owner=owner,
            product=ProductId(row[3]) if row[3] is not None else None,
            created_at=Millis(row[4]),
            expires_at=Millis(row[5]),
            used_by=DeviceId(row[6]) if row[6] else None,
            organization=OrganizationId(row[7]) if row[7] else None,
        )

    async def mark_used(self, tx: Transaction, hash_: SecretHash, device: DeviceId, now: Millis) -> None:
        await tx.execute("UPDATE claim_codes SET used_at = $2, device_id = $3 WHERE hash = $1", hash_, now, device)

    async def delete_of(self, tx: Transaction, owner: Owner) -> None:
        await tx.execute(
            "DELETE FROM claim_codes WHERE principal_kind = $1 AND principal_id = $2", *owner_columns(owner)
        )

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM claim_codes WHERE expires_at < $1", before)
