"""The load of event streams: listeners and publishers on bare sockets, whatever protocol their bytes are of.

Runs as a process of its own (`python -m bench.listeners`): the first line on standard input is Ears, each further one a
Slice, each of which is answered by Heard, a line each. It is one loop around epoll that counts bytes, because parsing
would make it slower than the servers that it is to measure: all events of a slice have frames of one size, which one
event tells beforehand, and at the end of each slice every listener must have got every event, whole.
"""

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections import deque
from typing import Final

import msgspec

from bench.load import LoadFailed, at, cpu_time

PAYLOAD: Final = 100
"""Bytes of an event's data."""

_STAMP: Final = re.compile(rb"@(\d{19})")
_QUIET_S: Final = 0.3
_WITHIN_S: Final = 30.0
_OK: Final = b"HTTP/1.1 200 "


class Ears(msgspec.Struct, frozen=True):
    """Who listens and who publishes. A listener sends one of `subscribe` in turn and then waits for `ready`, a
    publisher `hello` and `welcome`, where they are not empty."""

    host: str
    port: int
    server_pid: int
    listeners: int
    subscribe: list[bytes]
    ready: bytes
    publishers: int
    hello: bytes
    welcome: bytes
    before: bytes
    """What a publication is, around its PAYLOAD, which holds the time of its sending."""
    after: bytes
    is_answered: bool
    """Over HTTP each publication has an answer, and a connection publishes again once it has it."""
    quiet_after_s: float = 0.0
    """So long after its beginning a connection says something by itself at last, or listens for certain."""
    begins_with_an_event: bool = False
    """A stream's first bytes are its first event's."""


class Slice(msgspec.Struct, frozen=True):
    """`rate` in events per second; 0: as fast as it goes, with `window` events at most on their way."""

    seconds: float
    rate: float = 0.0
    window: int = 64


class Heard(msgspec.Struct, frozen=True):
    """A delivery is one event at one listener. Latencies are from the sending of a publication to its arrival."""

    published: int
    deliveries: int
    seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class Crowd:
    def __init__(self, ears: Ears) -> None:
        """Raises LoadFailed, OSError."""
        self._ears = ears
        self._poll = select.epoll()
        self._buffer = bytearray(256 * 1024)
        self._view = memoryview(self._buffer)
        self._listeners: dict[int, socket.socket] = {}
        for number in range(ears.listeners):
            said = ears.subscribe[number % len(ears.subscribe)]
            each = _connected(ears, said, ears.ready)
            self._listeners[each.fileno()] = each
            self._poll.register(each, select.EPOLLIN)
        self._publishers = {each.fileno(): each for each in (self._publisher() for _ in range(ears.publishers))}
        self._free = deque(self._publishers.values())
        for descriptor in self._publishers:
            self._poll.register(descriptor, select.EPOLLIN)
        self._received = 0
        self._latencies: list[float] = []
        self._frame_size = self._calibrated()

    def run(self, order: Slice) -> Heard:
        """Raises LoadFailed, OSError."""
        pid = self._ears.server_pid
        self._turn(0.0, is_timed=False)  # what keeps streams alive, and publishers that were hung up on meanwhile
        self._received, self._latencies = 0, []
        cpu, own, started = cpu_time(pid), time.process_time(), time.perf_counter()
        published = self._paced(order) if order.rate else self._flat_out(order)
        deliveries = published * len(self._listeners)
        took = time.perf_counter() - started
        cpu, own = cpu_time(pid) - cpu, time.process_time() - own
        if self._received != deliveries * self._frame_size:
            raise LoadFailed(f"{self._received} bytes came of {deliveries} deliveries of {self._frame_size} bytes each")
        latencies = sorted(self._latencies)
        if not latencies:
            return Heard(published, deliveries, took, cpu, own)
        return Heard(published, deliveries, took, cpu, own, at(latencies, 0.50) * 1e3, at(latencies, 0.99) * 1e3)

    def _flat_out(self, order: Slice) -> int:
        published, each = 0, len(self._listeners) * self._frame_size
        end = time.perf_counter() + order.seconds
        while time.perf_counter() < end:
            under_way = published - self._received // each
            while self._free and under_way < order.window:
                self._publish()
                published += 1
                under_way += 1
            self._turn(0.1, is_timed=False)
        self._rest(published * each, is_timed=False)
        return published

    def _paced(self, order: Slice) -> int:
        published, each = 0, len(self._listeners) * self._frame_size
        started = time.perf_counter()
        while (passed := time.perf_counter() - started) < order.seconds:
            due = int(passed * order.rate) + 1
            while published < due and self._free:
                self._publish()
                published += 1
            left = started + published / order.rate - time.perf_counter()
            self._turn(max(0.0, left), is_timed=True)
        self._rest(published * each, is_timed=True)
        return published

    def _rest(self, expected: int, *, is_timed: bool) -> None:
        end = time.perf_counter() + _WITHIN_S
        while self._received < expected or len(self._free) < len(self._publishers):
            self._turn(0.1, is_timed=is_timed)
            if time.perf_counter() > end:
                raise LoadFailed(f"of {expected} bytes only {self._received} came within {_WITHIN_S:g} s")

    def _turn(self, wait_s: float, *, is_timed: bool) -> None:
        listeners, buffer = self._listeners, self._buffer
        for descriptor, _ in self._poll.poll(wait_s, 2048):
            listener = listeners.get(descriptor)
            if listener is None:
                self._answered(self._publishers[descriptor])
                continue
            size = listener.recv_into(buffer)
            if not size:
                raise LoadFailed("The server ended a stream")
            self._received += size
            if is_timed:
                now = time.monotonic_ns()
                self._latencies += [(now - int(said)) / 1e9 for said in _STAMP.findall(self._view[:size])]

    def _publish(self) -> None:
        ears = self._ears
        publisher = self._free.popleft()
        publisher.sendall(ears.before + (b"@%019d" % time.monotonic_ns()).ljust(PAYLOAD, b"x") + ears.after)
        if not ears.is_answered:
            self._free.append(publisher)

    def _answered(self, publisher: socket.socket) -> None:
        size = publisher.recv_into(self._buffer)
        if not size and publisher in self._free:
            self._replace(publisher)
            return
        if not size:
            raise LoadFailed("The server closed a publisher's connection")
        if not self._ears.is_answered:
            return
        answer = self._buffer[:size]
        if not answer.startswith(_OK):
            raise LoadFailed(f"The server answered {answer[:500].decode(errors='replace')}")
        self._free.append(publisher)

    def _replace(self, publisher: socket.socket) -> None:
        """A server may hang up on who is idle."""
        self._free.remove(publisher)
        del self._publishers[publisher.fileno()]
        publisher.close()
        new = self._publisher()
        self._publishers[new.fileno()] = new
        self._poll.register(new, select.EPOLLIN)
        self._free.append(new)

    def _publisher(self) -> socket.socket:
        return _connected(self._ears, self._ears.hello, self._ears.welcome)

    def _calibrated(self) -> int:
        """The size of a frame: what comes of one event when all is quiet. Raises LoadFailed."""
        time.sleep(self._ears.quiet_after_s)
        if self._ears.begins_with_an_event:
            self._publish()
        self._quiet()
        self._received = 0
        self._publish()
        end = time.perf_counter() + _WITHIN_S
        while not self._received and time.perf_counter() < end:
            self._turn(_QUIET_S, is_timed=False)
        self._quiet()
        size, rest = divmod(self._received, len(self._listeners))
        if not size or rest:
            raise LoadFailed(f"one event gave {self._received} bytes at {len(self._listeners)} listeners")
        return size

    def _quiet(self) -> None:
        end = time.perf_counter() + _QUIET_S
        before = -1
        while time.perf_counter() < end or before != self._received:
            before = self._received
            self._turn(_QUIET_S / 3, is_timed=False)


def _connected(ears: Ears, said: bytes, wanted: bytes) -> socket.socket:
    made = socket.create_connection((ears.host, ears.port), timeout=_WITHIN_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.sendall(said)
    got = b""
    while wanted not in got:
        piece = made.recv(65536)
        got += piece
        if not piece:
            raise LoadFailed(f"The server ended a connection that has just begun: {got[:500].decode(errors='replace')}")
    return made


class Listeners:
    """The process with the crowd. Use it as a context manager."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    def __enter__(self) -> "Listeners":
        """Returns when all of them listen. Raises LoadFailed."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.listeners"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            self._say(self._ears)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, order: Slice) -> Heard:
        """Raises LoadFailed; no more orders are taken then."""
        return msgspec.json.decode(self._say(order), type=Heard)

    def _say(self, what: msgspec.Struct) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(self._process.stderr.read().decode(errors="replace").strip())
        return line


def main() -> None:
    lines = iter(sys.stdin.buffer.readline, b"")
    try:
        crowd = Crowd(msgspec.json.decode(next(lines), type=Ears))
        print("listening", flush=True)
        for line in lines:
            heard = crowd.run(msgspec.json.decode(line, type=Slice))
            os.write(1, msgspec.json.encode(heard) + b"\n")
    except (LoadFailed, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
