"""Transfer requests on record."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId


class Status(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    """Taken back by whoever asked."""
    EXPIRED = "expired"
    VOID = "void"
    """The device is no longer its owner's of then."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """`giver` is asked for the device, `taker` asks."""

    id: str
    device: DeviceId
    giver: Owner
    taker: Owner
    status: Status
    created_at: Millis
    expires_at: Millis
    decided_at: Millis | None


class TransferView(msgspec.Struct, frozen=True):
    """A transfer as one of the two sees it: the giver is told who asks. The taker is told nothing of the giver."""

    transfer: Transfer
    is_incoming: bool
    """The requester is asked."""
    requested_by: str | None
