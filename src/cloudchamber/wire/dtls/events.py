"""What an endpoint and a client tell their owners. Values only; a question names the method that answers it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

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


class Established(Struct, frozen=True):
    """A handshake is through: the peer holds the private half of `session.peer_spki`. Who it is, its Hello says."""

    session: DtlsSession


class Received(Struct, frozen=True):
    session: DtlsSession
    payload: bytes


class Moved(Struct, frozen=True):
    """The newest authenticated record came from another address; answers go there from now on."""

    session: DtlsSession
    old: Address
    new: Address


class Closed(Struct, frozen=True):
    """The last event of a session. Delete what is stored of it: its keys are not used any more."""

    session: DtlsSession
    reason: EndReason


class ReservationNeeded(Struct, frozen=True):
    """Store `session.state()` (its `next_number` is `up_to`), then call `session.reserved(up_to)`.

    Comes while numbers are left; when they run out, a few payloads wait and the rest is lost as on a bad network.
    """

    session: DtlsSession
    up_to: int


class ByCid(Struct, frozen=True):
    cid: bytes


class ByDeviceId(Struct, frozen=True):
    device_id: bytes


class ByAddress(Struct, frozen=True):
    """The session that was last at this address and has no connection id."""

    address: Address


SessionKey = ByCid | ByDeviceId | ByAddress


class SessionAsked(Struct, frozen=True):
    """A record of a session that is not in memory. Answer with `restore(ticket, state or None, now)`.

    The sender has proven nothing: the key may be made up.
    """

    key: SessionKey
    ticket: int


class HandshakeFailed(Struct, frozen=True):
    """`alert`: what the peer said about it (51: the device holds another server key). `detail` is for the log only."""

    address: Address
    reason: EndReason
    detail: str = ""
    alert: int | None = None


EndpointEvent = Established | Received | Moved | Closed | ReservationNeeded | SessionAsked | HandshakeFailed

# --- client ----------------------------------------------------------------------------------------------------------


class Secured(Struct, frozen=True):
    """The handshake is through, and the server is the one whose key we hold."""


class Delivered(Struct, frozen=True):
    payload: bytes


class Ended(Struct, frozen=True):
    """The last event of a client. `detail` is for the log only."""

    reason: EndReason
    detail: str = ""


ClientEvent = Secured | Delivered | Ended
