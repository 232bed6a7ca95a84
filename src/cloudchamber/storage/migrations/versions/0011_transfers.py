"""Requests for somebody's device."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData

from cloudchamber.storage.columns import NAMES, table, text, whole

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(metadata, "devices", text("id", key=True))
    transfers = table(
        metadata,
        "transfers",
        text("id", key=True),
        text("device_id", ForeignKey("devices.id", ondelete="CASCADE")),
        text("giver_kind"),
        text("giver_id"),
        text("taker_kind"),
        text("taker_id"),
        text("status"),
        whole("created_at"),
        whole("expires_at"),
        whole("decided_at", null=True),
        Index(None, "device_id"),
        Index(None, "giver_kind", "giver_id"),
        Index(None, "taker_kind", "taker_id"),
        Index(None, "expires_at"),
    )
    transfers.create(op.get_bind())
