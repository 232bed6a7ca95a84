"""The tables as they are at head, for migrations to be compared with; the SQL of the stores is written against them.

A change here needs a new revision in migrations/versions; a test holds the two together.
"""

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint

from cloudchamber.storage.columns import NAMES, blob, flag, sequence, table, text, whole

metadata = MetaData(naming_convention=NAMES)

users = table(
    metadata,
    "users",
    text("id", key=True),
    text("username"),  # lower case, whatever was typed
    text("password_hash", null=True),
    text("account_info", default="{}"),
    flag("is_admin"),
    whole("created_at"),
    whole("updated_at"),
    UniqueConstraint("username"),
)

# Every product is in one. A person's own products are in their personal one, which is made when it is first needed.
organizations = table(
    metadata,
    "organizations",
    text("id", key=True),
    text("slug"),
    text("name"),
    # Without ON DELETE: whoever owns one has to hand it over first. A personal one goes with its person.
    text("owner_user_id", ForeignKey("users.id")),
    text("personal_user_id", ForeignKey("users.id", ondelete="CASCADE"), null=True),
    whole("created_at"),
    whole("updated_at"),
    UniqueConstraint("slug"),
    UniqueConstraint("personal_user_id"),
    Index(None, "owner_user_id"),
)

organization_memberships = table(
    metadata,
    "organization_memberships",
    text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), key=True),
    text("user_id", ForeignKey("users.id", ondelete="CASCADE"), key=True),
    text("role"),
    whole("created_at"),
    Index(None, "user_id"),
)

products = table(
    metadata,
    "products",
    # Firmware carries it in 16 bits, and 0 means none.
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

clients = table(
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
    CheckConstraint(
        "owner_kind = 'none' OR (owner_kind = 'user' AND user_id IS NOT NULL)"
        " OR (owner_kind = 'product' AND product_id IS NOT NULL)"
        " OR (owner_kind = 'organization' AND organization_id IS NOT NULL)",
        name="owner",
    ),
    Index(None, "user_id"),
    Index(None, "product_id"),
    Index(None, "organization_id"),
)

# Clients with which nobody logs in by password; a row of its own, because few are.
clients_without_passwords = table(
    metadata,
    "clients_without_passwords",
    text("client_id", ForeignKey("clients.id", ondelete="CASCADE"), key=True),
)

access_tokens = table(
    metadata,
    "access_tokens",
    blob("hash", key=True),
    text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
    text("principal_kind"),
    text("principal_id"),
    whole("product_id", null=True),
    text("organization_id", null=True),
    text("scope", null=True),
    text("family"),
    blob("sealed", null=True),
    whole("issued_at"),
    whole("expires_at", null=True),
    whole("last_used_at", null=True),
    text("last_used_ip", null=True),
    Index(None, "principal_kind", "principal_id"),
    Index(None, "product_id"),
    Index(None, "organization_id"),
    Index(None, "family"),
    Index(None, "client_id"),
    Index(None, "expires_at"),
)

refresh_tokens = table(
    metadata,
    "refresh_tokens",
    blob("hash", key=True),
    text("client_id", ForeignKey("clients.id", ondelete="CASCADE")),
    text("principal_kind"),
    text("principal_id"),
    whole("product_id", null=True),
    text("organization_id", null=True),
    text("scope", null=True),
    text("family"),
    blob("parent", null=True),
    whole("access_lifetime_s", null=True),
    whole("issued_at"),
    whole("expires_at"),
    whole("used_at", null=True),
    Index(None, "principal_kind", "principal_id"),
    Index(None, "product_id"),
    Index(None, "organization_id"),
    Index(None, "family"),
    Index(None, "client_id"),
    Index(None, "expires_at"),
)

customer_resets = table(
    metadata,
    "customer_resets",
    blob("hash", key=True),
    text("customer_id", ForeignKey("customers.id", ondelete="CASCADE")),
    whole("created_at"),
    whole("expires_at"),
    whole("used_at", null=True),
    Index(None, "customer_id"),
    Index(None, "expires_at"),
)

# Log-ins whose client has no secret to show; a row of its own, because few are.
public_log_ins = table(metadata, "public_log_ins", text("family", key=True))

# Log-ins through a browser (oauth/web/).
authorization_codes = table(
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

device_grants = table(
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

browser_sessions = table(
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

consents = table(
    metadata,
    "consents",
    text("principal_kind", key=True),
    text("principal_id", key=True),
    text("client_id", ForeignKey("clients.id", ondelete="CASCADE"), key=True),
    text("scope", null=True),
    whole("given_at"),
    Index(None, "client_id"),
)

# What all tokens of a family came from: who began it, and when it can no longer be refreshed (null: never).
log_ins = table(
    metadata,
    "log_ins",
    text("family", key=True),
    text("created_by"),  # as access/requester.py describes who asks
    whole("created_at"),
    whole("ends_at", null=True),
)

# Each log-in's last refresh (oauth/refreshing.py).
last_refreshes = table(
    metadata,
    "last_refreshes",
    text("family", ForeignKey("log_ins.family", ondelete="CASCADE"), key=True),
    blob("used"),
    blob("access"),
    blob("salt", null=True),
)

# Of accounts whose log-ins ended lately, and of those that are switched off. A log-in that began before `log_ins_from`
# comes too late: it gets no token, whatever was right when it began.
account_states = table(
    metadata,
    "account_states",
    text("principal_kind", key=True),
    text("principal_id", key=True),
    whole("log_ins_from"),
    whole("disabled_at", null=True),
    Index(None, "log_ins_from"),
)

# What one process changed, for the others that have it in memory (storage/notices.py).
notices = table(
    metadata,
    "notices",
    text("subject", key=True),
    text("about", key=True),
    whole("at"),
    text("origin"),
    Index(None, "at"),
)

# Tokens that ended, for the other processes that have them in memory (oauth/tokens.py).
ended_tokens = table(
    metadata,
    "ended_tokens",
    blob("hash", key=True),
    whole("ended_at"),
    Index(None, "ended_at"),
)

# Who did what, and who was refused. `chain` is a hash of the line and the `chain` before it (audit/rules.py).
audit = table(
    metadata,
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
)

memberships = table(
    metadata,
    "memberships",
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), key=True),
    text("user_id", ForeignKey("users.id", ondelete="CASCADE"), key=True),
    text("role"),
    whole("created_at"),
    Index(None, "user_id"),
)

# Who is asked into a team without having an account yet; the account turns it into a membership.
invitations = table(
    metadata,
    "invitations",
    text("id", key=True),
    text("username"),  # lower case, as in users
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), null=True),
    text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), null=True),
    text("role"),
    text("invited_by"),
    whole("created_at"),
    whole("expires_at"),
    CheckConstraint("(product_id IS NULL) <> (organization_id IS NULL)", name="place"),
    UniqueConstraint("product_id", "username"),
    UniqueConstraint("organization_id", "username"),
    Index(None, "username"),
    Index(None, "expires_at"),
)

# Mailed with an invitation; without one, it is taken by its name alone.
invitation_codes = table(
    metadata,
    "invitation_codes",
    text("invitation_id", ForeignKey("invitations.id", ondelete="CASCADE"), key=True),
    blob("hash"),
    UniqueConstraint("hash"),
)

api_users = table(
    metadata,
    "api_users",
    text("id", key=True),
    text("username"),
    text("friendly_name"),
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), null=True),
    text("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), null=True),
    text("scopes"),  # names with blanks between them
    text("created_by"),
    whole("created_at"),
    whole("updated_at"),
    CheckConstraint("(product_id IS NULL) <> (organization_id IS NULL)", name="place"),
    UniqueConstraint("username"),
    Index(None, "product_id"),
    Index(None, "organization_id"),
)

# A customer belongs to one product, or to one organization and so to each of its products.
customers = table(
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
    CheckConstraint("(product_id IS NULL) <> (organization_id IS NULL)", name="place"),
    UniqueConstraint("product_id", "username"),
    UniqueConstraint("organization_id", "username"),
)

devices = table(
    metadata,
    "devices",
    text("id", key=True),
    # Without ON DELETE: what becomes of a product's devices is a change of custody, and the code has to write it down.
    whole("product_id", ForeignKey("products.id"), null=True),
    text("owner_kind", null=True),
    text("owner_id", null=True),
    whole("owned_since", null=True),
    text("name", null=True),
    text("name_key", null=True),  # in lower case, to find and sort by
    flag("is_name_private"),  # the owner gave it, and takes it along
    text("notes", null=True),
    whole("platform_id", null=True),
    whole("firmware_product_id", null=True),
    whole("firmware_version", null=True),
    text("system_version", null=True),
    text("cc3000_patch_version", null=True),
    flag("is_development"),
    flag("is_quarantined"),
    flag("is_denied"),
    flag("is_seen_only"),  # in quarantine because it connected; nobody has named it
    flag("is_in_safe_mode"),
    text("serial_number", null=True),
    text("mobile_secret", null=True),
    text("iccid", null=True),
    text("imei", null=True),
    text("last_ip", null=True),
    whole("last_heard", null=True),
    whole("last_handshake_at", null=True),
    flag("reports_updates_enabled", 1),  # what its firmware says
    flag("allows_updates", 1),  # what people say
    flag("firmware_updates_forced"),
    whole("desired_firmware_version", null=True),
    whole("created_at"),
    whole("updated_at"),
    CheckConstraint(
        "(owner_kind IS NULL AND owner_id IS NULL) OR (owner_kind IN ('user', 'customer') AND owner_id IS NOT NULL)",
        name="owner",
    ),
    Index(None, "owner_kind", "owner_id", "name_key"),  # serves a look-up by owner alone as well
    # Lists of a product: one for each order, and each holds what its filter reads (fleet/lists/store.py).
    Index(None, "product_id", "id"),
    Index(None, "product_id", "last_handshake_at", "id"),
    Index(None, "product_id", "name_key", "id"),
    Index(None, "product_id", "firmware_version", "id"),
    Index(None, "product_id", "serial_number", "id"),
    Index(None, "product_id", "is_quarantined", "is_denied", "id"),
    Index(None, "serial_number", unique=True),
    Index(None, "iccid"),
    Index(None, "imei"),
)

# What devices told of themselves. Not in their rows: it is as large as all the rest, and lists of devices get slow.
descriptions = table(
    metadata,
    "descriptions",
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
    text("functions"),
    text("variables"),
    text("system", null=True),
)

device_groups = table(
    metadata,
    "device_groups",
    text("id", key=True),
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE")),
    text("name"),
    text("name_key"),  # in lower case
    text("description", null=True),
    text("color", null=True),
    whole("fw_version", null=True),  # released to it
    whole("created_at"),
    whole("updated_at"),
    UniqueConstraint("product_id", "name_key"),
)

group_members = table(
    metadata,
    "group_members",
    text("group_id", ForeignKey("device_groups.id", ondelete="CASCADE"), key=True),
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
    Index(None, "device_id"),
)

device_keys = table(
    metadata,
    "device_keys",
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
    text("algorithm"),
    blob("public_key"),  # DER
    text("origin"),
    whole("created_at"),
    Index(None, "created_at"),
)

claim_codes = table(
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

# The devices' foreign key takes their requests along; those of accounts that go are removed by the code.
transfers = table(
    metadata,
    "transfers",
    text("id", key=True),
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE")),
    text("giver_kind"),
    text("giver_id"),
    text("taker_kind"),
    text("taker_id"),
    text("status"),
    whole("created_at"),
    whole("expires_at"),
    whole("decided_at", null=True),
    Index(None, "device_id"),
    Index(None, "giver_kind", "giver_id"),
    Index(None, "taker_kind", "taker_id"),
    Index(None, "expires_at"),
)

# Append-only: triggers, which the migration makes, refuse UPDATE and DELETE. No foreign key, since the log outlives
# what it speaks of.
custody = table(
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

webhooks = table(
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

# Deliveries that wait, and the last ones that ended.
webhook_deliveries = table(
    metadata,
    "webhook_deliveries",
    text("id", key=True),
    text("hook_id", ForeignKey("webhooks.id", ondelete="CASCADE")),
    text("state"),
    whole("attempts"),
    whole("next_at"),
    whole("finished_at", null=True),
    blob("sealed"),  # the event while it waits, then the request and the answer as they are shown
    Index(None, "state", "next_at"),
    Index(None, "hook_id", "state", "finished_at"),
)

webhook_counters = table(
    metadata,
    "webhook_counters",
    text("hook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), key=True),
    text("day", key=True),
    whole("success"),
    whole("error"),
    whole("skipped"),
    Index(None, "day"),
)

password_resets = table(
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

# Second factors of people. Several each; `last_step` is the time step of the last code that was taken.
mfa_factors = table(
    metadata,
    "mfa_factors",
    text("id", key=True),
    text("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    text("name"),
    blob("sealed"),  # the secret that the app shares, encrypted
    whole("last_step"),
    whole("created_at"),
    whole("last_used_at", null=True),
    Index(None, "user_id"),
)

mfa_recovery_codes = table(
    metadata,
    "mfa_recovery_codes",
    blob("hash", key=True),
    text("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    whole("created_at"),
    whole("used_at", null=True),
    Index(None, "user_id"),
)

# What is open between two requests: a factor that is being set up, or a log-in whose password was right.
mfa_challenges = table(
    metadata,
    "mfa_challenges",
    blob("hash", key=True),  # of the mfa_token
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

# Wrong codes in a row, over all log-ins of a person: on record, so that neither a restart nor a second process forgets.
mfa_failures = table(
    metadata,
    "mfa_failures",
    text("user_id", ForeignKey("users.id", ondelete="CASCADE"), key=True),
    whole("count"),
    whole("last_at"),
)

# Sessions over datagrams. No foreign key on the device: one that waits to be imported has a session, and no record yet.
dtls_sessions = table(
    metadata,
    "dtls_sessions",
    blob("id", key=True),  # the server's random
    blob("cid", null=True),
    text("device_id", null=True),
    text("address"),
    blob("sealed"),  # the association's state, encrypted
    blob("memory", null=True),  # what the device told of itself
    whole("updated_at"),
    UniqueConstraint("cid"),
    Index(None, "device_id", "updated_at"),
    Index(None, "address"),
    Index(None, "updated_at"),
)

# Firmware files, by the SHA-256 of the whole, in pieces of 64 KiB.
firmware_binaries = table(
    metadata,
    "firmware_binaries",
    blob("hash", key=True),
    whole("size"),
    whole("created_at"),
    Index(None, "created_at"),
)

firmware_pieces = table(
    metadata,
    "firmware_pieces",
    blob("hash", ForeignKey("firmware_binaries.hash", ondelete="CASCADE"), key=True),
    whole("number", key=True),
    blob("data"),
)

firmware = table(
    metadata,
    "firmware",
    text("id", key=True),
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE")),
    whole("version"),
    text("title"),
    text("description"),
    text("name"),
    whole("size"),
    blob("hash", ForeignKey("firmware_binaries.hash")),
    text("uploaded_by", ForeignKey("users.id", ondelete="SET NULL"), null=True),
    flag("is_mandatory"),
    flag("is_product_default"),
    flag("is_intelligent"),
    flag("has_run"),  # a device of the product was seen with it
    whole("released_at", null=True),
    whole("uploaded_at"),
    whole("updated_at"),
    UniqueConstraint("product_id", "version"),
    CheckConstraint("version BETWEEN 0 AND 65534", name="version"),
    Index(None, "hash"),
    Index(None, "uploaded_by"),
)

# The last update of each device. No foreign key on its product: a device may leave that.
firmware_updates = table(
    metadata,
    "firmware_updates",
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
    whole("product_id", null=True),
    text("owner_kind", null=True),
    text("owner_id", null=True),
    whole("version", null=True),
    blob("hash", ForeignKey("firmware_binaries.hash"), null=True),
    text("name"),
    text("state"),
    whole("attempts"),
    whole("not_before"),
    text("error", null=True),
    whole("requested_at"),
    whole("updated_at"),
    Index(None, "state"),
    Index(None, "hash"),
)

# What devices told of themselves; kept for a month.
device_vitals = table(
    metadata,
    "device_vitals",
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
    whole("at", key=True),
    text("owner_kind", null=True),
    text("owner_id", null=True),
    text("payload"),  # JSON
    Index(None, "at"),
)

# Where devices were, in ten-millionths of a degree; kept for a month. No foreign key on the product, as above.
device_locations = table(
    metadata,
    "device_locations",
    text("device_id", ForeignKey("devices.id", ondelete="CASCADE"), key=True),
    whole("at", key=True),
    whole("product_id"),
    whole("latitude"),
    whole("longitude"),
    flag("is_locked"),
    Index(None, "at"),
    Index(None, "product_id", "device_id", "at"),
)

# Statistics of products: minutes are kept for a day, totals of hours for a fortnight (packed in statistics/rules.py).
product_minutes = table(
    metadata,
    "product_minutes",
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), key=True),
    whole("at", key=True),
    blob("packed"),
    Index(None, "at"),
)

product_hours = table(
    metadata,
    "product_hours",
    whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), key=True),
    whole("at", key=True),
    blob("packed"),
    Index(None, "at"),
)

# For each hour the minutes, as bits, in which the server ran and looked.
statistics_minutes = table(
    metadata,
    "statistics_minutes",
    whole("at", key=True),
    whole("mask"),
)
