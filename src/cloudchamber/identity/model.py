"""Accounts. An id keeps its username for life; who lets it change must tell those who keep names (fleet/service.py)."""

from dataclasses import dataclass
from typing import Any

from cloudchamber.clock import Millis
from cloudchamber.ids import CustomerId, OrganizationId, ProductId, UserId


@dataclass(frozen=True, slots=True)
class UserAccount:
    id: UserId
    username: str
    password_hash: str | None
    account_info: dict[str, Any]
    is_admin: bool
    created_at: Millis


@dataclass(frozen=True, slots=True)
class CustomerAccount:
    """A customer of one product, or of one organization and so of all its products: one of the two is None.
    `username` is an e-mail address or any other string that the product's creator knows the customer by."""

    id: CustomerId
    product: ProductId | None
    username: str
    password_hash: str | None
    created_at: Millis
    organization: OrganizationId | None = None
