"""Devices whose lists stay fast, device groups, and more of what is known of a device."""

from typing import Final

from alembic import op
from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, Table, UniqueConstraint

from cloudchamber.storage.columns import NAMES, flag, table, text, whole
from cloudchamber.storage.rebuild import rebuild

revision = "0009"
down_revision = "0008"

_MOVED: Final = "SELECT id, functions, variables, system_describe FROM devices"

_COPIED: Final = (
    *("id", "product_id", "owner_kind", "owner_id", "name", "notes", "platform_id", "firmware_product_id"),
    *("firmware_version", "system_version", "is_development", "is_quarantined", "is_denied", "serial_number"),
    *("mobile_secret", "iccid", "imei", "last_ip", "last_heard", "last_handshake_at", "firmware_updates_forced"),
    *("desired_firmware_version", "created_at", "updated_at"),
)
_COMPUTED: Final = {
    "name_key": "lower(name)",
    "reports_updates_enabled": "firmware_updates_enabled",
    "owned_since": "CASE WHEN owner_id IS NOT NULL THEN updated_at END",
}


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    devices = _describe(metadata)
    bind = op.get_bind()
    for name in ("descriptions", "device_groups", "group_members"):
        metadata.tables[name].create(bind)
    op.execute(
        f"INSERT INTO descriptions (device_id, functions, variables, system) {_MOVED}"
        " WHERE functions IS NOT NULL AND variables IS NOT NULL"
    )
    if bind.dialect.name == "sqlite":
        rebuild(bind, devices, {**{name: name for name in _COPIED}, **_COMPUTED})
    else:
        _alter(devices)


def _alter(devices: Table) -> None:
    for index in ("ix_devices_product_id", "ix_devices_owner_kind_owner_id_name"):
        op.drop_index(index)
    for name in ("functions", "variables", "system_describe", "groups"):
        op.drop_column("devices", name)
    op.execute("ALTER TABLE devices DROP CONSTRAINT ck_devices_firmware_updates_enabled")
    op.alter_column("devices", "firmware_updates_enabled", new_column_name="reports_updates_enabled")
    op.execute(
        "ALTER TABLE devices ADD CONSTRAINT ck_devices_reports_updates_enabled"
        " CHECK (reports_updates_enabled IN (0, 1))"
    )
    for name in ("owned_since", "name_key", "cc3000_patch_version"):
        kind = "BIGINT" if name == "owned_since" else 'TEXT COLLATE "C"'
        op.execute(f"ALTER TABLE devices ADD COLUMN {name} {kind}")
    for name, default in (("is_name_private", 0), ("is_seen_only", 0), ("is_in_safe_mode", 0), ("allows_updates", 1)):
        op.execute(
            f"ALTER TABLE devices ADD COLUMN {name} BIGINT DEFAULT '{default}' NOT NULL"
            f" CONSTRAINT ck_devices_{name} CHECK ({name} IN (0, 1))"
        )
    for name in ("name_key", "owned_since"):
        op.execute(f"UPDATE devices SET {name} = {_COMPUTED[name]}")  # noqa: S608
    for made in devices.indexes:
        made.create(op.get_bind())


def _describe(metadata: MetaData) -> Table:
    """The tables that are made, and of those that they refer to as much as that takes."""
    table(metadata, "products", whole("id", key=True))
    devices = table(
        metadata,
        "devices",
        text("id", key=True),
        whole("product_id", ForeignKey("products.id"), null=True),
        text("owner_kind", null=True),
        text("owner_id", null=True),
        whole("owned_since", null=True),
        text("name", null=True),
        text("name_key", null=True),
        flag("is_name_private"),
        text("notes", null=True),
        whole("platform_id", null=True),
        whole("firmware_product_id", null=True),
        whole("firmware_version", null=True),
        text("system_version", null=True),
        text("cc3000_patch_version", null=True),
        flag("is_development"),
        flag("is_quarantined"),
        flag("is_denied"),
        flag("is_seen_only"),
        flag("is_in_safe_mode"),
        text("serial_number", null=True),
        text("mobile_secret", null=True),
        text("iccid", null=True),
        text("imei", null=True),
        text("last_ip", null=True),
        whole("last_heard", null=True),
        whole("last_handshake_at", null=True),
        flag("reports_updates_enabled", 1),
        flag("allows_updates", 1),
        flag("firmware_updates_forced"),
        whole("desired_firmware_version", null=True),
        whole("created_at"),
        whole("updated_at"),
        CheckConstraint(
            "(owner_kind IS NULL AND owner_id IS NULL) OR"
            " (owner_kind IN ('user', 'customer') AND owner_id IS NOT NULL)",
            name="owner",
        ),
        Index(None, "owner_kind", "owner_id", "name_key"),
        Index(None, "product_id", "id"),
        Index(None, "product_id", "last_handshake_at", "id"),
        Index(None, "product_id", "name_key", "id"),
        Index(None, "product_id", "firmware_version", "id"),
        Index(None, "product_id", "serial_number", "id"),
        Index(None, "product_id", "is_quarantined", "is_denied", "id"),
        Index(None, "serial_number", unique=True),
        Index(None, "iccid"),
        Index(None, "imei"),
    )
    table(
        metadata,
        "descriptions",
        text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
        text("functions"),
        text("variables"),
        text("system", null=True),
    )
    table(
        metadata,
        "device_groups",
        text("id", key=True),
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE")),
        text("name"),
        text("name_key"),
        text("description", null=True),
        text("color", null=True),
        whole("fw_version", null=True),
        whole("created_at"),
        whole("updated_at"),
        UniqueConstraint("product_id", "name_key"),
    )
    table(
        metadata,
        "group_members",
        text("group_id", ForeignKey("device_groups.id", ondelete="CASCADE"), key=True),
        text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
        Index(None, "device_id"),
    )
    return devices
