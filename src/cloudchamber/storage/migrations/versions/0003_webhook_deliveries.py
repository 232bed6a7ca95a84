"""Webhooks that are delivered: what waits, what ended, and counts."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    metadata.reflect(op.get_bind(), only=["webhooks"])
    table(
        metadata,
        "webhook_deliveries",
        text("id", key=True),
        text("hook_id", ForeignKey("webhooks.id", ondelete="CASCADE")),
        text("state"),
        whole("attempts"),
        whole("next_at"),
        whole("finished_at", null=True),
        blob("sealed"),
        Index(None, "state", "next_at"),
        Index(None, "hook_id", "state", "finished_at"),
    )
    table(
        metadata,
        "webhook_counters",
        text("hook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), key=True),
        text("day", key=True),
        whole("success"),
        whole("error"),
        whole("skipped"),
        Index(None, "day"),
    )
    metadata.create_all(op.get_bind(), checkfirst=True)
