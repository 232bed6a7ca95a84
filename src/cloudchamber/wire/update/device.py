"""A device's ends of both update protocols, habits included.

Legacy: a chunk with a wrong checksum is dropped without a word in the fast form, and answered with 4.00 in the slow
one; nothing else is ever said to a fast chunk, not even an acknowledgement. UpdateDone is acknowledged with 2.04 and
`{"r":0}`, or the device's complaint in its place (it restarts in either case); or with 4.00, and a report of what is
missing follows: a little more than arrived in the last flight, and at most 40.

Version 3: an acknowledgement every second chunk, 200 ms after one, and at once when something is missing, doubled or
complete. A chunk of a wrong size or number is answered with a reset and the end of the connection. What was received
in order stays after a lost connection, and a Start with the same SHA-256 goes on from there.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cloudchamber.wire.coap import Code, Message, Type, empty_ack
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import DeviceEvent, UpdateBegun, UpdateProgressed, UpdateRejected, UpdateTaken
from cloudchamber.wire.update import messages
from cloudchamber.wire.update.messages import Begin, Start, Started
from cloudchamber.wire.update.module import parse_module_untrusted

RECEIVE_WINDOW: Final = 128 * 1024
ACK_DELAY_S: Final = 0.2
ACK_EVERY: Final = 2
IDLE_TIMEOUT_S: Final = 300.0
MIN_REPORTED: Final = 2

MAX_FILE: Final = 16 * 1024 * 1024
"""What a simulated device holds; a real one has less."""

DISABLED: Final = -1380
VALIDATION_FAILED: Final = -1320
PROTOCOL: Final = -240
INVALID_STATE: Final = -210


@dataclass(frozen=True, slots=True)
class UpdateTraits:
    """How a device takes updates. `fast`: None obeys the cloud, else the device's own mind (legacy). `reports`: the
    most missing chunks that it names at once."""

    is_enabled: bool = True
    fast: bool | None = None
    reports: int = 40


@dataclass(frozen=True, slots=True)
class Partial:
    """What a device still has of a file: its first bytes, in order."""

    sha256: bytes
    data: bytes


class Port(NamedTuple):
    """A receiver's way to its session. `say_and_wait`: old releases hear nothing else until this is acknowledged.
    `break_off`: the connection ends with an error of the device."""

    say: Callable[[Message], object]
    say_and_wait: Callable[[Message], object]
    say_raw: Callable[[bytes], None]
    tell: Callable[[DeviceEvent], None]
    new_id: Callable[[], int]
    break_off: Callable[[str, float], None]


class LegacyReceiver:
    """From one UpdateBegin to the restart. A new one takes the place of an old one."""

    __slots__ = (
        "_begin",
        "_count",
        "_data",
        "_flight",
        "_has",
        "_is_fast",
        "_next",
        "_over_datagrams",
        "_port",
        "_traits",
        "is_over",
    )

    def __init__(self, begin: Begin, port: Port, traits: UpdateTraits, *, over_datagrams: bool) -> None:
        self._begin = begin
        self._port = port
        self._traits = traits
        self._over_datagrams = over_datagrams
        self._is_fast = begin.is_fast if traits.fast is None else traits.fast
        self._count = -(-begin.length // begin.chunk_size) if begin.chunk_size else 0
        self._data = bytearray(begin.length)
        # In the slow form nothing is ever missing: chunks come one by one.
        self._has = bytearray(b"\0" if self._is_fast else b"\1") * self._count
        self._next = 0
        self._flight = 0
        self.is_over = False

    @property
    def is_fast(self) -> bool:
        return self._is_fast

    def chunk(self, message: Message) -> None:
        try:
            found = messages.read_chunk_untrusted(message)
        except WireError:
            return
        self._flight += 1
        if found.index is None:
            self._port.say_raw(empty_ack(message.id))
        index = self._next if found.index is None else found.index
        if index >= self._count or (found.index is not None and self._has[index]):
            return
        if found.is_whole:
            at = index * self._begin.chunk_size
            size = min(len(found.data), self._begin.length - at)
            self._data[at : at + size] = found.data[:size]
            self._has[index] = 1
            self._next = index + 1
            self._port.tell(UpdateProgressed(min(self._next * self._begin.chunk_size, self._begin.length)))
        if found.index is None:
            answer = messages.chunk_answer(
                self._port.new_id(), message.token, is_whole=found.is_whole, confirmable=self._over_datagrams
            )
            self._port.say(answer)

    def done(self, message: Message, platform_id: int) -> None:
        missing = [index for index in range(self._count) if not self._has[index]]
        if missing:
            self._port.say(Message(Type.ACK, Code.BAD_REQUEST, message.id, message.token))
            if not self.is_over:
                self._report(missing)
            return
        complaint = _complaint(self._data, platform_id)
        result = b'{"r":%d}' % (VALIDATION_FAILED if complaint else 0)
        self._port.say(Message(Type.ACK, Code.CHANGED, message.id, message.token, (), result))
        if not self.is_over:
            self.is_over = True
            self._port.tell(UpdateRejected(complaint) if complaint else UpdateTaken(bytes(self._data)))

    def _report(self, missing: list[int]) -> None:
        growth = max(self._flight // 5, MIN_REPORTED)
        reported = missing[: min(self._flight + growth, self._traits.reports)]
        self._flight = 0
        self._port.say_and_wait(messages.chunks_missed(self._port.new_id(), reported, confirmable=self._over_datagrams))


class V3Receiver:
    """From one Start to the restart. A new one takes the place of an old one."""

    __slots__ = (
        "_base", "_cache", "_chunk_at", "_chunk_size", "_count", "_counters", "_data", "_had_gaps", "_later",
        "_offset", "_port", "_start", "_unacknowledged", "_window", "finish_id", "is_over",
    )  # fmt: skip

    def __init__(self, start: Start, kept: Partial | None, port: Port, now: float) -> None:
        self._start = start
        self._port = port
        self._data = bytearray()
        if kept is not None and start.sha256 is not None and kept.sha256 == start.sha256:
            self._data += kept.data[: start.size]
        self._offset = len(self._data)
        self._chunk_size = start.chunk_size
        self._count = -(-(start.size - self._offset) // self._chunk_size)
        self._window = RECEIVE_WINDOW // self._chunk_size
        self._base = 0
        self._later = 0
        self._cache: dict[int, bytes] = {}
        self._chunk_at = now
        self._unacknowledged = 0
        self._had_gaps = False
        self._counters = {"recv_chunks": 0, "dup_chunks": 0, "ooo_chunks": 0, "sent_acks": 0, "proc_time": 0}
        self.finish_id = -1
        """The message that says "all is well": when it is acknowledged, the device restarts."""
        self.is_over = False

    @property
    def answer(self) -> Started:
        return Started(self._window, self._offset)

    @property
    def begun(self) -> UpdateBegun:
        return UpdateBegun(self._start.size, self._offset)

    @property
    def partial(self) -> Partial | None:
        """What survives the connection; nothing without a hash."""
        if self._start.sha256 is None or self.is_over:
            return None
        return Partial(self._start.sha256, bytes(self._data))

    @property
    def taken(self) -> UpdateTaken:
        return UpdateTaken(bytes(self._data))

    def next_deadline(self) -> float:
        return self._chunk_at + (ACK_DELAY_S if self._unacknowledged else IDLE_TIMEOUT_S)

    def handle_deadline(self, now: float) -> None:
        if self.is_over or now < self.next_deadline():
            return
        if self._unacknowledged:
            self._acknowledge()
        else:
            self.is_over = True
            self._port.break_off("no chunk for five minutes", now)

    def chunk(self, message: Message, now: float) -> None:
        try:
            number = messages.read_v3_index_untrusted(message)
            self._check(message, number)
        except WireError as error:
            self._port.say(Message(Type.RST, Code.EMPTY, message.id))
            self._port.break_off(f"{error} (error 32)", now)
            return
        self._counters["recv_chunks"] += 1
        is_double = number <= self._base or number in self._cache
        if not is_double and number <= self._base + self._window:
            self._cache[number] = message.payload or b""
            self._later |= 1 << (number - self._base - 1)
            if number == self._base + 1:
                self._move_on()
            elif number - 1 not in self._cache:
                self._counters["ooo_chunks"] += 1
            self._port.tell(UpdateProgressed(len(self._data)))
        self._counters["dup_chunks"] += is_double
        has_gaps = self._later != 0
        self._unacknowledged += 1
        if (
            is_double
            or has_gaps
            or has_gaps != self._had_gaps
            or self._base == self._count
            or self._unacknowledged >= ACK_EVERY
            or now - self._chunk_at >= ACK_DELAY_S
        ):
            self._acknowledge()
        self._had_gaps = has_gaps
        self._chunk_at = now

    def _check(self, message: Message, number: int) -> None:
        size = len(message.payload or b"")
        if message.type != Type.NON or message.token or not 0 < number <= self._count:
            raise WireError("bad chunk")
        left = self._start.size - self._offset - (number - 1) * self._chunk_size
        if size != min(left, self._chunk_size):
            raise WireError("chunk of a wrong size")

    def _move_on(self) -> None:
        while self._later & 1:
            self._later >>= 1
            self._base += 1
            self._data += self._cache.pop(self._base)

    def _acknowledge(self) -> None:
        self._unacknowledged = 0
        self._counters["sent_acks"] += 1
        self._port.say(messages.acknowledgement(self._port.new_id(), self._base, self._later))

    def finish(self, message: Message, platform_id: int) -> None:
        """After its empty acknowledgement."""
        if message.option(messages.OtaOption.CANCEL) is not None:
            if message.option(messages.OtaOption.DISCARD) is not None:
                self._data.clear()
            self._port.say(
                messages.finished(self._port.new_id(), message.token, None, confirmable=message.type == Type.CON)
            )
            return
        complaint = "incomplete file transfer" if len(self._data) != self._start.size else ""
        complaint = complaint or _complaint(self._data, platform_id)
        if complaint:
            self.is_over = True
            refuse(self._port, message, Code.BAD_REQUEST, VALIDATION_FAILED, complaint)
            self._port.tell(UpdateRejected(complaint))
            return
        self.finish_id = self._port.new_id()
        statistics = json.dumps(self._counters, separators=(",", ":")).encode()
        self._port.say(
            messages.finished(self.finish_id, message.token, statistics, confirmable=message.type == Type.CON)
        )


def refuse(port: Port, message: Message, code: int, error: int, why: str, *, in_ack: bool = False) -> None:
    """`{"code":-n,"message":".."}`, as version 3 complains."""
    payload = json.dumps({"code": error, "message": why}, separators=(",", ":")).encode()
    kind, message_id = (Type.ACK, message.id) if in_ack else (message.type, port.new_id())
    port.say(Message(kind, code, message_id, message.token, (), payload))


def _complaint(data: bytearray, platform_id: int) -> str:
    """What is wrong with a file for this device; nothing, mostly."""
    try:
        module = parse_module_untrusted(bytes(data))
    except WireError as error:
        return str(error)
    return "" if module.platform_id == platform_id else f"made for platform {module.platform_id}"
