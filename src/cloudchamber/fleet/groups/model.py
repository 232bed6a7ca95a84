"""Groups on record."""

from dataclasses import dataclass

from cloudchamber.clock import Millis
from cloudchamber.ids import ProductId


@dataclass(frozen=True, slots=True)
class Group:
    """`name` is spelled as it was given, and found without regard to case. `fw_version` is the firmware released to the
    group, None while there is none; `device_count` counts its members."""

    id: str
    product: ProductId
    name: str
    description: str | None
    color: str | None
    fw_version: int | None
    device_count: int
    created_at: Millis
    updated_at: Millis


@dataclass(frozen=True, slots=True)
class GroupChanges:
    """What a request wants changed; None leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    color: str | None = None
