"""SQL of products, devices, device keys and the custody log."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner, Role
from cloudchamber.clock import Millis
from cloudchamber.fleet.model import (
    FIRST_USE,
    SEEN_ONLY,
    Change,
    Custody,
    CustodyEntry,
    Description,
    DeviceRecord,
    Handshake,
    KeyAlgorithm,
    Product,
    RecordedKey,
    owner_columns,
)
from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, UserId
from cloudchamber.organizations.model import TeamChanged
from cloudchamber.organizations.store import put_team_notice
from cloudchamber.storage.database import Reader, Row, Transaction, Value
from cloudchamber.storage.notices import put_notice
from cloudchamber.storage.sql import in_steps, places, rows_of_types

_PRODUCT = (
    "SELECT p.id, p.name, p.slug, p.description, p.platform_id, p.type, p.hardware_version, o.id, o.slug,"
    " o.personal_user_id, o.owner_user_id, u.username, p.settings, p.created_at, p.updated_at,"
    " EXISTS (SELECT 1 FROM invitations i WHERE i.product_id = p.id OR i.organization_id = o.id)"
    " FROM products p JOIN organizations o ON o.id = p.organization_id JOIN users u ON u.id = o.owner_user_id"
)

_DEVICE_COLUMNS = (
    "SELECT d.id, d.product_id, d.owner_kind, d.owner_id, d.owned_since, d.name, d.is_name_private, d.notes,"
    " d.platform_id, d.firmware_product_id, d.firmware_version, d.system_version, d.cc3000_patch_version,"
    " d.is_development, d.is_quarantined, d.is_denied, d.is_seen_only, d.is_in_safe_mode, d.serial_number,"
    " d.mobile_secret, d.iccid, d.imei, d.last_ip, d.last_heard, d.last_handshake_at, s.functions, s.variables,"
    " d.reports_updates_enabled, d.allows_updates, d.firmware_updates_forced, d.desired_firmware_version,"
    " (SELECT string_agg(g.name, ' ') FROM group_members m JOIN device_groups g ON g.id = m.group_id"
    " WHERE m.device_id = d.id), d.created_at, d.updated_at"
)
_DEVICES = " FROM devices d LEFT JOIN descriptions s ON s.device_id = d.id"

DEVICE = f"{_DEVICE_COLUMNS}{_DEVICES}"
"""What `record_of` reads; conditions name the device's row `d`."""

_NAMED_DEVICE = (
    f"{_DEVICE_COLUMNS}, CASE d.owner_kind WHEN 'user' THEN (SELECT username FROM users WHERE id = d.owner_id)"
    f" WHEN 'customer' THEN (SELECT username FROM customers WHERE id = d.owner_id) END{_DEVICES}"
)


DEVICE_NOTICE: Final = "device"
"""Subject of a notice (storage/notices.py), about the id of a device that somebody changed: whose it is, where, whether
it is shut out, what it is called."""

KEY_NOTICE: Final = "key"
"""About the id of a device that somebody gave another key."""

IMPORT_NOTICE: Final = "import"
"""About a product that devices were imported into, and who did it: "1234 origin"."""

PRODUCT_NOTICE: Final = "product"
"""About the id of a product that was made or changed. Of one that is gone its team is told (TEAM_NOTICE)."""

_SAME_OWNER = "owner_kind IS NOT DISTINCT FROM $2 AND owner_id IS NOT DISTINCT FROM $3"
_NOBODY_LEAVES = f"(owner_id IS NULL OR ({_SAME_OWNER}))"


class ProductStore:
    async def insert(self, tx: Transaction, product: Product) -> None:
        await tx.execute(
            "INSERT INTO products (id, name, slug, description, platform_id, type, hardware_version,"
            " organization_id, settings, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
            product.id,
            product.name,
            product.slug,
            product.description,
            product.platform_id,
            product.type,
            product.hardware_version,
            product.organization,
            json.dumps(product.settings),
            product.created_at,
        )
        await put_notice(tx, PRODUCT_NOTICE, str(product.id), product.created_at)

    async def by_id(self, db: Reader, product: ProductId) -> Product | None:
        row = await db.fetch_one(f"{_PRODUCT} WHERE p.id = $1", product)
        return await self._product(db, row) if row else None

    async def by_slug(self, db: Reader, slug: str) -> Product | None:
        row = await db.fetch_one(f"{_PRODUCT} WHERE p.slug = $1", slug)
        return await self._product(db, row) if row else None

    async def of_user(self, db: Reader, user: UserId) -> list[ProductId]:
        """Those in whose team the user is, by the product or by its organization."""
        rows = await db.fetch_all(
            "SELECT p.id FROM products p JOIN organizations o ON o.id = p.organization_id WHERE o.owner_user_id = $1"
            " OR EXISTS (SELECT 1 FROM memberships m WHERE m.product_id = p.id AND m.user_id = $1)"
            " OR EXISTS (SELECT 1 FROM organization_memberships m WHERE m.organization_id = o.id AND m.user_id = $1)"
            " ORDER BY p.created_at, p.id",
            user,
        )
        return [ProductId(row[0]) for row in rows]

    async def of_organization(self, db: Reader, organization: OrganizationId) -> list[ProductId]:
        rows = await db.fetch_all(
            "SELECT id FROM products WHERE organization_id = $1 ORDER BY created_at, id", organization
        )
        return [ProductId(row[0]) for row in rows]

    async def organizations(self, db: Reader) -> dict[ProductId, OrganizationId]:
        rows = await db.fetch_all("SELECT id, organization_id FROM products")
        return {ProductId(row[0]): OrganizationId(row[1]) for row in rows}

    async def update(self, tx: Transaction, product: Product) -> None:
        await tx.execute(
            "UPDATE products SET name = $2, description = $3, type = $4, hardware_version = $5, settings = $6,"
            " updated_at = $7 WHERE id = $1",
            product.id,
            product.name,
            product.description,
            product.type,
            product.hardware_version,
            json.dumps(product.settings),
            product.updated_at,
        )
        await put_notice(tx, PRODUCT_NOTICE, str(product.id), product.updated_at)

    async def has_devices(self, db: Reader, product: ProductId) -> bool:
        return await db.fetch_one("SELECT 1 FROM devices WHERE product_id = $1 LIMIT 1", product) is not None

    async def delete(self, tx: Transaction, product: ProductId, now: Millis) -> None:
        """Raises BrokenReference while it has devices."""
        await put_team_notice(tx, TeamChanged(product=product, is_gone=True), now)
        # They know their owner by kind and id, without a reference.
        await tx.execute("DELETE FROM webhooks WHERE owner_kind = 'product' AND owner_id = $1", str(product))
        await tx.execute("DELETE FROM products WHERE id = $1", product)

    async def _product(self, db: Reader, row: Row) -> Product:
        owner = UserId(row[10])
        team: dict[UserId, Role] = {}
        for user, name in await db.fetch_all(
            "SELECT user_id, role FROM memberships WHERE product_id = $1"
            " UNION ALL SELECT user_id, role FROM organization_memberships WHERE organization_id = $2",
            row[0],
            row[7],
        ):
            team[UserId(user)] = max(Role[name], team.get(UserId(user), Role.VIEW_ONLY))
        return Product(
            id=ProductId(row[0]),
            name=row[1],
            slug=row[2],
            description=row[3],
            platform_id=row[4],
            type=row[5],
            hardware_version=row[6],
            organization=OrganizationId(row[7]),
            organization_slug=row[8],
            is_personal=row[9] is not None,
            owner=owner,
            owner_name=row[11],
            settings=json.loads(row[12]),
            team={**team, owner: Role.OWNER},
            has_open_invitations=bool(row[15]),
            created_at=Millis(row[13]),
            updated_at=Millis(row[14]),
        )


class DeviceStore:
    async def insert(self, tx: Transaction, device: DeviceId, product: ProductId | None, now: Millis) -> None:
        await tx.execute(
            "INSERT INTO devices (id, product_id, created_at, updated_at) VALUES ($1, $2, $3, $3)", device, product, now
        )

    async def by_id(self, db: Reader, device: DeviceId) -> DeviceRecord | None:
        row = await db.fetch_one(f"{DEVICE} WHERE d.id = $1", device)
        return record_of(row) if row else None

    async def named(self, db: Reader, device: DeviceId) -> tuple[DeviceRecord, str | None] | None:
        """As `by_id`, and its owner's name; None where it has no owner, or the account was deleted a moment ago."""
        row = await db.fetch_one(f"{_NAMED_DEVICE} WHERE d.id = $1", device)
        return (record_of(row), row[-1]) if row else None

    async def owners_names(self, db: Reader, owners: Collection[Owner]) -> dict[Owner, str]:
        """What these accounts are called; who is gone is left out."""
        found: dict[Owner, str] = {}
        for kind, table in (("user", "users"), ("customer", "customers")):
            of_kind = {
                id_: owner for owner in owners for owner_kind, id_ in [owner_columns(owner)] if owner_kind == kind
            }
            for part in in_steps(list(of_kind)):
                rows = await db.fetch_all(f"SELECT id, username FROM {table} WHERE id IN ({places(len(part))})", *part)
                found.update((of_kind[row[0]], row[1]) for row in rows)
        return found

    async def by_ids(self, db: Reader, devices: Sequence[DeviceId]) -> dict[DeviceId, DeviceRecord]:
        found: dict[DeviceId, DeviceRecord] = {}
        for part in in_steps(devices):
            rows = await db.fetch_all(f"{DEVICE} WHERE d.id IN ({places(len(part))})", *part)
            found.update((DeviceId(row[0]), record_of(row)) for row in rows)
        return found

    async def changed_in(
        self, db: Reader, product: ProductId, devices: Sequence[DeviceId], since: Millis
    ) -> list[DeviceId]:
        """Those of the devices that are in the product and were changed since."""
        found: list[DeviceId] = []
        for part in in_steps(devices):
            rows = await db.fetch_all(
                f"SELECT id FROM devices WHERE product_id = $1 AND updated_at >= $2 AND id IN ({places(len(part), 3)})",
                product,
                since,
                *part,
            )
            found.extend(DeviceId(row[0]) for row in rows)
        return found

    async def by_name(self, db: Reader, owner: Owner, name: str) -> DeviceRecord | None:
        """Names are compared without regard to case; of several the oldest device wins."""
        kind, id_ = owner_columns(owner)
        row = await db.fetch_one(
            f"{DEVICE} WHERE d.owner_kind = $1 AND d.owner_id = $2 AND d.name_key = $3 ORDER BY d.created_at, d.id",
            kind,
            id_,
            name.lower(),
        )
        return record_of(row) if row else None

    async def by_serial_number(self, db: Reader, serial_number: str) -> DeviceRecord | None:
        row = await db.fetch_one(f"{DEVICE} WHERE d.serial_number = $1", serial_number)
        return record_of(row) if row else None

    async def of_owner(self, db: Reader, owner: Owner) -> list[DeviceRecord]:
        """Newest handshake first."""
        kind, id_ = owner_columns(owner)
        rows = await db.fetch_all(
            f"{DEVICE} WHERE d.owner_kind = $1 AND d.owner_id = $2 ORDER BY d.last_handshake_at DESC NULLS LAST, d.id",
            kind,
            id_,
        )
        return [record_of(row) for row in rows]

    async def of_owners(self, db: Reader, kind: str, ids: Sequence[str]) -> list[DeviceRecord]:
        found: list[DeviceRecord] = []
        for id_ in ids:
            rows = await db.fetch_all(f"{DEVICE} WHERE d.owner_kind = $1 AND d.owner_id = $2 ORDER BY d.id", kind, id_)
            found.extend(record_of(row) for row in rows)
        return found

    async def has_account(self, tx: Transaction, owner: Owner) -> bool:
        """Whether `owner` is still there, inside the transaction that gives them a device: an account can be deleted
        while its last request is on its way, and what it got then would be a nobody's for ever."""
        table = "users" if isinstance(owner, OwnedByUser) else "customers"
        return await tx.fetch_one(f"SELECT 1 FROM {table} WHERE id = $1", owner.id) is not None

    async def set_owner(self, tx: Transaction, device: DeviceId, owner: Owner | None, now: Millis) -> None:
        """What the owner who leaves wrote down about the device goes too, and where it was last: the next one must not
        read it."""
        kind, id_ = owner_columns(owner)
        await tx.execute(
            "UPDATE devices SET owner_kind = $2, owner_id = $3, updated_at = $4,"
            f" owned_since = CASE WHEN {_SAME_OWNER} THEN owned_since WHEN CAST($3 AS TEXT) IS NOT NULL THEN $4 END,"
            f" notes = CASE WHEN {_NOBODY_LEAVES} THEN notes END,"
            f" last_ip = CASE WHEN {_NOBODY_LEAVES} THEN last_ip END,"
            f" name = CASE WHEN is_name_private = 0 OR {_NOBODY_LEAVES} THEN name END,"
            f" name_key = CASE WHEN is_name_private = 0 OR {_NOBODY_LEAVES} THEN name_key END,"
            f" is_name_private = CASE WHEN {_NOBODY_LEAVES} THEN is_name_private ELSE 0 END"
            " WHERE id = $1",
            device,
            kind,
            id_,
            now,
        )

    async def set_product(
        self, tx: Transaction, device: DeviceId, product: ProductId | None, now: Millis, *, is_quarantined: bool = False
    ) -> None:
        """It is in none of another product's groups then, and not denied. `is_quarantined`: it came there by itself."""
        await tx.execute(
            "DELETE FROM group_members WHERE device_id = $1"
            " AND group_id NOT IN (SELECT id FROM device_groups WHERE product_id = $2)",
            device,
            product,
        )
        await tx.execute(
            "UPDATE devices SET product_id = $2, is_quarantined = $3, is_seen_only = $3, is_denied = 0, updated_at = $4"
            " WHERE id = $1",
            device,
            product,
            int(is_quarantined),
            now,
        )

    async def quarantined_in(self, db: Reader, product: ProductId, limit: int) -> int:
        """How many, counted up to `limit`."""
        row = await db.fetch_one(
            "SELECT count(*) FROM (SELECT 1 FROM devices WHERE product_id = $1 AND is_quarantined = 1"
            f" LIMIT {int(limit)}) q",
            product,
        )
        return int(row[0]) if row else 0

    async def set_field(self, tx: Transaction, device: DeviceId, column: str, value: Value, now: Millis) -> None:
        assert column in _SETTABLE
        if column == "name":
            assert value is None or isinstance(value, str)
            await tx.execute("UPDATE devices SET name_key = $2 WHERE id = $1", device, value and value.lower())
        await tx.execute(f"UPDATE devices SET {column} = $2, updated_at = $3 WHERE id = $1", device, value, now)

    async def set_handshake(self, tx: Transaction, device: DeviceId, handshake: Handshake, now: Millis) -> None:
        await tx.execute(
            "UPDATE devices SET last_ip = $2, platform_id = COALESCE($3, platform_id), firmware_product_id = $4,"
            " firmware_version = $5, system_version = COALESCE($6, system_version),"
            " is_in_safe_mode = 0, last_heard = $7, last_handshake_at = $7 WHERE id = $1",
            device,
            handshake.ip,
            handshake.platform_id,
            handshake.product_id,
            handshake.product_version,
            handshake.system_version,
            now,
        )

    async def set_handshakes(self, tx: Transaction, these: Sequence[tuple[DeviceId, Handshake, Millis]]) -> None:
        """As `set_handshake`, of many devices that differ."""
        for part in in_steps(these):
            values: list[Value] = []
            for device, said, at in part:
                values += (device, said.ip, said.platform_id, said.product_id, said.product_version)
                values += (said.system_version, at)
            await tx.execute(
                "UPDATE devices SET last_ip = v.column2, platform_id = COALESCE(v.column3, platform_id),"
                " firmware_product_id = v.column4, firmware_version = v.column5,"
                " system_version = COALESCE(v.column6, system_version),"
                " is_in_safe_mode = 0, last_heard = v.column7, last_handshake_at = v.column7"
                f" FROM (VALUES {rows_of_types(len(part), 'TEXT', 'TEXT', *(['BIGINT'] * 3), 'TEXT', 'BIGINT')}) AS v"
                " WHERE devices.id = v.column1",
                *values,
            )

    async def set_described(self, tx: Transaction, device: DeviceId, description: Description) -> None:
        """Of a device that is on record; for another one it does nothing."""
        await tx.execute(
            "INSERT INTO descriptions (device_id, functions, variables, system)"
            " SELECT id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT) FROM devices WHERE id = $1"
            " ON CONFLICT (device_id) DO UPDATE SET functions = excluded.functions, variables = excluded.variables,"
            " system = COALESCE(excluded.system, descriptions.system)"
            # Nearly all say what they said before, which is not to cost a page of the log each.
            " WHERE descriptions.functions <> excluded.functions OR descriptions.variables <> excluded.variables"
            " OR COALESCE(excluded.system, descriptions.system) IS DISTINCT FROM descriptions.system",
            device,
            json.dumps(description.functions),
            json.dumps(dict(description.variables)),
            description.system,
        )
        if description.imei is not None or description.iccid is not None:
            await tx.execute(
                "UPDATE devices SET imei = COALESCE($2, imei), iccid = COALESCE($3, iccid) WHERE id = $1",
                device,
                description.imei,
                description.iccid,
            )

    async def system_of(self, db: Reader, device: DeviceId) -> str | None:
        row = await db.fetch_one("SELECT system FROM descriptions WHERE device_id = $1", device)
        return None if row is None else row[0]

    async def set_last_heard(self, tx: Transaction, these: Sequence[tuple[DeviceId, Millis]]) -> None:
        """Never back."""
        for part in in_steps(these):
            await tx.execute(
                "UPDATE devices SET last_heard = v.column2"
                f" FROM (VALUES {rows_of_types(len(part), 'TEXT', 'BIGINT')}) AS v"
                " WHERE devices.id = v.column1 AND (devices.last_heard IS NULL OR devices.last_heard < v.column2)",
                *(value for each in part for value in each),
            )


class KeyStore:
    async def of_devices(self, db: Reader, devices: Sequence[DeviceId]) -> dict[DeviceId, RecordedKey]:
        found: dict[DeviceId, RecordedKey] = {}
        for part in in_steps(devices):
            sql = f"SELECT device_id, public_key, origin FROM device_keys WHERE device_id IN ({places(len(part))})"
            rows = await db.fetch_all(sql, *part)
            found.update((DeviceId(row[0]), RecordedKey(bytes(row[1]), row[2])) for row in rows)
        return found

    async def of_device(self, db: Reader, device: DeviceId) -> RecordedKey | None:
        row = await db.fetch_one("SELECT public_key, origin FROM device_keys WHERE device_id = $1", device)
        return RecordedKey(bytes(row[0]), row[1]) if row else None

    async def insert(
        self, tx: Transaction, device: DeviceId, algorithm: KeyAlgorithm, public_key: bytes, origin: str, now: Millis
    ) -> None:
        """Raises Duplicate where a key is on record already."""
        await tx.execute(
            "INSERT INTO device_keys (device_id, algorithm, public_key, origin, created_at)"
            " VALUES ($1, $2, $3, $4, $5)",
            device,
            algorithm,
            public_key,
            origin,
            now,
        )

    async def replace(
        self, tx: Transaction, device: DeviceId, algorithm: KeyAlgorithm, public_key: bytes, origin: str, now: Millis
    ) -> None:
        await self.delete(tx, device)
        await self.insert(tx, device, algorithm, public_key, origin, now)

    async def delete(self, tx: Transaction, device: DeviceId) -> None:
        await tx.execute("DELETE FROM device_keys WHERE device_id = $1", device)

    async def confirm(self, tx: Transaction, devices: Sequence[DeviceId]) -> None:
        """Of devices that were only seen: the key that they showed last is theirs from now on."""
        for part in in_steps(devices):
            await tx.execute(
                f"UPDATE device_keys SET origin = '{FIRST_USE}' WHERE origin = '{SEEN_ONLY}'"
                f" AND device_id IN ({places(len(part))})",
                *part,
            )

    async def unsettled(self, tx: Transaction, devices: Sequence[DeviceId]) -> list[DeviceId]:
        """Those whose key binds nobody yet; `settle` them."""
        found: list[DeviceId] = []
        for part in in_steps(devices):
            sql = (
                f"SELECT device_id FROM device_keys WHERE origin = '{SEEN_ONLY}' AND device_id IN ({places(len(part))})"
            )
            found.extend(DeviceId(row[0]) for row in await tx.fetch_all(sql, *part))
        return found

    async def settle(self, tx: Transaction, device: DeviceId, presented: bytes | None) -> None:
        """Of a device that was only seen, when somebody names it who did not look at it: the key counts that its open
        connection proved, and without one, none that anybody showed before."""
        known = await self.of_device(tx, device)
        if known is not None and known.is_seen_only:
            if known.public_key == presented:
                await self.confirm(tx, [device])
            else:
                await self.delete(tx, device)


class CustodyLog:
    """Every change of a device's owner or product, written in the transaction that makes it; the database refuses to
    change or remove a line."""

    async def append(
        self, tx: Transaction, before: DeviceRecord, after: Custody, change: Change, actor: str, at: Millis
    ) -> None:
        """`actor` as `requester.describe` names it. Other processes hear of it, too (storage/notices.py)."""
        await put_notice(tx, DEVICE_NOTICE, before.id, at)
        await tx.execute(
            "INSERT INTO custody (at, device_id, change, actor, before, after) VALUES ($1, $2, $3, $4, $5, $6)",
            at,
            before.id,
            change.value,
            actor,
            json.dumps(asdict(Custody.of(before.product, before.owner))),
            json.dumps(asdict(after)),
        )

    async def of_device(self, db: Reader, device: DeviceId) -> list[CustodyEntry]:
        rows = await db.fetch_all(
            "SELECT seq, at, device_id, change, actor, before, after FROM custody WHERE device_id = $1 ORDER BY seq",
            device,
        )
        return [
            CustodyEntry(
                row[0],
                Millis(row[1]),
                DeviceId(row[2]),
                Change(row[3]),
                row[4],
                Custody(**json.loads(row[5])),
                Custody(**json.loads(row[6])),
            )
            for row in rows
        ]


_SETTABLE = frozenset(
    {
        "allows_updates",
        "cc3000_patch_version",
        "desired_firmware_version",
        "firmware_updates_forced",
        "iccid",
        "imei",
        "is_denied",
        "is_development",
        "is_in_safe_mode",
        "is_name_private",
        "is_quarantined",
        "is_seen_only",
        "mobile_secret",
        "name",
        "notes",
        "reports_updates_enabled",
        "serial_number",
    }
)


# Many records are in memory, and many devices have one owner, one firmware, one group, one import behind them or one
# address before them: equal columns give one object.


@lru_cache(4096)
def owner_in(kind: str | None, id_: str | None) -> Owner | None:
    if kind is None or id_ is None:
        return None
    return OwnedByUser(UserId(id_)) if kind == "user" else OwnedByCustomer(CustomerId(id_))


@lru_cache(512)
def _texts(column: str) -> tuple[str, ...]:
    return tuple(json.loads(column))


@lru_cache(512)
def _names(column: str) -> tuple[str, ...]:
    return tuple(sorted(column.split(), key=str.lower))


@lru_cache(512)
def _types(column: str) -> Mapping[str, str]:
    return MappingProxyType(json.loads(column))


@lru_cache(4096)
def _text(column: str) -> str:
    return column


@lru_cache(512)
def _number(column: int) -> int:
    return column


def _millis(column: int | None) -> Millis | None:
    return None if column is None else Millis(_number(column))


def record_of(row: Row) -> DeviceRecord:
    """A row of DEVICE."""
    return DeviceRecord(
        id=DeviceId(row[0]),
        product=ProductId(_number(row[1])) if row[1] is not None else None,
        owner=owner_in(row[2], row[3]),
        owned_since=_millis(row[4]),
        name=row[5],
        is_name_private=bool(row[6]),
        notes=row[7],
        platform_id=row[8],
        firmware_product_id=row[9] and _number(row[9]),
        firmware_version=row[10],
        system_version=row[11] and _text(row[11]),
        cc3000_patch_version=row[12],
        is_development=bool(row[13]),
        is_quarantined=bool(row[14]),
        is_denied=bool(row[15]),
        is_seen_only=bool(row[16]),
        is_in_safe_mode=bool(row[17]),
        serial_number=row[18],
        mobile_secret=row[19],
        iccid=row[20],
        imei=row[21],
        last_ip=row[22] and _text(row[22]),
        last_heard=_millis(row[23]),
        last_handshake_at=_millis(row[24]),
        functions=_texts(row[25]) if row[25] is not None else None,
        variables=_types(row[26]) if row[26] is not None else None,
        reports_updates_enabled=bool(row[27]),
        allows_updates=bool(row[28]),
        firmware_updates_forced=bool(row[29]),
        desired_firmware_version=row[30],
        groups=_names(row[31]) if row[31] else (),
        created_at=Millis(_number(row[32])),
        updated_at=Millis(_number(row[33])),
    )
