"""How many deliveries went well, as bars of SVG: no script, no style attribute, and every figure in words for whoever
does not see them. What went on over time is in plots.py. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

_HEIGHT: Final = 64
_BAR: Final = 14
_GAP: Final = 4


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    good: int
    bad: int


def bars(found: Sequence[Bar], title: str) -> Markup:
    """One bar for each, what is bad on top of what is good; pointing at a bar tells its figures."""
    most = max((bar.good + bar.bad for bar in found), default=0) or 1
    width = max(1, len(found)) * (_BAR + _GAP)
    parts = [Markup("<title>{}</title>").format(title)]
    for index, bar in enumerate(found):
        left = index * (_BAR + _GAP)
        good, bad = (round(_HEIGHT * part / most) if part else 0 for part in (bar.good, bar.bad))
        good, bad = max(good, 2 if bar.good else 0), max(bad, 2 if bar.bad else 0)
        told = f"{bar.label}: {bar.good} delivered, {bar.bad} failed"
        parts.append(
            Markup(
                '<g><title>{}</title><rect class="back" x="{}" y="0" width="{}" height="{}"/>'
                '<rect class="good" x="{}" y="{}" width="{}" height="{}"/>'
                '<rect class="bad" x="{}" y="{}" width="{}" height="{}"/></g>'
            ).format(
                told,
                *(left, _BAR, _HEIGHT),
                *(left, _HEIGHT - good, _BAR, good),
                *(left, max(0, _HEIGHT - good - bad), _BAR, bad),
            )
        )
    return Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>').format(
        width, _HEIGHT, width, _HEIGHT, Markup("").join(parts)
    )
