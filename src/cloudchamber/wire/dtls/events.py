"""What an endpoint and a client tell their owners. Values only; a question names the method that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from cloudchamber.wire.dtls.records import Address

if TYPE_CHECKING:
    from cloudchamber.wire.dtls.session import DtlsSession


class EndReason(Enum):
    """Why a session ended, or a handshake failed. The value is the word for logs and metrics."""

    LOCAL = "local"
    """Our own side closed it."""
    PEER = "peer"
    """The peer said close_notify, or sent a fatal alert."""
    REPLACED = "replaced"
    """The same device made a new session."""
    FORGERIES = "forgeries"
    """More records did not authenticate than one key may see."""
    TIMEOUT = "timeout"
    """A flight was not answered, however often it was sent."""
    HANDSHAKE = "handshake"
    """A message, signature or key that does not fit."""
    CROWDED_OUT = "crowded_out"
    """Too many handshakes at once; this one had proven nothing yet."""


# --- endpoint --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Established:
    """A handshake is through: the peer holds the private half of `session.peer_spki`. Who it is, its Hello says."""

    session: DtlsSession


@dataclass(frozen=True, slots=True)
class Received:
    session: DtlsSession
    payload: bytes


@dataclass(frozen=True, slots=True)
class Moved:
    """The newest authenticated record came from another address; answers go there from now on."""

    session: DtlsSession
    old: Address
    new: Address


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a session. Delete what is stored of it: its keys are not used any more."""

    session: DtlsSession
    reason: EndReason


@dataclass(frozen=True, slots=True)
class ReservationNeeded:
    """Store `session.state()` (its `next_number` is `up_to`), then call `session.reserved(up_to)`.

    Comes while numbers are left; when they run out, a few payloads wait and the rest is lost as on a bad network.
    """

    session: DtlsSession
    up_to: int


@dataclass(frozen=True, slots=True)
class ByCid:
    cid: bytes


@dataclass(frozen=True, slots=True)
class ByDeviceId:
    device_id: bytes


@dataclass(frozen=True, slots=True)
class ByAddress:
    """The session that was last at this address and has no connection id."""

    address: Address


SessionKey = ByCid | ByDeviceId | ByAddress


@dataclass(frozen=True, slots=True)
class SessionAsked:
    """A record of a session that is not in memory. Answer with `restore(ticket, state or None, now)`.

    The sender has proven nothing: the key may be made up.
    """

    key: SessionKey
    ticket: int


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """`alert`: what the peer said about it (51: the device holds another server key). `detail` is for the log only."""

    address: Address
    reason: EndReason
    detail: str = ""
    alert: int | None = None


EndpointEvent = Established | Received | Moved | Closed | ReservationNeeded | SessionAsked | HandshakeFailed

# --- client ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secured:
    """The handshake is through, and the server is the one whose key we hold."""


@dataclass(frozen=True, slots=True)
class Delivered:
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of a client. `detail` is for the log only."""

    reason: EndReason
    detail: str = ""


ClientEvent = Secured | Delivered | Ended
