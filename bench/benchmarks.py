"""One kind of request each, beside a bare ASGI application on the same HTTP server.

Each slice of a benchmark comes right after one of the bare application with as many connections, and their ratio is
taken there and then: what else the machine does meanwhile slows both.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from bench.load import Load, LoadFailed, Order, Sample
from bench.report import OURS, Row, Section, of_sample
from bench.run import Run
from bench.scene import Scene, scene

# Caches fill and the interpreter specializes within the first hundreds of requests.
_WARM_UP_SHARE: Final = 0.2
HELLO: Final = "bare ASGI"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`connections` ask at once. 16 keep one process busy; issuing tokens waits for the disk, and more of them share
    each wait."""

    name: str
    what: str
    request: Callable[[Scene], bytes]
    connections: int = 16


def _token(scene: Scene) -> bytes:
    basic = base64.b64encode(":".join(scene.client).encode()).decode()
    body = urlencode({"grant_type": "client_credentials"}).encode()
    return _request(
        "POST",
        "/oauth/token",
        f"Authorization: Basic {basic}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    ) + body  # fmt: skip


def _get(path: Callable[[Scene], str]) -> Callable[[Scene], bytes]:
    return lambda scene: _request("GET", path(scene), f"Authorization: Bearer {scene.customer_token}")


def _request(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*", "User-Agent: bench", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


BENCHMARKS: Final = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("token", "POST /oauth/token, client_credentials", _token, connections=50),
        Benchmark("devices", "GET /v1/devices, a customer with one device", _get(lambda _: "/v1/devices")),
        Benchmark("device", "GET /v1/devices/:id", _get(lambda scene: f"/v1/devices/{scene.device}")),
        Benchmark(
            "variable",
            "GET /v1/devices/:id/counter, answered by a device over TCP",
            _get(lambda scene: f"/v1/devices/{scene.device}/counter"),
        ),
    )
}


NAMES: Final = tuple(BENCHMARKS)


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    benchmark = BENCHMARKS[name]
    setting = f"{benchmark.connections} connections"
    ours, hello = Row(name, setting, OURS, []), Row(name, setting, HELLO, [])
    run.steps.expect(run.rounds)
    run.steps.begin("starting a cloud and a device")
    with scene(run.folder) as here, Load() as load:
        for _ in range(run.rounds):
            run.steps.begin(benchmark.what)
            hello.rounds.append(
                of_sample(_slice(load, here.hello_url, here.hello_pid, _request("GET", "/"), benchmark, run))
            )
            ours.rounds.append(of_sample(_slice(load, here.url, here.pid, benchmark.request(here), benchmark, run)))
            run.steps.end()
    return Section(name, f"`{benchmark.what}`", _WHAT, [ours, hello], plotted=("cpu_us",))


_WHAT: Final = """
The clients are keep-alive connections that ask again as soon as they have their answer. *bare ASGI* answers 17 bytes on
uvicorn with the same httptools and uvloop: what any Python server of this kind would cost at least.
"""


def _slice(load: Load, url: str, pid: int, request: bytes, benchmark: Benchmark, run: Run) -> Sample:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    warm_up = run.seconds * _WARM_UP_SHARE
    order = Order(address.hostname, address.port, request, benchmark.connections, run.seconds, warm_up, pid)
    try:
        return load.run(order)
    except LoadFailed as error:
        raise LoadFailed(f"{benchmark.name}, {request.split(b' HTTP')[0].decode()}: {error}") from error
