"""Load that is not a server's whole work: clients that ask at their own pace, or as fast as they can, and take any
answer; and one that publishes events and listens for them.

Runs as a process of its own (`python -m bench.paced`, Orders on standard input, Tallies on standard output, a line
each). Each connection comes from an address of its own in 127.0.0.0/8, because limits count by address.
"""

import asyncio
import functools
import itertools
import os
import subprocess
import sys
import time
from array import array
from collections import Counter
from typing import Final, cast

import msgspec
import uvloop

from bench.load import LoadFailed, at, corrected, cpu_time, is_whole

_STATUS: Final = slice(9, 12)
_OPENED_WITHIN_S: Final = 10.0
_DATA: Final = b"data=no-"
"""Before the number of an event in a webhook's form; the data of such an event are `no-NUMBER`."""
_NUMBER: Final = b"%%%%"
"""In an event's request it stands for a number of as many digits."""


class Order(msgspec.Struct, frozen=True):
    """`pause_s` lies between an answer and the next question. With `stream`, a request for an event stream, `request`
    publishes events, and what is timed ends when the event arrives on the stream. `first_address` is the number of the
    first connection's address. `until_closed`: not for `seconds`, but until standard input ends."""

    host: str
    port: int
    request: bytes
    connections: int
    seconds: float
    pause_s: float
    server_pid: int
    first_address: int
    stream: bytes = b""
    hook_port: int = 0
    """In place of a stream: events come by POST to this port of this machine, which answers at once."""
    until_closed: bool = False


class Tally(msgspec.Struct, frozen=True):
    """`answers` counts by status; latencies are of those with 200, in ms, see `load.corrected`."""

    answers: dict[str, int]
    seconds: float
    server_cpu_seconds: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0

    @property
    def good(self) -> int:
        return self.answers.get("200", 0)

    @property
    def failed(self) -> float:
        """In per cent."""
        total = sum(self.answers.values())
        return 100.0 * (total - self.good) / total if total else 0.0


class _Client(asyncio.Protocol):
    def __init__(self, order: Order, answers: "Counter[str]", latencies: "array[float]") -> None:
        self._loop = asyncio.get_running_loop()
        self._order = order
        self._answers = answers
        self._latencies = latencies
        self._buffer = b""
        self._asked_at = 0.0
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not is_whole(buffer):
            return
        status = buffer[_STATUS].decode()
        self._buffer = b""
        self._answers[status] += 1
        if status == "200":
            self._latencies.append(time.perf_counter() - self._asked_at)
        if self._order.pause_s:
            self._loop.call_later(self._order.pause_s, self._ask)
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_over:
            self._answers["closed"] += 1

    def close(self) -> None:
        self.is_over = True
        self._transport.abort()

    def _ask(self) -> None:
        if not self._transport.is_closing():
            self._asked_at = time.perf_counter()
            self._transport.write(self._order.request)


class _Stream(asyncio.Protocol):
    """Publishes on one connection when the last event has come on another."""

    def __init__(self, order: Order, answers: "Counter[str]", latencies: "array[float]") -> None:
        self._loop = asyncio.get_running_loop()
        self._order = order
        self._answers = answers
        self._latencies = latencies
        self._buffer = b""
        self._numbers = itertools.count()
        self._wanted = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.publisher: asyncio.Transport | None = None
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._order.stream)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            if self._buffer.startswith(b"HTTP/1.1 ") and not self._buffer.startswith(b"HTTP/1.1 200"):
                self.opened.set_exception(LoadFailed(f"No stream: {self._buffer[:300].decode(errors='replace')}"))
            elif b":ok" in self._buffer:
                self.opened.set_result(None)
                self._buffer = b""
        elif self.hear(self._buffer):
            self._buffer = b""

    def hear(self, said: bytes) -> bool:
        """Whether it is the event that is waited for."""
        if not self._wanted or self._wanted not in said:
            return False
        self._answers["200"] += 1
        self._latencies.append(time.perf_counter() - self._asked_at)
        self._wanted = b""
        self._loop.call_later(self._order.pause_s, self.publish)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_over:
            self._answers["closed"] += 1

    def publish(self) -> None:
        if self.publisher is not None and not self.publisher.is_closing():
            number = b"%04d" % (next(self._numbers) % 10_000)
            self._wanted = (b'"data":"' if self._order.stream else _DATA) + number
            self._asked_at = time.perf_counter()
            self.publisher.write(self._order.request.replace(_NUMBER, number))

    def close(self) -> None:
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()
        if self.publisher is not None:
            self.publisher.abort()


class _Hook(asyncio.Protocol):
    """A connection of the server's, over which it posts events."""

    def __init__(self, heard: _Stream) -> None:
        self._heard = heard
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if is_whole(self._buffer):
            self._heard.hear(self._buffer)
            self._buffer = b""
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


class _Publisher(asyncio.Protocol):
    """Its answers are of no interest: what counts comes on the stream."""


async def run(order: Order) -> Tally:
    """Raises LoadFailed."""
    loop = asyncio.get_running_loop()
    answers, latencies = Counter[str](), array("d")
    clients: list[_Client | _Stream] = []
    hooks: asyncio.Server | None = None
    addresses = itertools.count(order.first_address)
    for _ in range(order.connections):
        if order.stream or order.hook_port:
            stream = _Stream(order, answers, latencies)
            if order.hook_port:
                hooks = await loop.create_server(functools.partial(_Hook, stream), "127.0.0.1", order.hook_port)
                stream.opened.set_result(None)
            else:
                await loop.create_connection(
                    functools.partial(_same, stream), order.host, order.port, local_addr=(_address(next(addresses)), 0)
                )
            publisher, _ = await loop.create_connection(
                _Publisher, order.host, order.port, local_addr=(_address(next(addresses)), 0)
            )
            async with asyncio.timeout(_OPENED_WITHIN_S):
                await stream.opened
            stream.publisher = publisher
            stream.publish()
            clients.append(stream)
        else:
            _, client = await loop.create_connection(
                lambda: _Client(order, answers, latencies),
                order.host,
                order.port,
                local_addr=(_address(next(addresses)), 0),
            )
            clients.append(client)
    cpu, started = cpu_time(order.server_pid), time.perf_counter()
    if order.until_closed:
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(sys.stdin.fileno(), _end, ended)
        await ended
        loop.remove_reader(sys.stdin.fileno())
        os.set_blocking(sys.stdin.fileno(), True)  # as the loop found it
    else:
        await asyncio.sleep(order.seconds)
    took, cpu = time.perf_counter() - started, cpu_time(order.server_pid) - cpu
    for each in clients:
        each.close()
    if hooks is not None:
        hooks.close()
    return Tally(dict(answers), took, cpu, *quantiles_ms([latency * 1e3 for latency in latencies], order.pause_s * 1e3))


def quantiles_ms(latencies: list[float], pause: float) -> list[float]:
    """p50, p99 and p99.9 of what is asked again some time after each answer, `corrected`; none of nothing."""
    if not latencies:
        return []
    ordered = sorted(latencies)
    told = corrected(ordered, pause + at(ordered, 0.5))
    return [at(told, share) for share in (0.5, 0.99, 0.999)]


def _same(protocol: asyncio.Protocol) -> asyncio.Protocol:
    return protocol


def _end(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)


def _address(number: int) -> str:
    """127.1.0.1 and up."""
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


class Paced:
    """The process that carries out orders. Use it as a context manager."""

    def __enter__(self) -> "Paced":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.paced"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.communicate()

    def begin(self, order: Order) -> None:
        """Raises LoadFailed."""
        self._write(msgspec.json.encode(order))

    def end(self) -> Tally:
        """Ends what runs until it is ended. Raises LoadFailed."""
        self._write(b"")
        return self.result()

    def result(self) -> Tally:
        """Raises LoadFailed; no more orders are taken then."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise LoadFailed(self._process.stderr.read().decode(errors="replace").strip())
        return msgspec.json.decode(answer, type=Tally)

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.result()
            raise

    def run(self, order: Order) -> Tally:
        """Raises LoadFailed."""
        self.begin(order)
        return self.result()


def main() -> None:
    # No buffering: what comes after an order's line is the end of that order.
    source = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    while line := source.readline():
        if line == b"\n":
            continue
        try:
            tally = uvloop.run(run(msgspec.json.decode(line, type=Order)))
        except (LoadFailed, OSError, TimeoutError) as error:
            sys.exit(f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(tally) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
