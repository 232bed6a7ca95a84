"""`python -m bench [NAME ...]`: runs the benchmarks, prints their tables and writes the day's page of results."""

import datetime as dt
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import httpx
import msgspec
from rich.console import Console

from bench import compare, report
from bench.circumstances import Watch
from bench.load import LoadFailed
from bench.processes import CannotStart
from bench.run import Run, Steps, progress
from bench.suites import GROUPS, SUITES

_RESULTS: Final = Path(__file__).parent / "results"
_NARROW: Final = 150
"""A terminal of fewer columns has the medians alone; the page has the ranges."""


class _Command(click.Command):
    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(names.items()))


@click.command(cls=_Command)
@click.argument("names", nargs=-1, type=click.Choice(list(SUITES)), metavar="[NAME]...")
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Length of a slice.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Slices of each benchmark.")
@click.option(
    "--count",
    type=click.IntRange(10, 15_000),
    default=report.COUNT,
    show_default=True,
    help="How many devices and messages where they are counted; a tenth as many handshakes, five times the hellos.",
)
@click.option(
    "--offline",
    "offline_s",
    type=click.FloatRange(1),
    default=120.0,
    show_default=True,
    help="sessions: seconds of silence until a device counts as offline; all have to be asked within that time.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder in which servers that are compared keep their databases; another disk answers otherwise.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=_RESULTS,
    help="Where the day's page, plots and samples go.  [default: bench/results]",
)
@click.option(
    "--compare",
    "old",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="An earlier run's JSON file: says what has changed by more than the rounds differ.",
)
def main(
    names: tuple[str, ...],
    seconds: float,
    rounds: int,
    count: int,
    offline_s: float,
    data: Path | None,
    results: Path,
    old: Path | None,
) -> None:
    """Measure a cloud beside what one would use in its place: the same work, the same run, in turns.

    Without a NAME all of them run. What a NAME found replaces what it found earlier on the same day.
    `python -m bench.compare OLD.json NEW.json` compares without measuring.
    """
    if sys.platform != "linux":
        raise click.ClickException("The benchmarks read another process's CPU clock, which only Linux has.")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended)
    try:
        before = report.read(old) if old else None
    except (OSError, msgspec.DecodeError) as error:
        raise click.ClickException(f"{old} is no run's JSON file: {error}") from error
    chosen = list(dict.fromkeys(names or SUITES))
    settings = f"--seconds {seconds:g} --rounds {rounds} --count {count}"
    usual = _usual(settings)
    page, failed = None, []
    for place, name in enumerate(chosen):
        left = _left([usual.get(each, 0.0) for each in chosen[place:]])
        click.echo(f"[{place + 1} of {len(chosen)}] {name}{left}", err=True)
        watch = Watch()
        if watch.busy_cores > (os.cpu_count() or 1) / 2:
            told = f"THE MACHINE IS BUSY: others keep {watch.busy_cores:.1f} of {os.cpu_count()} cores busy, so that"
            click.secho(f"{told} these figures will be rough.", fg="red", bold=True, err=True)
        try:
            with tempfile.TemporaryDirectory(prefix="cloudchamber-bench-") as folder, progress() as bars:
                run = Run(seconds, rounds, count, offline_s, data, Path(folder), Steps(bars, name))
                section = SUITES[name].measure(name, run)
        except (CannotStart, LoadFailed, httpx.HTTPError) as error:
            # What the others found is worth the time that it took.
            click.echo(f"{name}: {error}", err=True)
            failed.append(name)
            continue
        except KeyboardInterrupt:
            kept = f"What was measured by then is in {_short(page)}." if page else "Nothing was measured by then."
            click.echo(f"\nStopped. {kept}", err=True)
            raise
        section = msgspec.structs.replace(section, circumstances=watch.ended(settings))
        page = report.save([section], results, dt.datetime.now(dt.UTC).date(), list(SUITES))
        _show(section)
    if page is not None:
        if before is not None:
            click.echo(compare.told(before, report.read(page.with_suffix(".json")), chosen))
        click.echo(f"The page with tables, goals and plots: {_short(page)}")
    if failed:
        raise click.ClickException(f"These could not be measured: {', '.join(failed)}")


def _ended(_number: int, _frame: Any) -> None:
    """Servers and devices are stopped on the way out, as by Ctrl-C."""
    raise KeyboardInterrupt


def _show(section: report.Section) -> None:
    if sys.stdout.isatty():
        console = Console()
        console.print(report.table(section, is_narrow=console.width < _NARROW))
    else:
        shown = report.table(section)
        wide = Console(width=1_000)
        Console(width=wide.measure(shown).maximum).print(shown)
    for peer, why in section.missing.items():
        click.echo(f"* {peer} is not in it: {why}.")
    for note in report.notes(section):
        click.echo(f"* {note}")


def _usual(settings: str) -> dict[str, float]:
    """How long each took with such settings, as results that are here tell."""
    found: dict[str, float] = {}
    for file in sorted(_RESULTS.glob("*.json")):
        for name, section in report.read(file).sections.items():
            if section.circumstances and section.circumstances.settings == settings:
                found[name] = section.circumstances.seconds
    return found


def _left(seconds: Sequence[float]) -> str:
    """Of this and all that follow; empty where nobody knows."""
    if not all(seconds):
        return ""
    return f", {report.duration(seconds[0])}; some {report.duration(sum(seconds))} left in all"


def _short(page: Path) -> Path:
    return page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page


if __name__ == "__main__":
    main(prog_name="python -m bench")
