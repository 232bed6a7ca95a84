"""Run by Alembic, once for an upgrade. The connection and the transaction around it all are storage/migrate.py's."""

from alembic import context

from cloudchamber.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite too rolls tables back, once its driver no longer commits behind our backs
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
