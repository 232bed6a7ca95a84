"""The load of events: Photons that publish confirmable events over TCP, several at a time, and count how each is
answered.

Runs as a process of its own, as `tcp_devices.py` does, and knows one more order: `events`. What is taken, what is
refused and what has no answer yet stands in `Crowd.taken` and in its Tally.
"""

import contextlib
import re
import select
import socket
import time
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from bench.load import LoadFailed, cpu_time
from bench.tcp_devices import Crowd as Photons
from bench.tcp_devices import Device, TcpDevices
from bench.udp_devices import PAUSE_S, Order, Tally, carry_out
from cloudchamber.wire import coap, messages
from cloudchamber.wire.tcp.device import DeviceConnection

EVENT: Final = "bench"
DATA_BYTES: Final = 100
WINDOW: Final = 4
"""Events of one device that are on their way: as many as firmware publishes at once."""

_WITHIN_S: Final = 120.0
_SUBSCRIBED_S: Final = 0.5
_HEARD: Final = re.compile(rb'"data":"(\d+) ')
_HEARD_BYTES: Final = 256 * 1024
_EMPTY_ACK: Final = 0x60
_BAD_REQUEST: Final = 0x80


class _Speaker(DeviceConnection):
    """Reads the answers to its events without its machine, so that the load costs less than the server."""

    __slots__ = ("answers", "waiting")

    answers: list[tuple[int, bool]]
    """Numbers of events, and whether each was taken."""
    waiting: dict[int, int]
    """The number of an event, by the id of its message."""

    def message_received(self, raw: bytes, now: float) -> None:
        number = self.waiting.pop(raw[2] << 8 | raw[3], None) if raw[0] & 0xF0 == _EMPTY_ACK else None
        if number is None:
            super().message_received(raw, now)
        else:
            self._heard_at, self._ping_deadline = now, None
            self.answers.append((number, raw[1] == 0))

    def say(self, number: int, *, is_private: bool) -> None:
        message_id = self._new_message_id()
        self.waiting[message_id] = number
        data = (b"%d " % number).ljust(DATA_BYTES, b"x")
        self._outbox.append(coap.encode(messages.device_event(message_id, EVENT, data, 60, is_private, True)))


class _Device(Device):
    __slots__ = ()

    def connected(self, server: rsa.RSAPublicKey) -> bool:
        if not super().connected(server):
            return False
        connection = _Speaker(setup=self._setup, device_key=self._key, server_key=server, now=time.monotonic())
        connection.answers, connection.waiting = [], {}
        self.connection = connection
        return True


class Crowd(Photons):
    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []
        """The numbers of the events that the server acknowledged, in the order of the acknowledgements."""
        self.refused: list[int] = []
        self._number = 0
        self._ear: socket.socket | None = None
        self._unheard: dict[int, _Speaker] = {}
        """Who said the event of a number that has not come on the stream."""
        self._rest = b""

    def run(self, order: Order) -> Tally:
        if order.what == "timed events":
            return self._timed(order)
        if order.what != "events":
            return super().run(order)
        if order.stream and self._ear is None:
            self._listen(*order.stream.split())
        cpu, own, started = cpu_time(order.server_pid), time.process_time(), time.perf_counter()
        taken, refused = len(self.taken), len(self.refused)
        if self._ear is None:
            self.publish(order.count, order.at_once)
        else:
            self._poll.register(self._ear, select.EPOLLIN)
            self.publish(order.count, order.at_once)
            self._poll.unregister(self._ear)
        took = time.perf_counter() - started
        cpu, own = cpu_time(order.server_pid) - cpu, time.process_time() - own
        done, failed = len(self.taken) - taken, len(self.refused) - refused
        if not done:
            raise LoadFailed(f"The server took none of {failed} events")
        return Tally(done, took, cpu, failed, {}, own)

    def _timed(self, order: Order) -> Tally:
        """One after the other, each some time after the last one's acknowledgement."""
        cpu, started = cpu_time(order.server_pid), time.perf_counter()
        latencies, refused = [], len(self.refused)
        for _ in range(order.count):
            said_at = time.perf_counter()
            self.speak(1, 1)
            while self.under_way:
                self.turn()
            latencies.append((time.perf_counter() - said_at) * 1e3)
            time.sleep(PAUSE_S)
        took, cpu = time.perf_counter() - started, cpu_time(order.server_pid) - cpu
        self.speak(0, 0)  # counts the last answer
        return Tally(order.count, took, cpu, len(self.refused) - refused, latencies_ms=sorted(latencies))

    def _listen(self, address: str, token: str) -> None:
        host, _, port = address.rpartition(":")
        self._ear = socket.create_connection((host, int(port)))
        head = f"GET /v1/events/{EVENT} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
        self._ear.sendall(head.encode())
        self._ear.setblocking(False)
        time.sleep(_SUBSCRIBED_S)

    def _hear(self) -> None:
        """What has come on the stream is answered."""
        assert self._ear is not None
        with contextlib.suppress(BlockingIOError):
            said = self._rest + self._ear.recv(_HEARD_BYTES)
            self._rest = said[said.rfind(b"\n") + 1 :]
            for found in _HEARD.findall(said, 0, len(said) - len(self._rest)):
                if speaker := self._unheard.pop(int(found), None):
                    speaker.answers.append((int(found), True))
                    speaker.waiting = {id_: each for id_, each in speaker.waiting.items() if each != int(found)}

    def publish(self, count: int, at_once: int, within_s: float = _WITHIN_S) -> None:
        """`count` events, until each has its answer; `at_once` of each device. Raises LoadFailed."""
        end = time.monotonic() + within_s
        said = answered = 0
        while answered < count:
            answered = self.speak(count - said, at_once)[1] + answered
            said = answered + self.under_way
            self._turn(end)

    @property
    def devices(self) -> int:
        """Those that are connected."""
        return len(self._devices)

    def turn(self) -> None:
        """Takes what has come, or waits a moment for it."""
        self._turn(time.monotonic() + _WITHIN_S)

    def close(self) -> None:
        for device in list(self._devices.values()):
            self._leave(device)
        self._poll.close()

    @property
    def under_way(self) -> int:
        return sum(len(connection.waiting) for _, connection in self._speakers())

    def speak(self, most: int, at_once: int) -> tuple[int, int]:
        """One round: counts answers, and says up to `most` events. Gives how many of both, the answers second."""
        now, said, answered = time.monotonic(), 0, 0
        if self._ear is not None:
            self._hear()
        for device, connection in self._speakers():
            answered += self._count(connection)
            room = min(at_once - len(connection.waiting), most - said)
            for _ in range(room):
                self._number += 1
                # An administrator's stream of spark-server has no private events of devices.
                connection.say(self._number, is_private=self._ear is None)
                if self._ear is not None:
                    self._unheard[self._number] = connection
                said += 1
            if room > 0:
                device.pump(now)
        return said, answered

    def _leave(self, device: Device) -> None:
        self._count(device.connection)
        super()._leave(device)

    def _count(self, connection: DeviceConnection | None) -> int:
        if not isinstance(connection, _Speaker):
            return 0
        answered = len(connection.answers)
        for number, is_taken in connection.answers:
            (self.taken if is_taken else self.refused).append(number)
        connection.answers.clear()
        return answered

    def _speakers(self) -> list[tuple[Device, _Speaker]]:
        both = ((device, device.connection) for device in self._devices.values())
        return [(device, connection) for device, connection in both if isinstance(connection, _Speaker)]

    def _make(self, number: int, order: Order, key: rsa.RSAPrivateKey) -> Device:
        return _Device(number, order, key)


class TcpPublishers(TcpDevices):
    """The process that carries out orders. Use it as a context manager."""

    module = "bench.tcp_events"


if __name__ == "__main__":
    carry_out(Crowd())
