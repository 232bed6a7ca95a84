"""Which revision of the schema this program was written for, without loading what brings a database there."""

from typing import Final

from cloudchamber.storage.errors import SchemaMismatch, SchemaMissing

REVISIONS: Final = tuple(f"{number:04d}" for number in range(1, 21))
"""Every revision in order. A test holds this against the migrations themselves."""


def head() -> str:
    return REVISIONS[-1]


def require_head(found: str | None, name: str) -> None:
    """`found` is what the database says of itself, None when it says nothing; `name` is how its keeper knows it.

    Raises:
        SchemaMismatch: it is not at head.
    """
    if found == head():
        return
    if found is None:
        raise SchemaMissing(f"{name} has no tables yet: run `cloudchamber migrate` to make them.")
    if found in REVISIONS:
        raise SchemaMismatch(
            f"{name} is at schema {found} and this version needs {head()}: make a backup, then run"
            " `cloudchamber migrate`."
        )
    raise SchemaMismatch(
        f"{name} is at schema {found}, which this version does not know (it needs {head()}): a newer cloudchamber has"
        " migrated it. Install that version again, or go back to a backup from before."
    )
