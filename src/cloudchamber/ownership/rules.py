"""Transitions of ownership, pure. A device has at most one owner; nobody takes it from its owner by claiming."""

from dataclasses import dataclass
from enum import Enum, auto

from cloudchamber.access.model import OwnedByCustomer, Owner
from cloudchamber.clock import Millis
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.ids import DeviceId, OrganizationId
from cloudchamber.ownership.model import ClaimCode


class Claim(Enum):
    TAKE = auto()
    YOURS_ALREADY = auto()
    BELONGS_TO_ANOTHER = auto()
    OUT_OF_REACH = auto()
    """In a product with which the claimant has nothing to do, denied, or not to be claimed by id: as if it did not
    exist."""
    OFFLINE = auto()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`may_own`: the claimant may own devices of this device's product (or it is in none, and they are a user).
    `has_code`: the device itself presented the claimant's code, so whoever set it up held it in their hands."""

    may_own: bool
    is_online: bool
    has_code: bool
    by_id_outside_products: bool


def claim(device: DeviceRecord, claimant: Owner, given: Circumstances) -> Claim:
    """What becomes of a claim.

    An id alone is no secret (it is printed on the box), so claiming by it needs more: membership in the product, or,
    for devices in no product, that the switch allows it and the device is online.
    """
    if device.owner == claimant:
        return Claim.YOURS_ALREADY
    if not given.may_own or device.is_denied or device.is_quarantined:
        return Claim.OUT_OF_REACH
    if device.owner is not None:
        return Claim.BELONGS_TO_ANOTHER
    if given.has_code or device.product is not None:
        return Claim.TAKE
    if not given.by_id_outside_products:
        return Claim.OUT_OF_REACH
    return Claim.TAKE if given.is_online else Claim.OFFLINE


class CodeState(Enum):
    GOOD = auto()
    SPENT = auto()
    """Used by another device."""
    REPEATED = auto()
    """The same device presents it again, because it did not hear that it was claimed."""
    EXPIRED = auto()


def code_state(code: ClaimCode, device: DeviceId, now: Millis) -> CodeState:
    if code.used_by is not None:
        return CodeState.REPEATED if code.used_by == device else CodeState.SPENT
    return CodeState.EXPIRED if code.expires_at <= now else CodeState.GOOD


def code_reaches(code: ClaimCode, device: DeviceRecord, organization: OrganizationId | None) -> bool:
    """A customer's code claims devices of the code's product, or of the customer's organization, `organization` being
    that of the device's product. A user's code claims devices in no product, and in products, where membership decides
    besides."""
    if not isinstance(code.owner, OwnedByCustomer):
        return True
    if code.product is not None:
        return device.product == code.product
    return device.product is not None and organization is not None and organization == code.organization
