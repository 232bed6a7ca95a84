"""`python -m bench [NAME ...]`: runs the benchmarks, prints their tables and writes the day's page of results."""

import datetime as dt
import sys
import tempfile
from pathlib import Path
from typing import Final

import click
import httpx
from rich.console import Console

from bench import report
from bench.load import LoadFailed
from bench.processes import CannotStart
from bench.run import Run, Steps, progress
from bench.suites import SUITES

_RESULTS: Final = Path(__file__).parent / "results"


@click.command(epilog=f"NAMEs: {', '.join(SUITES)}.")
@click.argument("names", nargs=-1, type=click.Choice(list(SUITES)), metavar="[NAME]...")
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Length of a slice.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Slices of each benchmark.")
@click.option(
    "--count",
    type=click.IntRange(10, 15_000),
    default=10_000,
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
def main(
    names: tuple[str, ...],
    seconds: float,
    rounds: int,
    count: int,
    offline_s: float,
    data: Path | None,
    results: Path,
) -> None:
    """Measure a cloud beside what one would use in its place: the same work, the same run, in turns.

    Without a NAME all of them run. What a NAME found replaces what it found earlier on the same day.
    """
    if sys.platform != "linux":
        raise click.ClickException("The benchmarks read another process's CPU clock, which only Linux has.")
    failed = []
    for name in dict.fromkeys(names or SUITES):
        try:
            with tempfile.TemporaryDirectory(prefix="cloudchamber-bench-") as folder, progress() as bars:
                run = Run(seconds, rounds, count, offline_s, data, Path(folder), Steps(bars, name))
                section = SUITES[name].measure(name, run)
        except (CannotStart, LoadFailed, httpx.HTTPError) as error:
            # What the others found is worth the time that it took.
            click.echo(f"{name}: {error}", err=True)
            failed.append(name)
            continue
        page = report.save([section], results, dt.datetime.now(dt.UTC).date())
        Console().print(report.table(section))
        for note in section.notes:
            click.echo(f"* {note}")
        click.echo(f"{name} is in {page}", err=True)
    if failed:
        raise click.ClickException(f"These could not be measured: {', '.join(failed)}")


if __name__ == "__main__":
    main(prog_name="python -m bench")
