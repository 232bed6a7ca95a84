"""Device keys are found by when they went on record."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_device_keys_created_at", "device_keys", ["created_at"])
