"""Pure rules of the fleet: which key is trusted, what an import does with an id, slugs, sorting."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from io import StringIO
from typing import Any, Final

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.ids import DeviceId, ProductId, parse_device_id, slugify

# --- keys ------------------------------------------------------------------------------------------------------------


class Trust(Enum):
    """What a device's key is worth that just proved itself in a handshake."""

    KNOWN = auto()
    """It is the key on record."""
    FIRST_USE = auto()
    """No key is on record for this known id: this one goes on record, and from now on no other will do."""
    PROVISIONAL = auto()
    """The id is unknown. The device may connect and wait to be imported or claimed; until then nobody can reach it,
    and its key is recorded only when that happens."""
    REFUSED = auto()


def trust(
    device: DeviceRecord | None,
    recorded: bytes | None,
    presented: bytes | None,
    *,
    on_first_use: bool,
    accepts_unknown: bool,
) -> Trust:
    """`presented` is None for very old firmware that sends its id alone: it needs a key on record."""
    if recorded is not None:
        return Trust.KNOWN if presented is None or presented == recorded else Trust.REFUSED
    if presented is None or not on_first_use:
        return Trust.REFUSED
    if device is None:
        return Trust.PROVISIONAL if accepts_unknown else Trust.REFUSED
    return Trust.REFUSED if device.is_denied else Trust.FIRST_USE


# --- imports ---------------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What an import does with one id."""

    CREATE = auto()
    ADD = auto()
    """Known, free of any product: it joins this one."""
    APPROVE = auto()
    """In this product, but quarantined or denied: it may take part again."""
    PRESENT = auto()
    NONMEMBER = auto()
    INVALID = auto()


def import_verdict(device: DeviceRecord | None, product: Product, *, accepts_unknown: bool) -> Verdict:
    """A device of another product, of another platform, or of somebody outside the team does not join.

    A platform counts when it is on record. One that is on no record joins whatever it says of itself on an open
    connection: the outcome of an import must not depend on whether a device happens to be connected at the moment.
    """
    if device is None:
        return Verdict.CREATE if accepts_unknown else Verdict.INVALID
    if device.product == product.id:
        return Verdict.APPROVE if device.is_quarantined or device.is_denied else Verdict.PRESENT
    if device.product is not None:
        return Verdict.INVALID
    if device.platform_id is not None and device.platform_id != product.platform_id:
        return Verdict.INVALID
    if not _may_join(device.owner, product):
        return Verdict.NONMEMBER
    return Verdict.ADD


def _may_join(owner: Owner | None, product: Product) -> bool:
    match owner:
        case None:
            return True
        case OwnedByUser(id=user):
            return user in product.team
        case OwnedByCustomer():
            return False


_SEPARATORS = re.compile(r"[\s,;]+")


def ids_in_file(text: str) -> Iterator[str]:
    """Ids of a text file, one a line: blank lines, blanks, commas, carriage returns and a header line are tolerated."""
    for number, line in enumerate(StringIO(text.removeprefix("\ufeff"), newline=None)):
        words = [word for word in _SEPARATORS.split(line.strip()) if word]
        if number == 0 and words and _is_header(words):
            continue
        yield from words


def _is_header(words: list[str]) -> bool:
    """Of a column, like `Device ID`: no digit in it, and yet no id of letters alone."""
    return not any(parse_device_id(word) or any(map(str.isdecimal, word)) for word in words)


# --- products --------------------------------------------------------------------------------------------------------


def slugs(name: str, hardware_version: str | None) -> Iterator[str]:
    """Candidates in order of preference: the name, with `-v10` for hardware version 1.0, then `-2`, `-3`, ...

    Never a number alone: a path that names a product by its id must not find somebody else's slug.
    """
    base = slugify(name)
    if not base or base.isdecimal():
        base = f"product-{base}".rstrip("-")
    if hardware_version:
        digits = "".join(character for character in hardware_version if character.isdecimal())
        base += f"-v{digits}" if digits else ""
    yield base
    number = 2
    while True:
        yield f"{base}-{number}"
        number += 1


# --- lists -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices of a product a list shows. Texts match as the API says: ids whole, names in part."""

    device_id: str | None = None
    name: str | None = None
    groups: tuple[str, ...] = ()
    serial_number: str | None = None
    is_quarantined: bool | None = None

    def matches(self, device: DeviceRecord) -> bool:
        return (
            (self.device_id is None or device.id == self.device_id.lower())
            and (self.name is None or self.name.lower() in (device.name or "").lower())
            and (not self.groups or not set(self.groups).isdisjoint(device.groups))
            and (self.serial_number is None or self.serial_number == device.serial_number)
            and (self.is_quarantined is None or self.is_quarantined == device.is_quarantined)
        )


_SORT_KEYS: Final[dict[str, Callable[[DeviceRecord], Any]]] = {
    "deviceName": lambda device: device.name.lower() if device.name is not None else None,
    "deviceId": lambda device: device.id,
    "firmwareVersion": lambda device: device.firmware_version,
    "lastConnection": lambda device: device.last_handshake_at,
}


def in_order(devices: Iterable[DeviceRecord], sort: str, *, descending: bool) -> list[DeviceRecord]:
    """Sorted by one of the API's names, by id for an unknown one. A device that has no name, version or connection
    yet comes last in either direction; equal ones keep their order."""
    key = _SORT_KEYS.get(sort, _SORT_KEYS["deviceId"])
    keyed = [(key(device), device) for device in devices]
    known = [pair for pair in keyed if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [device for _, device in known] + [device for value, device in keyed if value is None]


def product_id_in(reference: str) -> ProductId | None:
    """The number, when a product is named by its id and not by its slug."""
    if reference.isascii() and reference.isdecimal() and len(reference) <= 5:
        return ProductId(int(reference))
    return None


def unique(ids: Iterable[DeviceId]) -> list[DeviceId]:
    return list(dict.fromkeys(ids))
