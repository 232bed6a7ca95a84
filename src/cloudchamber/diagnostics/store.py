"""SQL of what devices reported. Degrees are kept in ten-millionths, about a centimeter."""

import json
from collections.abc import Sequence
from typing import Any, Final

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.diagnostics.model import MAX_KEPT, Box, Location, Stop, Vitals
from cloudchamber.fleet.model import owner_columns
from cloudchamber.fleet.store import owner_in
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.storage.sql import places

_DEGREE: Final = 10_000_000
_VITALS: Final = "SELECT device_id, at, owner_kind, owner_id, payload FROM device_vitals"


class ReportStore:
    async def put_vitals(self, tx: Transaction, vitals: Vitals) -> None:
        await tx.execute(
            "INSERT INTO device_vitals (device_id, at, owner_kind, owner_id, payload) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (device_id, at) DO UPDATE SET owner_kind = excluded.owner_kind,"
            " owner_id = excluded.owner_id, payload = excluded.payload",
            vitals.device,
            vitals.at,
            *owner_columns(vitals.owner),
            json.dumps(vitals.payload, separators=(",", ":")),
        )
        await self._cut(tx, "device_vitals", vitals.device)

    async def vitals(
        self, db: Reader, device: DeviceId, *, owner: Owner | None, since: Millis, until: Millis, limit: int
    ) -> list[Vitals]:
        """The newest first. `owner`: of the time when the device was this one's; None of any."""
        kind, id_ = owner_columns(owner)
        rows = await db.fetch_all(
            f"{_VITALS} WHERE device_id = $1 AND at BETWEEN $2 AND $3"
            " AND ($4 IS NULL OR (owner_kind = $4 AND owner_id = $5)) ORDER BY at DESC LIMIT $6",
            *(device, since, until, kind, id_, limit),
        )
        return [_vitals(row) for row in rows]

    async def put_stop(self, tx: Transaction, device: DeviceId, product: ProductId, stop: Stop) -> None:
        place = stop.location
        await tx.execute(
            "INSERT INTO device_locations (device_id, at, product_id, latitude, longitude, is_locked)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id, at) DO UPDATE SET"
            " product_id = excluded.product_id, latitude = excluded.latitude, longitude = excluded.longitude,"
            " is_locked = excluded.is_locked",
            *(device, stop.at, product, round(place.latitude * _DEGREE), round(place.longitude * _DEGREE)),
            int(place.is_locked),
        )
        await self._cut(tx, "device_locations", device)

    async def devices_at(
        self,
        db: Reader,
        product: ProductId,
        among: Sequence[DeviceId] | None,
        *,
        since: Millis,
        until: Millis,
        box: Box | None,
        offset: int,
        limit: int,
    ) -> tuple[list[DeviceId], int]:
        """Devices that were there then, by id, and how many they are in all. `among`: these alone."""
        where, values = _where(product, since, until, box)
        if among is not None:
            where += f" AND l.device_id IN ({places(len(among), len(values) + 1)})" if among else " AND 1 = 0"
            values += among
        joined = "device_locations l JOIN devices d ON d.id = l.device_id AND d.product_id = l.product_id"
        source = f"FROM {joined} WHERE {where}"
        counted = await db.fetch_one(f"SELECT count(DISTINCT l.device_id) {source}", *values)
        end = len(values)
        rows = await db.fetch_all(
            f"SELECT DISTINCT l.device_id {source} ORDER BY l.device_id LIMIT ${end + 1} OFFSET ${end + 2}",
            *(*values, limit, offset),
        )
        return [DeviceId(row[0]) for row in rows], int(counted[0]) if counted else 0

    async def stops(
        self,
        db: Reader,
        product: ProductId,
        device: DeviceId,
        *,
        since: Millis,
        until: Millis,
        box: Box | None,
        limit: int,
    ) -> list[Stop]:
        """The newest first."""
        where, values = _where(product, since, until, box)
        end = len(values)
        rows = await db.fetch_all(
            f"SELECT l.at, l.latitude, l.longitude, l.is_locked FROM device_locations l WHERE {where}"
            f" AND l.device_id = ${end + 1} ORDER BY l.at DESC LIMIT ${end + 2}",
            *(*values, device, limit),
        )
        return [Stop(Millis(row[0]), Location(row[1] / _DEGREE, row[2] / _DEGREE, bool(row[3]))) for row in rows]

    async def delete_older(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM device_vitals WHERE at < $1", before) + await tx.execute(
            "DELETE FROM device_locations WHERE at < $1", before
        )

    @staticmethod
    async def _cut(tx: Transaction, table: str, device: DeviceId) -> None:
        await tx.execute(
            f"DELETE FROM {table} WHERE device_id = $1 AND at <= (SELECT at FROM {table} WHERE device_id = $1"
            " ORDER BY at DESC LIMIT 1 OFFSET $2)",
            device,
            MAX_KEPT,
        )


def _where(product: ProductId, since: Millis, until: Millis, box: Box | None) -> tuple[str, list[Any]]:
    where, values = "l.product_id = $1 AND l.at BETWEEN $2 AND $3", list[Any]((product, since, until))
    if box is not None:
        over = "OR" if box.west > box.east else "AND"
        where += f" AND l.latitude BETWEEN $4 AND $5 AND (l.longitude >= $6 {over} l.longitude <= $7)"
        values += [round(each * _DEGREE) for each in (box.south, box.north, box.west, box.east)]
    return where, values


def _vitals(row: Row) -> Vitals:
    return Vitals(DeviceId(row[0]), Millis(row[1]), owner_in(row[2], row[3]), json.loads(row[4]))
