"""Confirmable messages over datagrams (RFC 7252 section 4), for either end, between a session and its channel.

    session --sending--> [ sent again until acknowledged ] --take_again--> channel
    session <--True----- [ each message once, by its id  ] <---receive---- channel

What leaves as CON is sent again after a while, then after twice as long each time; after the last time it has once more
twice that long to be acknowledged. An ACK or RST ends it too, and so does `settle`, when the answer itself tells that
the request arrived. What arrives is remembered by message id together with the reply that it got: a duplicate gets the
same reply again and does not reach the session. An ACK or RST to nothing that is outstanding does not reach it either:
it is a duplicate as well, and the token in it may belong to another request by now.

A device remembers for 45 s. A request that comes later, or a new one with an id that was used in that time, does the
wrong thing there, so the cloud holds two rules more: its last retransmission leaves at most 35 s after the first
sending, and `MessageIds` gives no id out twice within 90 s.

A duplicate also tells that the network loses what we acknowledge with, as a gap in the ids does, and a device whose
message is not acknowledged in four sendings throws its whole session away. So for a while every reply of the cloud
leaves three times, a second or two apart. Where 30 % of all datagrams get lost, each way, 6.7 of 100 messages end a
session when replies leave once, and 1.0 when they leave three times; 0.8 end it in any case, because all four sendings
were lost.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from cloudchamber.wire import coap
from cloudchamber.wire.coap import Type
from cloudchamber.wire.structs import Entity

Draw = Callable[[], float]
"""Uniformly random, from 0 up to but not including 1."""


class Timing(NamedTuple):
    """The first wait is `ack_timeout_s` x (1 .. 1 + `spread`); there are so many `retransmissions`. Ids of the peer are
    remembered for `memory_s` seconds."""

    ack_timeout_s: float
    spread: float
    retransmissions: int
    memory_s: float
    echoes: tuple[float, ...] = ()
    """Seconds after which a reply leaves again by itself, while the network is known to lose some."""


DEVICE: Final = Timing(4.0, 0.5, 3, 45.0)
"""As firmware has it: sendings at 0, 4..6, 12..18 and 28..42 s, the end after 60 to 90 s."""

CLOUD_MEMORY_S: Final = 60.0
"""A device sends for the last time up to 42 s after the first: this lets that one be 18 s late."""

CLOUD: Final = Timing(2.0, 0.16, 4, CLOUD_MEMORY_S, echoes=(1.0, 3.0))
"""The RFC's own numbers but for the spread, of which its 0.5 would be too much: sendings at 0, 2..2.3, 6..7, 14..16 and
30..35 s. What arrives ten seconds late still finds the device's memory."""

INSIST_AFTER_S: Final[tuple[float, ...]] = (1.0, 3.0, 7.0, 15.0)
"""When a reply leaves again on which all else of the peer waits."""

LOSSY_S: Final = 300.0
"""For so long after a duplicate the network counts as one that loses datagrams."""

MAX_ECHOES: Final = 64
"""What a device says in two seconds of its busiest."""

MAX_REMEMBERED: Final = 1024
"""Seventeen messages a second for all of that minute. Who sends more loses the oldest, and harms nobody else."""

ID_REST_S: Final = 90.0
"""An id is sent up to 35 s long, and the device remembers it for 45 s from when it arrived."""
_HALF: Final = 0x8000
_EMPTY: Final = 4
"""Bytes of an empty message. A reply of that size, and without a code, is an acknowledgement and no more."""

# What is packed: how many messages (2), of each its id (2) and for how many ms more (2). Nearly all were answered with
# an empty acknowledgement. Of the others: which of these it is (2), the size of the reply (2), then the reply.
_OTHER: Final = struct.Struct(">HH")


class _Exchange(Entity, eq=False):
    raw: bytes
    at: float
    wait_s: float
    left: int


_Heard = float | tuple[float, bytes]
"""Until when a message is remembered, and the reply to it, empty while there is none. Time alone: an empty
acknowledgement, as nearly all are of the dozen that a session remembers."""


class Reliability:
    __slots__ = ("_again", "_draw", "_echoes", "_exchanges", "_heard", "_insisted", "_lossy_until", "_timing")

    def __init__(self, draw: Draw, timing: Timing) -> None:
        self._draw = draw
        self._timing = timing
        self._exchanges: dict[int, _Exchange] = {}
        # In the order of arrival, which is that of their ends.
        self._heard: dict[int, _Heard] = {}
        self._again: list[bytes] = []
        # When which reply leaves again, and whether only until the peer says something else. Made when it is needed.
        self._echoes: list[tuple[float, bytes, bool]] | None = None
        self._insisted = -1
        self._lossy_until = float("-inf")

    @property
    def outstanding(self) -> int:
        """Confirmable messages that are not acknowledged."""
        return len(self._exchanges)

    def sending(self, raw: bytes, now: float) -> None:
        """The session's message leaves now, for the first time."""
        kind = raw[0] >> 4 & 3
        message_id = raw[2] << 8 | raw[3]
        if kind == Type.CON:
            timing = self._timing
            wait_s = timing.ack_timeout_s * (1 + timing.spread * self._draw())
            self._exchanges[message_id] = _Exchange(raw, now + wait_s, wait_s, timing.retransmissions)
        elif kind == Type.ACK:
            heard = self._heard.get(message_id)
            if heard is not None:
                until = heard[0] if isinstance(heard, tuple) else heard
                self._heard[message_id] = until if len(raw) == _EMPTY and not raw[1] else (until, raw)
                if message_id == self._insisted:
                    self._echo(raw, now, INSIST_AFTER_S, until_heard=True)
                elif now < self._lossy_until:
                    self._echo(raw, now, self._timing.echoes)

    def receive(self, kind: int, message_id: int, now: float) -> bool:
        """A message of the peer came. True: it is for the session."""
        if kind == Type.ACK or kind == Type.RST:
            is_new = self._exchanges.pop(message_id, None) is not None
            if is_new:
                self._answers_insisted()
            return is_new
        self._forget(now)
        heard = self._heard.get(message_id)
        if heard is not None:
            self.lossy(now)
            reply = heard[1] if isinstance(heard, tuple) else coap.empty_ack(message_id)
            if reply:
                self._again.append(reply)
                self._echo(reply, now, self._timing.echoes)
            return False
        self._answers_insisted()
        if len(self._heard) >= MAX_REMEMBERED:
            del self._heard[next(iter(self._heard))]
        self._heard[message_id] = (now + self._timing.memory_s, b"")
        return True

    def lossy(self, now: float) -> None:
        """Something tells that the network loses datagrams."""
        self._lossy_until = now + LOSSY_S

    def insist(self, message_id: int) -> None:
        """Until the reply to this message has arrived, the peer says and hears nothing else: it leaves until then."""
        self._insisted = message_id

    def take_again(self) -> list[bytes]:
        """What is to be sent once more: retransmissions, and replies to duplicates."""
        if not self._again:
            return []
        again, self._again = self._again, []
        return again

    def settle(self, message_id: int) -> None:
        """Not to be sent again: the peer has it for sure, or nobody waits for it any more."""
        self._exchanges.pop(message_id, None)

    def give_up(self) -> None:
        """Nothing is sent again; what was heard stays remembered."""
        self._exchanges.clear()

    def next_deadline(self) -> float | None:
        """None when nothing is outstanding and nothing remembered: then this layer holds nothing worth keeping."""
        # Asked for each message, when there is mostly one exchange or none.
        at: float | None = None
        for exchange in self._exchanges.values():
            if at is None or exchange.at < at:
                at = exchange.at
        if self._echoes:
            first = min(self._echoes)[0]
            at = first if at is None else min(at, first)
        if at is None and self._heard:
            # All at once when the newest goes: a deadline for each would wake a busy session for nothing.
            newest = next(reversed(self._heard.values()))
            at = newest[0] if isinstance(newest, tuple) else newest
        return at

    def handle_deadline(self, now: float) -> list[int]:
        """The ids of messages that are given up now. Calling early does nothing."""
        if self._echoes:
            self._again += [raw for at, raw, _ in self._echoes if at <= now]
            self._echoes = [echo for echo in self._echoes if echo[0] > now] or None
        dead = []
        for message_id, exchange in list(self._exchanges.items()):
            if now < exchange.at:
                continue
            if exchange.left:
                exchange.left -= 1
                exchange.wait_s *= 2
                exchange.at = now + exchange.wait_s
                self._again.append(exchange.raw)
            else:
                del self._exchanges[message_id]
                dead.append(message_id)
        self._forget(now)
        return dead

    def _echo(self, raw: bytes, now: float, after_s: tuple[float, ...], *, until_heard: bool = False) -> None:
        if after_s:
            echoes = self._echoes = self._echoes or []
            echoes += [(now + seconds, raw, until_heard) for seconds in after_s]
            del echoes[MAX_ECHOES:]

    def _answers_insisted(self) -> None:
        self._insisted = -1
        if self._echoes:
            self._echoes = [echo for echo in self._echoes if not echo[2]] or None

    @property
    def is_at_rest(self) -> bool:
        """Nothing is outstanding: what was heard is all that is here."""
        return not (self._exchanges or self._again or self._echoes)

    @property
    def lossy_until(self) -> float:
        return self._lossy_until

    def pack(self, since: float) -> bytes:
        """What was heard, for `unpack` with the same `since`: a time after which nothing came."""
        assert self.is_at_rest
        flat: list[int] = []
        others = b""
        for message_id, heard in self._heard.items():
            if isinstance(heard, tuple):
                until, reply = heard
                others += _OTHER.pack(len(flat) // 2, len(reply)) + reply
            else:
                until = heard
            flat.append(message_id)
            flat.append(min(max(int((until - since) * 1000), 0), 0xFFFF))
        return struct.pack(f">H{len(flat)}H", len(flat) // 2, *flat) + others

    def unpack(self, packed: bytes, since: float, lossy_until: float) -> None:
        self._lossy_until = lossy_until
        heard = self._heard
        size = 2 * (packed[0] << 8 | packed[1])
        flat = struct.unpack_from(f">{size}H", packed, 2)
        for message_id, left_ms in zip(flat[::2], flat[1::2], strict=True):
            heard[message_id] = since + left_ms / 1000
        at = 2 + 2 * size
        while at < len(packed):
            index, size = _OTHER.unpack_from(packed, at)
            at += _OTHER.size + size
            heard[flat[2 * index]] = (since + flat[2 * index + 1] / 1000, packed[at - size : at])

    def _forget(self, now: float) -> None:
        heard = self._heard
        while heard:
            oldest = next(iter(heard))
            until = heard[oldest]
            if (until[0] if isinstance(until, tuple) else until) > now:
                return
            del heard[oldest]
        # An emptied dict keeps its table, and there are as many idle sessions as there are devices.
        heard.clear()


class MessageIds:
    """Message ids of the cloud, counted up, none within 90 s of its last use.

    The 65,536 ids are given out in halves. A half is given out again only 90 s after the last id of its former round,
    which one point of time is enough to know: that at which the other half was begun.
    """

    __slots__ = ("begun_at", "given", "next")

    def __init__(self, first: int, now: float, given: int = 0) -> None:
        """`given`: how many of this half were given out before; it was begun at `now`."""
        self.next = first & 0xFFFF
        self.given = given
        self.begun_at = now

    def may_take(self, now: float) -> bool:
        """Ask before each `take`."""
        if self.given < _HALF:
            return True
        if now < self.begun_at + ID_REST_S:
            return False
        self.given = 0
        self.begun_at = now
        return True

    def take(self) -> int:
        message_id = self.next
        self.next = (message_id + 1) & 0xFFFF
        self.given += 1
        return message_id
