"""Firmware of products, and devices' updates."""

from alembic import op
from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint

from cloudchamber.storage.columns import NAMES, blob, flag, table, text, whole

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    # Of the tables that are referred to, as much as that takes.
    for name, kind in (("products", whole), ("users", text), ("devices", text)):
        table(metadata, name, kind("id", key=True))
    made = [
        table(
            metadata,
            "firmware_binaries",
            blob("hash", key=True),
            whole("size"),
            whole("created_at"),
            Index(None, "created_at"),
        ),
        table(
            metadata,
            "firmware_pieces",
            blob("hash", ForeignKey("firmware_binaries.hash", ondelete="CASCADE"), key=True),
            whole("number", key=True),
            blob("data"),
        ),
        table(
            metadata,
            "firmware",
            text("id", key=True),
            whole("product_id", ForeignKey("products.id", ondelete="CASCADE")),
            whole("version"),
            text("title"),
            text("description"),
            text("name"),
            whole("size"),
            blob("hash", ForeignKey("firmware_binaries.hash")),
            text("uploaded_by", ForeignKey("users.id", ondelete="SET NULL"), null=True),
            flag("is_mandatory"),
            flag("is_product_default"),
            flag("is_intelligent"),
            flag("has_run"),
            whole("released_at", null=True),
            whole("uploaded_at"),
            whole("updated_at"),
            UniqueConstraint("product_id", "version"),
            CheckConstraint("version BETWEEN 0 AND 65534", name="version"),
            Index(None, "hash"),
            Index(None, "uploaded_by"),
        ),
        table(
            metadata,
            "firmware_updates",
            text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
            whole("product_id", null=True),
            text("owner_kind", null=True),
            text("owner_id", null=True),
            whole("version", null=True),
            blob("hash", ForeignKey("firmware_binaries.hash"), null=True),
            text("name"),
            text("state"),
            whole("attempts"),
            whole("not_before"),
            text("error", null=True),
            whole("requested_at"),
            whole("updated_at"),
            Index(None, "state"),
            Index(None, "hash"),
        ),
    ]
    for each in made:
        each.create(op.get_bind())
