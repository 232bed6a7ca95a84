"""Organizations, their teams and API users; every product is in an organization, customers and clients may be."""

import re
import secrets
from typing import Final

from alembic import op
from sqlalchemy import CheckConstraint, Connection, ForeignKey, Index, MetaData, Table, UniqueConstraint
from sqlalchemy import text as sql

from cloudchamber.storage.columns import NAMES, blob, flag, table, text, whole
from cloudchamber.storage.rebuild import rebuild

revision = "0005"
down_revision = "0004"

_MADE: Final = ("organizations", "organization_memberships", "invitations", "api_users")
_ONE_PLACE: Final = "(product_id IS NULL) <> (organization_id IS NULL)"
_CLIENT_OWNER: Final = (
    "owner_kind = 'none' OR (owner_kind = 'user' AND user_id IS NOT NULL)"
    " OR (owner_kind = 'product' AND product_id IS NOT NULL)"
    " OR (owner_kind = 'organization' AND organization_id IS NOT NULL)"
)


def upgrade() -> None:
    bind = op.get_bind()
    tables = _describe(MetaData(naming_convention=NAMES))
    for name in _MADE:
        tables[name].create(bind)
    _make_personal_organizations(bind)
    if bind.dialect.name == "sqlite":
        organization = "(SELECT o.id FROM organizations o WHERE o.personal_user_id = products_before.owner_user_id)"
        computed = {"products": {"organization_id": organization}}
        for name in ("products", "clients", "access_tokens", "refresh_tokens", "customers"):
            same = {c.name: c.name for c in tables[name].columns if c.name != "organization_id"}
            rebuild(bind, tables[name], same | computed.get(name, {}))
    else:
        _alter()
    # API users' tokens are made with it, since every token is some client's. It has no secret, so nobody logs in by it.
    op.execute(
        "INSERT INTO clients (id, name, type, owner_kind, is_builtin, is_enabled, created_at)"
        " VALUES ('api-user', 'API users', 'installed', 'none', 1, 1, 0)"
    )


def _make_personal_organizations(bind: Connection) -> None:
    owners = bind.exec_driver_sql(
        "SELECT id, username, created_at FROM users WHERE id IN (SELECT owner_user_id FROM products) ORDER BY id"
    ).fetchall()
    taken: set[str] = set()
    rows = []
    for user, username, created_at in owners:
        base = re.sub(r"[^a-z0-9]+", "-", username.lower())[:40].strip("-") or "personal"
        slug = next(slug for n in range(1, len(owners) + 2) if (slug := base if n == 1 else f"{base}-{n}") not in taken)
        taken.add(slug)
        rows.append({"i": secrets.token_hex(12), "s": slug, "n": username, "u": user, "c": created_at})
    insert = sql(
        "INSERT INTO organizations (id, slug, name, owner_user_id, personal_user_id, created_at, updated_at)"
        " VALUES (:i, :s, :n, :u, :u, :c, :c)"
    )
    for row in rows:
        bind.execute(insert, row)


def _alter() -> None:
    text_type = 'TEXT COLLATE "C"'
    op.execute(f"ALTER TABLE products ADD COLUMN organization_id {text_type}")
    op.execute(
        "UPDATE products SET organization_id ="
        " (SELECT o.id FROM organizations o WHERE o.personal_user_id = products.owner_user_id)"
    )
    op.execute("ALTER TABLE products ALTER COLUMN organization_id SET NOT NULL")
    op.drop_index("ix_products_owner_user_id")
    op.drop_column("products", "owner_user_id")
    for name in ("access_tokens", "refresh_tokens", "clients", "customers"):
        op.execute(f"ALTER TABLE {name} ADD COLUMN organization_id {text_type}")
    for name, then in (("products", ""), ("clients", " ON DELETE CASCADE"), ("customers", " ON DELETE CASCADE")):
        op.execute(
            f"ALTER TABLE {name} ADD CONSTRAINT fk_{name}_organization_id FOREIGN KEY (organization_id)"
            f" REFERENCES organizations (id){then}"
        )
    op.execute("ALTER TABLE clients DROP CONSTRAINT ck_clients_owner")
    op.execute(f"ALTER TABLE clients ADD CONSTRAINT ck_clients_owner CHECK ({_CLIENT_OWNER})")
    op.execute("ALTER TABLE customers ALTER COLUMN product_id DROP NOT NULL")
    op.execute(f"ALTER TABLE customers ADD CONSTRAINT ck_customers_place CHECK ({_ONE_PLACE})")
    op.execute(
        "ALTER TABLE customers ADD CONSTRAINT uq_customers_organization_id_username UNIQUE (organization_id, username)"
    )
    new = ("products.organization_id", "clients.organization_id")
    for table_name, column in [
        *(name.split(".") for name in new),
        *(
            (name, column)
            for name in ("access_tokens", "refresh_tokens")
            for column in ("product_id", "organization_id")
        ),
    ]:
        op.create_index(f"ix_{table_name}_{column}", table_name, [column])


def _describe(metadata: MetaData) -> dict[str, Table]:
    """The tables as they are made, and of those that they refer to as much as that takes."""
    table(metadata, "users", text("id", key=True))
    table(
        metadata,
        "organizations",
        text("id", key=True),
        text("slug"),
        text("name"),
        text("owner_user_id", ForeignKey("users.id")),
        text("personal_user_id", ForeignKey("users.id", ondelete="CASCADE"), null=True),
        whole("created_at"),
        whole("updated_at"),
        UniqueConstraint("slug"),
        UniqueConstraint("personal_user_id"),
        Index(None, "owner_user_id"),
    )
    table(
        metadata,
        "organization_memberships",
        text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), key=True),
        text("user_id", ForeignKey("users.id", ondelete="CASCADE"), key=True),
        text("role"),
        whole("created_at"),
        Index(None, "user_id"),
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
        text("organization_id", ForeignKey("organizations.id")),
        text("settings", default="{}"),
        whole("created_at"),
        whole("updated_at"),
        UniqueConstraint("slug"),
        Index(None, "organization_id"),
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
        text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), null=True),
        flag("is_builtin"),
        flag("is_enabled", 1),
        whole("created_at"),
        CheckConstraint(_CLIENT_OWNER, name="owner"),
        Index(None, "user_id"),
        Index(None, "product_id"),
        Index(None, "organization_id"),
    )
    for name, own in (
        ("access_tokens", (blob("sealed", null=True), whole("issued_at"), whole("expires_at", null=True))),
        ("refresh_tokens", (blob("parent", null=True), whole("access_lifetime_s", null=True), whole("issued_at"))),
    ):
        rest = (
            (whole("last_used_at", null=True), text("last_used_ip", null=True))
            if name == "access_tokens"
            else (whole("expires_at"), whole("used_at", null=True))
        )
        table(
            metadata,
            name,
            blob("hash", key=True),
            text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
            text("principal_kind"),
            text("principal_id"),
            whole("product_id", null=True),
            text("organization_id", null=True),
            text("scope", null=True),
            text("family"),
            *own,
            *rest,
            Index(None, "principal_kind", "principal_id"),
            Index(None, "product_id"),
            Index(None, "organization_id"),
            Index(None, "family"),
            Index(None, "client_id"),
            Index(None, "expires_at"),
        )
    table(
        metadata,
        "invitations",
        text("id", key=True),
        text("username"),
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), null=True),
        text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), null=True),
        text("role"),
        text("invited_by"),
        whole("created_at"),
        whole("expires_at"),
        CheckConstraint(_ONE_PLACE, name="place"),
        UniqueConstraint("product_id", "username"),
        UniqueConstraint("organization_id", "username"),
        Index(None, "username"),
        Index(None, "expires_at"),
    )
    table(
        metadata,
        "api_users",
        text("id", key=True),
        text("username"),
        text("friendly_name"),
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), null=True),
        text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), null=True),
        text("scopes"),
        text("created_by"),
        whole("created_at"),
        whole("updated_at"),
        CheckConstraint(_ONE_PLACE, name="place"),
        UniqueConstraint("username"),
        Index(None, "product_id"),
        Index(None, "organization_id"),
    )
    table(
        metadata,
        "customers",
        text("id", key=True),
        whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), null=True),
        text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), null=True),
        text("username"),
        text("password_hash", null=True),
        text("account_info", default="{}"),
        whole("created_at"),
        whole("updated_at"),
        CheckConstraint(_ONE_PLACE, name="place"),
        UniqueConstraint("product_id", "username"),
        UniqueConstraint("organization_id", "username"),
    )
    return dict(metadata.tables)
