"""The cloud's end of update protocol version 3.

    STARTING --2.01--> SENDING --all acknowledged--> FINISHING --2.04--> over

The device acknowledges cumulatively, with a map of what came later, and takes so many chunks beyond that (its window).
What is missing is sent again; there is no request for it. The file is checked by its SHA-256 alone, and after a lost
connection the answer to Start tells how much of that file the device still has.

How much may be on its way follows TCP's rules (RFC 5681, 6298), in chunks: it grows with what is acknowledged, is
halved when something got lost, and begins small again after a silence.
"""

import json
from enum import Enum, auto
from typing import Final

from cloudchamber.wire.coap import Code, Message
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Refused, TimedOut, Updated, UpdateFailed
from cloudchamber.wire.update import messages
from cloudchamber.wire.update.messages import Start
from cloudchamber.wire.update.sending import BURST, Image, Outlet, Sender

START_TIMEOUT_S: Final = 90.0
FINISH_TIMEOUT_S: Final = 120.0
"""The device checks the whole module first."""
STALL_TIMEOUT_S: Final = 240.0
"""A device waits 300 s for a chunk; a network that is gone for four minutes is gone."""

FIRST_WINDOW: Final = 8.0
SMALLEST_WINDOW: Final = 2.0
REORDERED: Final = 3
"""A chunk is lost when one that was sent so much later has arrived."""
FIRST_RTO_S: Final = 2.0
ACK_DELAY_S: Final = 0.2
"""A device may hold an acknowledgement back for so long."""
LONGEST_RTO_S: Final = 30.0


class _State(Enum):
    STARTING = auto()
    SENDING = auto()
    FINISHING = auto()


class V3Sender(Sender):
    __slots__ = (
        "_base",
        "_chunk_size",
        "_count",
        "_flying",
        "_later",
        "_lost",
        "_next",
        "_order",
        "_recovers_until",
        "_rto_s",
        "_srtt_s",
        "_stalled_at",
        "_state",
        "_threshold",
        "_timer_at",
        "_variation_s",
        "_window",
        "_window_limit",
    )

    def __init__(self, image: Image, token: int, out: Outlet, *, chunk_size: int, now: float) -> None:
        super().__init__(image, token, out)
        self._chunk_size = chunk_size
        self._count = 0
        self._state = _State.STARTING
        self._base = 0
        """Chunks up to this number (they begin at 1) are all acknowledged."""
        self._later = 0
        """Bit 0: chunk `_base + 1`."""
        self._next = 1
        self._order = 0
        # On their way: number -> when, in what order, and whether for the first time.
        self._flying: dict[int, tuple[float, int, bool]] = {}
        self._lost: list[int] = []
        self._window, self._threshold, self._window_limit = FIRST_WINDOW, 0.0, 1
        self._recovers_until = 0
        self._srtt_s: float | None = None
        self._variation_s = 0.0
        self._rto_s = FIRST_RTO_S
        self._timer_at = self._stalled_at = now
        wanted = Start(len(image.data), image.sha256, chunk_size)
        self._confirmable(lambda message_id: messages.start(message_id, token, wanted))
        self._wait(now + START_TIMEOUT_S)

    def reserved_bytes(self) -> int:
        return 0

    # --- what the device says ---

    def answer(self, message: Message, now: float) -> None:
        if message.code >= 0x80:
            why = _complaint(message.payload)
            self.outcome = (
                Refused(message.code, why)
                if self._state is _State.STARTING
                else UpdateFailed(why or "the device refuses the file")
            )
        elif self._state is _State.STARTING and message.code == Code.CREATED:
            self._start(message, now)
        elif self._state is _State.FINISHING and message.code == Code.CHANGED:
            self.outcome = Updated()

    def _start(self, message: Message, now: float) -> None:
        try:
            answer = messages.read_started_untrusted(message)
        except WireError as error:
            self.outcome = UpdateFailed(str(error))
            return
        size = len(self.image.data)
        if answer.offset > size:
            self.outcome = UpdateFailed("the device has more of the file than there is")
            return
        self.started_at = answer.offset
        self._count = -(-(size - answer.offset) // self._chunk_size)
        self._window_limit = answer.window
        self._threshold = float(answer.window)
        self._state = _State.SENDING
        self._stalled_at = now + STALL_TIMEOUT_S
        self._ready()

    def asked(self, message: Message, now: float) -> None:
        """POST `A`: the acknowledgement."""
        found = messages.read_acknowledgement_untrusted(message)
        if self._state is not _State.SENDING:
            return  # late, and of no use any more
        if found.cumulative < self._base or found.cumulative + found.later.bit_length() >= self._next:
            return  # overtaken; or of an earlier attempt
        self._stalled_at = now + STALL_TIMEOUT_S
        self._take(found.cumulative, found.later, now)
        self._ready()

    def _take(self, cumulative: int, later: int, now: float) -> None:
        self._later = self._later >> (cumulative - self._base) | later
        self._base = cumulative
        fresh, newest = 0, 0
        for number in list(self._flying):
            if number <= cumulative or self._later >> (number - cumulative - 1) & 1:
                sent_at, order, is_first = self._flying.pop(number)
                fresh += 1
                newest = max(newest, order)
                if is_first:
                    self._measure(now - sent_at)
        self._lost = [n for n in self._lost if n > cumulative and not self._later >> (n - cumulative - 1) & 1]
        if not fresh:
            return
        self._timer_at = now + self._rto_s
        if self._window < self._threshold:
            self._window += fresh
        else:
            self._window += fresh / self._window
        self._window = min(self._window, float(self._window_limit))
        gone = [number for number, (_, order, _) in self._flying.items() if order + REORDERED <= newest]
        if gone:
            self._lose(gone)

    def _measure(self, rtt_s: float) -> None:
        if self._srtt_s is None:
            self._srtt_s, self._variation_s = rtt_s, rtt_s / 2
        else:
            self._variation_s += (abs(self._srtt_s - rtt_s) - self._variation_s) / 4
            self._srtt_s += (rtt_s - self._srtt_s) / 8
        self._rto_s = min(max(1.0, self._srtt_s + 4 * self._variation_s + ACK_DELAY_S), LONGEST_RTO_S)

    def _lose(self, numbers: list[int]) -> None:
        last_order = 0
        for number in numbers:
            _, order, _ = self._flying.pop(number)
            last_order = max(last_order, order)
        self._lost = sorted({*self._lost, *numbers}, reverse=True)
        # Once for each window: what was sent before the last halving tells nothing new.
        if last_order > self._recovers_until:
            self._recovers_until = self._order
            self._threshold = self._window = max(self._window / 2, SMALLEST_WINDOW)

    # --- what we say ---

    def _fill(self, now: float) -> None:
        if self._base >= self._count:
            self._state = _State.FINISHING
            self._confirmable(lambda message_id: messages.finish(message_id, self._token))
            self._wait(now + FINISH_TIMEOUT_S)
            return
        if not self._flying:
            self._timer_at = now + self._rto_s
        sent = 0
        while len(self._flying) < self._window and sent < BURST and self._out.may_send(now):
            if self._lost:
                self._send(self._lost.pop(), now, is_first=False)
            elif self._next <= self._count and self._next <= self._base + self._window_limit:
                self._next += 1
                self._send(self._next - 1, now, is_first=True)
            else:
                break
            sent += 1
        self._wait(now if sent == BURST else min(self._timer_at, self._stalled_at, now + LONGEST_RTO_S))

    def _send(self, number: int, now: float, *, is_first: bool) -> None:
        self._order += 1
        self._flying[number] = (now, self._order, is_first)
        assert self.started_at is not None
        at = self.started_at + (number - 1) * self._chunk_size
        data = self.image.data[at : at + self._chunk_size]
        self._out.put(messages.v3_chunk(self._out.new_id(), number, data))

    def _expire(self, now: float) -> None:
        if self._state is not _State.SENDING or now >= self._stalled_at:
            self.outcome = TimedOut()
            return
        if now >= self._timer_at and self._flying:
            # Nothing is acknowledged any more: all of it counts as lost, and the way is felt out anew.
            self._lose(list(self._flying))
            self._recovers_until = self._order
            self._window = SMALLEST_WINDOW
            self._rto_s = min(self._rto_s * 2, LONGEST_RTO_S)
            self._timer_at = now + self._rto_s
        self._ready()

    def cancel(self, now: float) -> None:
        """What the device has of the file stays there, to be gone on with."""
        if self._state is not _State.STARTING and self.outcome is None and self._out.may_send(now):
            self._out.put(messages.finish(self._out.new_id(), self._token, cancels=True))


def _complaint(payload: bytes | None) -> str:
    """`{"code":-n,"message":".."}`, for a log."""
    try:
        found = json.loads(payload or b"{}")
        return f"{found.get('message') or 'refused'} ({found['code']})"[:200] if "code" in found else ""
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return ""
