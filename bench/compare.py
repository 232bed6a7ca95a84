"""`python -m bench.compare OLD.json NEW.json`: what changed between two runs by more than their rounds differ."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from bench.report import METRICS, OURS, Results, Row, read

_LEAST: Final = 0.05
"""A change of less than this says nothing, however little the rounds differ."""


def changes(old: Results, new: Results, names: Collection[str]) -> list[str]:
    """A line for each figure of ours whose ranges in the two do not meet."""
    lines = []
    for name, section in new.sections.items():
        if name not in old.sections or name not in names:
            continue
        before = {(row.work, row.setting): row for row in old.sections[name].rows if row.subject == OURS}
        for row in section.rows:
            then = before.get((row.work, row.setting))
            if row.subject == OURS and then is not None:
                lines += [line for metric in row.metrics() if (line := _change(name, then, row, metric))]
    return lines


def _change(name: str, then: Row, now: Row, metric: str) -> str:
    about, old, new = METRICS[metric], then.samples(metric), now.samples(metric)
    if not about.is_shown or not old or (max(old) >= min(new) and max(new) >= min(old)):
        return ""
    before, after = then.median(metric), now.median(metric)
    if not before or abs(after / before - 1) < _LEAST:
        return ""
    verdict = "better" if (after > before) == about.is_more_better else "worse"
    figures = " -> ".join(
        f"{format(middle, about.format)} ({format(min(some), about.format)}…{format(max(some), about.format)})"
        for middle, some in ((before, old), (after, new))
    )
    where = ", ".join(part for part in (name, now.work, now.setting) if part)
    return f"{verdict:6} {where}: {figures} {about.heading}, {after / before - 1:+.0%}"


def told(old: Results, new: Results, names: Collection[str]) -> str:
    if old.machine != new.machine:
        head = "The two runs are of different machines: compare ratios to peers, not these figures.\n"
    else:
        head = ""
    return head + ("\n".join(changes(old, new, names)) or "Nothing changed by more than the rounds differ.")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        old, new = (read(Path(file)) for file in sys.argv[1:])
    except (OSError, msgspec.DecodeError) as error:
        sys.exit(f"{error}")
    print(told(old, new, new.sections))


if __name__ == "__main__":
    main()
