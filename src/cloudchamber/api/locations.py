"""Where the devices of a product are, and were."""

from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.diagnostics import time_in
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.places import Places
from cloudchamber.clock import Millis, iso, iso_or_none
from cloudchamber.diagnostics.errors import NoLocation
from cloudchamber.diagnostics.model import Box
from cloudchamber.diagnostics.service import Diagnostics, Path
from cloudchamber.fleet.lists.model import DeviceFilter
from cloudchamber.fleet.lists.service import DeviceLists
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.service import Devices
from cloudchamber.ids import DeviceId, parse_device_id

_DEFAULT_PER_PAGE: Final = 20
_MAX_PER_PAGE: Final = 100
_MAX_AMONG: Final = 1_000
_MAX_PAGE: Final = 1_000_000


class LocationsResource:
    def __init__(self, diagnostics: Diagnostics, devices: Devices, lists: DeviceLists, places: Places) -> None:
        self._diagnostics = diagnostics
        self._devices = devices
        self._lists = lists
        self._places = places

    async def of_product(self, call: Call, requester: Bearer) -> Any:
        product = await self._places.product(call)
        self._diagnostics.check_locations(requester, product)
        query = call.query
        page = query.integer("page", at_least=1, at_most=_MAX_PAGE) or 1
        per_page = query.integer("per_page", at_least=1, at_most=_MAX_PER_PAGE) or _DEFAULT_PER_PAGE
        since, until = _times(query)
        box = _box(query)
        devices, total = await self._diagnostics.devices_at(
            requester,
            product,
            await self._among(query, requester, product),
            since=since, until=until, box=box, page=page, per_page=per_page,
        )  # fmt: skip
        shown = [await self._shown(device, product, since, until, box) for device in devices]
        return {
            "locations": [each for each in shown if each is not None],
            "meta": {
                "page": page,
                "per_page": per_page,
                "total_pages": max(1, -(-total // per_page)),
                "devices_found": total,
            },
        }

    async def of_device(self, call: Call, requester: Bearer) -> Any:
        product = await self._places.product(call)
        device = await self._devices.in_product(requester, product, call.params["device"], Action.LOCATIONS_GET)
        since, until = _times(call.query)
        found = await self._shown(device.id, product, since, until, _box(call.query))
        if found is None:
            raise NoLocation("The device has told no location there and then")
        return {"location": found, "meta": {}}

    async def _among(self, query: Fields, requester: Bearer, product: Product) -> list[DeviceId] | None:
        """The devices that `device_id`, `device_name` and `groups` name; None where none of them is given."""
        id_, name, groups = query.text("device_id"), query.text("device_name"), query.texts("groups")
        if not (id_ or name or groups):
            return None
        if id_ and parse_device_id(id_) is None:
            return []
        wanted = DeviceFilter(device_id=id_, name=name, groups=tuple(groups))
        found, _ = await self._lists.of_product(requester, product, wanted, per_page=_MAX_AMONG)
        return [record.id for record in found]

    async def _shown(
        self, id_: DeviceId, product: Product, since: Millis | None, until: Millis | None, box: Box | None
    ) -> dict[str, Any] | None:
        record = await self._devices.get(id_)
        if record is None or record.product != product.id:
            return None  # it left meanwhile
        try:
            path = await self._diagnostics.path(record, since=since, until=until, box=box)
        except NoLocation:
            return None
        view = await self._devices.view(record)
        return _geometry(path) | {
            "device_id": record.id,
            "product_id": product.id,
            "device_name": record.name,
            "groups": list(record.groups),
            "last_heard": iso_or_none(view.last_heard),
            "online": view.is_online,
        }


def _geometry(path: Path) -> dict[str, Any]:
    """GeoJSON: longitude first."""
    points = [[stop.location.longitude, stop.location.latitude] for stop in path.stops]
    is_line = len(points) > 1
    return {
        "gps_lock": path.stops[0].location.is_locked,
        "timestamps": [iso(stop.at) for stop in path.stops],
        "geometry": {"type": "LineString" if is_line else "Point", "coordinates": points if is_line else points[0]},
    }


def _times(query: Fields) -> tuple[Millis | None, Millis | None]:
    """`date_range`: two times with a comma between them."""
    text = query.text("date_range")
    if not text:
        return None, None
    since, comma, until = text.partition(",")
    if not comma:
        raise FieldInvalid("date_range must be two times with a comma between them")
    return time_in(since, "date_range") or Millis(0), time_in(until, "date_range")


def _box(query: Fields) -> Box | None:
    """`rect_bl` and `rect_tr`: latitude and longitude of the corners at the bottom left and the top right."""
    corners = [_corner(query, name) for name in ("rect_bl", "rect_tr")]
    low, high = corners
    if low is None and high is None:
        return None
    if low is None or high is None:
        raise FieldInvalid("rect_bl and rect_tr belong together")
    return Box(south=low[0], west=low[1], north=high[0], east=high[1])


def _corner(query: Fields, name: str) -> tuple[float, float] | None:
    text = query.text(name)
    if not text:
        return None
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise FieldInvalid(f"{name} must be a latitude and a longitude with a comma between them") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise FieldInvalid(f"{name} is not on the earth: the latitude comes first")
    return latitude, longitude
