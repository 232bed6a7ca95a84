"""What the cloud asked and has no answer to: one-byte tokens, deadlines, and which answer belongs to which request.

Tokens have one byte because devices read requests by offset. A token whose request ended without an answer rests until
its answer comes after all, or for a while: an answer that comes late must not be taken for the answer of somebody
else's request.
"""

from collections.abc import Mapping
from enum import IntEnum, auto

from cloudchamber.wire.coap import Message, Type
from cloudchamber.wire.describe import Part
from cloudchamber.wire.structs import Entity

TOKENS = 256
NEVER = float("inf")

TOKEN_REST_S = 60.0
"""Functions run on the application's thread and their results were seen tens of seconds late; a minute later no caller
waits any more."""


class Kind(IntEnum):
    FUNCTION = auto()
    VARIABLE = auto()
    SIGNAL = auto()
    DESCRIBE = auto()
    PING = auto()
    UPDATE = auto()
    """Has a token for as long as it takes, and ends by rules of its own."""


class Pending(Entity, eq=False):
    """`request` is the owner's handle, or None for what the session asks by itself. Pings have no token.

    `again_at`: when the same is asked once more, in a message of its own; `group`: all that ask the same, of which the
    first answer ends all."""

    request: int | None
    kind: Kind
    deadline: float
    message_id: int = 0
    token: int = -1
    part: Part = Part.SYSTEM
    blocks: bytearray | None = None
    next_block: int = 0
    size_exponent: int = 0
    name: bytes = b""
    again_at: float = NEVER
    again_after_s: float = 0.0
    group: "list[Pending] | None" = None


class RequestTable:
    __slots__ = ("_by_token", "_pings", "_resting", "next_token")

    def __init__(self, first_token: int = 0) -> None:
        self._by_token: dict[int, Pending] = {}
        self._pings: list[Pending] = []
        # Until when, in this order, and what was asked. Made when it is needed: most sessions never do.
        self._resting: dict[int, tuple[float, Kind]] | None = None
        self.next_token = first_token

    def add(self, pending: Pending, now: float) -> bool:
        """Gives it a token; False when all are in use."""
        if pending.kind is Kind.PING:
            if len(self._pings) >= TOKENS:
                return False
            self._pings.append(pending)
            return True
        resting = self._still_resting(now)
        if len(self._by_token) + len(resting) >= TOKENS:
            return False
        token = self.next_token
        while token in self._by_token or token in resting:
            token = (token + 1) % TOKENS
        self.next_token = (token + 1) % TOKENS
        pending.token = token
        self._by_token[token] = pending
        return True

    def remove(self, pending: Pending, rest_until: float | None = None) -> None:
        """`rest_until`: an answer may still come."""
        if pending.kind is Kind.PING:
            self._pings.remove(pending)
            return
        del self._by_token[pending.token]
        if rest_until is not None:
            if self._resting is None:
                self._resting = {}
            self._resting[pending.token] = (rest_until, pending.kind)

    def rested(self, message: Message) -> Kind | None:
        """What was asked with the token of a message that `answered_by` knows nothing of; None: nothing is known."""
        if self._resting and len(message.token) == 1:
            resting = self._resting.get(message.token[0])
            return resting[1] if resting is not None else None
        return None

    def wake(self, message: Message) -> None:
        """Its token has rested enough: this was the answer, and no other follows."""
        if self._resting is not None:
            self._resting.pop(message.token[0], None)

    def of(self, request: int) -> Pending | None:
        return next((pending for pending in self.all() if pending.request == request), None)

    def answered_by(self, message: Message) -> Pending | None:
        """The request of a message that carries a code: by its token; an ACK without one by its message id."""
        if len(message.token) == 1:
            return self._by_token.get(message.token[0])
        return self.with_message_id(message.id) if message.type == Type.ACK else None

    def with_message_id(self, message_id: int) -> Pending | None:
        for pending in self._by_token.values():
            if pending.message_id == message_id:
                return pending
        return None

    def ping_answered_by(self, message_id: int, any_id: bool) -> Pending | None:
        """`any_id`: over TCP a device acknowledges a ping with a number of its own, so the oldest ping is meant."""
        for ping in self._pings:
            if ping.message_id == message_id:
                return ping
        return self._pings[0] if any_id and self._pings else None

    def holds(self, pending: Pending) -> bool:
        return self._by_token.get(pending.token) is pending or pending in self._pings

    def is_roomy(self, now: float) -> bool:
        """There are tokens for more than what has to be asked."""
        return len(self._by_token) + len(self._still_resting(now)) < TOKENS // 2

    def due_again(self, now: float) -> list[Pending]:
        return [pending for pending in self._by_token.values() if pending.again_at <= now]

    def expired(self, now: float) -> list[Pending]:
        return [pending for pending in self.all() if pending.deadline <= now]

    def all(self) -> list[Pending]:
        return [*self._by_token.values(), *self._pings]

    def is_at_rest(self, now: float) -> bool:
        """No answer is expected, nor can one come too late."""
        return not self._by_token and not self._pings and not self._still_resting(now)

    def next_deadline(self) -> float | None:
        # Asked after each message, so without a list.
        at = NEVER
        for pending in self._by_token.values():
            if pending.deadline < at:
                at = pending.deadline
            if pending.again_at < at:
                at = pending.again_at
        for pending in self._pings:
            if pending.deadline < at:
                at = pending.deadline
        return at if at < NEVER else None

    def _still_resting(self, now: float) -> Mapping[int, object]:
        resting = self._resting
        while resting:
            token = next(iter(resting))
            if resting[token][0] > now:
                return resting
            del resting[token]
        self._resting = None
        return {}
