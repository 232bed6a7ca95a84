"""How vitals and locations are read.

Numbers of metrics: device-protocol.md 3.10. Their names are those of the vendor's reference; its units are not among
the facts, so strengths, qualities and charges, which firmware keeps as 8.8 fixed point, are shown in percent and dBm.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from cloudchamber.diagnostics.model import Location
from cloudchamber.wire.describe import Metric

_NETWORK: Final = (
    "turned_off",
    "turning_on",
    "disconnected",
    "connecting",
    "connected",
    "disconnecting",
    "turning_off",
)
_CLOUD: Final = ("disconnected", "connecting", "connected", "disconnecting")
_BATTERY: Final = ("unknown", "not_charging", "charging", "charged", "discharging", "fault", "disconnected")
_POWER: Final = ("unknown", "VIN", "USB host", "USB adapter", "USB OTG", "battery")
_ACCESS: Final = {1: "Wi-Fi", 2: "GSM", 3: "EDGE", 4: "UMTS", 5: "CDMA", 6: "LTE", 8: "LTE Cat-M1", 9: "LTE Cat-NB1"}

_PLAIN: Final[dict[int, tuple[str, ...]]] = {
    1: ("system", "reset_reason"),
    6: ("system", "uptime"),
    4: ("system", "system_loops"),
    5: ("system", "application_loops"),
    25: ("system", "memory", "total"),
    26: ("system", "memory", "used"),
    9: ("network", "connection", "error"),
    12: ("network", "connection", "disconnects"),
    27: ("network", "connection", "attempts"),
    28: ("network", "connection", "disconnect_reason"),
    19: ("network", "signal", "rssi"),
    13: ("cloud", "connection", "error"),
    14: ("cloud", "connection", "disconnects"),
    29: ("cloud", "connection", "attempts"),
    30: ("cloud", "connection", "disconnect_reason"),
    20: ("cloud", "publish", "rate_limited"),
    21: ("cloud", "coap", "retransmit"),
    22: ("cloud", "coap", "unack"),
    23: ("cloud", "coap", "transmit"),
    31: ("cloud", "coap", "round_trip"),
    40: ("network", "cellular", "operator", "mcc"),
    41: ("network", "cellular", "operator", "mnc"),
    42: ("network", "cellular", "cell_global_identity", "location_area_code"),
    43: ("network", "cellular", "cell_global_identity", "cell_id"),
}
_NAMED: Final[dict[int, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    8: (("network", "connection", "status"), _NETWORK),
    10: (("cloud", "connection", "status"), _CLOUD),
    7: (("power", "battery", "state"), _BATTERY),
    24: (("power", "source"), _POWER),
}
_FIXED_POINT: Final[dict[int, tuple[str, ...]]] = {
    3: ("power", "battery", "charge"),
    33: ("network", "signal", "strength"),
    34: ("network", "signal", "quality"),
    35: ("network", "signal", "qualityv"),
    37: ("network", "signal", "strengthv"),
}
_FREE_MEMORY: Final = 2
_ACCESS_TECHNOLOGY: Final = 36

_MAX_LOCATION_LENGTH: Final = 10_000


def device_part(metrics: Iterable[Metric]) -> dict[str, Any]:
    """A metric that the device could not measure is `{"err": number}`; one without a name is under `other`."""
    shown: dict[str, Any] = {}
    for metric in metrics:
        path, value = _shown(metric)
        below = shown
        for name in path[:-1]:
            below = below.setdefault(name, {})
        below[path[-1]] = {"err": metric.value} if metric.failed else value
    return shown


def _shown(metric: Metric) -> tuple[tuple[str, ...], Any]:
    number, value = metric.id, metric.value
    if number in _PLAIN:
        return _PLAIN[number], value
    if number in _NAMED:
        path, names = _NAMED[number]
        return path, names[value] if 0 <= value < len(names) else value
    if number in _FIXED_POINT:
        return _FIXED_POINT[number], round(value / 256, 2)
    if number == _ACCESS_TECHNOLOGY:
        return ("network", "signal", "at"), _ACCESS.get(value, value)
    if number == _FREE_MEMORY:
        return ("system", "memory", "free"), value
    return ("other", str(number)), value


def service_part(*, round_trip_ms: int | None) -> dict[str, Any]:
    """What the cloud knows: the device has just spoken, and how long it took to answer when it was asked."""
    found: dict[str, Any] = {"device": {"status": "ok"}}
    if round_trip_ms is not None:
        found["coap"] = {"round_trip": round_trip_ms}
    return found


def parse_location_untrusted(data: str | None) -> Location | None:
    """The data of a `loc` event, `{"loc": {"lck": 1, "lat": 48.1, "lon": 11.5}}`; None where it tells no place."""
    if data is None or len(data) > _MAX_LOCATION_LENGTH:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    said = found.get("loc") if isinstance(found, dict) else None
    if not isinstance(said, dict):
        return None
    latitude, longitude = _degrees(said.get("lat"), 90), _degrees(said.get("lon"), 180)
    if latitude is None or longitude is None:
        return None
    return Location(latitude, longitude, is_locked=said.get("lck") in (1, True))


def _degrees(value: Any, largest: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -largest <= value <= largest else None
