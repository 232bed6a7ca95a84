"""Claim codes on record."""

from dataclasses import dataclass

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId, OrganizationId, ProductId, SecretHash


@dataclass(frozen=True, slots=True)
class ClaimCode:
    """A customer's code claims devices of `product` only; where an organization's customer asked for no product, those
    of any product of `organization`."""

    hash: SecretHash
    owner: Owner
    product: ProductId | None
    created_at: Millis
    expires_at: Millis
    used_by: DeviceId | None
    organization: OrganizationId | None = None
