"""Reports of devices."""

from dataclasses import dataclass
from typing import Any

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId

KEPT_DAYS = 31
MAX_KEPT = 1_000
"""Of one device, vitals and locations each: one that reports every second has its last quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """`payload` is as it is shown: what the device said under `device`, what the cloud knows under `service`. `owner`
    is who had the device then."""

    device: DeviceId
    at: Millis
    owner: Owner | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Location:
    """WGS 84, in degrees. `is_locked`: by satellites, and not by guess."""

    latitude: float
    longitude: float
    is_locked: bool


@dataclass(frozen=True, slots=True)
class Stop:
    at: Millis
    location: Location


@dataclass(frozen=True, slots=True)
class Box:
    """From its bottom left to its top right; `west` may be beyond `east`, over the date line."""

    south: float
    west: float
    north: float
    east: float
