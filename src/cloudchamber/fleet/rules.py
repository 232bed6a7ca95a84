"""Pure rules of the fleet: which key is trusted, where a device belongs that nobody named, slugs."""

from collections.abc import Iterator
from enum import Enum, auto

from cloudchamber.fleet.model import DeviceRecord, Product, RecordedKey
from cloudchamber.ids import ProductId, slugify

# --- keys ------------------------------------------------------------------------------------------------------------


class Trust(Enum):
    """What a device's key is worth that just proved itself in a handshake."""

    KNOWN = auto()
    """It is the key on record."""
    FIRST_USE = auto()
    """No key is on record for this known id, or one that binds nobody: this one goes on record, and from now on no
    other will do (unless the device is only seen yet)."""
    PROVISIONAL = auto()
    """The id is unknown. The device may connect and wait to be imported or claimed; until then nobody can reach it,
    and its key is recorded only when that happens."""
    REFUSED = auto()


def trust(
    device: DeviceRecord | None,
    recorded: RecordedKey | None,
    presented: bytes | None,
    *,
    on_first_use: bool,
    accepts_unknown: bool,
) -> Trust:
    """`presented` is None for very old firmware that sends its id alone: it needs a key on record."""
    if device is not None and device.is_denied:
        return Trust.REFUSED
    if recorded is not None and presented in (None, recorded.public_key):
        return Trust.KNOWN
    if presented is None or not on_first_use or (recorded is not None and not recorded.is_seen_only):
        return Trust.REFUSED
    if device is None:
        return Trust.PROVISIONAL if accepts_unknown else Trust.REFUSED
    return Trust.FIRST_USE


class KeyChange(Enum):
    """What becomes of a key that somebody sends for a device."""

    RECORD = auto()
    """It goes on record: from now on no other will do."""
    LEFT_TO_DEVICE = auto()
    """The device is nobody's and bound to no key: it goes by whichever it shows itself, and what a stranger says of it
    must not shut it out. Nothing is recorded."""
    REFUSED = auto()


def key_change(
    device: DeviceRecord | None,
    recorded: RecordedKey | None,
    *,
    is_theirs: bool,
    on_first_use: bool,
    accepts_unknown: bool,
) -> KeyChange:
    """`is_theirs`: whoever sends the key owns the device, or develops the product that it is in."""
    if is_theirs:
        return KeyChange.RECORD
    is_bound = recorded is not None and not recorded.is_seen_only
    if not on_first_use or is_bound:
        return KeyChange.REFUSED
    if device is None:
        return KeyChange.LEFT_TO_DEVICE if accepts_unknown else KeyChange.REFUSED
    return KeyChange.LEFT_TO_DEVICE if is_nobodys(device) and not device.is_denied else KeyChange.REFUSED


def is_nobodys(device: DeviceRecord) -> bool:
    """No owner, and no product that knows of it by somebody's word."""
    return device.owner is None and (device.product is None or device.is_seen_only)


# --- quarantine ------------------------------------------------------------------------------------------------------


class Place(Enum):
    """Where a device belongs that connects and that nobody has named."""

    NOWHERE = auto()
    """It waits, on no record or free of any product."""
    QUARANTINE = auto()
    MEMBER = auto()
    """Its product takes whoever comes."""


def place(product: Product | None, platform_id: int | None) -> Place:
    """`product` is the one whose number the device's firmware says. A firmware of another platform is none of its; the
    Core's does not say its own, which is 0."""
    if product is None or (platform_id or 0) != product.platform_id:
        return Place.NOWHERE
    return Place.MEMBER if product.settings.get("quarantine") is False else Place.QUARANTINE


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


def product_id_in(reference: str) -> ProductId | None:
    """The number, when a product is named by its id and not by its slug."""
    if reference.isascii() and reference.isdecimal() and len(reference) <= 5:
        return ProductId(int(reference))
    return None
