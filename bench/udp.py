"""Devices over datagrams: what a handshake, a message and an idle session cost, and what strangers can do.

Each slice on the server comes right after one of a bare echo on the same loop; see `benchmarks.py` for why.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from bench.load import LoadFailed, at, corrected, cpu_time
from bench.processes import listening
from bench.report import OURS, Goal, Row, Section
from bench.run import Run, Steps
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


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    if name == "sessions":
        run.steps.expect(3)
        # What a session takes is the same on asyncio, which `serve` never runs on.
        return _sessions_section([idle(run.folder, "uvloop", run.count, run.offline_s, run.steps)])
    if name == "flood":
        run.steps.begin("a flood of hellos")
        return _flood_section(flood(run.folder, 5 * run.count))
    count = run.count if name == "exchange" else max(1, run.count // 10)
    run.steps.expect(len(LOOPS) * run.rounds)
    rows = [row for loop in LOOPS for row in _turns(name, loop, count, run)]
    return Section(name, *_SAID[name], rows, goals=_GOALS.get(name, []), plotted=("cpu_us",))


_SAID: Final = {
    "handshakes": (
        "DTLS handshakes",
        """
The devices are one other process that works on `wire/` directly, each with a socket of its own, 32 at once. `serve`
always runs on uvloop; the rows for asyncio come from the benchmark's own launcher. *bare echo* sends 100 bytes back.
""",
    ),
    "exchange": (
        "Confirmable events over DTLS",
        """
100 bytes of data from a device of a product, through the fleet to the streams, and the acknowledgement; 32 devices.
*bare echo* sends 100 bytes back on the same loop.
""",
    ),
}
_GOALS: Final = {"handshakes": [Goal("handshakes", "cpu_us", 700.0, setting="uvloop")]}


def _turns(name: str, loop: str, count: int, run: Run) -> list[Row]:
    ours, echo = Row(name, loop, OURS, []), Row(name, loop, "bare echo", [])
    run.steps.begin("starting a cloud")
    with place(run.folder / loop, loop, _AT_ONCE) as here, Devices() as devices:
        if name == "exchange":
            devices.run(here.order("online", _AT_ONCE, _AT_ONCE))
        for _ in range(run.rounds):
            run.steps.begin(loop)
            echo.rounds.append(_of_tally(devices.run(here.echo_order(_ECHOES, _AT_ONCE))))
            ours.rounds.append(_of_tally(devices.run(here.order(name, count, _AT_ONCE))))
            run.steps.end()
    return [ours, echo]


def _of_tally(tally: Tally) -> dict[str, float]:
    own = 100 * tally.own_cpu_seconds / tally.seconds
    return {"per_s": tally.per_second, "cpu_us": tally.cpu_us, "load_percent": own}


def idle(folder: Path, loop: str, count: int, offline_s: float, steps: Steps) -> Idle:
    """`offline_s` has to be enough for all of them to come online, and then to be asked.

    Raises CannotStart, LoadFailed, httpx.HTTPError.
    """
    with place(folder / f"idle-{loop}", loop, count, offline_s) as here, Devices() as devices:

        def silent(what: str) -> Memory:
            steps.begin(f"{what}, {loop}")
            wait(here, "cloudchamber_udp_sessions", 0, _SETTLE_S + offline_s)
            steps.end()
            return memory(here)

        before = memory(here)
        coming = devices.run(here.order("online", count, _AT_ONCE))
        online = silent("online")
        _require(here, dozing=count)
        devices.hold(here.order("hold", count, 0))
        reading = read_all(here, count)
        read = silent("read")
        _require(here, dozing=count)
        wait(here, "cloudchamber_udp_dozing", 0, _SETTLE_S + offline_s)
        stored = silent("offline")
        returning = devices.run(here.order("speak", count, _AT_ONCE))
        return Idle(loop, count, before, online, read, stored, coming, reading, returning)


def flood(folder: Path, count: int) -> Flood:
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


def read_all(here: Place, count: int) -> Tally:
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


def _sessions_section(results: list[Idle]) -> Section:
    rows = []
    for found in results:
        setting = f"{found.devices:,} devices, {found.loop}"
        for state, now in (
            ("online, silent", found.online),
            ("after a request to each", found.read),
            ("offline, stored", found.stored),
        ):
            sizes = {
                "resident_b": (now.resident - found.before.resident) / found.devices,
                "used_b": (now.used - found.before.used) / found.devices,
            }
            rows.append(Row(state, setting, OURS, [sizes]))
        for done, tally in (
            ("coming online", found.coming_online),
            ("a variable of each over HTTP", found.reading),
            ("coming back with an event", found.returning),
        ):
            rows.append(Row(done, setting, OURS, [{"s": tally.seconds, "cpu_us": tally.cpu_us}]))
    what = """
Memory of the server's process for each device of a product, the fleet's record included, without what it had before.
*resident* is what the process keeps of its busiest moment, *used* what its allocators have given out.
"""
    goals = [Goal(state, "resident_b", 3000.0) for state in ("online, silent", "after a request to each")]
    return Section("sessions", "Sessions over DTLS", what, rows, goals=goals, plotted=("resident_b",))


def _flood_section(found: Flood) -> Section:
    def quantiles(sample: list[float]) -> dict[str, float]:
        told = corrected(sample, at(sample, 0.5))
        return {"p50_ms": at(told, 0.5), "p99_ms": at(told, 0.99), "p999_ms": at(told, 0.999)}

    grown = [
        f"{name.removeprefix('cloudchamber_udp_')}: {value - found.figures_before.get(name, 0.0):+,.0f}"
        for name, value in found.figures_after.items()
        if value != found.figures_before.get(name, 0.0) and not name.endswith("_created")
    ]
    rows = [
        Row("first ClientHello without a cookie", f"{found.hellos.done:,}", OURS, [_of_tally(found.hellos)]),
        Row("variable of a device", "calm", OURS, [quantiles(found.calm_ms)]),
        Row("variable of a device", "flooded", OURS, [quantiles(found.flooded_ms)]),
    ]
    notes = [f"The server's memory grew by {found.grown / 1e3:.0f} KB.", *grown]
    what = "ClientHellos from 256 ports as fast as they go, beside 32 devices whose variables are read over HTTP."
    return Section("flood", "A flood of DTLS hellos", what, rows, notes=notes, plotted=())
