"""What devices told of themselves, and where they were."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData, Table

from cloudchamber.storage.columns import NAMES, flag, table, text, whole

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    Table("devices", metadata, text("id", key=True))
    tables = [
        table(
            metadata,
            "device_vitals",
            text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
            whole("at", key=True),
            text("owner_kind", null=True),
            text("owner_id", null=True),
            text("payload"),
            Index(None, "at"),
        ),
        table(
            metadata,
            "device_locations",
            text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
            whole("at", key=True),
            whole("product_id"),
            whole("latitude"),
            whole("longitude"),
            flag("is_locked"),
            Index(None, "at"),
            Index(None, "product_id", "device_id", "at"),
        ),
    ]
    metadata.create_all(op.get_bind(), tables=tables)
