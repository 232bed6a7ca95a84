"""What the benchmarks found, and how it is shown: sections of rows, curves and goals, as a page with plots.

A run writes `results/<date>.json` (every sample), `results/<date>.md` and `results/<date>/*.svg`. A later run of the
same day replaces the sections that it measured and leaves the others, so that `make bench ONLY=...` may be used in
parts; each section says when it was measured and what load the machine had then.
"""

import datetime as dt
import io
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.load import Sample

OURS: Final = "cloudchamber"


class Metric(msgspec.Struct, frozen=True):
    heading: str
    format: str
    is_more_better: bool = False


METRICS: Final = {
    "per_s": Metric("per s", ",.0f", is_more_better=True),
    "cpu_us": Metric("CPU µs", ",.1f"),
    "p50_ms": Metric("p50 ms", ",.2f"),
    "p99_ms": Metric("p99 ms", ",.2f"),
    "p999_ms": Metric("p99.9 ms", ",.2f"),
    "percent": Metric("%", ",.1f", is_more_better=True),
    "failed": Metric("failed %", ".2f"),
    "s": Metric("s", ",.2f"),
    "resident_b": Metric("resident B", ",.0f"),
    "used_b": Metric("used B", ",.0f"),
    "resident_mb": Metric("resident MB", ",.1f"),
    "proportional_mb": Metric("proportional MB", ",.1f"),
}
"""The figures that a row may have, in the order of a table's columns."""


class Row(msgspec.Struct, frozen=True):
    """One subject that did one work in one setting; `rounds` has a dictionary by METRICS for each round."""

    work: str
    setting: str
    """`16 connections`, `10,000 devices`; may be empty."""
    subject: str
    """OURS, or a peer with its release: `mosquitto 2.0.11`."""
    rounds: list[dict[str, float]]

    def metrics(self) -> list[str]:
        return [name for name in METRICS if any(name in found for found in self.rounds)]

    def samples(self, metric: str) -> list[float]:
        return [found[metric] for found in self.rounds if metric in found]

    def median(self, metric: str) -> float:
        return statistics.median(self.samples(metric))


class Curve(msgspec.Struct, frozen=True):
    """How a figure goes with a size. `points` are (x, y) by the name of the line."""

    title: str
    x: str
    y: str
    points: dict[str, list[tuple[float, float]]]


class Goal(msgspec.Struct, frozen=True):
    """What was set out to be reached in `metric` of a work: at least or at most `limit`, as METRICS has it; where
    `peer` is named, `limit` is how many times better than that peer, whatever its release."""

    work: str
    metric: str
    limit: float
    peer: str = ""
    setting: str = ""
    """Empty: in each setting."""


class Section(msgspec.Struct, frozen=True):
    """What one NAME of `python -m bench NAME` found."""

    name: str
    title: str
    what: str
    """Paragraphs of Markdown: what was asked of whom, and what a reader has to know to judge the figures."""
    rows: list[Row] = []
    curves: list[Curve] = []
    goals: list[Goal] = []
    plotted: tuple[str, ...] = ("per_s",)
    """The metrics that bars are drawn of."""
    missing: dict[str, str] = {}
    """Peers that could not be had, and why."""
    notes: list[str] = []
    """What was found besides, a sentence each."""
    at: str = ""
    """When it ended, and the load average then."""


class Machine(msgspec.Struct, frozen=True):
    processor: str
    cores: int
    memory_gb: int
    system: str
    python: str


class Results(msgspec.Struct):
    machine: Machine
    sections: dict[str, Section]


def of_sample(sample: Sample) -> dict[str, float]:
    """A slice of load as a round of a row."""
    return {
        "per_s": sample.per_second,
        "cpu_us": sample.cpu_us,
        "p50_ms": sample.p50_ms,
        "p99_ms": sample.p99_ms,
        "p999_ms": sample.p999_ms,
    }


def times(ours: Row, theirs: Row, metric: str) -> list[float]:
    """How many times better ours did, by round: as many, or as few."""
    pairs = zip(ours.samples(metric), theirs.samples(metric), strict=False)
    if METRICS[metric].is_more_better:
        return [mine / other for mine, other in pairs if other]
    return [other / mine for mine, other in pairs if mine]


# --- the page ---


def save(sections: Iterable[Section], folder: Path, today: dt.date) -> Path:
    """Puts them into the day's results, those of the same name replaced, and writes the page anew. Gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / f"{today.isoformat()}.json"
    results = Results(machine(), {})
    if samples.exists():
        results.sections = msgspec.json.decode(samples.read_bytes(), type=Results).sections
    now = dt.datetime.now(dt.UTC)
    load = os.getloadavg()[0]
    for section in sections:
        results.sections[section.name] = msgspec.structs.replace(
            section, at=f"{now:%Y-%m-%d %H:%M} UTC, load average {load:.1f}"
        )
    samples.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    page = folder / f"{today.isoformat()}.md"
    page.write_text(_page(results, folder / today.isoformat(), today))
    return page


def _page(results: Results, pictures: Path, today: dt.date) -> str:
    pictures.mkdir(exist_ok=True)
    its = results.machine
    parts = [
        f"# Benchmarks of {today.isoformat()}",
        (
            f"{its.cores} cores of {its.processor}, {its.memory_gb} GB; {its.system}; {its.python}. Written by"
            " `make bench`; every sample is in the JSON file beside this page."
        ),
        (
            "Figures are medians of the rounds, with the least and the most. Subjects took turns within each round;"
            " *times* is how many times better the cloud did than the peer in the row's first figure, by round."
        ),
    ]
    if verdicts := [line for section in results.sections.values() for line in _verdicts(section)]:
        parts.append("## Goals")
        parts.append(
            "\n".join(["| work | setting | goal | reached | |", "|---|---|---|---|---|", *verdicts])
        )  # fmt: skip
    for section in results.sections.values():
        parts += [f"## {section.title}", f"`make bench ONLY={section.name}`, {section.at}.", section.what.strip()]
        parts += [f"*{peer}* is not in it: {why}." for peer, why in section.missing.items()]
        if section.rows:
            parts.append(_markdown(section))
        if section.notes:
            parts.append("\n".join(f"* {note}" for note in section.notes))
        for file, title, drawn in _plots(section):
            (pictures / file).write_bytes(drawn)
            parts.append(f"![{title}]({pictures.name}/{file})")
    return "\n\n".join(parts) + "\n"


def _cells(section: Section) -> tuple[list[str], list[list[str]]]:
    metrics = [name for name in METRICS if any(name in row.metrics() for row in section.rows)]
    ours = {(row.work, row.setting): row for row in section.rows if row.subject == OURS}
    is_compared = any(row.subject != OURS for row in section.rows)
    headings = [
        "work",
        "setting",
        "of",
        *(METRICS[name].heading for name in metrics),
        *(["times"] if is_compared else []),
    ]
    lines = []
    before = ("", "")
    for row in section.rows:
        cells = ["" if (row.work, row.setting) == before else cell for cell in (row.work, row.setting)]
        before = (row.work, row.setting)
        cells.append(row.subject)
        cells += [_figure(row.samples(name), METRICS[name].format) for name in metrics]
        if is_compared:
            mine = ours.get((row.work, row.setting))
            common = [name for name in (mine.metrics() if mine else ()) if name in row.metrics()]
            is_peer = mine is not None and row.subject != OURS and common
            cells.append(_figure(times(mine, row, common[0]), ".2f") if mine and is_peer else "")
        lines.append(cells)
    return headings, lines


def _markdown(section: Section) -> str:
    headings, lines = _cells(section)
    rule = ["---"] * 3 + ["---:"] * (len(headings) - 3)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *lines))


def table(section: Section) -> Table:
    """For a terminal."""
    shown = Table(title=section.title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    headings, lines = _cells(section)
    for index, heading in enumerate(headings):
        shown.add_column(heading, justify="left" if index < 3 else "right")
    for cells in lines:
        shown.add_row(*(cell.replace(" (", "\n(") for cell in cells))
    return shown


def _figure(figures: Sequence[float], as_: str) -> str:
    if not figures:
        return ""
    middle = format(statistics.median(figures), as_)
    if len(figures) == 1:
        return middle
    return f"{middle} ({format(min(figures), as_)}…{format(max(figures), as_)})"


def _verdicts(section: Section) -> list[str]:
    lines = []
    for goal in section.goals:
        metric = METRICS[goal.metric]
        for row in section.rows:
            if row.subject != OURS or row.work != goal.work or (goal.setting and goal.setting != row.setting):
                continue
            if goal.peer:
                theirs = [
                    other
                    for other in section.rows
                    if (other.work, other.setting) == (row.work, row.setting) and other.subject.startswith(goal.peer)
                ]
                if not theirs:
                    continue
                found = statistics.median(times(row, theirs[0], goal.metric))
                is_reached, told = found >= goal.limit, f"{found:.2f} times {goal.peer}"
                wish = f"≥ {goal.limit:g} times {goal.peer}, {metric.heading}"
            else:
                found = row.median(goal.metric)
                is_reached = found >= goal.limit if metric.is_more_better else found <= goal.limit
                told = f"{format(found, metric.format)} {metric.heading}"
                wish = f"{'≥' if metric.is_more_better else '≤'} {goal.limit:g} {metric.heading}"
            lines.append(f"| {row.work} | {row.setting} | {wish} | {told} | {'yes' if is_reached else 'no'} |")
    return lines


# --- plots ---

_STYLE: Final[Any] = {  # the names of all settings are one Literal, which a dictionary does not keep
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "cloudchamber",  # the same figures give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.alpha": 0.3,
}
_WIDE: Final = 50
"""Figures so many times apart are drawn on a logarithmic scale."""


def _plots(section: Section) -> list[tuple[str, str, bytes]]:
    """The file's name, what it shows, and the SVG."""
    drawn = []
    with mpl.rc_context(_STYLE):
        for metric in section.plotted:
            rows = [row for row in section.rows if metric in row.metrics()]
            if len(rows) > 1:
                title = f"{section.title}: {METRICS[metric].heading}"
                drawn.append((f"{section.name}-{metric}.svg", title, _bars(title, rows, metric)))
        for number, curve in enumerate(section.curves, start=1):
            drawn.append((f"{section.name}-curve-{number}.svg", curve.title, _lines(curve)))
    return drawn


def _bars(title: str, rows: list[Row], metric: str) -> bytes:
    labels = list(dict.fromkeys((row.work, row.setting) for row in rows))
    subjects = list(dict.fromkeys(row.subject for row in rows))
    figure, axes = _axes(title, METRICS[metric].heading)
    width = 0.8 / len(subjects)
    for number, subject in enumerate(subjects):
        mine = [row for row in rows if row.subject == subject]
        middles = [row.median(metric) for row in mine]
        reach = [
            [middle - min(row.samples(metric)) for row, middle in zip(mine, middles, strict=True)],
            [max(row.samples(metric)) - middle for row, middle in zip(mine, middles, strict=True)],
        ]
        places = [labels.index((row.work, row.setting)) + number * width for row in mine]
        axes.bar(places, middles, width, yerr=reach, label=subject, error_kw={"linewidth": 0.8})
    middles = [row.median(metric) for row in rows]
    if min(middles) > 0 and max(middles) / min(middles) > _WIDE:
        axes.set_yscale("log")
    names = ["\n".join(part for part in label if part) for label in labels]
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(labels))], names)
    return _svg(figure, axes)


def _lines(curve: Curve) -> bytes:
    figure, axes = _axes(curve.title, curve.y)
    for name, points in curve.points.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    sizes = sorted({x for points in curve.points.values() for x, _ in points})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(curve.x)
    axes.set_ylim(bottom=0)
    return _svg(figure, axes)


def _axes(title: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_ylabel(y)
    return figure, axes


def _svg(figure: Figure, axes: Axes) -> bytes:
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


# --- the machine ---


def machine() -> Machine:
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
