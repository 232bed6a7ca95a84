"""Claim codes on record."""

from dataclasses import dataclass

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId, ProductId, SecretHash


@dataclass(frozen=True, slots=True)
class ClaimCode:
    """`product` is set for a customer's code: it claims devices of that product only."""

    hash: SecretHash
    owner: Owner
    product: ProductId | None
    created_at: Millis
    expires_at: Millis
    used_by: DeviceId | None
