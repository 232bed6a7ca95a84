"""What is measured: one request each, as a client of the API sends it."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from bench.scene import Scene


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


def hello_request() -> bytes:
    """What the yardstick is asked."""
    return _request("GET", "/")
