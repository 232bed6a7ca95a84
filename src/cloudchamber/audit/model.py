"""Lines of the audit log."""

from dataclasses import dataclass
from enum import StrEnum

from cloudchamber.clock import Millis


class Outcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """`event` is what was asked: an action (`teams.users:update`), or `token`, `sign-in`, `account.disable`.

    `actor` is who asked, as `describe` writes requesters, `operator` for the command line, `anonymous` for somebody who
    proved nothing; `token` is the one they showed, by its hash's first digits. `subject` names what it was about,
    people by a hash of their name: the log outlives them. No secret is in any of these.
    """

    at: Millis
    event: str
    outcome: Outcome
    actor: str
    token: str | None = None
    ip: str | None = None
    subject: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in its place. `chain` holds all lines up to this one."""

    seq: int
    entry: Entry
    chain: bytes
