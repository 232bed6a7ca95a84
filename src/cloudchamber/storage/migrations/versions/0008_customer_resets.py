"""New passwords of customers by mail."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    metadata.reflect(op.get_bind(), only=["customers"])
    table(
        metadata,
        "customer_resets",
        blob("hash", key=True),
        text("customer_id", ForeignKey("customers.id", ondelete="CASCADE")),
        whole("created_at"),
        whole("expires_at"),
        whole("used_at", null=True),
        Index(None, "customer_id"),
        Index(None, "expires_at"),
    )
    metadata.create_all(op.get_bind(), checkfirst=True)
