"""What the cloud's ends of both update protocols have in common.

A sender belongs to one session and one update. It is told what the device answers, gives messages when it is asked to
(`fill`), and ends with an `outcome`. It is filled by whoever moves bytes, so a transport that is full simply asks
later: between the moment at which a sender has something to say and that in which it is asked, it has no deadline.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from cloudchamber.wire.coap import Message
from cloudchamber.wire.events import Outcome, TimedOut

BURST: Final = 16
"""Chunks that leave at once; others' turns come between."""

ID_WAIT_S: Final = 1.0
"""When all message ids of the last minutes are in use."""


class Image(msgspec.Struct, frozen=True):
    """A file for a device. Many sessions share one. `sha256`: its 32 bytes."""

    data: bytes
    sha256: bytes


class Outlet(NamedTuple):
    """A sender's way to its session."""

    new_id: Callable[[], int]
    put: Callable[[Message], int]
    may_send: Callable[[float], bool]


class Sender(ABC):
    __slots__ = ("_at", "_is_ready", "_out", "_token", "confirmable_id", "image", "is_told", "outcome", "started_at")

    def __init__(self, image: Image, token: int, out: Outlet) -> None:
        self.image = image
        self.outcome: Outcome | None = None
        """Set once: the update is over."""
        self.started_at: int | None = None
        """The offset in the file from which the device takes it; None until the device has agreed."""
        self.is_told = False
        """The owner knows that it started."""
        self.confirmable_id = -1
        """Of the last message that the device has to acknowledge."""
        self._token = token
        self._out = out
        self._at: float | None = None
        self._is_ready = False

    # --- for the session ---

    @abstractmethod
    def answer(self, message: Message, now: float) -> None:
        """A response of the device that carries this update's token."""

    @abstractmethod
    def asked(self, message: Message, now: float) -> None:
        """A request of the device that only an update has. Raises WireError when it makes no sense."""

    def awaits(self, message: Message) -> bool:
        """Whether the device may hear nothing else before its confirmable message, which is about to be handled, is
        acknowledged."""
        return False

    @property
    def had_all(self) -> bool:
        """Whether the device may have started with the file already, and its word of that got lost."""
        return False

    @abstractmethod
    def cancel(self, now: float) -> None:
        """Nobody wants it any more: tells the device so, where the protocol can."""

    @abstractmethod
    def reserved_bytes(self) -> int:
        """How much of the device's message buffer the update needs for itself."""

    @abstractmethod
    def _expire(self, now: float) -> None:
        """The deadline passed."""

    @abstractmethod
    def _fill(self, now: float) -> None:
        """Sends what may leave now, at most a burst."""

    def next_deadline(self) -> float | None:
        return None if self._is_ready or self.outcome is not None else self._at

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        if self.outcome is None and not self._is_ready and self._at is not None and now >= self._at:
            self._at = None
            self._expire(now)

    def fill(self, now: float) -> None:
        """Called when the transport takes more."""
        if not self._is_ready or self.outcome is not None:
            return
        self._is_ready = False
        if self._out.may_send(now):
            self._fill(now)
        else:
            self._at = now + ID_WAIT_S

    def given_up(self, message_id: int) -> None:
        """The device did not acknowledge this message."""
        if message_id == self.confirmable_id and self.outcome is None:
            self.outcome = TimedOut()

    # --- for the protocols ---

    def _ready(self) -> None:
        self._is_ready, self._at = True, None

    def _wait(self, until: float) -> None:
        self._is_ready, self._at = False, until

    def _confirmable(self, build: Callable[[int], Message]) -> None:
        self.confirmable_id = self._out.put(build(self._out.new_id()))
