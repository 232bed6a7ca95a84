"""From when on log-ins of an account count, which accounts are switched off, and what a command ended."""

from alembic import op
from sqlalchemy import Index, MetaData

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(
        metadata,
        "account_states",
        text("principal_kind", key=True),
        text("principal_id", key=True),
        whole("log_ins_from"),
        whole("disabled_at", null=True),
        Index(None, "log_ins_from"),
    )
    table(
        metadata,
        "ended_tokens",
        blob("hash", key=True),
        whole("ended_at"),
        Index(None, "ended_at"),
    )
    metadata.create_all(op.get_bind())
