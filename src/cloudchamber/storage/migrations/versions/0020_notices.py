"""What was changed by one process and is to be forgotten by the others."""

from alembic import op
from sqlalchemy import Index, MetaData

from cloudchamber.storage.columns import NAMES, table, text, whole

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(
        metadata,
        "notices",
        text("subject", key=True),
        text("about", key=True),
        whole("at"),
        text("origin"),
        Index(None, "at"),
    ).create(op.get_bind())
