"""SQL of firmware: the files, versions of products, what is released, and devices' updates."""

from collections.abc import Iterable
from typing import Final

from cloudchamber.clock import Millis
from cloudchamber.firmware.model import BinaryHash, Firmware, Releases, Update, UpdateState
from cloudchamber.fleet.model import owner_columns
from cloudchamber.fleet.store import owner_in
from cloudchamber.ids import DeviceId, ProductId, UserId
from cloudchamber.storage.database import Reader, Row, Transaction

PIECE: Final = 64 * 1024
"""A file is kept in rows of so many bytes: neither database likes large ones, and a reader need not hold it whole."""

_FIRMWARE: Final = (
    "SELECT f.id, f.product_id, f.version, f.title, f.description, f.name, f.size, f.hash, f.uploaded_by, u.username,"
    " f.uploaded_at, f.updated_at, f.is_mandatory, f.is_product_default, f.is_intelligent, f.has_run, f.released_at,"
    " (SELECT count(*) FROM devices d WHERE d.product_id = f.product_id AND d.firmware_version = f.version"
    " AND d.firmware_product_id IN (d.product_id, d.platform_id))"
    " FROM firmware f LEFT JOIN users u ON u.id = f.uploaded_by"
)

_UPDATE: Final = (
    "SELECT device_id, product_id, owner_kind, owner_id, version, hash, name, state, attempts, not_before, error,"
    " requested_at, updated_at FROM firmware_updates"
)


class BinaryStore:
    async def insert(self, tx: Transaction, hash_: BinaryHash, data: bytes, now: Millis) -> None:
        """A file that is kept already stays as it is."""
        inserted = await tx.execute(
            "INSERT INTO firmware_binaries (hash, size, created_at) VALUES ($1, $2, $3)"
            " ON CONFLICT (hash) DO UPDATE SET created_at = excluded.created_at",
            hash_,
            len(data),
            now,
        )
        assert inserted == 1
        if await tx.fetch_one("SELECT 1 FROM firmware_pieces WHERE hash = $1 AND number = 0", hash_) is not None:
            return
        for number, at in enumerate(range(0, len(data), PIECE)):
            await tx.execute(
                "INSERT INTO firmware_pieces (hash, number, data) VALUES ($1, $2, $3)",
                hash_,
                number,
                data[at : at + PIECE],
            )

    async def load(self, db: Reader, hash_: BinaryHash) -> bytes | None:
        """The whole file, a piece at a time."""
        row = await db.fetch_one("SELECT size FROM firmware_binaries WHERE hash = $1", hash_)
        if row is None:
            return None
        pieces = []
        for number in range(-(-int(row[0]) // PIECE)):
            piece = await db.fetch_one(
                "SELECT data FROM firmware_pieces WHERE hash = $1 AND number = $2", hash_, number
            )
            if piece is None:
                return None  # it was deleted meanwhile
            pieces.append(bytes(piece[0]))
        return b"".join(pieces)

    async def delete_unused(self, tx: Transaction, before: Millis) -> int:
        """Files that neither a product nor an open update has, and that are not just being brought."""
        return await tx.execute(
            "DELETE FROM firmware_binaries WHERE created_at < $1"
            " AND NOT EXISTS (SELECT 1 FROM firmware f WHERE f.hash = firmware_binaries.hash)"
            " AND NOT EXISTS (SELECT 1 FROM firmware_updates d WHERE d.hash = firmware_binaries.hash)",
            before,
        )


class FirmwareStore:
    async def insert(self, tx: Transaction, firmware: Firmware) -> None:
        """Raises Duplicate where the product has this version."""
        await tx.execute(
            "INSERT INTO firmware (id, product_id, version, title, description, name, size, hash, uploaded_by,"
            " is_mandatory, has_run, uploaded_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
            firmware.id,
            firmware.product,
            firmware.version,
            firmware.title,
            firmware.description,
            firmware.name,
            firmware.size,
            firmware.hash,
            firmware.uploaded_by,
            int(firmware.is_mandatory),
            int(firmware.has_run),
            firmware.uploaded_at,
        )

    async def of_product(self, db: Reader, product: ProductId) -> list[Firmware]:
        rows = await db.fetch_all(f"{_FIRMWARE} WHERE f.product_id = $1 ORDER BY f.version", product)
        groups = await self._groups(db, product)
        return [_firmware(row, groups) for row in rows]

    async def get(self, db: Reader, product: ProductId, version: int) -> Firmware | None:
        row = await db.fetch_one(f"{_FIRMWARE} WHERE f.product_id = $1 AND f.version = $2", product, version)
        return _firmware(row, await self._groups(db, product)) if row else None

    async def exists(self, db: Reader, product: ProductId, version: int) -> bool:
        sql = "SELECT 1 FROM firmware WHERE product_id = $1 AND version = $2"
        return await db.fetch_one(sql, product, version) is not None

    async def products(self, db: Reader) -> set[ProductId]:
        """Those that have any firmware."""
        return {ProductId(row[0]) for row in await db.fetch_all("SELECT DISTINCT product_id FROM firmware")}

    async def update(
        self,
        tx: Transaction,
        product: ProductId,
        version: int,
        *,
        title: str,
        description: str,
        is_mandatory: bool,
        now: Millis,
    ) -> None:
        await tx.execute(
            "UPDATE firmware SET title = $3, description = $4, is_mandatory = $5, updated_at = $6"
            " WHERE product_id = $1 AND version = $2",
            product,
            version,
            title,
            description,
            int(is_mandatory),
            now,
        )

    async def delete(self, tx: Transaction, product: ProductId, version: int) -> None:
        await tx.execute("DELETE FROM firmware WHERE product_id = $1 AND version = $2", product, version)

    async def mark_run(self, tx: Transaction, product: ProductId, version: int) -> None:
        await tx.execute(
            "UPDATE firmware SET has_run = 1 WHERE product_id = $1 AND version = $2 AND has_run = 0", product, version
        )

    # -- releases -----------------------------------------------------------------------------------------------------

    async def releases(self, db: Reader, product: ProductId) -> Releases:
        row = await db.fetch_one(
            "SELECT version FROM firmware WHERE product_id = $1 AND is_product_default = 1", product
        )
        return Releases(int(row[0]) if row else None, dict(await self._released(db, product)))

    async def release(
        self, tx: Transaction, product: ProductId, version: int, *, is_intelligent: bool, now: Millis
    ) -> None:
        await tx.execute(
            "UPDATE firmware SET released_at = COALESCE(released_at, $3), is_intelligent = $4, updated_at = $3"
            " WHERE product_id = $1 AND version = $2",
            product,
            version,
            now,
            int(is_intelligent),
        )

    async def set_default(self, tx: Transaction, product: ProductId, version: int) -> None:
        await tx.execute(
            "UPDATE firmware SET is_product_default = CASE WHEN version = $2 THEN 1 ELSE 0 END WHERE product_id = $1",
            product,
            version,
        )

    async def release_to_group(self, tx: Transaction, product: ProductId, group: str, version: int) -> bool:
        """False when there is no such group."""
        changed = await tx.execute(
            "UPDATE device_groups SET fw_version = $3 WHERE product_id = $1 AND name_key = $2",
            product,
            group.lower(),
            version,
        )
        return changed == 1

    async def _released(self, db: Reader, product: ProductId) -> list[tuple[str, int]]:
        rows = await db.fetch_all(
            "SELECT name_key, fw_version FROM device_groups WHERE product_id = $1 AND fw_version IS NOT NULL", product
        )
        return [(row[0], int(row[1])) for row in rows]

    async def _groups(self, db: Reader, product: ProductId) -> dict[int, list[str]]:
        rows = await db.fetch_all(
            "SELECT fw_version, name FROM device_groups WHERE product_id = $1 AND fw_version IS NOT NULL"
            " ORDER BY name_key",
            product,
        )
        groups: dict[int, list[str]] = {}
        for version, name in rows:
            groups.setdefault(int(version), []).append(name)
        return groups


class UpdateStore:
    async def of_device(self, db: Reader, device: DeviceId) -> Update | None:
        row = await db.fetch_one(f"{_UPDATE} WHERE device_id = $1", device)
        return _update(row) if row else None

    async def open(self, db: Reader) -> list[Update]:
        """All that is not over."""
        rows = await db.fetch_all(f"{_UPDATE} WHERE state IN ('waiting', 'sending', 'sent')")
        return [_update(row) for row in rows]

    async def put(self, tx: Transaction, update: Update) -> None:
        """In the place of the device's last one."""
        await tx.execute(
            "INSERT INTO firmware_updates (device_id, product_id, owner_kind, owner_id, version, hash, name, state,"
            " attempts, not_before, error, requested_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
            " ON CONFLICT (device_id) DO UPDATE SET product_id = excluded.product_id,"
            " owner_kind = excluded.owner_kind, owner_id = excluded.owner_id, version = excluded.version,"
            " hash = excluded.hash, name = excluded.name, state = excluded.state, attempts = excluded.attempts,"
            " not_before = excluded.not_before, error = excluded.error, requested_at = excluded.requested_at,"
            " updated_at = excluded.updated_at",
            *_columns(update),
        )

    async def delete(self, tx: Transaction, devices: Iterable[DeviceId]) -> None:
        for device in devices:
            await tx.execute("DELETE FROM firmware_updates WHERE device_id = $1", device)


def _columns(update: Update) -> tuple[str | int | bytes | None, ...]:
    return (
        update.device,
        update.product,
        *owner_columns(update.owner),
        update.version,
        update.hash,
        update.name,
        update.state.value,
        update.attempts,
        update.not_before,
        update.error,
        update.requested_at,
        update.updated_at,
    )


def _firmware(row: Row, groups: dict[int, list[str]]) -> Firmware:
    return Firmware(
        id=row[0],
        product=ProductId(row[1]),
        version=row[2],
        title=row[3],
        description=row[4],
        name=row[5],
        size=row[6],
        hash=BinaryHash(bytes(row[7])),
        uploaded_by=UserId(row[8]) if row[8] is not None else None,
        uploaded_by_name=row[9],
        uploaded_at=Millis(row[10]),
        updated_at=Millis(row[11]),
        is_mandatory=bool(row[12]),
        is_product_default=bool(row[13]),
        is_intelligent=bool(row[14]),
        has_run=bool(row[15]),
        released_at=Millis(row[16]) if row[16] is not None else None,
        groups=tuple(groups.get(row[2], ())),
        device_count=int(row[17]),
    )


def _update(row: Row) -> Update:
    return Update(
        device=DeviceId(row[0]),
        product=ProductId(row[1]) if row[1] is not None else None,
        owner=owner_in(row[2], row[3]),
        version=row[4],
        hash=BinaryHash(bytes(row[5])) if row[5] is not None else None,
        name=row[6],
        state=UpdateState(row[7]),
        attempts=row[8],
        not_before=Millis(row[9]),
        error=row[10],
        requested_at=Millis(row[11]),
        updated_at=Millis(row[12]),
    )
