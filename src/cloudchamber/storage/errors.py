"""What a database can answer instead of rows; the same on SQLite and PostgreSQL.

    CloudError
    ├── StorageRefused             500  a CHECK, NOT NULL or trigger said no, or a read tried to write: our own bug
    ├── SchemaMismatch             500  the database is not at the revision that this program was written for
    │   └── SchemaMissing          500  it is empty
    ├── Invalid
    │   └── Unstorable             400  text that no database keeps: NUL, or half of a surrogate pair
    ├── Conflict
    │   ├── Duplicate              409  a unique constraint
    │   └── BrokenReference        409  a foreign key
    └── Unavailable
        ├── StorageUnavailable     503  disk full, read-only, I/O error, lost connection
        │   └── StorageDamaged     503  the file is not what was written
        └── StorageBusy            503  too many transactions wait, or one lost to others for too long

After Duplicate, BrokenReference or StorageRefused the transaction is spent, on both databases: let the error rise, and
where a clash is expected write ON CONFLICT instead.
"""

from cloudchamber.errors import CloudError, Conflict, Invalid, Unavailable


class StorageRefused(CloudError):
    """A rule of the schema that the code should have kept. `detail` names it."""

    code = "storage_refused"


class SchemaMismatch(CloudError):
    """The message says which command to run."""

    code = "schema_mismatch"


class SchemaMissing(SchemaMismatch):
    """The database is empty."""

    code = "schema_missing"


class Unstorable(Invalid):
    code = "unstorable_text"


class Duplicate(Conflict):
    """`table` and `columns` name the unique constraint that was hit; the values are not repeated anywhere."""

    code = "duplicate"

    def __init__(self, table: str, columns: tuple[str, ...]) -> None:
        super().__init__("This already exists.", detail=f"unique constraint on {table}({', '.join(columns)})")
        self.table = table
        self.columns = columns


class BrokenReference(Conflict):
    """A row refers to one that is gone, or the row that should go is still referred to."""

    code = "broken_reference"


class StorageUnavailable(Unavailable):
    """Nothing of the transaction is kept, with one exception that no database can avoid: when the failure struck
    during COMMIT itself, the change may be there. Try again with a transaction that bears being run twice."""

    code = "storage_unavailable"


class StorageDamaged(StorageUnavailable):
    code = "storage_damaged"


class StorageBusy(Unavailable):
    """Nothing was done. Try again later."""

    code = "storage_busy"
