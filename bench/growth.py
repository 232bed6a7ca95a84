"""Whether an operation costs more where there is more of everything on record. It should not.

At each size a cloud is started anew on the same folder, which the cloud's own stores have filled up to that size
meanwhile, and its CPU time for one operation is taken.
"""

import asyncio
import base64
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx

from bench import report, tcp, udp, wrk
from bench.filling import Filled, add_tokens, fill, forget_keys, made, new_tokens, put_tokens, serve
from bench.load import LoadFailed, cpu_time
from bench.processes import listening
from bench.report import OURS, Curve, Row, Section
from bench.run import Run
from bench.scene import bearer
from bench.tcp_devices import TcpDevices
from bench.udp_devices import FIRST_ID, VARIABLE, Devices, Order

NAMES: Final = ("growth-devices", "growth-connected", "growth-tokens")

_CONNECTIONS: Final = 8
_CONNECTED: Final = 32
_EXCHANGES: Final = 100
_PAGE: Final = 25
_UNKNOWN: Final = 400
_AT_FIRST: Final = 100
_WARM_UP: Final = 200
_ACCEPTED_S: Final = 0.05


@dataclass(slots=True)
class _Costs:
    """CPU µs of the server by work, size and round."""

    found: dict[str, dict[int, list[float]]] = field(default_factory=dict)

    def note(self, work: str, size: int, cpu_us: float) -> None:
        self.found.setdefault(work, {}).setdefault(size, []).append(cpu_us)

    def rows(self, of: str) -> list[Row]:
        return [
            Row(work, f"{size:,} {of}", OURS, [{"cpu_us": cost} for cost in costs])
            for work, by_size in self.found.items()
            for size, costs in by_size.items()
        ]

    def points(self) -> dict[str, list[tuple[float, float]]]:
        return {
            work: [(float(size), statistics.median(costs)) for size, costs in by_size.items()]
            for work, by_size in self.found.items()
        }

    def curve(self, title: str, of: str) -> Curve:
        return Curve(title, of, "CPU µs", self.points())


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    if name == "growth-connected":
        return _of_connected(run)
    run.steps.begin("a cloud to begin with")
    filled = made(run.folder / "data")
    return {"growth-devices": _of_devices, "growth-tokens": _of_tokens}[name](run, filled)


# --- devices ---


def _of_devices(run: Run, filled: Filled) -> Section:
    sizes = [*_sizes(run.count, (100, 10, 1)), 10 * run.count]
    run.steps.expect(sizes[-1])
    costs, have = _Costs(), 0
    starts: dict[int, list[float]] = {}
    _import_connecting(filled)
    for size in sizes:
        run.steps.begin(f"{size:,} devices on record")
        fill(filled, size, max(1, size // 10), run.steps.end_many, first=have)
        forget_keys(filled, _connecting())
        have = size
        for number in range(run.rounds):
            began = time.perf_counter()
            with listening(serve(filled.data), run.folder / "serve.log") as (pid, addresses):
                starts.setdefault(size, []).append(time.perf_counter() - began)
                new = random.Random(number).sample(range(size), min(size, _AT_FIRST))
                costs.note("GET of a device in no cache", size, _of_unknown(filled, addresses["http"], pid, new))
        with (
            listening(serve(filled.data), run.folder / "serve.log") as (pid, addresses),
            httpx.Client(base_url=addresses["http"], trust_env=False) as http,
        ):
            _speak(run, costs, size, pid, addresses["udp"], filled)
            product, own = _product_token(http, filled), [f"/v1/devices/{filled.device}"]
            prefix = f"/v1/products/{filled.product}/devices"
            drawn = random.Random(size)
            known = [f"{prefix}/{_device(drawn.randrange(size))}" for _ in range(5_000)]
            pages = [f"{prefix}?page={page}&per_page={_PAGE}" for page in range(1, 1 + max(1, min(size // _PAGE, 40)))]
            for path, token in ((own[0], filled.customer_token), (pages[0], product)):
                _cpu_us(addresses["http"], pid, itertools.repeat(_get(path, token), _WARM_UP), None)
            for _ in range(run.rounds):
                for work, token, paths in (
                    ("GET of one's own device", filled.customer_token, own),
                    ("GET of any device of a product", product, known),
                    (f"a page of {_PAGE} devices of a product", product, pages),
                ):
                    requests = itertools.cycle([_get(path, token) for path in paths])
                    costs.note(work, size, _cpu_us(addresses["http"], pid, requests, run.seconds))
    title = "Devices on record"
    curve = costs.curve("CPU time of one operation, by devices on record", "devices on record")
    ready = Curve("Start", "devices on record", "s", {})
    ready.points["until it is ready"] = [(float(size), statistics.median(took)) for size, took in starts.items()]
    growth, goals = report.grown(costs.points().items(), "devices")
    rows = growth + costs.rows("devices")
    rows += [
        Row("start, until it is ready", f"{size:,} devices", OURS, [{"s": s} for s in starts[size]]) for size in starts
    ]
    return Section("growth-devices", title, _DEVICES, rows, [curve, ready], goals, plotted=())


def _of_unknown(filled: Filled, url: str, pid: int, numbers: Sequence[int]) -> float:
    """CPU µs of a GET of the second half of the devices, after one of each of the first: what a start leaves for the
    first requests, as the memory for pages of the database, is no part of it. As many devices at each size."""
    with httpx.Client(base_url=url, trust_env=False) as http:
        token = _product_token(http, filled)
    path, half = f"/v1/products/{filled.product}/devices", len(numbers) // 2
    _cpu_us(url, pid, itertools.repeat(_get(f"{path}?deviceName=nobody", token), _WARM_UP), None)
    requests = [_get(f"{path}/{_device(number)}", token) for number in numbers]
    _cpu_us(url, pid, iter(requests[:half]), None)
    return _cpu_us(url, pid, iter(requests[half:]), None)


def _speak(run: Run, costs: _Costs, size: int, pid: int, address: str, filled: Filled) -> None:
    host, _, port = address.rpartition(":")
    key = str(filled.data / "server-udp.pem")
    with Devices() as devices:

        def done(what: str, count: int) -> float:
            return devices.run(Order(what, host, int(port), pid, count, _CONNECTED, key, filled.product)).cpu_us

        costs.note("a device over UDP comes online", size, done("online", _CONNECTED))
        done("exchange", _EXCHANGES)
        for _ in range(run.rounds):
            costs.note("an event of a device", size, done("exchange", 20 * _EXCHANGES))


_DEVICES: Final = f"""
*Any device* is one of 5,000 that were drawn, asked for in turn, so that the cloud has them in memory; *in no cache* is
one that nobody asked for since the cloud was started, after 50 others. A page is one of the first forty. *Comes
online* is the DTLS handshake, what the device says of itself and its first event, by {_CONNECTED} devices at once that
the cloud knows. A start looks through the file for damage, so that it grows with it, up to 256 MB; `start` has the goal
for it.
"""


def _import_connecting(filled: Filled) -> None:
    """The devices that will connect."""
    with (
        listening(serve(filled.data), filled.data.with_name("import.log")) as (_, addresses),
        httpx.Client(base_url=addresses["http"], timeout=30, trust_env=False) as http,
    ):
        path = f"/v1/products/{filled.product}/devices"
        http.post(path, headers=bearer(_product_token(http, filled)), json={"ids": _connecting()}).raise_for_status()


def _connecting() -> list[str]:
    return [f"{FIRST_ID + number:024x}" for number in range(1, _CONNECTED + 1)]


# --- connected devices ---


def _of_connected(run: Run) -> Section:
    wrk.find()
    sizes = _sizes(run.count, (100, 10, 1))
    works = 3
    run.steps.expect(len(sizes) * (1 + run.rounds * works))
    costs = _Costs()
    memory: dict[str, list[tuple[float, float]]] = {"resident": [], "used": []}
    rows: list[Row] = []
    run.steps.begin("starting")
    with tcp.serving(run.folder / "ours") as started, TcpDevices() as devices:
        here = tcp.with_product(started, sizes[-1])
        place, have = here.as_place(), 0
        for size in sizes:
            before = _rested(place, have)
            run.steps.begin(f"{size:,} devices come")
            tally = devices.run(here.order("online", size - have, min(size - have, 32), first=have + 1))
            if tally.failed:
                raise LoadFailed(f"{tally.failed} devices did not come online: {tally.reasons}")
            devices.hold(here.order("hold", size, 0))
            if have:  # the first ones bring what grows once
                now, added = _rested(place, size), size - have
                each = {
                    "resident_b": (now.resident - before.resident) / added,
                    "used_b": (now.used - before.used) / added,
                }
                memory["resident"].append((float(size), each["resident_b"]))
                memory["used"].append((float(size), each["used_b"]))
                rows.append(Row("memory of one more device", f"{have:,} → {size:,} devices", OURS, [each]))
            have = size
            run.steps.end()
            few, all_ = range(1, 1 + min(size, _FEW)), range(1, size + 1)
            asked = (
                (f"a variable of {_FEW} devices in turn", [here.url_of(number, VARIABLE) for number in few]),
                ("a variable of each device in turn", [here.url_of(number, VARIABLE) for number in all_]),
                ("GET of each device in turn", [here.url_of(number, "").rstrip("/") for number in all_]),
            )
            for work, urls in asked:
                wrk.run(wrk.Request(urls[0], bearer(here.token), urls=tuple(urls)), _WRKS, 1.0, here.pid, run.folder)
                for _ in range(run.rounds):
                    run.steps.begin(f"{work}, {size:,} devices")
                    request = wrk.Request(urls[0], bearer(here.token), urls=tuple(urls))
                    costs.note(work, size, wrk.run(request, _WRKS, run.seconds, here.pid, run.folder).cpu_us)
                    run.steps.end()
    growth, goals = report.grown(
        [*costs.points().items(), ("used memory of one more device", memory["used"])], "devices"
    )
    curves = [
        costs.curve("CPU time of one request, by devices connected", "devices connected"),
        Curve("Memory of one more device", "devices connected", "bytes", memory),
    ]
    rows = growth + rows + costs.rows("devices")
    return Section("growth-connected", "Devices connected", _CONNECTED_WHAT, rows, curves, goals, plotted=())


def _rested(place: udp.Place, connected: int) -> udp.Memory:
    """When sessions rest that were asked for something."""
    time.sleep(tcp.SETTLE_S if connected >= _SETTLED_SIZE else 0.0)
    return udp.memory(place)


_WRKS: Final = 16
_FEW: Final = 16
_SETTLED_SIZE: Final = 100
_CONNECTED_WHAT: Final = f"""
Photons of a product that are connected to one cloud, as more and more of them come; the requests come over HTTP with a
token (wrk, {_WRKS} connections). *In turn* asks each device once before it asks one again, so that the caches of the
processor forget it meanwhile. Memory is as in `tcp-memory`.
"""


# --- tokens ---


def _of_tokens(run: Run, filled: Filled) -> Section:
    sizes = [run.count, 10 * run.count, 100 * run.count]
    run.steps.expect(sizes[-1])
    costs, have = _Costs(), 0
    basic = base64.b64encode(":".join(filled.client).encode()).decode()
    for size in sizes:
        run.steps.begin(f"{size:,} tokens on record")
        add_tokens(filled, size - have, run.steps.end_many)
        unknown = new_tokens(_UNKNOWN * run.rounds + _WARM_UP)
        put_tokens(filled, unknown)
        have = size
        with listening(serve(filled.data), run.folder / "serve.log") as (pid, addresses):
            left = iter(unknown)
            first = (_get(f"/v1/devices/{filled.device}", token) for token in itertools.islice(left, _WARM_UP))
            _cpu_us(addresses["http"], pid, first, None)
            for _ in range(run.rounds):
                issue = itertools.repeat(_post_token(basic))
                costs.note("issuing a client's token", size, _cpu_us(addresses["http"], pid, issue, run.seconds))
                some = (_get(f"/v1/devices/{filled.device}", token) for token in itertools.islice(left, _UNKNOWN))
                costs.note("a GET with a token in no cache", size, _cpu_us(addresses["http"], pid, some, None))
    title = "Tokens on record"
    curve = costs.curve("CPU time of one operation, by tokens on record", "tokens on record")
    growth, goals = report.grown(costs.points().items(), "tokens")
    return Section("growth-tokens", title, _TOKENS, growth + costs.rows("tokens"), [curve], goals, plotted=())


_TOKENS: Final = """
Log-ins of a customer, with an access and a refresh token each. The GETs bring a token each that nobody has shown since
the cloud was started, so that it is read from the database, with its client.
"""


# --- both ---


def _sizes(count: int, parts: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(max(10, count // part) for part in parts))


def _device(number: int) -> str:
    return f"{0xE00FCE680000000000000000 + number:024x}"


def _product_token(http: httpx.Client, filled: Filled) -> str:
    answer = http.post("/oauth/token", auth=filled.client, data={"grant_type": "client_credentials"})
    return str(answer.raise_for_status().json()["access_token"])


def _get(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n".encode()


def _post_token(basic: str) -> bytes:
    body = urlencode({"grant_type": "client_credentials"}).encode()
    head = f"POST /oauth/token HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Basic {basic}\r\n"
    form = f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
    return (head + form).encode() + body


def _cpu_us(url: str, pid: int, requests: Iterator[bytes], seconds: float | None) -> float:
    """The server's CPU time for one request: for `seconds`, or until there is none left. Raises LoadFailed."""
    return asyncio.run(_asked(url, lambda: cpu_time(pid), requests, seconds))


async def _asked(url: str, cpu: Callable[[], float], requests: Iterator[bytes], seconds: float | None) -> float:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    done = 0
    connections = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(_CONNECTIONS)]
    # What connections cost is no part of a request, of which there may be few.
    await asyncio.sleep(_ACCEPTED_S)
    end = None if seconds is None else loop.time() + seconds

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal done
        for request in requests:
            if end is not None and loop.time() >= end:
                return
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise LoadFailed(f"{request.split(b' HTTP')[0].decode()}: {head.decode()}")
            lower = head.lower()
            at = lower.index(b"content-length:") + 15
            await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            done += 1

    try:
        before = cpu()
        await asyncio.gather(*(client(*each) for each in connections))
        took = cpu() - before
    finally:
        for _, writer in connections:
            writer.close()
    if not done:
        raise LoadFailed("nothing was answered")
    return took / done * 1e6
