"""What holds the lines of the audit log together: each carries a hash of itself and of the line before it. Whoever
changes, removes or inserts one has to make all later ones anew, and whoever noted the last hash sees it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from cloudchamber.audit.model import Entry, Line

START: Final = b"\0" * 32
"""What stands before the first line."""

PURGED: Final = "audit.purge"
"""The event of a line which says that the lines before its subject's number were removed for their age."""


def link(before: bytes, seq: int, entry: Entry) -> bytes:
    """The chain's value at a line: SHA-256 over the value before it and the line, as JSON without blanks."""
    fields = [
        *(seq, entry.at, entry.event, entry.outcome.value, entry.actor),
        *(entry.token, entry.ip, entry.subject, entry.detail),
    ]
    return hashlib.sha256(before + json.dumps(fields, separators=(",", ":")).encode()).digest()


def chained(last: Line | None, entries: Iterable[Entry]) -> list[Line]:
    """Entries as the lines that follow `last`."""
    seq, chain = (last.seq, last.chain) if last is not None else (0, START)
    lines = []
    for entry in entries:
        seq += 1
        chain = link(chain, seq, entry)
        lines.append(Line(seq, entry, chain))
    return lines


class Check:
    """Reads a log from its first line to its last; `fault` is what is wrong, in words, once something is."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.count = 0
        self._last: Line | None = None
        self._first: int | None = None
        self._purged = 0

    def read(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.count += 1
            if self._last is None:
                self._first = line.seq
                if line.seq == 1 and line.chain != link(START, 1, line.entry):
                    self._found("line 1 was changed")
            elif line.seq != self._last.seq + 1:
                self._found(f"lines are missing between {self._last.seq} and {line.seq}")
            elif line.chain != link(self._last.chain, line.seq, line.entry):
                self._found(f"line {line.seq} was changed, or the one before it was exchanged")
            if line.entry.event == PURGED and (line.entry.subject or "").isdecimal():
                self._purged = max(self._purged, int(line.entry.subject or 0))
            self._last = line

    def end(self) -> Line | None:
        """The last line. Older lines than the first one must have been removed for their age, by the log's own word."""
        if self._first not in (None, 1) and self._first != self._purged:
            self._found(f"the lines before {self._first} are missing")
        return self._last

    def _found(self, fault: str) -> None:
        self.fault = self.fault or fault
