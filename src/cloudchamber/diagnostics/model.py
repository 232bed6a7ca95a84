"""Reports of devices."""

from typing import Any

import msgspec

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId

KEPT_DAYS = 31
MAX_KEPT = 1_000
"""Of one device, vitals and locations each: one that reports every second has its last quarter of an hour."""


class Vitals(msgspec.Struct, frozen=True):
    """`payload` is as it is shown: what the device said under `device`, what the cloud knows under `service`. `owner`
    is who had the device then."""

    device: DeviceId
    at: Millis
    owner: Owner | None
    payload: dict[str, Any]


class Location(msgspec.Struct, frozen=True):
    """WGS 84, in degrees. `is_locked`: by satellites, and not by guess."""

    latitude: float
    longitude: float
    is_locked: bool


class Stop(msgspec.Struct, frozen=True):
    at: Millis
    location: Location


class Box(msgspec.Struct, frozen=True):
    """From its bottom left to its top right; `west` may be beyond `east`, over the date line."""

    south: float
    west: float
    north: float
    east: float
