"""Slugs of personal organizations say no more who has an account."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("UPDATE organizations SET slug = 'personal-' || substr(id, 1, 12) WHERE personal_user_id IS NOT NULL")
