"""Lines of the audit log hold each other in place."""

from dataclasses import replace

import pytest

from cloudchamber.audit.model import Entry, Line, Outcome
from cloudchamber.audit.rules import PURGED, START, Check, chained, link
from cloudchamber.clock import Millis

ENTRIES = [Entry(Millis(at), "teams.users:update", Outcome.DONE, f"user:{at}", subject="product=1") for at in range(6)]


def checked(lines: list[Line]) -> str | None:
    whole, one_by_one = Check(), Check()
    whole.read(lines)
    for line in lines:
        one_by_one.read([line])
    assert whole.end() == one_by_one.end() == (lines[-1] if lines else None)
    assert whole.fault == one_by_one.fault
    return whole.fault


def test_60_lines_follow_each_other_in_one_batch_or_many() -> None:
    lines = chained(None, ENTRIES)
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[0].chain == link(START, 1, ENTRIES[0])
    again = chained(None, ENTRIES[:2])
    again += chained(again[-1], ENTRIES[2:])
    assert again == lines
    assert checked(lines) is None
    assert checked([]) is None


@pytest.mark.parametrize("at", range(5))
def test_60_a_line_that_is_gone_is_missed(at: int) -> None:
    lines = chained(None, ENTRIES)
    del lines[at]
    assert checked(lines)


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize(
    "change",
    [
        {"at": Millis(99)},
        {"actor": "user:99"},
        {"outcome": Outcome.REFUSED},
        {"ip": "192.0.2.1"},
        {"token": "sha256:0"},
        {"subject": None},
        {"detail": ""},
        {"event": "x"},
    ],
)
def test_60_a_line_that_was_changed_is_found(at: int, change: dict[str, object]) -> None:
    lines = chained(None, ENTRIES)
    changed = replace(lines[at].entry, **change)  # type: ignore[arg-type]
    lines[at] = replace(lines[at], entry=changed)
    assert checked(lines)
    # Made anew, it breaks with the line after it; only the last one has none, which is why its hash is noted elsewhere.
    before = lines[at - 1].chain if at else START
    lines[at] = replace(lines[at], chain=link(before, at + 1, changed))
    assert (checked(lines) is None) == (at == 5)


def test_60_lines_that_went_for_their_age_are_missed_unless_the_log_says_so() -> None:
    lines = chained(None, ENTRIES)
    purge = Entry(Millis(9), PURGED, Outcome.DONE, "cloud", subject="3")
    assert checked([*lines, *chained(lines[-1], [purge])][2:]) is None
    assert checked(lines[2:]) == "the lines before 3 are missing"
    assert checked([*lines, *chained(lines[-1], [purge])][3:])
