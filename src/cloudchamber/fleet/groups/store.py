"""SQL of groups and their members."""

from collections.abc import Sequence
from typing import Final

from cloudchamber.clock import Millis
from cloudchamber.fleet.groups.model import Group
from cloudchamber.fleet.groups.rules import MAX_GROUPS_OF_PRODUCT, too_many_groups
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.storage.sql import in_steps, places, rows_of_places

_GROUP: Final = (
    "SELECT g.id, g.product_id, g.name, g.description, g.color, g.fw_version,"
    " (SELECT count(*) FROM group_members m WHERE m.group_id = g.id), g.created_at, g.updated_at FROM device_groups g"
)


class GroupStore:
    async def of_product(self, db: Reader, product: ProductId) -> list[Group]:
        rows = await db.fetch_all(f"{_GROUP} WHERE g.product_id = $1 ORDER BY g.name_key", product)
        return [_group(row) for row in rows]

    async def by_name(self, db: Reader, product: ProductId, name: str) -> Group | None:
        row = await db.fetch_one(f"{_GROUP} WHERE g.product_id = $1 AND g.name_key = $2", product, name.lower())
        return _group(row) if row else None

    async def count(self, db: Reader, product: ProductId) -> int:
        row = await db.fetch_one("SELECT count(*) FROM device_groups WHERE product_id = $1", product)
        return int(row[0]) if row else 0

    async def insert(self, tx: Transaction, group: Group) -> None:
        """Raises Duplicate."""
        await tx.execute(
            "INSERT INTO device_groups (id, product_id, name, name_key, description, color, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            group.id,
            group.product,
            group.name,
            group.name.lower(),
            group.description,
            group.color,
            group.created_at,
        )

    async def update(self, tx: Transaction, group: Group) -> None:
        """Raises Duplicate."""
        await tx.execute(
            "UPDATE device_groups SET name = $2, name_key = $3, description = $4, color = $5, updated_at = $6"
            " WHERE id = $1",
            group.id,
            group.name,
            group.name.lower(),
            group.description,
            group.color,
            group.updated_at,
        )

    async def delete(self, tx: Transaction, product: ProductId, name: str) -> bool:
        """Its members go by their foreign key."""
        sql = "DELETE FROM device_groups WHERE product_id = $1 AND name_key = $2"
        return await tx.execute(sql, product, name.lower()) == 1

    async def ensure(
        self, tx: Transaction, product: ProductId, named: Sequence[tuple[str, str]], now: Millis
    ) -> list[str]:
        """The ids of the groups with these names, made where they are missing. `named` pairs each name with the id for
        a new group.

        Raises GroupInvalid when the product would have too many.
        """
        if not named:
            return []
        columns = [value for id_, name in named for value in (id_, product, name, name.lower(), now, now)]
        await tx.execute(
            "INSERT INTO device_groups (id, product_id, name, name_key, created_at, updated_at)"
            f" VALUES {rows_of_places(len(named), 6)} ON CONFLICT (product_id, name_key) DO NOTHING",
            *columns,
        )
        if await self.count(tx, product) > MAX_GROUPS_OF_PRODUCT:
            raise too_many_groups()
        return await self.ids(tx, product, [name for _, name in named])

    async def ids(self, db: Reader, product: ProductId, names: Sequence[str]) -> list[str]:
        """Of those that there are."""
        if not names:
            return []
        rows = await db.fetch_all(
            f"SELECT id FROM device_groups WHERE product_id = $1 AND name_key IN ({places(len(names), 2)})",
            product,
            *(name.lower() for name in names),
        )
        return [row[0] for row in rows]

    async def assign(self, tx: Transaction, device: DeviceId, groups: Sequence[str]) -> None:
        """The device is in these groups now, and in no others."""
        await tx.execute("DELETE FROM group_members WHERE device_id = $1", device)
        await self.add(tx, [device], groups)

    async def add(self, tx: Transaction, devices: Sequence[DeviceId], groups: Sequence[str]) -> None:
        for part in in_steps([(group, device) for device in devices for group in groups]):
            await tx.execute(
                f"INSERT INTO group_members (group_id, device_id) VALUES {rows_of_places(len(part), 2)}"
                " ON CONFLICT (group_id, device_id) DO NOTHING",
                *(value for pair in part for value in pair),
            )

    async def remove(self, tx: Transaction, devices: Sequence[DeviceId], groups: Sequence[str]) -> None:
        for group in groups:
            for part in in_steps(devices):
                await tx.execute(
                    f"DELETE FROM group_members WHERE group_id = $1 AND device_id IN ({places(len(part), 2)})",
                    group,
                    *part,
                )

    async def strangers(self, db: Reader, product: ProductId, devices: Sequence[DeviceId]) -> set[DeviceId]:
        """Those of `devices` that are not in the product."""
        left = set(devices)
        for part in in_steps(devices):
            sql = f"SELECT id FROM devices WHERE product_id = $1 AND id IN ({places(len(part), 2)})"
            left -= {DeviceId(row[0]) for row in await db.fetch_all(sql, product, *part)}
        return left


def _group(row: Row) -> Group:
    return Group(
        id=row[0],
        product=ProductId(row[1]),
        name=row[2],
        description=row[3],
        color=row[4],
        fw_version=row[5],
        device_count=int(row[6]),
        created_at=Millis(row[7]),
        updated_at=Millis(row[8]),
    )
