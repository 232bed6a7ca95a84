"""What the benchmarks found, and how it is shown: sections of rows, curves and goals, as a page with plots.

A run writes `results/<date>.json` (every sample), `results/<date>.md` and `results/<date>/*.svg`. A later run of the
same day replaces the sections that it measured and leaves the others, so that `make bench ONLY=...` may be used in
parts; each section says when it was measured and what load the machine had then.
"""

import datetime as dt
import io
import os
import platform
import re
import sqlite3
import ssl
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.load import Sample
from bench.processes import COMPILED

OURS: Final = "cloudchamber, compiled" if COMPILED else "cloudchamber"


class Metric(msgspec.Struct, frozen=True):
    heading: str
    format: str
    is_more_better: bool = False
    is_shown: bool = True
    """In tables; else in the samples alone."""


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
    "growth": Metric("last ÷ first", ",.2f"),
    "load_percent": Metric("the load's % of a core", ",.0f", is_shown=False),
}
"""The figures that a row may have, in the order of a table's columns."""

FLAT: Final = 1.3
"""The last cost of a curve over its first, up to which it counts as flat: caches of the processor and depths of trees
are in it."""

COUNT: Final = 10_000
"""Devices and messages, where they are counted: what the goals are meant for."""

_BUSY_LOAD: Final = 90.0
"""Per cent of a core: a load generator that takes more may be what is measured."""
_STOLEN: Final = 5.0
"""Per cent of the time that a hypervisor gave to others, above which figures are rough."""


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
    subject: str = OURS
    """Whose rows are looked at: a suite may have several of ours, as `cloudchamber over UDP`."""
    bound: str = ""
    """A subject of the same table, whatever its release, that does next to nothing, so that nobody can do better."""
    otherwise: str = ""
    """Where it is not reached: what stands in the way, and what would reach it."""


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
    """When it ended."""
    circumstances: "Circumstances | None" = None


class Circumstances(msgspec.Struct, frozen=True):
    """What the machine did besides."""

    seconds: float
    """How long the section took."""
    load_average: float
    """Of the minute before, in which another section may have run."""
    busy_cores: float
    """That others kept busy in the second before."""
    stolen_percent: float = 0.0
    """Of the time that the hypervisor gave to others meanwhile."""
    settings: str = ""

    @property
    def is_rough(self) -> bool:
        return self.busy_cores > (os.cpu_count() or 1) / 2 or self.stolen_percent > _STOLEN


class Machine(msgspec.Struct, frozen=True):
    processor: str
    cores: int
    memory_gb: int
    system: str
    python: str
    governor: str = ""
    """Of the processor's clock; empty where the system does not tell."""
    is_virtual: bool = False


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
        "load_percent": 100 * sample.client_cpu_seconds / sample.seconds,
    }


def grown(works: Iterable[tuple[str, list[tuple[float, float]]]], of: str) -> tuple[list[Row], list[Goal]]:
    """For curves that should be flat: how many times the first cost the last is, and that as a goal."""
    rows, goals = [], []
    for work, points in works:
        if len(points) > 1 and points[0][1]:
            (first, least), (last, most) = points[0], points[-1]
            rows.append(Row(f"{work}: growth", f"{first:,.0f} → {last:,.0f} {of}", OURS, [{"growth": most / least}]))
            goals.append(Goal(f"{work}: growth", "growth", FLAT, otherwise=_GROWS))
    return rows, goals


_GROWS: Final = (
    "what is asked for is no longer in the processor's caches, nor in the database's, whose trees are deeper. Fewer and"
    " smaller objects for each device are the way ([notes](../NOTES.md#growth))."
)


def times(ours: Row, theirs: Row, metric: str) -> list[float]:
    """How many times better ours did, by round: as many, or as few."""
    pairs = zip(ours.samples(metric), theirs.samples(metric), strict=False)
    if METRICS[metric].is_more_better:
        return [mine / other for mine, other in pairs if other]
    return [other / mine for mine, other in pairs if mine]


# --- the page ---


def save(sections: Iterable[Section], folder: Path, today: dt.date, order: Sequence[str] = ()) -> Path:
    """Puts them into the day's results, those of the same name replaced, and writes the page anew, sections in `order`.
    Gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / f"{today.isoformat()}.json"
    results = Results(machine(), {})
    if samples.exists():
        results.sections = read(samples).sections
    now = dt.datetime.now(dt.UTC)
    for section in sections:
        results.sections[section.name] = msgspec.structs.replace(section, at=f"{now:%Y-%m-%d %H:%M} UTC")
    places = {name: place for place, name in enumerate(order)}
    results.sections = dict(sorted(results.sections.items(), key=lambda item: places.get(item[0], len(places))))
    samples.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    page = folder / f"{today.isoformat()}.md"
    page.write_text(_page(results, folder / today.isoformat(), today, order))
    return page


def read(samples: Path) -> Results:
    """A run's JSON. Raises OSError, msgspec.DecodeError."""
    return msgspec.json.decode(samples.read_bytes(), type=Results)


def _page(results: Results, pictures: Path, today: dt.date, order: Sequence[str]) -> str:
    pictures.mkdir(exist_ok=True)
    its = results.machine
    sections = results.sections.values()
    kind = "virtual cores" if its.is_virtual else "cores"
    clock = f", clock governed by {its.governor}" if its.governor else ""
    parts = [
        f"# Benchmarks of {today.isoformat()}",
        (
            f"{its.cores} {kind} of {its.processor}{clock}, {its.memory_gb} GB; {its.system}; {its.python}. Written by"
            f" `make bench`; every sample is in [{today.isoformat()}.json]({today.isoformat()}.json)."
        ),
        (
            "Figures are medians of the rounds, with the least and the most. Subjects took turns within each round;"
            " *times* is how many times better the cloud did than the peer in the row's first figure, by round."
        ),
    ]
    if rough := [section.name for section in sections if section.circumstances and section.circumstances.is_rough]:
        parts.append(f"> **The machine had other work** during {', '.join(rough)}: their figures are rough.")
    if verdicts := [verdict for section in sections for verdict in _verdicts(section)]:
        reached = sum(verdict.is_reached is True for verdict in verdicts)
        parts.append("## Goals")
        parts.append(f"{reached} of {len(verdicts)} are reached.")
        if small := [section.name for section in sections if section.goals and _is_small(section)]:
            parts.append(f"With a --count below {COUNT:,}, which the goals are meant for: {', '.join(small)}.")
        if unlooked := [name for name in order if name not in results.sections]:
            parts.append(f"Not measured on this day: {', '.join(unlooked)}.")
        lines = [verdict.line for verdict in verdicts]
        parts.append("\n".join(["| work | setting | goal | reached | |", "|---|---|---|---|---|", *lines]))
        if reasons := dict.fromkeys(verdict.otherwise for verdict in verdicts if verdict.otherwise):
            parts.append("\n".join(["What is not reached:", "", *(f"* {reason}" for reason in reasons)]))
    for section in sections:
        parts += [f"## {section.title}", _when(section), section.what.strip()]
        parts += [f"*{peer}* is not in it: {why}." for peer, why in section.missing.items()]
        if section.rows:
            parts.append(_markdown(section))
        if told := notes(section):
            parts.append("\n".join(f"* {note}" for note in told))
        for file, title, drawn in _plots(section):
            (pictures / file).write_bytes(drawn)
            parts.append(f"![{title}]({pictures.name}/{file})")
    return "\n\n".join(parts) + "\n"


def _is_small(section: Section) -> bool:
    settings = section.circumstances.settings if section.circumstances else ""
    found = re.search(r"--count (\d+)", settings)
    return found is not None and int(found[1]) < COUNT


def _when(section: Section) -> str:
    told = f"`make bench ONLY={section.name}`, {section.at}"
    if about := section.circumstances:
        settings = f" with {about.settings}" if about.settings else ""
        told += f", {duration(about.seconds)}{settings}; others kept {about.busy_cores:.1f} cores busy before it"
        if about.stolen_percent >= 1:
            told += f", and the hypervisor took {about.stolen_percent:.0f} % meanwhile"
        if about.is_rough:
            told += ". **So these figures are rough**"
    return told + "."


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def notes(section: Section) -> list[str]:
    """What was found besides, and where the load generator may have been the bound."""
    told = list(section.notes)
    for row in section.rows:
        if max(row.samples("load_percent"), default=0.0) > _BUSY_LOAD:
            what = ", ".join(part for part in (row.work, row.setting, row.subject) if part)
            most = max(row.samples("load_percent"))
            told.append(f"{what}: the load generator took {most:.0f} % of a core, so that it may be the bound.")
    return told


def _cells(section: Section) -> tuple[list[str], list[list[str]]]:
    metrics = [
        name
        for name, metric in METRICS.items()
        if metric.is_shown and any(name in row.metrics() for row in section.rows)
    ]
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


def table(section: Section, *, is_narrow: bool = False) -> Table:
    """For a terminal; a narrow one has the medians alone, below a line that says of what they are."""
    shown = Table(title=section.title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    headings, lines = _cells(section)
    if not is_narrow:
        for index, heading in enumerate(headings):
            shown.add_column(heading, justify="left" if index < 3 else "right", no_wrap=True)
        for cells in lines:
            shown.add_row(*cells)
        return shown
    shown.add_column("", min_width=max((len(cells[2]) for cells in lines), default=0))
    for heading in headings[3:]:
        shown.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for cells in lines:
        if cells[0] or cells[1]:
            shown.add_row(", ".join(part for part in cells[:2] if part), style="bold")
        shown.add_row(cells[2], *(cell.partition(" (")[0] for cell in cells[3:]))
    return shown


def _figure(figures: Sequence[float], as_: str) -> str:
    if not figures:
        return ""
    middle = format(statistics.median(figures), as_)
    if len(figures) == 1:
        return middle
    return f"{middle} ({format(min(figures), as_)}…{format(max(figures), as_)})"


class _Verdict(msgspec.Struct, frozen=True):
    line: str
    """Of the table of goals."""
    is_reached: bool | None
    """None: not measured."""
    otherwise: str = ""


def _verdicts(section: Section) -> list[_Verdict]:
    return [verdict for goal in section.goals for verdict in _of_goal(section, goal)]


def _of_goal(section: Section, goal: Goal) -> list[_Verdict]:
    metric = METRICS[goal.metric]
    sign = "≥" if metric.is_more_better else "≤"
    if goal.peer:
        wish = f"≥ {goal.limit:g} times {goal.peer}, {metric.heading}"
    else:
        wish = f"{sign} {goal.limit:g} {metric.heading}"
    whose = goal.subject.removeprefix(OURS)
    place = f"[{goal.work}{whose}](#{_anchor(section.title)})"
    found = []
    for row in section.rows:
        if row.subject != goal.subject or row.work != goal.work or (goal.setting and goal.setting != row.setting):
            continue
        if goal.peer:
            theirs = [
                other
                for other in section.rows
                if (other.work, other.setting) == (row.work, row.setting) and other.subject.startswith(goal.peer)
            ]
            if not theirs:
                continue
            figure = statistics.median(times(row, theirs[0], goal.metric))
            is_reached, told = figure >= goal.limit, f"{figure:.2f} times {goal.peer}"
            for other in section.rows:
                is_same = (other.work, other.setting) == (row.work, row.setting)
                if goal.bound and is_same and other.subject.startswith(goal.bound):
                    told += f" ({goal.bound}: {statistics.median(times(other, theirs[0], goal.metric)):.2f})"
        else:
            # Of failures a median would hide the round in which there were some.
            figure = max(row.samples(goal.metric)) if goal.metric == "failed" else row.median(goal.metric)
            is_reached = figure >= goal.limit if metric.is_more_better else figure <= goal.limit
            told = f"{format(figure, metric.format)} {metric.heading}"
        answer = "yes" if is_reached else "**no**"
        reason = f"{goal.work}, {row.setting}: {goal.otherwise}" if goal.otherwise and not is_reached else ""
        found.append(_Verdict(f"| {place} | {row.setting} | {wish} | {told} | {answer} |", is_reached, reason))
    if not found:
        # A goal does not leave the table because nobody looked.
        is_missing = goal.peer and any(name.startswith(goal.peer) for name in section.missing)
        why = f"{goal.peer} is missing" if is_missing else "no such figure"
        found.append(_Verdict(f"| {place} | {goal.setting} | {wish} | {why} | not measured |", None))
    return found


def _anchor(title: str) -> str:
    """Of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


# --- plots ---

_STYLE: Final[Any] = {  # the names of all settings are one Literal, which a dictionary does not keep
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "cloudchamber",  # the same figures give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
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
    """A bar for each row, in groups of what was asked of several, with its figure beside it."""
    about = METRICS[metric]
    # One who is alone is compared with himself in other settings.
    is_alone = len({row.subject for row in rows}) == 1
    subjects = list(dict.fromkeys(row.setting if is_alone else row.subject for row in rows))
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.work, "" if is_alone else row.setting), []).append(row)
    names = ["\n".join(textwrap.fill(part, 40) for part in label if part) for label in groups]
    # Bars of one group are as high as its label at least.
    gaps = [max(0.8, 0.9 * (name.count("\n") + 1) - len(its)) for name, its in zip(names, groups.values(), strict=True)]
    figure, axes = _axes(title, 0.9 + 0.19 * (len(rows) + sum(gaps)))
    middles = [row.median(metric) for row in rows]
    is_wide = min(middles) > 0 and max(middles) / min(middles) > _WIDE
    place, ticks = 0.0, []
    for its, gap in zip(groups.values(), gaps, strict=True):
        place += gap / 2
        ticks.append(place + (len(its) - 1) / 2)
        for row in its:
            middle, samples = row.median(metric), row.samples(metric)
            reach = [[middle - min(samples)], [max(samples) - middle]]
            colour = f"C{subjects.index(row.setting if is_alone else row.subject) % 10}"
            axes.barh([place], [middle], 0.9, xerr=reach, color=colour, error_kw={"linewidth": 0.8})
            about_it: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 7}
            axes.annotate(format(middle, about.format), (max(samples), place), annotation_clip=False, **about_it)
            place += 1
        place += gap / 2
    patches = [Patch(color=f"C{number % 10}", label=subject or OURS) for number, subject in enumerate(subjects)]
    if is_wide:
        axes.set_xscale("log")
    axes.set_yticks(ticks, names, fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x")
    better = "more" if about.is_more_better else "less"
    axes.set_xlabel(f"{about.heading} ({better} is better{', logarithmic' if is_wide else ''})")
    return _svg(figure, axes, patches)


def _lines(curve: Curve) -> bytes:
    figure, axes = _axes(curve.title, 4.0)
    axes.set_ylabel(curve.y)
    axes.grid(visible=True, axis="y")
    for name, points in curve.points.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    sizes = sorted({x for points in curve.points.values() for x, _ in points})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(curve.x)
    costs = [y for points in curve.points.values() for _, y in points]
    if costs and min(costs) > 0 and max(costs) / min(costs) > _WIDE:
        axes.set_yscale("log")
        axes.set_ylabel(f"{curve.y}, logarithmic")
    else:
        axes.set_ylim(bottom=0)
    return _svg(figure, axes)


def _axes(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, axes: Axes, patches: list[Patch] | None = None) -> bytes:
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


# --- the machine ---


def machine() -> Machine:
    cpu = Path("/proc/cpuinfo").read_text()
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    named = re.search(r"^model name\s*: (.+)$", cpu, re.MULTILINE)
    libraries = f"SQLite {sqlite3.sqlite_version}, {' '.join(ssl.OPENSSL_VERSION.split()[:2])}"
    return Machine(
        processor=named[1].strip() if named else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}, {libraries}",
        governor=governor.read_text().strip() if governor.exists() else "",
        is_virtual=re.search(r"^flags.*\bhypervisor\b", cpu, re.MULTILINE) is not None,
    )
