"""Devices over datagrams: what a handshake, a message and an idle session cost, and what strangers can do.

Each slice on the server comes right after one of a bare echo on the same loop; see `benchmarks.py` for why.
"""

import asyncio
import contextlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from bench.load import LoadFailed, cpu_time
from bench.processes import listening
from bench.scene import bearer, make_product
from bench.udp_devices import ELECTRON, FIRST_ID, VARIABLE, Devices, Order, Tally

NAMES: Final = ("handshakes", "exchange", "sessions", "flood")
LOOPS: Final = ("uvloop", "asyncio")
_NEVER_S: Final = 3600.0
_AT_ONCE: Final = 32
_READERS: Final = 16
_STEP_S: Final = 0.5
_ECHOES: Final = 20_000
_SETTLE_S: Final = 120.0
"""Longer than a session remembers messages, so as to know their copies."""


class Turn(msgspec.Struct, frozen=True):
    echo: Tally
    tally: Tally


class Row(msgspec.Struct, frozen=True):
    """One kind of work on one loop, by rounds."""

    name: str
    loop: str
    turns: list[Turn]

    def median(self, figure: Callable[[Turn], float]) -> float:
        return statistics.median(figure(turn) for turn in self.turns)


class Memory(msgspec.Struct, frozen=True):
    """What was used once and is free again stays resident for the most part: `resident` tells of the busiest moment,
    `used` of this one. That is in small objects, by the interpreter's allocator, or the C library's."""

    resident: int
    small: int
    large: int

    @property
    def used(self) -> int:
        return self.small + self.large


class Idle(msgspec.Struct, frozen=True):
    """What sessions take in memory. All sizes are bytes of the server's process: what is resident, and what its
    allocators have given out (see `Memory`)."""

    loop: str
    devices: int
    before: Memory
    online: Memory
    """All devices are online and silent; nobody asked for one yet."""
    read: Memory
    """The same, after each was asked for."""
    stored: Memory
    """All devices count as offline, and their sessions are in the store alone."""
    coming_online: Tally
    reading: Tally
    """A variable from each device over HTTP, while they are silent."""
    returning: Tally
    """An event from each device that counts as offline."""


class Flood(msgspec.Struct, frozen=True):
    hellos: Tally
    grown: int
    """Resident bytes."""
    figures_before: dict[str, float]
    figures_after: dict[str, float]
    calm_ms: list[float]
    """How long an online device's variable took to be read before."""
    flooded_ms: list[float]
    """And during."""


class Results(msgspec.Struct):
    rows: list[Row]
    idle: list[Idle] = []
    flood: Flood | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A server with a product that `devices` devices belong to, and an echo."""

    folder: Path
    pid: int
    url: str
    metrics: str
    udp: str
    echo_pid: int
    echo: str
    product: int
    token: str

    def order(self, what: str, count: int, at_once: int) -> Order:
        host, _, port = self.udp.rpartition(":")
        key = str(self.folder / "data" / "server-udp.pem")
        return Order(what, host, int(port), self.pid, count, at_once, key, self.product)

    def echo_order(self, count: int, at_once: int) -> Order:
        host, _, port = self.echo.rpartition(":")
        return Order("echo", host, int(port), self.echo_pid, count, at_once)


@contextlib.contextmanager
def place(folder: Path, loop: str, devices: int, offline_s: float = _NEVER_S) -> Iterator[Place]:
    """Raises CannotStart, httpx.HTTPError."""
    folder.mkdir()
    launcher = ["-m", "bench.udp_server", loop]
    serve = [*launcher, str(offline_s), "serve", "--data", str(folder / "data"), "--log-level", "warning"]
    for listener in ("--http", "--tcp", "--udp", "--metrics"):
        serve += [listener, "127.0.0.1:0"]
    with contextlib.ExitStack() as stack:
        echo_pid, echo = stack.enter_context(listening([*launcher, "echo"], folder / "echo.log"))
        pid, here = stack.enter_context(listening(serve, folder / "serve.log"))
        http = stack.enter_context(httpx.Client(base_url=here["http"], timeout=60, trust_env=False))
        _, product, token = make_product(http, ELECTRON)
        ids = [_id(number) for number in range(1, devices + 1)]
        http.post(f"/v1/products/{product}/devices", headers=bearer(token), json={"ids": ids}).raise_for_status()
        yield Place(
            folder, pid, here["http"], here["metrics"], here["udp"], echo_pid, echo["udp"], product, token
        )  # fmt: skip


def _id(number: int) -> str:
    return f"{FIRST_ID + number:024x}"


# --- what is measured ---


def measure(names: list[str], rounds: int, count: int, offline_s: float) -> Results:
    """See the options of `python -m bench`. Raises CannotStart, LoadFailed, httpx.HTTPError."""
    results = Results([])
    terminal = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="cloudchamber-bench-") as folder,
        terminal.status("starting a cloud") as status,
    ):
        here = Path(folder)
        if in_turns := {
            name: size for name, size in (("handshakes", count // 10), ("exchange", count)) if name in names
        }:
            results.rows = turns(in_turns, here, rounds, status.update)
        if "sessions" in names:
            results.idle = [idle(here, loop, count, offline_s, status.update) for loop in LOOPS]
        if "flood" in names:
            results.flood = flood(here, 5 * count, status.update)
    return results


def turns(counts: dict[str, int], folder: Path, rounds: int, progressed: Callable[[str], None]) -> list[Row]:
    """Handshakes and exchanges, so many of them each time, on both loops.

    Raises CannotStart, LoadFailed, httpx.HTTPError.
    """
    rows = []
    for loop in LOOPS:
        with place(folder / loop, loop, _AT_ONCE) as here, Devices() as devices:
            mine = [Row(name, loop, []) for name in counts]
            if "exchange" in counts:
                devices.run(here.order("online", _AT_ONCE, _AT_ONCE))
            for _ in range(rounds):
                for row in mine:
                    echo = devices.run(here.echo_order(_ECHOES, _AT_ONCE))
                    row.turns.append(Turn(echo, devices.run(here.order(row.name, counts[row.name], _AT_ONCE))))
                    progressed(f"{row.name}, {loop}")
            rows += mine
    return sorted(rows, key=lambda row: list(counts).index(row.name))


def idle(folder: Path, loop: str, count: int, offline_s: float, progressed: Callable[[str], None]) -> Idle:
    """`offline_s` has to be enough for all of them to come online, and then to be asked.

    Raises CannotStart, LoadFailed, httpx.HTTPError.
    """
    with place(folder / f"idle-{loop}", loop, count, offline_s) as here, Devices() as devices:

        def silent(what: str) -> Memory:
            wait(here, "cloudchamber_udp_sessions", 0, _SETTLE_S + offline_s)
            progressed(f"{what}, {loop}")
            return memory(here)

        before = memory(here)
        coming = devices.run(here.order("online", count, _AT_ONCE))
        online = silent("online")
        _require(here, dozing=count)
        devices.hold(here.order("hold", count, 0))
        reading = _read_all(here, count)
        read = silent("read")
        _require(here, dozing=count)
        wait(here, "cloudchamber_udp_dozing", 0, _SETTLE_S + offline_s)
        stored = silent("offline")
        returning = devices.run(here.order("speak", count, _AT_ONCE))
        return Idle(loop, count, before, online, read, stored, coming, reading, returning)


def flood(folder: Path, count: int, progressed: Callable[[str], None]) -> Flood:
    """Raises CannotStart, LoadFailed, httpx.HTTPError."""
    with (
        place(folder / "flood", "uvloop", _AT_ONCE) as here,
        Devices() as devices,
        Devices() as strangers,
        httpx.Client(base_url=here.url, timeout=10, headers=bearer(here.token), trust_env=False) as http,
    ):
        devices.run(here.order("online", _AT_ONCE, _AT_ONCE))
        devices.hold(here.order("hold", _AT_ONCE, 0))
        strangers.run(here.order("flood", 2_000, 256))  # what grows once, has grown
        calm = [_read_ms(http, here, 1 + number % _AT_ONCE) for number in range(200)]
        before, size = figures(here), resident(here.pid)
        strangers.begin(here.order("flood", count, 256))
        flooded: list[float] = []
        while not strangers.is_done():
            flooded.append(_read_ms(http, here, 1 + len(flooded) % _AT_ONCE))
        hellos = strangers.end()
        progressed("flood")
        return Flood(hellos, resident(here.pid) - size, before, figures(here), sorted(calm), sorted(flooded))


def memory(here: Place) -> Memory:
    size = resident(here.pid)
    told = _allocated(here)
    os.kill(here.pid, signal.SIGUSR1)
    end = time.monotonic() + 30
    while len(found := _allocated(here)) == len(told):
        if time.monotonic() > end:
            raise LoadFailed("the server does not say what it has allocated")
        figures(here)  # a loop that sleeps looks at signals when it wakes
    return Memory(size, *found[-1])


def _allocated(here: Place) -> list[tuple[int, int]]:
    lines = [line.split() for line in (here.folder / "serve.log").read_text().splitlines()]
    return [(int(line[1]), int(line[2])) for line in lines if line[:1] == ["allocated"] and len(line) == 3]


def resident(pid: int) -> int:
    """Bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LoadFailed(f"process {pid} is gone")


def figures(here: Place) -> dict[str, float]:
    """The server's own, of datagrams."""
    lines = httpx.get(f"{here.metrics}/metrics", trust_env=False, timeout=30).raise_for_status().text.splitlines()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith("cloudchamber_udp_"))
    return {name: float(value) for name, value in found}


def _require(here: Place, **wanted: int) -> None:
    found = figures(here)
    for name, value in wanted.items():
        if found[f"cloudchamber_udp_{name}"] != value:
            raise LoadFailed(f"{name} should be {value}: {found}")


def wait(here: Place, name: str, value: float, within_s: float) -> None:
    end = time.monotonic() + within_s
    while figures(here)[name] != value:
        if time.monotonic() > end:
            raise LoadFailed(f"{name} did not become {value}: {figures(here)}")
        time.sleep(_STEP_S)


def _path(here: Place, number: int) -> str:
    return f"/v1/products/{here.product}/devices/{_id(number)}/{VARIABLE}"


def _read_ms(http: httpx.Client, here: Place, number: int) -> float:
    started = time.perf_counter()
    http.get(_path(here, number)).raise_for_status()
    return (time.perf_counter() - started) * 1e3


def _read_all(here: Place, count: int) -> Tally:
    async def read() -> None:
        numbers = iter(range(1, count + 1))

        async def reader(http: httpx.AsyncClient) -> None:
            for number in numbers:
                answer = await http.get(_path(here, number))
                if answer.status_code != 200 or answer.json()["result"] != 42:
                    raise LoadFailed(f"device {_id(number)}: {answer.status_code} {answer.text}")

        async with (
            httpx.AsyncClient(base_url=here.url, timeout=60, headers=bearer(here.token), trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(_READERS):
                group.create_task(reader(http))

    cpu, started = cpu_time(here.pid), time.perf_counter()
    asyncio.run(read())
    return Tally(count, time.perf_counter() - started, cpu_time(here.pid) - cpu)


# --- what is shown ---


def tables(results: Results) -> list[Table]:
    shown = []
    if results.rows:
        shown.append(_rows(results.rows))
    if results.idle:
        shown.append(_idle(results.idle))
    if results.flood is not None:
        shown.append(_lines("flood", _of_flood(results.flood)))
    return shown


def _rows(rows: list[Row]) -> Table:
    shown = Table(
        title="Datagrams; medians",
        caption="echo: the same for a bare echo of 100 bytes on the same loop, measured in turns with it.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", "loop", "per s", "CPU µs", "echo µs", "ratio"):
        shown.add_column(heading, justify="left" if heading in ("", "loop") else "right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.name,
            row.loop,
            f"{row.median(lambda turn: turn.tally.per_second):,.0f}",
            f"{row.median(lambda turn: turn.tally.cpu_us):.0f}",
            f"{row.median(lambda turn: turn.echo.cpu_us):.1f}",
            f"{row.median(lambda turn: turn.tally.cpu_us / turn.echo.cpu_us):.1f}",
        )
    return shown


def _lines(title: str, lines: list[tuple[str, str]]) -> Table:
    shown = Table(title=title, title_justify="left", show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(justify="right", no_wrap=True)
    for line in lines:
        shown.add_row(*line)
    return shown


def _idle(results: list[Idle]) -> Table:
    shown = Table(
        title=f"{results[0].devices:,} devices; memory of the server for each in bytes, its CPU time for each in µs",
        caption="resident: of the process, which keeps what it needed in its busiest moment; used: what its allocators"
        " have given out. Both without what the process had before.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", "loop", "resident", "used", "", "s", "CPU µs"):
        shown.add_column(heading, justify="right" if heading in ("resident", "used", "s", "CPU µs") else "left")
    for found in results:
        for state, now, done, tally in (
            ("online, silent", found.online, "came online", found.coming_online),
            ("after a request", found.read, "variable, HTTP", found.reading),
            ("offline, stored", found.stored, "came back", found.returning),
        ):
            shown.add_row(
                state,
                found.loop,
                f"{(now.resident - found.before.resident) / found.devices:,.0f}",
                f"{(now.used - found.before.used) / found.devices:,.0f}",
                done,
                f"{tally.seconds:.1f}",
                f"{tally.cpu_us:.0f}",
            )
    return shown


def _of_flood(found: Flood) -> list[tuple[str, str]]:
    def quantiles(sample: list[float]) -> str:
        return f"{statistics.median(sample):.1f} / {sample[int(len(sample) * 0.99)]:.1f} of {len(sample)}"

    grown = {
        name.removeprefix("cloudchamber_udp_"): f"{value - found.figures_before.get(name, 0.0):+,.0f}"
        for name, value in found.figures_after.items()
        if value != found.figures_before.get(name, 0.0) and not name.endswith("_created")
    }
    return [
        ("first ClientHellos without a cookie", f"{found.hellos.done:,}"),
        ("per s", f"{found.hellos.per_second:,.0f}"),
        ("server's CPU for one (with the reads beside it), µs", f"{found.hellos.cpu_us:.0f}"),
        ("server's memory grew by, KB", f"{found.grown / 1e3:.0f}"),
        *grown.items(),
        ("variable of a device before, p50 / p99 ms", quantiles(found.calm_ms)),
        ("variable of a device meanwhile, p50 / p99 ms", quantiles(found.flooded_ms)),
    ]
