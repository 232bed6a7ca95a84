"""The cloud's end of the legacy update protocol.

    BEGINNING --UpdateReady--> SENDING --all sent--> ENDING --2.04--> over
                                  ^                    |
                                  +----ChunkMissed-----+  (4.00)

Fast: chunks carry their numbers and are never answered; what got lost is reported after UpdateDone, up to 40 numbers at
a time. Slow (the device's choice): one chunk at a time, each answered with 2.04, or with 4.00 when its checksum is
wrong. A device counts slow chunks by itself, so none may be sent twice.

Over datagrams nothing holds a fast sender back but itself. It begins at a rate that a cellular modem takes, and slows
down while much of what it sends is lost. A report names the first that are missing, and no more than a fifth (at least
two) beyond what came since the last one: only those of them that were just sent tell of the network.

Before 2.0 a device that said UpdateReady or reported drops everything but the acknowledgement of that (chunks, and our
UpdateDone), so it had better arrive: `awaits`.

A 2.04 to UpdateDone says that the device has it all; releases from 0.8 on say so before they check the module. Whether
it runs is known when the device comes back.
"""

import re
from enum import Enum, auto
from typing import Final

from cloudchamber.wire.coap import Code, Message, Type
from cloudchamber.wire.events import Refused, TimedOut, Updated, UpdateFailed
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update import messages
from cloudchamber.wire.update.messages import Begin
from cloudchamber.wire.update.sending import BURST, Image, Outlet, Sender

READY_TIMEOUT_S: Final = 60.0
"""A Photon erases the room for the file first, which takes seconds."""
DATAGRAM_READY_TIMEOUT_S: Final = 90.0
"""Question and answer may each be lost three times."""
ANSWER_TIMEOUT_S: Final = 90.0
"""Over a slow network UpdateDone waits behind the chunks that the system still holds."""
DATAGRAM_ANSWER_TIMEOUT_S: Final = 90.0

MISSED_TIMEOUT_S: Final = 20.0
DATAGRAM_MISSED_TIMEOUT_S: Final = 60.0

DATAGRAM_BURST: Final = 4
FIRST_PAUSE_S: Final = 0.1
"""Forty chunks, some 20 KB, a second."""
LONGEST_PAUSE_S: Final = 1.6
MANY_LOST: Final = 4
"""Fewer of one flight are chance."""

MAX_SAME_ROUNDS: Final = 10
"""Reports of missing chunks that begin with the same one: nothing gets through any more."""
MAX_BAD_CHUNKS: Final = 10
MAX_DONES: Final = 4


class _State(Enum):
    BEGINNING = auto()
    SENDING = auto()
    ENDING = auto()
    MISSED_DUE = auto()


class LegacySender(Sender):
    __slots__ = (
        "_bad",
        "_chunk_size",
        "_count",
        "_dones",
        "_first_missing",
        "_is_fast",
        "_is_tcp",
        "_missing",
        "_next",
        "_pause_s",
        "_rounds",
        "_sent",
        "_state",
    )

    def __init__(
        self, image: Image, token: int, out: Outlet, *, chunk_size: int, transport: Transport, now: float
    ) -> None:
        """`image` has at most `MAX_LEGACY_CHUNKS` chunks."""
        super().__init__(image, token, out)
        self._chunk_size = chunk_size
        self._count = -(-len(image.data) // chunk_size)
        assert 0 < self._count <= messages.MAX_LEGACY_CHUNKS
        self._is_tcp = transport is Transport.TCP
        self._is_fast = True
        self._state = _State.BEGINNING
        self._next = 0
        self._missing: list[int] = []
        self._pause_s = FIRST_PAUSE_S
        self._sent: set[int] = set()
        self._bad = self._dones = self._rounds = 0
        self._first_missing = -1
        begin = Begin(True, chunk_size, len(image.data))
        self._confirmable(lambda message_id: messages.update_begin(message_id, token, begin))
        self._wait(now + (READY_TIMEOUT_S if self._is_tcp else DATAGRAM_READY_TIMEOUT_S))

    def reserved_bytes(self) -> int:
        # Firmware keeps its map of received chunks at the end of the one buffer that holds each message.
        return (self._count + 7) // 8

    def awaits(self, message: Message) -> bool:
        return self._is_fast and (message.code == Code.GET or self._state is _State.BEGINNING)

    # --- what the device says ---

    @property
    def had_all(self) -> bool:
        return self._state is _State.ENDING and self.confirmable_id != -1

    def answer(self, message: Message, now: float) -> None:
        is_good = message.code < 0x80
        if self._state is _State.BEGINNING:
            if not is_good:
                self.outcome = Refused(message.code)
            elif message.code == Code.CHANGED:
                self._is_fast = (message.payload or b"\0")[0] & messages.FAST != 0
                self.started_at = 0
                self._state = _State.SENDING
                self._ready()
        elif self._state is _State.SENDING:
            if not self._is_fast and message.type != Type.ACK:
                self._answer_slow(is_good)
        elif message.type == Type.ACK and message.id != self.confirmable_id:
            # To an UpdateDone before the last one.
            return
        elif is_good:
            self._end(message.payload)
        elif self._state is _State.ENDING and message.code == Code.BAD_REQUEST and self._is_fast:
            self._state = _State.MISSED_DUE
            self._wait(now + (MISSED_TIMEOUT_S if self._is_tcp else DATAGRAM_MISSED_TIMEOUT_S))
        elif message.code != Code.BAD_REQUEST:
            self.outcome = Refused(message.code)

    def _answer_slow(self, is_good: bool) -> None:
        if is_good:
            self._next += 1
            self._bad = 0
        else:
            self._bad += 1
            if self._bad > MAX_BAD_CHUNKS:
                self.outcome = UpdateFailed("the device finds every copy of a chunk damaged")
                return
        self._ready()

    def asked(self, message: Message, now: float) -> None:
        """GET `c`: chunks are missing. PUT `u`: the device's own word that it is done."""
        if message.code == Code.PUT:
            if self._state in {_State.ENDING, _State.MISSED_DUE}:
                self._end(message.payload)
            return
        indexes = messages.read_missed_untrusted(message)
        if not self._is_fast or self._state is _State.BEGINNING or max(indexes) >= self._count:
            return  # of an earlier attempt
        # Very old releases report on their own account, while chunks are still on their way.
        due = {*self._missing, *(index for index in indexes if index < self._next)}
        if self._state is not _State.SENDING:
            self._judge(indexes)
            self._sent.clear()
        self._missing = sorted(due, reverse=True)
        self._state = _State.SENDING
        if self.outcome is None:
            self._ready()

    def _judge(self, indexes: list[int]) -> None:
        first = min(indexes)
        self._rounds = self._rounds + 1 if first == self._first_missing else 0
        self._first_missing = first
        if self._rounds >= MAX_SAME_ROUNDS:
            self.outcome = UpdateFailed("the same chunk is missing again and again")
        lost = len(self._sent.intersection(indexes))
        told_of = sum(index <= max(indexes) for index in self._sent)
        if lost >= MANY_LOST and lost * 10 > told_of:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        elif not lost:
            self._pause_s = max(self._pause_s / 2, FIRST_PAUSE_S)

    def _end(self, payload: bytes | None) -> None:
        complaint = _complaint(payload)
        self.outcome = UpdateFailed(complaint) if complaint else Updated()

    # --- what we say ---

    def _fill(self, now: float) -> None:
        if self._state is not _State.SENDING:
            self._say_done(now)
            return
        if not self._is_fast:
            self._send_slow(now)
            return
        for _ in range(BURST if self._is_tcp else DATAGRAM_BURST):
            if self._missing:
                index = self._missing.pop()
            elif self._next < self._count:
                index, self._next = self._next, self._next + 1
            else:
                break
            self._sent.add(index)
            data = self._chunk(index)
            self._out.put(messages.chunk(self._out.new_id(), self._token, data, index, confirmable=False))
            if not self._out.may_send(now):
                break
        if self._missing or self._next < self._count:
            self._wait(now if self._is_tcp else now + self._pause_s)
        else:
            self._say_done_later(now)

    def _send_slow(self, now: float) -> None:
        if self._next >= self._count:
            self._say_done_later(now)
            return
        data = self._chunk(self._next)
        self._confirmable(lambda message_id: messages.chunk(message_id, self._token, data, None, confirmable=True))
        self._wait(now + self._answer_timeout_s)

    def _say_done_later(self, now: float) -> None:
        """After the last chunk has had its time to arrive."""
        self._state = _State.ENDING
        self._wait(now if self._is_tcp else now + self._pause_s)
        self.confirmable_id = -1

    def _say_done(self, now: float) -> None:
        self._state = _State.ENDING
        self._confirmable(lambda message_id: messages.update_done(message_id, self._token))
        self._wait(now + self._answer_timeout_s)

    def _chunk(self, index: int) -> bytes:
        return self.image.data[index * self._chunk_size : (index + 1) * self._chunk_size]

    @property
    def _answer_timeout_s(self) -> float:
        return ANSWER_TIMEOUT_S if self._is_tcp else DATAGRAM_ANSWER_TIMEOUT_S

    def _expire(self, now: float) -> None:
        may_go_on = self._is_fast if self._state is _State.SENDING else self.confirmable_id == -1
        if self._state in {_State.SENDING, _State.ENDING} and may_go_on:
            self._ready()
        elif self._state is _State.MISSED_DUE and self._dones < MAX_DONES:
            # The report got lost: asked once more, the device makes another.
            self._dones += 1
            self._ready()
        else:
            self.outcome = TimedOut()

    def cancel(self, now: float) -> None:
        """The protocol has no word for it: the device waits, and resets by itself (half a minute later)."""


_VERDICT: Final = re.compile(rb'\s*\{\s*"r"\s*:\s*(?:"error"|(-\d{1,9}))')


def _complaint(payload: bytes | None) -> str:
    """`{"r":0}`, or a negative error of the device; before 2.0 `{"r":"ok","u":{..}}`, or "error", with a description of
    the module behind it that the firmware's 255 bytes may cut off. What cannot be read is no complaint."""
    found = _VERDICT.match(payload or b"")
    if found is None:
        return ""
    return f"the device refuses the file ({found[1].decode()})" if found[1] else "the device refuses the file"
