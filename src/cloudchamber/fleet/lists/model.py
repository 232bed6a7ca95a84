"""What a list of devices is asked for."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from cloudchamber.ids import DeviceId


class Order(StrEnum):
    """By what a list is sorted; the value is the column."""

    ID = "id"
    NAME = "name_key"
    FIRMWARE = "firmware_version"
    CONNECTION = "last_handshake_at"


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices of a product a list shows. Ids, names and serial numbers match in part, and without regard to case;
    groups are named in full, and one of them is enough. `text` is part of any of the three."""

    device_id: str | None = None
    name: str | None = None
    groups: tuple[str, ...] = ()
    serial_number: str | None = None
    is_quarantined: bool | None = None
    is_denied: bool | None = None
    text: str | None = None

    @property
    def is_all(self) -> bool:
        return self == _ALL


_ALL = DeviceFilter()


class Hit(msgspec.Struct, frozen=True):
    """A device that a filter lets through, with what it is sorted by: None while it has no name, no firmware of the
    product, or never connected."""

    id: DeviceId
    key: str | int | None


class Span(msgspec.Struct, frozen=True):
    """Rows of one part of a list: `known` have something to be sorted by, and come first."""

    known: bool
    offset: int
    limit: int
