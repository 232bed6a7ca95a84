"""Sessions over datagrams that outlive the process."""

from alembic import op
from sqlalchemy import Index, MetaData, UniqueConstraint

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(
        metadata,
        "dtls_sessions",
        blob("id", key=True),
        blob("cid", null=True),
        text("device_id", null=True),
        text("address"),
        blob("sealed"),
        blob("memory", null=True),
        whole("updated_at"),
        UniqueConstraint("cid"),
        Index(None, "device_id", "updated_at"),
        Index(None, "address"),
        Index(None, "updated_at"),
    )
    metadata.create_all(op.get_bind(), checkfirst=False)
