"""Devices and products as values."""

import dataclasses

import msgspec

from cloudchamber.clock import Millis
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.ids import DeviceId, ProductId, UserId


def product(**changes) -> Product:
    given = {
        "id": ProductId(4711),
        "name": "Thing",
        "slug": "thing",
        "description": "",
        "platform_id": 6,
        "type": None,
        "hardware_version": None,
        "owner": UserId("0" * 24),
        "owner_name": "maker",
        "settings": {},
        "team": {},
        "created_at": Millis(0),
        "updated_at": Millis(0),
    }
    return _made(Product, given | changes)


def device(**changes) -> DeviceRecord:
    """In product 4711, on a Photon, with version 2."""
    given = {
        "id": DeviceId("0" * 24),
        "product": ProductId(4711),
        "platform_id": 6,
        "firmware_product_id": 4711,
        "firmware_version": 2,
        "reports_updates_enabled": True,
        "allows_updates": True,
        "groups": (),
        "created_at": Millis(0),
        "updated_at": Millis(0),
    }
    return _made(DeviceRecord, given | changes)


def _made(kind, given):
    """With what is not given empty: a field that is added to a record changes nothing here."""
    empty = {"bool": False, "tuple": (), "Mapping": {}}
    fields, missing = _fields(kind)
    for field in fields:
        if field.name not in given and field.default is missing:
            given[field.name] = next(
                (value for word, value in empty.items() if _name(field.type).find(word) == 0), None
            )
    known = {field.name for field in fields}
    return kind(**{name: value for name, value in given.items() if name in known})


def _fields(kind):
    if dataclasses.is_dataclass(kind):
        return dataclasses.fields(kind), dataclasses.MISSING
    return msgspec.structs.fields(kind), msgspec.NODEFAULT


def _name(type_):
    """As it stands in the source, more or less."""
    return getattr(type_, "__name__", None) or str(type_)
