"""The load over datagrams: devices of which each has a socket of its own, and works as fast as it is answered.

Runs as a process of its own (`python -m bench.udp_devices`, Orders on standard input, Tallies on standard output, a
line each). It is one loop around epoll, without asyncio, because the devices share the machine with the server.
"""

import gc
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key

from bench.load import LoadFailed, cpu_time
from cloudchamber.simulator.keys import server_key
from cloudchamber.wire.describe import Application
from cloudchamber.wire.dtls.client import ClientSetup, DtlsClient
from cloudchamber.wire.dtls.events import Delivered, Ended, Secured
from cloudchamber.wire.events import Closed, Connected, FunctionCalled, PublishAnswered, VariableAsked
from cloudchamber.wire.session.base import earliest
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.udp.device import DeviceDatagramConnection
from cloudchamber.wire.values import VariableType

FIRST_ID: Final = 0xB0000000000000000000_0000
ELECTRON: Final = 10
EVENT: Final = b"x" * 100
VARIABLE: Final = "counter"
FUNCTION: Final = "brew"
ANSWER: Final = 42
"""Of the function, and the variable's value."""

PAUSE_S: Final = 0.01
"""Between events of which each is timed."""

_DATAGRAM: Final = 2048
APPLICATION: Final = Application((FUNCTION,), {VARIABLE: VariableType.INT})
_WITHIN_S: Final = 240.0
_RANDOM: Final = slice(27, 59)
"""Where the random number of a ClientHello stands: behind the headers of record and message, and the version."""


class Order(msgspec.Struct, frozen=True):
    """`what`: `handshakes`, `online`, `exchange`, `events`, `timed events`, `speak`, `flood`, `echo`, or
    `hold` (see Crowd). `count` is
    how many of them are to be done, by `at_once` devices; of `events`, at once by each. `server_pid` is the process
    whose CPU time is read."""

    what: str
    host: str
    port: int
    server_pid: int
    count: int
    at_once: int
    server_key_file: str = ""
    product: int = 0
    first: int = 1
    """The number of the first device."""
    keys: str = ""
    """The folder of the devices' keys, where they share some."""
    stream: str = ""
    """`HOST:PORT TOKEN` of event streams, for a server that acknowledges no event: one is done when it comes there."""


class Tally(msgspec.Struct, frozen=True):
    done: int
    seconds: float
    server_cpu_seconds: float
    failed: int = 0
    """Beside those that are done, where a failure does not end the run."""
    reasons: dict[str, int] = {}
    own_cpu_seconds: float = 0.0
    latencies_ms: list[float] = []
    """In order: of handshakes, and where an order asks for them."""

    @property
    def cpu_us(self) -> float:
        """The server's CPU time for one, in microseconds, over all of its threads."""
        return self.server_cpu_seconds / self.done * 1e6

    @property
    def per_second(self) -> float:
        return self.done / self.seconds


class Device:
    """An Electron with Device OS 4.0.2."""

    def __init__(
        self, number: int, order: Order, key: EllipticCurvePublicKey, secured: Callable[["Device"], object] | None
    ) -> None:
        """`secured` is called when the handshake is done; None: the device goes on, and says Hello."""
        profile = PROFILES["4.0.2"]
        self.id = (FIRST_ID + number).to_bytes(12, "big")
        self.began = time.monotonic()
        self.socket = _socket(order)
        self.is_waiting = True
        self.under_way = self.refused = 0
        """Events of it: without an answer; refused."""
        self.deadline: float | None = None
        self._secured = secured
        own = generate_private_key(SECP256R1())
        self._setup = DeviceSetup(self.id, profile, APPLICATION, (), ELECTRON, order.product, 1)
        self.dtls = DtlsClient(ClientSetup(self.id, own, key), entropy=os.urandom, now=time.monotonic())
        self.session: DeviceDatagramConnection | None = None

    def receive(self) -> None:
        now = time.monotonic()
        while True:
            try:
                data = self.socket.recv(_DATAGRAM)
            except BlockingIOError:
                break
            self.dtls.receive_datagram(data, now)
        self.pump(now)

    def ring(self, now: float) -> None:
        self.dtls.handle_deadline(now)
        if self.session is not None:
            self.session.handle_deadline(now)
        self.pump(now)

    def pump(self, now: float) -> None:
        for event in self.dtls.events():
            match event:
                case Secured() if self._secured is not None:
                    self._secured(self)
                case Secured():
                    self.session = DeviceDatagramConnection(
                        setup=self._setup, draw=lambda: int.from_bytes(os.urandom(4)) / 2**32, now=now
                    )
                case Delivered(payload) if self.session is not None:
                    self.session.receive_message(payload, now)
                case Ended(reason, detail):
                    raise LoadFailed(f"A session ended: {reason.value} {detail}")
                case _:
                    pass
        if self.session is not None:
            for told in self.session.events():
                match told:
                    case Connected():
                        self._say(now)
                    case PublishAnswered(_, accepted):
                        self.under_way -= 1
                        self.refused += not accepted
                        self.is_waiting = self.under_way > 0
                    case VariableAsked(request, _):
                        self.session.answer_variable(request, ANSWER, now)
                    case FunctionCalled(request, _, _):
                        self.session.return_value(request, ANSWER, now)
                    case Closed(why, detail):
                        raise LoadFailed(f"A device closed its session: {why.value} {detail}")
                    case _:
                        pass
            for message in self.session.messages_to_send(now):
                self.dtls.send(message)
        for datagram in self.dtls.datagrams_to_send(now):
            self.socket.send(datagram)
        own = None if self.session is None else self.session.next_deadline()
        self.deadline = earliest(self.dtls.next_deadline(), own)

    def publish(self, now: float, count: int = 1) -> None:
        """Events. `is_waiting` until all are acknowledged."""
        for _ in range(count):
            self._say(now)
        self.pump(now)

    def _say(self, now: float) -> None:
        assert self.session is not None
        self.is_waiting = True
        self.under_way += 1
        self.session.publish("bench", EVENT, now, with_ack=True)


class Crowd:
    """Devices, and what is done with them. Those that came online by `online` stay for `exchange`, `events`, `speak`,
    `hold`."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._devices: dict[int, Device] = {}
        self._online: list[Device] = []
        self._serial = 0
        self._swept_at = 0.0
        self._latencies_ms: list[float] = []

    def run(self, order: Order) -> Tally:
        """Raises LoadFailed, OSError."""
        work = {
            "handshakes": self._handshakes,
            "online": self._come_online,
            "exchange": self._exchange,
            "events": self._events,
            "timed events": self._timed_events,
            "speak": self._speak,
            "hold": self._hold,
            "flood": _flood,
            "echo": _echo,
        }[order.what]
        cpu, own, started = cpu_time(order.server_pid), time.process_time(), time.perf_counter()
        refused = sum(device.refused for device in self._online)
        self._latencies_ms = []
        done = work(order)
        took = time.perf_counter() - started
        failed = sum(device.refused for device in self._online) - refused if "events" in order.what else 0
        cpu, own = cpu_time(order.server_pid) - cpu, time.process_time() - own
        return Tally(done - failed, took, cpu, failed, {}, own, sorted(self._latencies_ms))

    def _handshakes(self, order: Order) -> int:
        """Handshakes alone; nothing is said in the session."""
        key, done = _key(order), 0

        def secured(device: Device) -> None:
            nonlocal done
            done += 1
            over.append(device)

        over: list[Device] = []
        begun = 0
        end = time.monotonic() + _WITHIN_S
        while done < order.count:
            while begun < order.count and begun - done < order.at_once:
                self._begin(order, key, secured)
                begun += 1
            self._turn(end)
            for device in over:
                self._latencies_ms.append((time.monotonic() - device.began) * 1e3)
                self._leave(device)
            over.clear()
        return done

    def _come_online(self, order: Order) -> int:
        """From the first datagram until an event, which follows what a device says of itself, is acknowledged."""
        key, begun, end = _key(order), 0, time.monotonic() + _WITHIN_S
        coming: list[Device] = []
        done = 0
        while done < order.count:
            while begun < order.count and len(coming) < order.at_once:
                coming.append(self._begin(order, key, None))
                begun += 1
            self._turn(end)
            still = [device for device in coming if device.is_waiting]
            done += len(coming) - len(still)
            coming = still
        self._online = list(self._devices.values())
        return done

    def _exchange(self, order: Order) -> int:
        """Events of 100 bytes, each confirmed before the next one leaves."""
        devices, end = self._online[: order.at_once], time.monotonic() + _WITHIN_S
        done = 0
        while done < order.count:
            now = time.monotonic()
            for device in devices:
                if not device.is_waiting:
                    done += 1
                    device.publish(now)
            self._turn(end)
        while any(device.is_waiting for device in devices):
            self._turn(end)
        return done

    def _events(self, order: Order) -> int:
        """Events of 100 bytes, up to `at_once` of each device on their way."""
        end = time.monotonic() + _WITHIN_S
        said = answered = 0
        while answered < order.count:
            now = time.monotonic()
            for device in self._online:
                room = min(order.at_once - device.under_way, order.count - said)
                if room > 0:
                    device.publish(now, room)
                    said += room
            self._turn(end)
            answered = said - sum(device.under_way for device in self._online)
        return answered

    def _timed_events(self, order: Order) -> int:
        """Of one device, one after the other, each some time after the last one's acknowledgement."""
        (device,), end = self._online, time.monotonic() + _WITHIN_S
        for _ in range(order.count):
            said_at = time.perf_counter()
            device.publish(time.monotonic())
            while device.is_waiting:
                self._turn(end)
            self._latencies_ms.append((time.perf_counter() - said_at) * 1e3)
            time.sleep(PAUSE_S)
        return order.count

    def _speak(self, order: Order) -> int:
        """An event of each device, confirmed."""
        left, end = iter(self._online), time.monotonic() + _WITHIN_S
        speaking: list[Device] = []
        while True:
            speaking = [device for device in speaking if device.is_waiting]
            for device in islice(left, order.at_once - len(speaking)):
                device.publish(time.monotonic())
                speaking.append(device)
            if not speaking:
                return len(self._online)
            self._turn(end)

    def _hold(self, order: Order) -> int:
        """Answers what is asked until standard input has another order."""
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        # Real devices are no Python process, and never halt all together.
        gc.collect()
        gc.freeze()
        gc.disable()
        print("holding", flush=True)
        while self._turn(float("inf")):
            pass
        self._poll.unregister(sys.stdin.fileno())
        gc.enable()
        return order.count

    def _begin(self, order: Order, key: EllipticCurvePublicKey, secured: Callable[[Device], object] | None) -> Device:
        self._serial += 1
        device = Device(self._serial, order, key, secured)
        self._devices[device.socket.fileno()] = device
        self._poll.register(device.socket.fileno(), select.EPOLLIN)
        device.pump(time.monotonic())
        return device

    def _leave(self, device: Device) -> None:
        del self._devices[device.socket.fileno()]
        device.socket.close()

    def _turn(self, end: float) -> bool:
        """One round; False when standard input has something."""
        goes_on = True
        for descriptor, _ in self._poll.poll(0.2, 256):
            device = self._devices.get(descriptor)
            if device is None:
                goes_on = False
            else:
                device.receive()
        now = time.monotonic()
        if now >= end:
            raise LoadFailed(f"not done within {_WITHIN_S:g} s")
        if now >= self._swept_at + 0.5:
            self._swept_at = now
            for device in list(self._devices.values()):
                if device.deadline is not None and device.deadline <= now:
                    device.ring(now)
        return goes_on


def _flood(order: Order) -> int:
    """First ClientHellos, each with a random number of its own, from `at_once` ports, and never a cookie."""
    setup = ClientSetup(bytes(12), generate_private_key(SECP256R1()), _key(order))
    (hello,) = DtlsClient(setup, entropy=os.urandom, now=0.0).datagrams_to_send(0.0)

    def changed() -> bytes:
        return hello[: _RANDOM.start] + os.urandom(32) + hello[_RANDOM.stop :]

    return _ask_and_ask(order, changed)


def _echo(order: Order) -> int:
    return _ask_and_ask(order, lambda: EVENT)


def _ask_and_ask(order: Order, make: Callable[[], bytes]) -> int:
    """`count` questions, of which `at_once` are under way; a question that is not answered in time counts, too."""
    poll, done, begun, end = select.epoll(), 0, 0, time.monotonic() + _WITHIN_S
    sockets = {each.fileno(): each for each in (_socket(order) for _ in range(order.at_once))}
    for each in sockets.values():
        poll.register(each, select.EPOLLIN)
        each.send(make())
        begun += 1
    while done < order.count and time.monotonic() < end:
        ready = poll.poll(1.0)
        if not ready:
            raise LoadFailed(f"only {done} of {order.count} were answered")
        for descriptor, _ in ready:
            sockets[descriptor].recv(_DATAGRAM)
            done += 1
            if begun < order.count:
                sockets[descriptor].send(make())
                begun += 1
    for each in sockets.values():
        each.close()
    return done


def _socket(order: Order) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.connect((order.host, order.port))
    return made


def _key(order: Order) -> EllipticCurvePublicKey:
    key = server_key(Path(order.server_key_file), Transport.UDP).key
    assert isinstance(key, EllipticCurvePublicKey)
    return key


class Devices:
    """The process that carries out orders. Use it as a context manager."""

    module = "bench.udp_devices"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, order: Order) -> Tally:
        """Raises LoadFailed; no more orders are taken then."""
        self.begin(order)
        return self.end()

    def hold(self, order: Order) -> None:
        """As `run` of an order to hold; devices answer until the next order. Raises LoadFailed."""
        self.begin(order)
        self._line()

    def begin(self, order: Order) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def is_done(self) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def end(self) -> Tally:
        """Of what was begun. Raises LoadFailed."""
        return msgspec.json.decode(self._line(), type=Tally)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(self._process.stderr.read().decode(errors="replace").strip())
        return line


class Worker(Protocol):
    def run(self, order: Order) -> Tally: ...


def carry_out(crowd: Worker) -> None:
    """Orders of standard input, until it ends."""
    # Without a buffer: `hold` waits until there is something to be read.
    orders = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    for line in iter(orders.readline, b""):
        order = msgspec.json.decode(line, type=Order)
        try:
            tally = crowd.run(order)
        except (LoadFailed, OSError) as error:
            sys.exit(str(error))
        if order.what != "hold":
            sys.stdout.buffer.write(msgspec.json.encode(tally) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    carry_out(Crowd())
