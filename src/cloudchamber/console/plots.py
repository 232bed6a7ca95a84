"""Plots over time as SVG: no script, no style attribute; what nobody saw is a gap and no zero. Pure.

A plot has no text of its own but its title and description, so it can be stretched to any width: the numbers at its
axes, its legend and its table are HTML beside it (templates/health.html). The size of what is pointed at stands in
static/console.css, for a page has hundreds of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from markupsafe import Markup

_WIDE: Final = 10
_HIGH: Final = 100
# What happened is seen, however little it is beside the rest.
_LEAST: Final = 3

_HINT: Final = Markup('<rect x="%d"><title>%s</title></rect>')

Kind = Literal["main", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Series:
    """`values`: None where nobody looked, which is so in all series of a plot."""

    name: str
    kind: Kind
    values: Sequence[float | None]

    @property
    def seen(self) -> list[float]:
        return [value for value in self.values if value is not None]


def plot(
    key: str, title: str, described: str, series: Sequence[Series], hints: Sequence[str], *, level: bool
) -> Markup:
    """`key` is unique on its page, `hints` are shown to whoever points at a bucket. With `level` the one series is a
    line; else each bucket is a bar, the series on top of each other."""
    count = len(hints)
    top = ceiling(series)
    shapes = [_path("gap", _gaps(series[0].values))]
    shapes.append(_path("grid", f"M0 0H{_WIDE * count}M0 {_HIGH // 2}H{_WIDE * count}"))
    if level:
        (only,) = series
        shapes += [_path(f"area {only.kind}", _steps(only.values, top, _HIGH))]
        shapes += [_path(f"line {only.kind}", _steps(only.values, top, None))]
    else:
        shapes += [_path(each.kind, bars) for each, bars in zip(series, _bars(series, top), strict=True)]
    shown = Markup("").join(_HINT % (_WIDE * index, hint) for index, hint in enumerate(hints))
    shapes.append(Markup('<g fill="none" pointer-events="all">{}</g>').format(shown))
    return Markup(
        '<svg class="plot" role="img" aria-labelledby="{key}-title" aria-describedby="{key}-desc"'
        ' viewBox="0 0 {wide} {high}" preserveAspectRatio="none"><title id="{key}-title">{title}</title>'
        '<desc id="{key}-desc">{desc}</desc>'
        "{shapes}</svg>"
    ).format(key=key, wide=_WIDE * count, high=_HIGH, title=title, desc=described, shapes=Markup("").join(shapes))


def ceiling(series: Sequence[Series]) -> int:
    """The number at the top of the axis: 2, 4 or 10 times a power of ten, so that its half is a number, too."""
    sums = [sum(value or 0 for value in values) for values in zip(*(each.values for each in series), strict=True)]
    most = max(sums, default=0)
    power = 1
    while True:
        for step in (2, 4, 10):
            if most <= step * power:
                return step * power
        power *= 10


def _path(kind: str, shape: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, shape) if shape else Markup("")


def _gaps(values: Sequence[float | None]) -> str:
    return "".join(
        f"M{_WIDE * begin} 0H{_WIDE * end}V{_HIGH}H{_WIDE * begin}z"
        for begin, end, is_seen in _runs(values)
        if not is_seen
    )


def _steps(values: Sequence[float | None], top: int, down_to: int | None) -> str:
    """A line with a step for each bucket, or what is below it down to `down_to`."""
    parts = []
    for begin, end, is_seen in _runs(values):
        if not is_seen:
            continue
        line = "".join(
            f"{'L' if index > begin else 'M'}{_WIDE * index} {_y(values[index] or 0, top)}H{_WIDE * (index + 1)}"
            for index in range(begin, end)
        )
        parts.append(line if down_to is None else f"{line}V{down_to}H{_WIDE * begin}z")
    return "".join(parts)


def _bars(series: Sequence[Series], top: int) -> Iterator[str]:
    """For each series its bars, which stand on those of the series before."""
    heights = [0] * len(series[0].values)
    for each in series:
        parts = []
        for index, value in enumerate(each.values):
            if not value:
                continue
            high = min(max(_HIGH - _y(value, top), _LEAST), _HIGH - heights[index])
            left, foot = _WIDE * index + 1, _HIGH - heights[index]
            parts.append(f"M{left} {foot}v-{high}h{_WIDE - 2}v{high}z")
            heights[index] += high
        yield "".join(parts)


def _y(value: float, top: int) -> int:
    return round(_HIGH - _HIGH * min(value, top) / top)


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, int, bool]]:
    """Begin, end, and whether somebody looked."""
    for is_seen, run in groupby(range(len(values)), key=lambda index: values[index] is not None):
        found = list(run)
        yield found[0], found[-1] + 1, is_seen
