"""Changing a table of SQLite beyond what its ALTER TABLE can: made anew, filled from the old one, and put in its place.

For migrations alone, inside their transaction, where foreign keys are off.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, Table


def rebuild(bind: Connection, new: Table, columns: Mapping[str, str]) -> None:
    """`columns` says what each column of `new` holds, as SQL over the old table of the same name; a column that is not
    there gets its default. Indexes of the old table go with it."""
    name, old = new.name, f"{new.name}_before"
    indexes = bind.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (name,))
    for (index,) in indexes.fetchall():
        if not index.startswith("sqlite_autoindex"):
            bind.exec_driver_sql(f"DROP INDEX {index}")
    # Else the references of other tables would follow the old one under its new name.
    bind.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    bind.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {old}")
    bind.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
    new.create(bind)
    bind.exec_driver_sql(
        f"INSERT INTO {name} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {old}"  # noqa: S608
    )
    bind.exec_driver_sql(f"DROP TABLE {old}")
