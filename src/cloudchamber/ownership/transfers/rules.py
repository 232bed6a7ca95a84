"""What may become of a transfer request. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from cloudchamber.access.model import Owner
from cloudchamber.clock import DAY, Millis
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.ownership.transfers.model import Status, Transfer

LIFETIME_MS: Final = 7 * DAY
# Each is a mail to an owner, so nobody can have many of them sent.
MAX_PENDING_OF_TAKER: Final = 20
MAX_PENDING_OF_DEVICE: Final = 10
# After a no, an owner is not asked again by the same one for a while.
RESPITE_MS: Final = 7 * DAY


class Asking(Enum):
    """What becomes of somebody's wish to ask for a device."""

    ASK = auto()
    ASKED_ALREADY = auto()
    TOO_MANY = auto()
    REFUSED_LATELY = auto()


def of_giver(of_device: Sequence[Transfer], giver: Owner) -> list[Transfer]:
    """What a device's owner was asked; what owners before were asked, and said, binds nobody."""
    return [transfer for transfer in of_device if transfer.giver == giver]


def asking(of_device: Sequence[Transfer], pending_of_taker: int, giver: Owner, taker: Owner, now: Millis) -> Asking:
    """`of_device` are all requests for the device that are on record, `giver` is its owner."""
    of_device = of_giver(of_device, giver)
    theirs = [transfer for transfer in of_device if transfer.taker == taker]
    if any(at(transfer, now).status is Status.PENDING for transfer in theirs):
        return Asking.ASKED_ALREADY
    if any(
        transfer.status is Status.DENIED and transfer.decided_at is not None and transfer.decided_at + RESPITE_MS > now
        for transfer in theirs
    ):
        return Asking.REFUSED_LATELY
    pending = sum(at(transfer, now).status is Status.PENDING for transfer in of_device)
    if pending >= MAX_PENDING_OF_DEVICE or pending_of_taker >= MAX_PENDING_OF_TAKER:
        return Asking.TOO_MANY
    return Asking.ASK


def at(transfer: Transfer, now: Millis) -> Transfer:
    """The transfer as it is at that time: nobody writes down that one expired."""
    if transfer.status is Status.PENDING and transfer.expires_at <= now:
        return replace(transfer, status=Status.EXPIRED)
    return transfer


def approval(transfer: Transfer, device: DeviceRecord | None, now: Millis, *, may_own: bool) -> Status:
    """What a giver's yes makes of a request: APPROVED where the device changes hands. `may_own`: the taker may own
    devices of the device's product, now."""
    known = at(transfer, now)
    if known.status is not Status.PENDING:
        return known.status
    if device is None or device.owner != transfer.giver or device.is_shut_out or not may_own:
        return Status.VOID
    return Status.APPROVED
