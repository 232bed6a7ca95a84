"""Questions for sessions that are not in memory, and the datagrams that wait for the answers. All of it bounded: a
sender has proven nothing yet, and its key may be made up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloudchamber.wire.dtls.events import SessionAsked, SessionKey
from cloudchamber.wire.dtls.records import Address

MAX_QUESTIONS: Final = 1024
"""Look-ups under way: a flood must end here and not in the database."""

QUESTION_TIMEOUT_S: Final = 10.0
"""After that an unanswered question makes room: the device has sent its message again by then."""

MAX_DATAGRAMS_PER_QUESTION: Final = 4
MAX_DATAGRAM: Final = 1500


@dataclass(slots=True)
class _Question:
    key: SessionKey
    asked_at: float
    datagrams: list[tuple[bytes, Address]]


class Questions:
    __slots__ = ("_open", "_tickets")

    def __init__(self) -> None:
        self._open: dict[int, _Question] = {}
        self._tickets: dict[SessionKey, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def park(
        self, key: SessionKey, datagram: bytes, address: Address, now: float, new_ticket: Callable[[], int]
    ) -> SessionAsked | bool:
        """The question to ask; True when the datagram waits for one that is asked already; False: no room for it."""
        if len(datagram) > MAX_DATAGRAM:
            return False
        ticket = self._tickets.get(key)
        if ticket is not None:
            waiting = self._open[ticket].datagrams
            if len(waiting) >= MAX_DATAGRAMS_PER_QUESTION:
                return False
            waiting.append((datagram, address))
            return True
        if not self._has_room(now):
            return False
        ticket = new_ticket()
        self._tickets[key] = ticket
        self._open[ticket] = _Question(key, now, [(datagram, address)])
        return SessionAsked(key, ticket)

    def is_open(self, ticket: int) -> bool:
        return ticket in self._open

    def take(self, ticket: int) -> list[tuple[bytes, Address]] | None:
        """What waited for this answer; None when the question is over already."""
        question = self._open.pop(ticket, None)
        if question is None:
            return None
        del self._tickets[question.key]
        return question.datagrams

    def _has_room(self, now: float) -> bool:
        if len(self._open) < MAX_QUESTIONS:
            return True
        ticket, oldest = next(iter(self._open.items()))
        if now - oldest.asked_at < QUESTION_TIMEOUT_S:
            return False
        self.take(ticket)
        return True
