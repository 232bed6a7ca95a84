"""The load: a closed loop of keep-alive connections, each of which asks again as soon as it has its answer.

Runs as a process of its own (`python -m bench.load`, Orders on standard input, Samples on standard output, a line
each), so that its work is not counted as the server's. A protocol on the bare socket and not an HTTP client, because
any of those costs more for each request than the servers that it is to measure.
"""

import asyncio
import subprocess
import sys
import time
from array import array
from typing import Final, cast

import msgspec
import uvloop

_END_OF_HEADERS: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class LoadFailed(Exception):
    """The server answered something other than 200, or hung up."""


class Order(msgspec.Struct, frozen=True):
    """`request` is sent as it is. `server_pid` is the process whose CPU time is read."""

    host: str
    port: int
    request: bytes
    connections: int
    seconds: float
    warm_up_seconds: float
    server_pid: int


class Sample(msgspec.Struct, frozen=True):
    """What one slice of time gave. Latencies are from the request's last byte to the answer's last, `corrected`."""

    requests: int
    seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    failed: int = 0
    """Beside the `requests`, where a failure does not end the run."""

    @property
    def cpu_us(self) -> float:
        """The server's CPU time for one request, in microseconds, over all of its threads."""
        return self.server_cpu_seconds / self.requests * 1e6

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def is_whole(answer: bytes) -> bool:
    """Whether all of an answer that has a Content-Length, or no body, has come."""
    head = answer.find(_END_OF_HEADERS)
    if head < 0:
        return False
    found = answer.find(_LENGTH, 0, head)
    if found < 0:
        found = answer.lower().find(_LENGTH, 0, head)
    length = int(answer[found + len(_LENGTH) : answer.find(b"\r", found)]) if found >= 0 else 0
    return len(answer) >= head + len(_END_OF_HEADERS) + length


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, failed: "asyncio.Future[None]") -> None:
        self.latencies = array("d")
        self._request = request
        self._failed = failed
        self._buffer = b""
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        self._ask()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not is_whole(buffer):
            return
        if not buffer.startswith(b"HTTP/1.1 200 "):
            self._fail(f"The server answered {buffer[:500].decode(errors='replace')}")
            return
        self._buffer = b""
        self.latencies.append(time.perf_counter() - self._asked_at)
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"The server closed the connection: {error}")

    def close(self) -> None:
        self._transport.abort()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, message: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(LoadFailed(message))


def cpu_time(pid: int) -> float:
    """CPU seconds of all threads of a process since its start, to the nanosecond.

    This is what clock_getcpuclockid(3) gives on Linux, which Python has no function for; the tick counts in /proc
    are a thousand times coarser than a slice needs.
    """
    return time.clock_gettime((~pid << 3) | 2)


async def run(order: Order) -> Sample:
    """Raises LoadFailed."""
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    clients = []
    for _ in range(order.connections):
        _, client = await loop.create_connection(lambda: _Client(order.request, failed), order.host, order.port)
        clients.append(client)
    await _let_run(order.warm_up_seconds, failed)
    for client in clients:
        client.latencies = array("d")
    cpu, own, started = cpu_time(order.server_pid), time.process_time(), time.perf_counter()
    await _let_run(order.seconds, failed)
    cpu, own, took = (
        cpu_time(order.server_pid) - cpu,
        time.process_time() - own,
        time.perf_counter() - started,
    )
    latencies = sorted(latency for client in clients for latency in client.latencies)
    failed.cancel()  # nothing from here on is a failure
    for client in clients:
        client.close()
    if not latencies:
        raise LoadFailed(f"The server answered nothing within {order.seconds} s")
    told = corrected(latencies, took * len(clients) / len(latencies))
    p50, p99, p999 = (at(told, share) * 1e3 for share in (0.50, 0.99, 0.999))
    return Sample(len(latencies), took, cpu, own, p50, p99, p999)


async def _let_run(seconds: float, failed: "asyncio.Future[None]") -> None:
    done, _ = await asyncio.wait([failed], timeout=seconds)
    for future in done:
        future.result()


def corrected(ordered: list[float], interval: float) -> list[float]:
    """Latencies, in order, and what else would have been asked while a client waited for long: as many more as there
    are `interval`s in a latency, each less by one. So does wrk, for a closed loop that stands still says nothing of it
    but once."""
    more = []
    for latency in reversed(ordered):
        if latency < 2 * interval or interval <= 0:
            break
        missed = latency - interval
        while missed > interval:
            more.append(missed)
            missed -= interval
    return sorted(ordered + more)


def at(ordered: list[float], share: float) -> float:
    """The quantile of figures in order."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Load:
    """The process that carries out orders. Use it as a context manager."""

    def __enter__(self) -> "Load":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.communicate()

    def run(self, order: Order) -> Sample:
        """Raises LoadFailed; no more orders are taken then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise LoadFailed(self._process.stderr.read().decode(errors="replace").strip())
        return msgspec.json.decode(answer, type=Sample)


def main() -> None:
    for line in sys.stdin.buffer:
        try:
            sample = uvloop.run(run(msgspec.json.decode(line, type=Order)))
        except (LoadFailed, OSError) as error:
            sys.exit(str(error))
        sys.stdout.buffer.write(msgspec.json.encode(sample) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
