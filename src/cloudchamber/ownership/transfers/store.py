"""SQL of transfer requests."""

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.fleet.model import owner_columns
from cloudchamber.fleet.store import owner_in
from cloudchamber.ids import DeviceId
from cloudchamber.ownership.transfers.model import Status, Transfer
from cloudchamber.storage.database import Reader, Row, Transaction

_TRANSFER = (
    "SELECT id, device_id, giver_kind, giver_id, taker_kind, taker_id, status, created_at, expires_at, decided_at"
    " FROM transfers"
)
# What is shown to one person; a device has at most a few requests.
_LISTED = 200


class TransferStore:
    async def insert(self, tx: Transaction, transfer: Transfer) -> None:
        await tx.execute(
            "INSERT INTO transfers (id, device_id, giver_kind, giver_id, taker_kind, taker_id, status, created_at,"
            " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            transfer.id,
            transfer.device,
            *owner_columns(transfer.giver),
            *owner_columns(transfer.taker),
            transfer.status.value,
            transfer.created_at,
            transfer.expires_at,
        )

    async def by_id(self, db: Reader, id_: str) -> Transfer | None:
        row = await db.fetch_one(f"{_TRANSFER} WHERE id = $1", id_)
        return _transfer(row) if row else None

    async def of_device(self, db: Reader, device: DeviceId) -> list[Transfer]:
        rows = await db.fetch_all(f"{_TRANSFER} WHERE device_id = $1", device)
        return [_transfer(row) for row in rows]

    async def pending_of_taker(self, db: Reader, taker: Owner, now: Millis) -> int:
        row = await db.fetch_one(
            "SELECT count(*) FROM transfers WHERE taker_kind = $1 AND taker_id = $2 AND status = 'pending'"
            " AND expires_at > $3",
            *owner_columns(taker),
            now,
        )
        return int(row[0]) if row else 0

    async def of_party(self, db: Reader, party: Owner) -> list[Transfer]:
        """The newest ones, of those that ask and those that are asked."""
        rows = await db.fetch_all(
            f"{_TRANSFER} WHERE (giver_kind = $1 AND giver_id = $2) OR (taker_kind = $1 AND taker_id = $2)"
            f" ORDER BY created_at DESC, id LIMIT {_LISTED}",
            *owner_columns(party),
        )
        return [_transfer(row) for row in rows]

    async def decide(self, tx: Transaction, id_: str, status: Status, now: Millis) -> None:
        await tx.execute("UPDATE transfers SET status = $2, decided_at = $3 WHERE id = $1", id_, status.value, now)

    async def void_others(self, tx: Transaction, device: DeviceId, keep: str, now: Millis) -> None:
        """The device is not its giver's any more."""
        await tx.execute(
            "UPDATE transfers SET status = 'void', decided_at = $3 WHERE device_id = $1 AND id <> $2"
            " AND status = 'pending'",
            device,
            keep,
            now,
        )

    async def delete_of(self, tx: Transaction, party: Owner) -> None:
        await tx.execute(
            "DELETE FROM transfers WHERE (giver_kind = $1 AND giver_id = $2) OR (taker_kind = $1 AND taker_id = $2)",
            *owner_columns(party),
        )

    async def delete_older(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM transfers WHERE expires_at < $1", before)


def _transfer(row: Row) -> Transfer:
    giver, taker = owner_in(row[2], row[3]), owner_in(row[4], row[5])
    assert giver is not None, "the columns are not null"
    assert taker is not None, "the columns are not null"
    return Transfer(
        id=row[0],
        device=DeviceId(row[1]),
        giver=giver,
        taker=taker,
        status=Status(row[6]),
        created_at=Millis(row[7]),
        expires_at=Millis(row[8]),
        decided_at=Millis(row[9]) if row[9] is not None else None,
    )
