"""The audit log."""

from alembic import op
from sqlalchemy import Index, MetaData

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    table(
        MetaData(naming_convention=NAMES),
        "audit",
        whole("seq", key=True),
        whole("at"),
        text("event"),
        text("outcome"),
        text("actor"),
        text("token", null=True),
        text("ip", null=True),
        text("subject", null=True),
        text("detail", null=True),
        blob("chain"),
        Index(None, "at"),
    ).create(op.get_bind())
