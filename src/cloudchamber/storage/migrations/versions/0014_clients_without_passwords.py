"""Clients with which nobody logs in by password."""

from alembic import op
from sqlalchemy import ForeignKey, MetaData

from cloudchamber.storage.columns import NAMES, table, text

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(metadata, "clients", text("id", key=True))
    table(
        metadata,
        "clients_without_passwords",
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE"), key=True),
    ).create(op.get_bind())
