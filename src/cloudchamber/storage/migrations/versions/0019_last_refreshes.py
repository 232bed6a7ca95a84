"""Each log-in's last refresh, so that it can be repeated when its answer was lost."""

from alembic import op
from sqlalchemy import ForeignKey, MetaData

from cloudchamber.storage.columns import NAMES, blob, table, text

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(metadata, "log_ins", text("family", key=True))
    table(
        metadata,
        "last_refreshes",
        text("family", ForeignKey("log_ins.family", ondelete="CASCADE"), key=True),
        blob("used"),
        blob("access"),
        blob("salt", null=True),
    ).create(op.get_bind())
