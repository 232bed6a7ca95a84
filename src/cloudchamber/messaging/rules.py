"""Pure rules of events: who hears what, and which names and data an application may publish."""

from typing import Final

from cloudchamber.ids import OrganizationId
from cloudchamber.messaging.errors import EventInvalid
from cloudchamber.messaging.model import (
    DEFAULT_TTL_S,
    Event,
    Listening,
    OrganizationEvents,
    OwnAndPublicEvents,
    OwnDeviceEvents,
    OwnEvents,
    ProductDeviceEvents,
    ProductEvents,
)

MAX_NAME_LENGTH: Final = 64
# What the largest devices take; a device with less gets what fits or nothing.
MAX_DATA_BYTES: Final = 1024
MAX_TTL_S: Final = 16_777_215
_RESERVED: Final = ("spark", "particle")


def hears(listening: Listening, prefix: str, event: Event, organization: OrganizationId | None = None) -> bool:
    """Prefixes match from the start of the name and mind the case. `organization` is the one that the event belongs to:
    its own, or that of its product."""
    return event.name.startswith(prefix) and _concerns(listening, event, organization)


def _concerns(listening: Listening, event: Event, organization: OrganizationId | None) -> bool:
    match listening:
        case OwnEvents(owner=owner):
            return event.owner == owner
        case OwnAndPublicEvents(owner=owner):
            return event.is_public or event.owner == owner
        case OwnDeviceEvents(owner=owner, device=device):
            return event.source == device and event.owner == owner
        case ProductEvents(product=product, organization=own):
            return event.product == product or (event.is_organizations and event.organization == own)
        case ProductDeviceEvents(product=product, device=device):
            return event.source == device and event.product == product
        case OrganizationEvents(organization=own):
            return organization == own


def check_publication(name: str, data: str | None, ttl_s: int) -> None:
    """What an application may publish. Names of the system's own events are reserved, or anybody could tell an app
    that a device went offline.

    Raises EventInvalid.
    """
    if not name:
        raise EventInvalid("Name is required")
    if not name.isprintable():
        raise EventInvalid("An event's name cannot have control characters or line breaks")
    if len(name.encode()) > MAX_NAME_LENGTH:
        raise EventInvalid(f"An event's name has at most {MAX_NAME_LENGTH} bytes")
    if name.lower().startswith(_RESERVED):
        raise EventInvalid("Event names that begin with spark or particle are reserved: choose another name")
    try:
        size = len((data or "").encode())
    except UnicodeEncodeError as error:
        raise EventInvalid("An event's data must be valid Unicode") from error
    if size > MAX_DATA_BYTES:
        raise EventInvalid(f"An event's data have at most {MAX_DATA_BYTES} bytes")
    if not 0 <= ttl_s <= MAX_TTL_S:
        raise EventInvalid(f"ttl is a number of seconds from 0 to {MAX_TTL_S}; {DEFAULT_TTL_S} when it is left out")


def is_reserved(name: str) -> bool:
    return name.startswith(_RESERVED)


def spelling(names: tuple[str, ...], wanted: str) -> str | None:
    """The device's own spelling of a function or variable: exact, else without regard to case, else None."""
    if wanted in names:
        return wanted
    folded = wanted.casefold()
    return next((name for name in names if name.casefold() == folded), None)
