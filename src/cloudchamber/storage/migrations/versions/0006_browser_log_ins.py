"""Log-ins through a browser: codes, waiting devices, sessions of the hosted pages, what people allowed."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData, UniqueConstraint

from cloudchamber.storage.columns import NAMES, blob, table, text, whole

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    metadata.reflect(op.get_bind(), only=["clients"])
    table(metadata, "public_log_ins", text("family", key=True))
    table(
        metadata,
        "authorization_codes",
        blob("hash", key=True),
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
        text("scope", null=True),
        text("redirect_uri", null=True),
        text("code_challenge", null=True),
        whole("expires_at"),
        whole("used_at", null=True),
        text("family"),
        text("principal_kind"),
        text("principal_id"),
        whole("product_id", null=True),
        text("organization_id", null=True),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "device_grants",
        blob("hash", key=True),
        blob("user_code"),
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
        text("scope", null=True),
        text("state"),
        whole("interval_s"),
        whole("polled_at", null=True),
        whole("expires_at"),
        text("principal_kind", null=True),
        text("principal_id", null=True),
        whole("product_id", null=True),
        text("organization_id", null=True),
        UniqueConstraint("user_code"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "browser_sessions",
        blob("hash", key=True),
        whole("created_at"),
        whole("expires_at"),
        text("principal_kind"),
        text("principal_id"),
        whole("product_id", null=True),
        text("organization_id", null=True),
        Index(None, "principal_kind", "principal_id"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "consents",
        text("principal_kind", key=True),
        text("principal_id", key=True),
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE"), key=True),
        text("scope", null=True),
        whole("given_at"),
        Index(None, "client_id"),
    )
    metadata.create_all(op.get_bind(), checkfirst=True)
