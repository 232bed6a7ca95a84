"""Second factors: authenticator apps, recovery codes, and what is open between two requests. Who made a token, and when
a log-in can no longer be refreshed."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    metadata.reflect(op.get_bind(), only=["users", "clients"])
    table(
        metadata,
        "mfa_factors",
        text("id", key=True),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE")),
        text("name"),
        blob("sealed"),
        whole("last_step"),
        whole("created_at"),
        whole("last_used_at", null=True),
        Index(None, "user_id"),
    )
    table(
        metadata,
        "mfa_recovery_codes",
        blob("hash", key=True),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE")),
        whole("created_at"),
        whole("used_at", null=True),
        Index(None, "user_id"),
    )
    table(
        metadata,
        "mfa_challenges",
        blob("hash", key=True),
        text("kind"),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE")),
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE"), null=True),
        text("scope", null=True),
        whole("lifetime_s", null=True),
        blob("sealed", null=True),
        whole("attempts"),
        whole("created_at"),
        whole("expires_at"),
        Index(None, "user_id"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "mfa_failures",
        text("user_id", ForeignKey("users.id", ondelete="CASCADE"), key=True),
        whole("count"),
        whole("last_at"),
    )
    table(
        metadata,
        "log_ins",
        text("family", key=True),
        text("created_by"),
        whole("created_at"),
        whole("ends_at", null=True),
    )
    metadata.create_all(op.get_bind(), checkfirst=True)
