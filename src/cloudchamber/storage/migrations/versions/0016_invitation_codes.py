"""Codes that are mailed with invitations: without one, an invitation is taken by its name alone."""

from alembic import op
from sqlalchemy import ForeignKey, MetaData, UniqueConstraint

from cloudchamber.storage.columns import NAMES, blob, table, text

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    table(metadata, "invitations", text("id", key=True))
    table(
        metadata,
        "invitation_codes",
        text("invitation_id", ForeignKey("invitations.id", ondelete="CASCADE"), key=True),
        blob("hash"),
        UniqueConstraint("hash"),
    ).create(op.get_bind())
