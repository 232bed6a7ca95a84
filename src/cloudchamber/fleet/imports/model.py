"""What an import looks at, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from cloudchamber.access.model import Owner
from cloudchamber.ids import DeviceId, ProductId


class Standing(msgspec.Struct, frozen=True):
    """As much of a device on record as decides whether it joins. `is_seen_only`: nobody has named it yet, it stands in
    a product's quarantine because it connected."""

    product: ProductId | None
    owner: Owner | None
    platform_id: int | None
    is_quarantined: bool
    is_denied: bool
    is_seen_only: bool


class Misfit(Enum):
    """Why something cannot be a device of a product. The value is the sentence that says it."""

    NO_DEVICE = "is no device id, and no serial number, IMEI or ICCID of one device"
    UNKNOWN = "is unknown, and this server takes only devices that it knows"
    OTHER_PRODUCT = "is in another product"
    OTHER_HARDWARE = "is of other hardware than the product"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of each id, in the order of the import. `updated` were added (or let in again), `existing` were
    there, `nonmember` belong to somebody outside the product's team, `invalid` cannot be a device of this product, and
    `why` says for each of those why not."""

    updated: tuple[DeviceId, ...]
    existing: tuple[DeviceId, ...]
    nonmember: tuple[DeviceId, ...]
    invalid: tuple[str, ...]
    why: Mapping[str, Misfit] = field(default_factory=dict)
