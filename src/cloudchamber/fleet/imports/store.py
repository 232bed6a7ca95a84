"""SQL of imports: a few statements for each batch, whatever its size."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from cloudchamber.access.model import OwnedByUser
from cloudchamber.clock import Millis
from cloudchamber.fleet.imports.model import Standing
from cloudchamber.fleet.model import Change, Custody, DeviceRecord, owner_columns
from cloudchamber.fleet.store import DEVICE, owner_in, record_of
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.storage.database import Reader, Transaction, Value
from cloudchamber.storage.sql import in_steps, places, rows_of_places

Number = Literal["serial_number", "imei", "iccid"]


class ImportStore:
    async def standings(self, db: Reader, ids: Sequence[DeviceId]) -> dict[DeviceId, Standing]:
        found: dict[DeviceId, Standing] = {}
        for part in in_steps(ids):
            rows = await db.fetch_all(
                "SELECT d.id, d.product_id, d.owner_kind, d.owner_id, d.platform_id, d.is_quarantined, d.is_denied,"
                " d.is_seen_only FROM devices d"
                f" WHERE d.id IN ({places(len(part))})",
                *part,
            )
            for row in rows:
                found[DeviceId(row[0])] = Standing(
                    product=ProductId(row[1]) if row[1] is not None else None,
                    owner=owner_in(row[2], row[3]),
                    platform_id=row[4],
                    is_quarantined=bool(row[5]),
                    is_denied=bool(row[6]),
                    is_seen_only=bool(row[7]),
                )
        return found

    async def by_numbers(self, db: Reader, kind: Number, numbers: Sequence[str]) -> dict[str, list[DeviceId]]:
        """Devices by a number that is printed on them; more than one where devices tell the same."""
        found: dict[str, list[DeviceId]] = {}
        for part in in_steps(numbers):
            rows = await db.fetch_all(f"SELECT {kind}, id FROM devices WHERE {kind} IN ({places(len(part))})", *part)
            for number, id_ in rows:
                found.setdefault(number, []).append(DeviceId(id_))
        return found

    async def create(self, tx: Transaction, ids: Sequence[DeviceId], product: ProductId, now: Millis) -> None:
        for part in in_steps(ids):
            values: list[Value] = [value for id_ in part for value in (id_, product, now, now)]
            await tx.execute(
                f"INSERT INTO devices (id, product_id, created_at, updated_at) VALUES {rows_of_places(len(part), 4)}",
                *values,
            )

    async def admit(self, tx: Transaction, ids: Sequence[DeviceId], product: ProductId, now: Millis) -> None:
        """They are in the product now, in none of its groups unless they were before, and not shut out."""
        for part in in_steps(ids):
            await tx.execute(
                f"DELETE FROM group_members WHERE device_id IN ({places(len(part), 2)})"
                " AND group_id NOT IN (SELECT id FROM device_groups WHERE product_id = $1)",
                product,
                *part,
            )
            await tx.execute(
                "UPDATE devices SET product_id = $1, is_quarantined = 0, is_seen_only = 0, is_denied = 0,"
                " updated_at = $2"
                f" WHERE id IN ({places(len(part), 3)})",
                product,
                now,
                *part,
            )

    async def claim(self, tx: Transaction, ids: Sequence[DeviceId], owner: OwnedByUser, now: Millis) -> list[DeviceId]:
        """Those that had no owner, which are the new one's now; none where that account is gone."""
        kind, id_ = owner_columns(owner)
        claimed: list[DeviceId] = []
        for part in in_steps(ids):
            rows = await tx.fetch_all(
                "UPDATE devices SET owner_kind = $1, owner_id = $2, owned_since = $3, updated_at = $3"
                f" WHERE owner_id IS NULL AND id IN ({places(len(part), 4)})"
                " AND EXISTS (SELECT 1 FROM users WHERE users.id = $2) RETURNING id",
                kind,
                id_,
                now,
                *part,
            )
            claimed.extend(DeviceId(row[0]) for row in rows)
        return claimed

    async def append_custody(
        self,
        tx: Transaction,
        changes: Sequence[tuple[DeviceId, Custody, Custody]],
        change: Change,
        actor: str,
        at: Millis,
    ) -> None:
        """As `CustodyLog.append`, for many at once."""
        texts: dict[Custody, str] = {}
        for part in in_steps(changes):
            values: list[Value] = []
            for device_id, before, after in part:
                values += (at, device_id, change.value, actor, _text(before, texts), _text(after, texts))
            await tx.execute(
                "INSERT INTO custody (at, device_id, change, actor, before, after)"
                f" VALUES {rows_of_places(len(part), 6)}",
                *values,
            )

    async def records(self, db: Reader, ids: Sequence[DeviceId]) -> list[DeviceRecord]:
        found: list[DeviceRecord] = []
        for part in in_steps(ids):
            found.extend(map(record_of, await db.fetch_all(f"{DEVICE} WHERE d.id IN ({places(len(part))})", *part)))
        return found


def _text(custody: Custody, texts: dict[Custody, str]) -> str:
    if custody not in texts:
        texts[custody] = json.dumps(asdict(custody))
    return texts[custody]
