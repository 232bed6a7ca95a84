"""What both ends of a session have: an outbox of whole messages, events, message ids, one close.

A transport puts itself around it by subclassing: it calls `open_session`, feeds `message_received`, drains
`_take_messages`, and joins its own deadlines with `_session_deadline`. Over datagrams a reliability layer stands in
between and sees the same whole messages.
"""

from typing import Generic, TypeVar

from cloudchamber.wire import coap
from cloudchamber.wire.coap import Message, Type
from cloudchamber.wire.events import Closed, CloseReason
from cloudchamber.wire.transport import Transport

EventT = TypeVar("EventT")


class Session(Generic[EventT]):
    __slots__ = ("__weakref__", "_closed", "_events", "_message_id", "_outbox", "_transport")

    def __init__(self, transport: Transport, first_message_id: int) -> None:
        self._transport = transport
        self._events: list[EventT | Closed] = []
        self._outbox: list[bytes] = []
        self._message_id = first_message_id
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    def events(self) -> list[EventT | Closed]:
        """What happened since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def close(self, now: float) -> None:
        """Ends the connection from our side; `data_to_send` may hold last bytes."""
        self._end(CloseReason.LOCAL, "", now)

    def _end(self, reason: CloseReason, detail: str, now: float) -> None:
        """Once only: what was outstanding ends, then Closed, the last event."""
        if self._closed:
            return
        self._abandon(now)
        self._closed = True
        self._events.append(Closed(reason, detail))

    def _abandon(self, now: float) -> None:
        """For the subclass: end what is outstanding, with events, before Closed."""

    def _may_send(self, now: float) -> bool:
        """For a transport that can send only so much at a time. Asked before each message that is not an answer."""
        return True

    def _settle(self, message_id: int) -> None:
        """For a transport that sends again: this request is over, by its answer or because nobody waits any more."""

    def _emit(self, event: EventT) -> None:
        self._events.append(event)

    def _new_message_id(self) -> int:
        message_id = self._message_id
        self._message_id = (message_id + 1) & 0xFFFF
        return message_id

    def _send(self, message: Message) -> int:
        self._outbox.append(coap.encode(message))
        return message.id

    def _acknowledge(self, message: Message, code: int = 0) -> None:
        """Only what asks for it. The token goes with a code; an empty message has none."""
        if message.type == Type.CON:
            if code:
                self._send(Message(Type.ACK, code, message.id, message.token))
            else:
                self._outbox.append(coap.empty_ack(message.id))

    def _unsend(self, message_id: int) -> bool:
        """Takes back a message of ours that has not left yet; True when there was one."""
        for index, raw in enumerate(self._outbox):
            if raw[2] << 8 | raw[3] == message_id and raw[0] >> 4 & 3 in (Type.CON, Type.NON):
                del self._outbox[index]
                return True
        return False

    def _take_messages(self) -> list[bytes]:
        messages, self._outbox = self._outbox, []
        return messages


def earliest(*deadlines: float | None) -> float | None:
    # Asked several times for each message, and three times as fast as `min` of a generator.
    found: float | None = None
    for deadline in deadlines:
        if deadline is not None and (found is None or deadline < found):
            found = deadline
    return found
