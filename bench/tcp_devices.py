"""The load over TCP: Photons of which each has a socket of its own, and works as fast as it is answered.

Runs as a process of its own, as `udp_devices.py` does, with its Orders and Tallies. One loop around epoll, and up to
ten thousand connections: source addresses 127.0.0.2 to 127.0.0.17 in turns, so that ports do not run out, and keys that
devices share, since making ten thousand would take longer than most runs.
"""

import gc
import heapq
import math
import os
import resource
import select
import socket
import sys
import time
from itertools import count
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from bench.load import LoadFailed, cpu_time
from bench.udp_devices import ANSWER, APPLICATION, FIRST_ID, Devices, Order, Tally, carry_out
from cloudchamber.simulator.keys import device_key, server_key
from cloudchamber.wire import coap, values
from cloudchamber.wire.coap import Code, Message, Type
from cloudchamber.wire.events import Closed, Connected
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from cloudchamber.wire.tcp.device import DeviceConnection
from cloudchamber.wire.transport import Transport

PHOTON: Final = 6
_PROFILE: Final = PROFILES["1.5.2"]
"""The newest that answers a description asked for in the older way, in which spark-server asks."""

_KEYS: Final = 16
_SOURCES: Final = 16
_WITHIN_S: Final = 600.0
_RUNG_AT_ONCE: Final = 8
_BYTES: Final = 4096
_ANSWER: Final = values.encode_int(ANSWER)
_VARIABLE: Final = b"\xb1v"
_FUNCTION: Final = b"\xb1f"
_BIND_WITHOUT_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen at the connect, where one in use to another peer will do."""


def shared_keys(folder: Path) -> list[rsa.RSAPrivateKey]:
    """Of all devices: number n has the one at n modulo their number. Made when they are missing, 0.1 s."""
    folder.mkdir(exist_ok=True)
    found = [device_key(folder, f"{number:02d}") for number in range(_KEYS)]
    return [key for key in found if isinstance(key, rsa.RSAPrivateKey)]


class _Photon(DeviceConnection):
    """Answers for its variable and its function at once and without its machine's detour over events, so that the load
    costs less than the servers. What goes over the wire is the same."""

    __slots__ = ()

    def message_received(self, raw: bytes, now: float) -> None:
        # `41 01|02 id T b1 76|66`, see `wire.messages`.
        if raw[0] == 0x41 and raw[5:7] in (_VARIABLE, _FUNCTION) and self._connected:
            self._heard_at, self._ping_deadline = now, None
            self._outbox.append(coap.empty_ack(raw[2] << 8 | raw[3]))
            code = Code.CONTENT if raw[1] == Code.GET else Code.CHANGED
            self._send(Message(Type.NON, code, self._new_message_id(), raw[4:5], (), _ANSWER))
        else:
            super().message_received(raw, now)


class _Stranger(DeviceConnection):
    """Shakes hands and says nothing."""

    __slots__ = ("is_secured",)

    def open_session(self, salt: bytes, now: float) -> None:
        self.is_secured = True


class Device:
    __slots__ = ("_key", "_order", "_setup", "at", "connection", "deadline", "is_done", "is_over", "socket", "why")

    def __init__(self, number: int, order: Order, key: rsa.RSAPrivateKey) -> None:
        self._order, self._key = order, key
        device_id = (FIRST_ID + number).to_bytes(12, "big")
        # It says nothing of updates: spark-server hands such events on to other devices of the owner, who answer it.
        self._setup = DeviceSetup(
            device_id, _PROFILE, APPLICATION, (), PHOTON, order.product, 1, tells_updates=False
        )  # fmt: skip
        self.connection: DeviceConnection | None = None
        self.deadline = time.monotonic() + _WITHIN_S
        self.at = math.inf
        """Where it stands among the others' deadlines."""
        self.is_done = self.is_over = False
        self.why = ""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, _BIND_WITHOUT_PORT, 1)
        self.socket.bind((f"127.0.0.{2 + number % _SOURCES}", 0))
        self.socket.connect_ex((order.host, order.port))

    def connected(self, server: rsa.RSAPublicKey) -> bool:
        """The socket says that it is, or that it failed."""
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._fail(os.strerror(number))
            return False
        make = _Stranger if self._order.what == "handshakes" else _Photon
        self.connection = make(
            setup=self._setup, device_key=self._key, server_key=server, now=time.monotonic(), first_token=0
        )
        if isinstance(self.connection, _Stranger):
            self.connection.is_secured = False
        # The cloud speaks first: who was forgotten in the kernel's queue would wait for ever.
        self.deadline = self.connection.next_deadline() or self.deadline
        return True

    def receive(self) -> None:
        connection, now = self.connection, time.monotonic()
        assert connection is not None
        try:
            data = self.socket.recv(_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(str(error))
            return
        if data:
            connection.receive(data, now)
        else:
            connection.receive_eof(now)
        self.pump(now)

    def ring(self, now: float) -> None:
        if self.connection is None:
            self._fail("no connection")
            return
        self.connection.handle_deadline(now)
        self.pump(now)

    def pump(self, now: float) -> None:
        connection = self.connection
        assert connection is not None
        for event in connection.events():
            if isinstance(event, Connected):
                self.is_done = True
            elif isinstance(event, Closed):
                self._fail(f"{event.reason.value} {event.detail}")
                return
        if isinstance(connection, _Stranger):
            self.is_done = connection.is_secured
        data = connection.data_to_send(now)
        if data:
            try:
                self.socket.send(data)
            except OSError as error:
                self._fail(str(error))
                return
        self.deadline = connection.next_deadline() or now + _WITHIN_S

    def _fail(self, why: str) -> None:
        self.is_over, self.why = True, why


class Crowd:
    """`handshakes`: until the session's keys are there; `hellos`: until the cloud's Hello; both then leave. `online`:
    as `hellos`, and they stay. `hold`: those who stayed answer what is asked until there is another order."""

    def __init__(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._poll = select.epoll()
        self._devices: dict[int, Device] = {}
        self._keys: list[rsa.RSAPrivateKey] = []
        self._server: rsa.RSAPublicKey | None = None
        self._due: list[tuple[float, int, Device]] = []
        self._places = count()
        self._reasons: dict[str, int] = {}
        self._latencies_ms: list[float] = []

    def run(self, order: Order) -> Tally:
        """Raises LoadFailed, OSError."""
        if order.server_key_file:
            key = server_key(Path(order.server_key_file), Transport.TCP).key
            assert isinstance(key, rsa.RSAPublicKey)
            self._server = key
        if order.keys:
            self._keys = shared_keys(Path(order.keys))
        self._reasons.clear()
        cpu, own, started = cpu_time(order.server_pid), time.process_time(), time.perf_counter()
        self._latencies_ms = []
        done, failed = self._hold() if order.what == "hold" else self._connect(order, stay=order.what == "online")
        took = time.perf_counter() - started
        cpu, own = cpu_time(order.server_pid) - cpu, time.process_time() - own
        return Tally(done, took, cpu, failed, dict(self._reasons), own, sorted(self._latencies_ms))

    def _connect(self, order: Order, *, stay: bool) -> tuple[int, int]:
        begun = done = failed = 0
        coming: dict[Device, float] = {}
        end = time.monotonic() + _WITHIN_S
        while done + failed < order.count:
            while begun < order.count and len(coming) < order.at_once:
                began = time.monotonic()
                coming[self._begin(order.first + begun, order)] = began
                begun += 1
            for device in self._turn(end):
                if device not in coming or not (device.is_done or device.is_over):
                    continue
                began = coming.pop(device)
                if device.is_done and not device.is_over:
                    done += 1
                    self._latencies_ms.append((time.monotonic() - began) * 1e3)
                else:
                    failed += 1
                if not stay and not device.is_over:
                    self._leave(device)
        return done, failed

    def _hold(self) -> tuple[int, int]:
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        # Real devices are no Python process, and never halt all together.
        gc.collect()
        gc.freeze()
        gc.disable()
        print("holding", flush=True)
        try:
            while self._turn(float("inf")) is not _ORDERED:
                pass
        finally:
            self._poll.unregister(sys.stdin.fileno())
            gc.enable()
        return len(self._devices), 0

    def _begin(self, number: int, order: Order) -> Device:
        device = self._make(number, order, self._keys[number % _KEYS])
        self._devices[device.socket.fileno()] = device
        self._set(device)
        self._poll.register(device.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return device

    def _make(self, number: int, order: Order, key: rsa.RSAPrivateKey) -> Device:
        return Device(number, order, key)

    def _leave(self, device: Device) -> None:
        del self._devices[device.socket.fileno()]
        device.socket.close()

    def _turn(self, end: float) -> "list[Device]":
        """Those to whom something happened; `_ORDERED` when standard input has something."""
        touched: list[Device] = []
        is_ordered = False
        is_behind = bool(self._due) and self._due[0][0] <= time.monotonic()
        for descriptor, _ in self._poll.poll(0.0 if is_behind else 0.1, 256):
            device = self._devices.get(descriptor)
            if device is None:
                is_ordered = True
                continue
            if device.connection is None:
                assert self._server is not None
                if device.connected(self._server):
                    self._poll.modify(descriptor, select.EPOLLIN)
            else:
                device.receive()
            touched.append(device)
        now = time.monotonic()
        if now >= end:
            raise LoadFailed(f"not done within {_WITHIN_S:g} s")
        touched += self._ring(now)
        for device in touched:
            self._set(device)
            if device.is_over and self._devices.get(device.socket.fileno()) is device:
                self._reasons[device.why] = self._reasons.get(device.why, 0) + 1
                self._leave(device)
        return _ORDERED if is_ordered else touched

    def _set(self, device: Device) -> None:
        """Where a deadline has moved away, the place stays, and is looked at again."""
        if device.deadline < device.at:
            device.at = device.deadline
            heapq.heappush(self._due, (device.at, next(self._places), device))

    def _ring(self, now: float) -> list[Device]:
        """Few at a time, so that no device's answer waits for the pings of many others."""
        rung: list[Device] = []
        while self._due and self._due[0][0] <= now and len(rung) < _RUNG_AT_ONCE:
            at, _, device = heapq.heappop(self._due)
            if at != device.at or device.is_over:
                continue
            device.at = math.inf
            if device.deadline <= now:
                device.ring(now)
                rung.append(device)
            else:
                self._set(device)
        return rung


_ORDERED: Final[list[Device]] = []


class TcpDevices(Devices):
    """The process that carries out orders. Use it as a context manager."""

    module = "bench.tcp_devices"


if __name__ == "__main__":
    carry_out(Crowd())
