"""Vitals and locations."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Anything, Date, DeviceId, Maybe

_Time = Annotated[str, Meta(examples=["2018-04-18", "2018-04-18T17:20:10Z"])]
_Corner = Annotated[str, Meta(description="Latitude and longitude, with a comma.", examples=["48.1,11.5"])]


class HistoryQuery(Struct):
    """A month is kept."""

    start_date: _Time | Maybe = UNSET
    end_date: _Time | Maybe = UNSET


class VitalsPayload(Struct):
    """`device` is what the device said, `service` what the server knows of it."""

    device: Anything
    service: Anything


class Vitals(Struct):
    updated_at: Date
    deviceID: DeviceId
    payload: VitalsPayload


class LastVitals(Struct):
    diagnostics: Vitals


class VitalsList(Struct):
    diagnostics: list[Vitals]


class Area(Struct):
    """Where, and when. Without a `date_range` the last place is told, with one the whole way."""

    date_range: Annotated[str, Meta(examples=["2018-04-18,2018-04-19T12:00:00Z"])] | Maybe = UNSET
    rect_bl: _Corner | Maybe = UNSET
    rect_tr: _Corner | Maybe = UNSET


class AreaOfProduct(Area):
    device_id: str | Maybe = UNSET
    device_name: str | Maybe = UNSET
    groups: str | list[str] | Maybe = UNSET
    page: int | Maybe = UNSET
    per_page: int | Maybe = UNSET


class Geometry(Struct):
    """GeoJSON: longitude, latitude."""

    type: Literal["Point", "LineString"]
    coordinates: list[Any]


class DeviceLocation(Struct):
    """`gps_lock`, the first of `timestamps` and of the coordinates are of the newest place."""

    device_id: DeviceId
    product_id: int
    device_name: str | None
    groups: list[str]
    gps_lock: bool
    last_heard: Date | None
    timestamps: list[Date]
    online: bool
    geometry: Geometry


class LocationPages(Struct):
    page: int
    per_page: int
    total_pages: int
    devices_found: int


class LocationList(Struct):
    locations: list[DeviceLocation]
    meta: LocationPages


class LocationFound(Struct):
    location: DeviceLocation
    meta: Anything
