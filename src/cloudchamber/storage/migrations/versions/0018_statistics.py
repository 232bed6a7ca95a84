"""How products' fleets did, by the minute and by the hour."""

from alembic import op
from sqlalchemy import ForeignKey, Index, MetaData, Table

from cloudchamber.storage.columns import NAMES, blob, table, whole

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    metadata = MetaData(naming_convention=NAMES)
    Table("products", metadata, whole("id", key=True))
    tables = [
        table(
            metadata,
            name,
            whole("product_id", ForeignKey("products.id", ondelete="CASCADE"), key=True),
            whole("at", key=True),
            blob("packed"),
            Index(None, "at"),
        )
        for name in ("product_minutes", "product_hours")
    ]
    tables.append(table(metadata, "statistics_minutes", whole("at", key=True), whole("mask")))
    metadata.create_all(op.get_bind(), tables=tables)
