"""Products and devices on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner, ProductResource, Role
from cloudchamber.access.requester import Requester, User
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId, OrganizationId, ProductId, UserId

KeyAlgorithm = Literal["rsa", "ecc"]

# Platform ids with a cellular modem: Electron, Boron, and the modules built on them.
CELLULAR_PLATFORMS = frozenset({10, 13, 23, 25, 26, 28, 35})


@dataclass(frozen=True, slots=True)
class Product:
    """Every product is in an organization; what somebody makes by themselves is in their personal one, and shows them
    as its owner. The owner is the organization's. `team` maps everybody who has a role, in the product or by the
    organization, to the higher of the two."""

    id: ProductId
    name: str
    slug: str
    description: str
    platform_id: int
    type: str | None
    hardware_version: str | None
    organization: OrganizationId
    organization_slug: str
    is_personal: bool
    owner: UserId
    owner_name: str
    settings: dict[str, Any]
    team: Mapping[UserId, Role]
    has_open_invitations: bool
    created_at: Millis
    updated_at: Millis

    @property
    def quarantines(self) -> bool:
        """Do devices that report to be of this product wait until its team approves them?"""
        return self.settings.get("quarantine") is not False

    @property
    def brand(self) -> str:
        """What customers know the product by: pages and mails carry it. `settings.branding.name`, else its name."""
        branding = self.settings.get("branding")
        name = branding.get("name") if isinstance(branding, dict) else None
        return name if isinstance(name, str) and name else self.name

    def resource(self, requester: Requester) -> ProductResource:
        role = self.team.get(requester.id) if isinstance(requester, User) else None
        return ProductResource(self.id, role, self.organization)


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that the cloud knows. `functions` and `variables` are None until it described itself; they outlive the
    connection, because a device that resumes its session does not describe itself again."""

    id: DeviceId
    product: ProductId | None
    owner: Owner | None
    name: str | None
    notes: str | None
    platform_id: int | None
    firmware_product_id: int | None
    firmware_version: int | None
    system_version: str | None
    is_development: bool
    is_quarantined: bool
    is_denied: bool
    serial_number: str | None
    mobile_secret: str | None
    iccid: str | None
    imei: str | None
    last_ip: str | None
    last_heard: Millis | None
    last_handshake_at: Millis | None
    functions: tuple[str, ...] | None
    variables: Mapping[str, str] | None
    firmware_updates_enabled: bool
    firmware_updates_forced: bool
    desired_firmware_version: int | None
    groups: tuple[str, ...]
    created_at: Millis
    updated_at: Millis

    @property
    def is_cellular(self) -> bool:
        return self.platform_id in CELLULAR_PLATFORMS

    @property
    def shown_product_id(self) -> int | None:
        """Devices outside of any product show their platform's number."""
        return self.product if self.product is not None else self.platform_id


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a device says of itself when it connects."""

    ip: str
    platform_id: int | None
    product_id: int | None
    product_version: int | None
    system_version: str | None


@dataclass(frozen=True, slots=True)
class Description:
    """What a device says that it can do: its functions, its variables with their types, and the system part as JSON
    (None: as it said before)."""

    functions: tuple[str, ...]
    variables: Mapping[str, str]
    system: str | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of each id of an import. `updated` were added (or let out of quarantine), `existing` were there,
    `nonmember` belong to somebody outside the product's team, `invalid` cannot be a device of this product."""

    updated: tuple[DeviceId, ...]
    existing: tuple[DeviceId, ...]
    nonmember: tuple[DeviceId, ...]
    invalid: tuple[str, ...]


def owner_columns(owner: Owner | None) -> tuple[str | None, str | None]:
    """An owner as it is stored: kind and id."""
    match owner:
        case OwnedByUser(id=user):
            return "user", user
        case OwnedByCustomer(id=customer):
            return "customer", customer
        case None:
            return None, None


class Change(StrEnum):
    IMPORTED = "imported"
    CLAIMED = "claimed"
    UNCLAIMED = "unclaimed"
    RELEASED = "released"
    """Taken from its owner by the product's team."""
    REMOVED = "removed"
    """Taken out of its product."""


@dataclass(frozen=True, slots=True)
class Custody:
    """Who had a device: the product it was in, and its owner."""

    product: ProductId | None
    owner_kind: str | None
    owner_id: str | None

    @classmethod
    def of(cls, product: ProductId | None, owner: Owner | None) -> "Custody":
        return cls(product, *owner_columns(owner))


@dataclass(frozen=True, slots=True)
class CustodyEntry:
    seq: int
    at: Millis
    device: DeviceId
    change: Change
    actor: str
    before: Custody
    after: Custody
