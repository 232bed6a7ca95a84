"""The first tables."""

from alembic import op
from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint

from cloudchamber.storage.columns import NAMES, blob, flag, sequence, table, text, whole

revision = "0001"
down_revision = None

# A custody log that its own program could rewrite would prove nothing.
_SQLITE_APPEND_ONLY = """
CREATE TRIGGER custody_no_{verb} BEFORE {verb} ON custody
BEGIN SELECT RAISE(ABORT, 'custody is append-only'); END
"""

_POSTGRESQL_APPEND_ONLY = (
    """
    CREATE FUNCTION custody_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'custody is append-only'; END $$
    """,
    """
    CREATE TRIGGER custody_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON custody
    FOR EACH STATEMENT EXECUTE FUNCTION custody_append_only()
    """,
)


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    _describe(metadata)
    metadata.create_all(op.get_bind(), checkfirst=False)
    if op.get_context().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(_SQLITE_APPEND_ONLY.format(verb=verb))
    else:
        for statement in _POSTGRESQL_APPEND_ONLY:
            op.execute(statement)


def _describe(metadata: MetaData) -> None:
    table(
        metadata,
        "users",
        text("id", key=True),
        text("username"),
        text("password_hash", null=True),
        text("account_info", default="{}"),
        flag("is_admin"),
        whole("created_at"),
        whole("updated_at"),
        UniqueConstraint("username"),
    )
    table(
        metadata,
        "products",
        whole("id", CheckConstraint("id BETWEEN 1 AND 65535", name="id"), key=True),
        text("name"),
        text("slug"),
        text("description"),
        whole("platform_id"),
        text("type", null=True),
        text("hardware_version", null=True),
        text("owner_user_id", ForeignKey("users.id")),
        text("settings", default="{}"),
        whole("created_at"),
        whole("updated_at"),
        UniqueConstraint("slug"),
        Index(None, "owner_user_id"),
    )
    table(
        metadata,
        "clients",
        text("id", key=True),
        blob("secret_hash", null=True),
        text("name"),
        text("type"),
        text("redirect_uri", null=True),
        text("scope", null=True),
        text("owner_kind"),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE"), null=True),
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), null=True),
        flag("is_builtin"),
        flag("is_enabled", 1),
        whole("created_at"),
        CheckConstraint(
            "owner_kind = 'none' OR (owner_kind = 'user' AND user_id IS NOT NULL)"
            " OR (owner_kind = 'product' AND product_id IS NOT NULL)",
            name="owner",
        ),
        Index(None, "user_id"),
        Index(None, "product_id"),
    )
    table(
        metadata,
        "access_tokens",
        blob("hash", key=True),
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
        text("principal_kind"),
        text("principal_id"),
        whole("product_id", null=True),
        text("scope", null=True),
        text("family"),
        blob("sealed", null=True),
        whole("issued_at"),
        whole("expires_at", null=True),
        whole("last_used_at", null=True),
        text("last_used_ip", null=True),
        Index(None, "principal_kind", "principal_id"),
        Index(None, "family"),
        Index(None, "client_id"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "refresh_tokens",
        blob("hash", key=True),
        text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
        text("principal_kind"),
        text("principal_id"),
        whole("product_id", null=True),
        text("scope", null=True),
        text("family"),
        blob("parent", null=True),
        whole("access_lifetime_s", null=True),
        whole("issued_at"),
        whole("expires_at"),
        whole("used_at", null=True),
        Index(None, "principal_kind", "principal_id"),
        Index(None, "family"),
        Index(None, "client_id"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "memberships",
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), key=True),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE"), key=True),
        text("role"),
        whole("created_at"),
        Index(None, "user_id"),
    )
    table(
        metadata,
        "customers",
        text("id", key=True),
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE")),
        text("username"),
        text("password_hash", null=True),
        text("account_info", default="{}"),
        whole("created_at"),
        whole("updated_at"),
        UniqueConstraint("product_id", "username"),
    )
    table(
        metadata,
        "devices",
        text("id", key=True),
        whole("product_id", ForeignKey("products.id"), null=True),
        text("owner_kind", null=True),
        text("owner_id", null=True),
        text("name", null=True),
        text("notes", null=True),
        whole("platform_id", null=True),
        whole("firmware_product_id", null=True),
        whole("firmware_version", null=True),
        text("system_version", null=True),
        flag("is_development"),
        flag("is_quarantined"),
        flag("is_denied"),
        text("serial_number", null=True),
        text("mobile_secret", null=True),
        text("iccid", null=True),
        text("imei", null=True),
        text("last_ip", null=True),
        whole("last_heard", null=True),
        whole("last_handshake_at", null=True),
        text("functions", null=True),
        text("variables", null=True),
        text("system_describe", null=True),
        flag("firmware_updates_enabled", 1),
        flag("firmware_updates_forced"),
        whole("desired_firmware_version", null=True),
        text("groups", default="[]"),
        whole("created_at"),
        whole("updated_at"),
        CheckConstraint(
            "(owner_kind IS NULL AND owner_id IS NULL)"
            " OR (owner_kind IN ('user', 'customer') AND owner_id IS NOT NULL)",
            name="owner",
        ),
        Index(None, "product_id"),
        Index(None, "owner_kind", "owner_id", "name"),
    )
    table(
        metadata,
        "device_keys",
        text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
        text("algorithm"),
        blob("public_key"),
        text("origin"),
        whole("created_at"),
    )
    table(
        metadata,
        "claim_codes",
        blob("hash", key=True),
        text("principal_kind"),
        text("principal_id"),
        whole("product_id", null=True),
        whole("created_at"),
        whole("expires_at"),
        whole("used_at", null=True),
        text("device_id", null=True),
        Index(None, "principal_kind", "principal_id"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "custody",
        sequence("seq"),
        whole("at"),
        text("device_id"),
        text("change"),
        text("actor"),
        text("before"),
        text("after"),
        Index(None, "device_id", "seq"),
        counts=True,
    )
    table(
        metadata,
        "webhooks",
        text("id", key=True),
        text("owner_kind"),
        text("owner_id"),
        text("event"),
        text("url"),
        text("settings", default="{}"),
        whole("created_at"),
        whole("updated_at"),
        Index(None, "owner_kind", "owner_id"),
    )
    table(
        metadata,
        "password_resets",
        blob("hash", key=True),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE")),
        whole("created_at"),
        whole("expires_at"),
        whole("used_at", null=True),
        Index(None, "user_id"),
        Index(None, "expires_at"),
    )
