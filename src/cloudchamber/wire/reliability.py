"""Confirmable messages over datagrams (RFC 7252 section 4), for either end, between a session and its channel.

    session --sending--> [ sent again until acknowledged ] --take_again--> channel
    session <--True----- [ each message once, by its id  ] <---receive---- channel

What leaves as CON is sent again after 4 s x (1 .. 1.5), then after twice as long each time, three times in all; the
fourth wait ends it. An ACK or RST ends it too, and so does `settle`, when the answer itself tells that the request
arrived. What arrives is remembered by message id together with the reply that it got: a duplicate gets the same reply
again and does not reach the session. An ACK or RST to nothing that is outstanding does not reach it either: it is a
duplicate as well, and the token in it may belong to another request by now.

A device remembers for 45 s. A request that comes later, or a new one with an id that was used in that time, does the
wrong thing there, so the cloud holds two rules more: its last retransmission leaves at most 35 s after the first
sending, and `MessageIds` gives no id out twice within 90 s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloudchamber.wire.coap import Type

Draw = Callable[[], float]
"""Uniformly random, from 0 up to but not including 1."""

ACK_TIMEOUT_S: Final = 4.0
RETRANSMISSIONS: Final = 3

DEVICE_SPREAD: Final = 0.5
DEVICE_MEMORY_S: Final = 45.0

CLOUD_SPREAD: Final = 0.25
"""Sendings at 0, 4..5, 12..15 and 28..35 s: what arrives ten seconds late still finds the device's memory."""
CLOUD_MEMORY_S: Final = 60.0
"""A device sends for the last time up to 42 s after the first: this lets that one be 18 s late."""

MAX_REMEMBERED: Final = 1024
"""Seventeen messages a second for all of that minute. Who sends more loses the oldest, and harms nobody else."""

ID_REST_S: Final = 90.0
"""An id is sent up to 35 s long, and the device remembers it for 45 s from when it arrived."""
_HALF: Final = 0x8000


@dataclass(slots=True, eq=False)
class _Exchange:
    raw: bytes
    at: float
    wait_s: float
    left: int


class Reliability:
    __slots__ = ("_again", "_draw", "_exchanges", "_heard", "_memory_s", "_spread")

    def __init__(self, draw: Draw, spread: float = DEVICE_SPREAD, memory_s: float = DEVICE_MEMORY_S) -> None:
        """The first wait is 4 s x (1 .. 1 + `spread`); received ids are remembered for `memory_s` seconds."""
        self._draw = draw
        self._spread = spread
        self._memory_s = memory_s
        self._exchanges: dict[int, _Exchange] = {}
        # In the order of arrival, which is that of their ends: until when, and the reply (empty while there is none).
        self._heard: dict[int, tuple[float, bytes]] = {}
        self._again: list[bytes] = []

    @property
    def outstanding(self) -> int:
        """Confirmable messages that are not acknowledged."""
        return len(self._exchanges)

    def sending(self, raw: bytes, now: float) -> None:
        """The session's message leaves now, for the first time."""
        kind = raw[0] >> 4 & 3
        message_id = raw[2] << 8 | raw[3]
        if kind == Type.CON:
            wait_s = ACK_TIMEOUT_S * (1 + self._spread * self._draw())
            self._exchanges[message_id] = _Exchange(raw, now + wait_s, wait_s, RETRANSMISSIONS)
        elif kind == Type.ACK:
            heard = self._heard.get(message_id)
            if heard is not None:
                self._heard[message_id] = (heard[0], raw)

    def receive(self, kind: int, message_id: int, now: float) -> bool:
        """A message of the peer came. True: it is for the session."""
        if kind == Type.ACK or kind == Type.RST:
            return self._exchanges.pop(message_id, None) is not None
        self._forget(now)
        heard = self._heard.get(message_id)
        if heard is not None:
            if heard[1]:
                self._again.append(heard[1])
            return False
        if len(self._heard) >= MAX_REMEMBERED:
            del self._heard[next(iter(self._heard))]
        self._heard[message_id] = (now + self._memory_s, b"")
        return True

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
        at = min((exchange.at for exchange in self._exchanges.values()), default=None)
        if at is None and self._heard:
            # All at once when the newest goes: a deadline for each would wake a busy session for nothing.
            at = next(reversed(self._heard.values()))[0]
        return at

    def handle_deadline(self, now: float) -> list[int]:
        """The ids of messages that are given up now. Calling early does nothing."""
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

    def _forget(self, now: float) -> None:
        heard = self._heard
        while heard:
            oldest = next(iter(heard))
            if heard[oldest][0] > now:
                return
            del heard[oldest]
        # An emptied dict keeps its table, and there are as many idle sessions as there are devices.
        heard.clear()


class MessageIds:
    """Message ids of the cloud, counted up, none within 90 s of its last use.

    The 65,536 ids are given out in halves. A half is given out again only 90 s after the last id of its former round,
    which one point of time is enough to know: that at which the other half was begun.
    """

    __slots__ = ("_begun_at", "_given", "next")

    def __init__(self, first: int, now: float) -> None:
        self.next = first & 0xFFFF
        self._given = 0
        self._begun_at = now

    def may_take(self, now: float) -> bool:
        """Ask before each `take`."""
        if self._given < _HALF:
            return True
        if now < self._begun_at + ID_REST_S:
            return False
        self._given = 0
        self._begun_at = now
        return True

    def take(self) -> int:
        message_id = self.next
        self.next = (message_id + 1) & 0xFFFF
        self._given += 1
        return message_id
