"""How a list is put in order, and which of its parts a page touches. Pure."""

from collections.abc import Iterable

from cloudchamber.fleet.lists.model import DeviceFilter, Hit, Order, Span
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.ids import DeviceId, ProductId

_ORDERS = {
    "deviceName": Order.NAME,
    "deviceId": Order.ID,
    "firmwareVersion": Order.FIRMWARE,
    "lastConnection": Order.CONNECTION,
}


def order_of(name: str | None) -> Order:
    """The API's names; newest connection by default, by id for a name that it does not know."""
    return Order.CONNECTION if name is None else _ORDERS.get(name, Order.ID)


def matches(record: DeviceRecord, product: ProductId, wanted: DeviceFilter) -> bool:
    """What the conditions of the store say, of a record at hand."""
    id_, name, serial = record.id, (record.name or "").lower(), (record.serial_number or "").lower()
    groups = {group.lower() for group in record.groups}
    return (
        record.product == product
        and (wanted.device_id is None or wanted.device_id.lower() in id_)
        and (wanted.name is None or wanted.name.lower() in name)
        and (wanted.serial_number is None or wanted.serial_number.lower() in serial)
        and (wanted.text is None or any(wanted.text.lower() in each for each in (id_, name, serial)))
        and (not wanted.groups or not groups.isdisjoint(group.lower() for group in wanted.groups))
        and wanted.is_quarantined in (None, record.is_quarantined)
        and wanted.is_denied in (None, record.is_denied)
    )


def in_order(hits: Iterable[Hit], *, descending: bool) -> list[DeviceId]:
    """Those without a key come last in either direction, by id."""
    found = list(hits)
    known = sorted(((hit.key, hit.id) for hit in found if hit.key is not None), reverse=descending)
    return [id_ for _, id_ in known] + sorted(hit.id for hit in found if hit.key is None)


def rest(offset: int, limit: int, found: int, known: int) -> Span:
    """What a page takes of the unknown ones, after `found` of the `known` ones left room for them."""
    return Span(False, max(0, offset - known), limit - found)
