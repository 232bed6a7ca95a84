"""How a list is put in order, and which of its parts a page touches. Pure."""

from collections.abc import Iterable

from cloudchamber.fleet.lists.model import Hit, Order, Span
from cloudchamber.ids import DeviceId

_ORDERS = {
    "deviceName": Order.NAME,
    "deviceId": Order.ID,
    "firmwareVersion": Order.FIRMWARE,
    "lastConnection": Order.CONNECTION,
}


def order_of(name: str | None) -> Order:
    """The API's names; newest connection by default, by id for a name that it does not know."""
    return Order.CONNECTION if name is None else _ORDERS.get(name, Order.ID)


def in_order(hits: Iterable[Hit], *, descending: bool) -> list[DeviceId]:
    """Those without a key come last in either direction, by id."""
    found = list(hits)
    known = sorted(((hit.key, hit.id) for hit in found if hit.key is not None), reverse=descending)
    return [id_ for _, id_ in known] + sorted(hit.id for hit in found if hit.key is None)


def rest(offset: int, limit: int, found: int, known: int) -> Span:
    """What a page takes of the unknown ones, after `found` of the `known` ones left room for them."""
    return Span(False, max(0, offset - known), limit - found)
