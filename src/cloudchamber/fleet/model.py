"""Products and devices on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final, Literal

import msgspec

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


class DeviceRecord(msgspec.Struct, frozen=True, gc=False):
    """A device that the cloud knows. `functions` and `variables` are None until it described itself; they outlive the
    connection, because a device that resumes its session does not describe itself again.

    `is_seen_only`: it is in quarantine because it connected with its product's number, and nobody has named it yet.
    `is_name_private`: its owner gave the name, and takes it along when they part. `reports_updates_enabled` is what its
    firmware says, `allows_updates` what people say."""

    id: DeviceId
    product: ProductId | None
    owner: Owner | None
    owned_since: Millis | None
    name: str | None
    is_name_private: bool
    notes: str | None
    platform_id: int | None
    firmware_product_id: int | None
    firmware_version: int | None
    system_version: str | None
    cc3000_patch_version: str | None
    is_development: bool
    is_quarantined: bool
    is_denied: bool
    is_seen_only: bool
    is_in_safe_mode: bool
    serial_number: str | None
    mobile_secret: str | None
    iccid: str | None
    imei: str | None
    last_ip: str | None
    last_heard: Millis | None
    last_handshake_at: Millis | None
    functions: tuple[str, ...] | None
    variables: Mapping[str, str] | None
    reports_updates_enabled: bool
    allows_updates: bool
    firmware_updates_forced: bool
    desired_firmware_version: int | None
    groups: tuple[str, ...]
    created_at: Millis
    updated_at: Millis

    @property
    def firmware_updates_enabled(self) -> bool:
        return self.reports_updates_enabled and self.allows_updates

    @property
    def is_shut_out(self) -> bool:
        """Nothing reaches it, and nothing that it says is heard."""
        return self.is_quarantined or self.is_denied

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
    imei: str | None = None
    iccid: str | None = None


class Unchanged(Enum):
    """In a request to change some fields of something: leave this one, which None would empty."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


FIRST_USE: Final = "first-use"
"""The origin of a key that a named device brought itself."""
SEEN_ONLY: Final = "seen-only"
"""The origin of a key that its device showed while nobody had named the device yet. It binds nobody: another key may
take its place until the device is approved, imported or claimed."""


class RecordedKey(msgspec.Struct, frozen=True):
    """SubjectPublicKeyInfo, DER; `origin` says how it came on record."""

    public_key: bytes
    origin: str

    @property
    def is_seen_only(self) -> bool:
        return self.origin == SEEN_ONLY


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
    QUARANTINED = "quarantined"
    """Connected with a product's number, and waits there for somebody who names it; or was sent there."""
    JOINED = "joined"
    """Connected with the number of a product that takes whoever comes."""
    APPROVED = "approved"
    """Let out of quarantine, or taken off the deny list."""
    DENIED = "denied"
    LEFT = "left"
    """Seen with another product's number before anybody had named it."""
    TRANSFERRED = "transferred"
    """From one owner to the next, by the first one's word."""


@dataclass(frozen=True, slots=True)
class Custody:
    """Who had a device: the product it was in, and its owner."""

    product: ProductId | None
    owner_kind: str | None
    owner_id: str | None

    @classmethod
    def of(cls, product: ProductId | None, owner: Owner | None) -> "Custody":
        return cls(product, *owner_columns(owner))


class CustodyEntry(msgspec.Struct, frozen=True):
    seq: int
    at: Millis
    device: DeviceId
    change: Change
    actor: str
    before: Custody
    after: Custody
