"""`python -m bench [NAME ...]`: runs the benchmarks and prints a table.

Each slice of a benchmark comes right after one of the bare application with as many connections, and their ratio is
taken there and then: what else the machine does meanwhile slows both. The table has the median of the rounds.
"""

import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench import beside, udp
from bench.benchmarks import BENCHMARKS, Benchmark, hello_request
from bench.load import Load, LoadFailed, Order, Sample
from bench.processes import CannotStart
from bench.scene import Scene, scene

# Caches fill and the interpreter specializes within the first hundreds of requests.
_WARM_UP_SHARE: Final = 0.2


class Pair(msgspec.Struct, frozen=True):
    """One round of one benchmark."""

    hello: Sample
    sample: Sample


class Result(msgspec.Struct, frozen=True):
    name: str
    what: str
    connections: int
    rounds: list[Pair]

    def median(self, figure: Callable[[Pair], float]) -> float:
        return statistics.median(figure(pair) for pair in self.rounds)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS, *udp.NAMES, *beside.NAMES]), metavar="[NAME]...")
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Length of a slice.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Slices of each benchmark.")
@click.option(
    "--count",
    type=click.IntRange(10, 15_000),
    default=10_000,
    show_default=True,
    help="How many sessions, and exchanges in a round; a tenth as many handshakes, and five times as many hellos.",
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
    help="tokens: the folder in which both keep their databases; another disk answers otherwise.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Where all samples go.")
def main(
    names: tuple[str, ...],
    seconds: float,
    rounds: int,
    count: int,
    offline_s: float,
    data: Path | None,
    json_file: Path | None,
) -> None:
    """Measure a cloud: what requests cost, beside a bare ASGI application.

    NAMEs choose among token, devices, device and variable; of devices over UDP, handshakes, exchange, sessions and
    flood; beside oidc-provider, tokens and bearer. Without any, all of them run, which takes twelve minutes.
    """
    if sys.platform != "linux":
        raise click.ClickException("The benchmarks read another process's CPU clock, which only Linux has.")
    wanted = dict.fromkeys(names or (*BENCHMARKS, *udp.NAMES, *beside.NAMES))
    chosen = [BENCHMARKS[name] for name in wanted if name in BENCHMARKS]
    over_udp = [name for name in wanted if name in udp.NAMES]
    compared = [name for name in wanted if name in beside.NAMES]
    shown, samples = [], []
    try:
        if chosen:
            results = measure(chosen, seconds, rounds)
            shown.append(table(results))
            samples.append(msgspec.json.encode(results))
        if over_udp:
            found = udp.measure(over_udp, rounds, count, offline_s)
            shown += udp.tables(found)
            samples.append(msgspec.json.encode(found))
        if compared:
            comparisons = beside.measure(compared, seconds, rounds, data)
            shown += beside.tables(comparisons)
            samples.append(msgspec.json.encode(comparisons))
    except (CannotStart, LoadFailed, httpx.HTTPError) as error:
        raise click.ClickException(str(error)) from error
    for each in shown:
        Console().print(each)
    if json_file is not None:
        json_file.write_bytes(b"\n".join(msgspec.json.format(sample, indent=2) for sample in samples))


def measure(chosen: list[Benchmark], seconds: float, rounds: int) -> list[Result]:
    """Raises CannotStart, LoadFailed, httpx.HTTPError."""
    results = [Result(each.name, each.what, each.connections, []) for each in chosen]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        tempfile.TemporaryDirectory(prefix="cloudchamber-bench-") as folder,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("starting a cloud and a device", total=rounds * len(chosen))
        with scene(Path(folder)) as here, Load() as load:
            for _ in range(rounds):
                for benchmark, result in zip(chosen, results, strict=True):
                    progress.update(task, description=benchmark.name)
                    result.rounds.append(_pair(benchmark, here, load, seconds))
                    progress.advance(task)
    return results


def _pair(benchmark: Benchmark, here: Scene, load: Load, seconds: float) -> Pair:
    def slice_of(url: str, pid: int, request: bytes) -> Sample:
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        warm_up = seconds * _WARM_UP_SHARE
        order = Order(address.hostname, address.port, request, benchmark.connections, seconds, warm_up, pid)
        try:
            return load.run(order)
        except LoadFailed as error:
            raise LoadFailed(f"{benchmark.name}, {request.split(b' HTTP')[0].decode()}: {error}") from error

    return Pair(
        hello=slice_of(here.hello_url, here.hello_pid, hello_request()),
        sample=slice_of(here.url, here.pid, benchmark.request(here)),
    )


def table(results: list[Result]) -> Table:
    shown = Table(
        title=f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()},"
        f" {os.cpu_count()} cores; medians",
        caption="CPU: of the server process, for one request. hello: the same for a bare ASGI application on the same"
        " HTTP server, measured in turns with it. ratio: of the two, by round.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", "clients", "per s", "p50 ms", "p99 ms", "CPU µs", "hello µs", "ratio"):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for result in results:
        shown.add_row(
            result.name,
            str(result.connections),
            f"{result.median(lambda pair: pair.sample.per_second):,.0f}",
            f"{result.median(lambda pair: pair.sample.p50_ms):.1f}",
            f"{result.median(lambda pair: pair.sample.p99_ms):.1f}",
            f"{result.median(lambda pair: pair.sample.cpu_us):.0f}",
            f"{result.median(lambda pair: pair.hello.cpu_us):.0f}",
            f"{result.median(lambda pair: pair.sample.cpu_us / pair.hello.cpu_us):.1f}",
        )
    return shown


if __name__ == "__main__":
    main(prog_name="python -m bench")
