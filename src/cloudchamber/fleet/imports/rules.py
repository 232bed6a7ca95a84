"""What an import does with each line. Pure."""

import re
from collections.abc import Iterator
from enum import Enum, auto
from io import StringIO
from typing import Final

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner
from cloudchamber.fleet.imports.model import Misfit, Standing
from cloudchamber.fleet.model import Product
from cloudchamber.ids import parse_device_id


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


CHANGES: Final = frozenset({Verdict.CREATE, Verdict.ADD, Verdict.APPROVE})


def verdict(device: Standing | None, product: Product, *, accepts_unknown: bool) -> Verdict:
    """A device of another product, of another platform, or of somebody outside the team does not join.

    A platform counts when it is on record. One that is on no record joins whatever it says of itself on an open
    connection: the outcome of an import must not depend on whether a device happens to be connected at the moment.
    Where a device merely connected with a product's number, it is nobody's yet: any firmware can say that number.
    """
    if device is None:
        return Verdict.CREATE if accepts_unknown else Verdict.INVALID
    if device.product == product.id:
        return Verdict.APPROVE if device.is_quarantined or device.is_denied else Verdict.PRESENT
    if device.product is not None and not device.is_seen_only:
        return Verdict.INVALID
    if device.platform_id is not None and device.platform_id != product.platform_id:
        return Verdict.INVALID
    if not _may_join(device.owner, product):
        return Verdict.NONMEMBER
    return Verdict.ADD


def misfit(device: Standing | None, product: Product) -> Misfit:
    """Why the verdict was INVALID."""
    if device is None:
        return Misfit.UNKNOWN
    if device.product not in (None, product.id) and not device.is_seen_only:
        return Misfit.OTHER_PRODUCT
    return Misfit.OTHER_HARDWARE


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


# Serial numbers are made up by whoever makes the devices.
_SERIAL_NUMBER = re.compile(r"[A-Z0-9][A-Z0-9._-]{3,63}")
_IMEI = re.compile(r"[0-9]{14,16}")
_ICCID = re.compile(r"[0-9]{18,22}F?")


def serial_number_in(text: str) -> str | None:
    """As serial numbers are kept: in upper case."""
    upper = text.strip().upper()
    return upper if _SERIAL_NUMBER.fullmatch(upper) else None


def is_imei(text: str) -> bool:
    return _IMEI.fullmatch(text) is not None


def is_iccid(text: str) -> bool:
    return _ICCID.fullmatch(text) is not None
