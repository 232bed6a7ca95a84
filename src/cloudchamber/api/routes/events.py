"""Events, before devices in the table: `events` is no device's name."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import DEVICE, LEGACY_PRODUCT, PRODUCT, PRODUCT_DEVICE


def _events(path: str) -> tuple[str, str]:
    return f"{path}/events", f"{path}/events/{{prefix:path}}"


FAMILY: Final = Family(
    "Events",
    "Publish, and streams of what was published.",
    (
        route("POST", "/v1/devices/events", Bearer(Action.EVENTS_SEND), "events.publish_own"),
        route("POST", f"{PRODUCT}/events", Bearer(Action.EVENTS_SEND), "events.publish_of_product"),
        route("GET", _events("/v1"), Bearer(Action.EVENTS_GET), "events.stream_public"),
        route("GET", _events("/v1/devices"), Bearer(Action.EVENTS_GET), "events.stream_own"),
        route("GET", _events(DEVICE), Bearer(Action.EVENTS_GET), "events.stream_device"),
        route("GET", (*_events(PRODUCT), *_events(LEGACY_PRODUCT)), Bearer(Action.EVENTS_GET), "events.stream_product"),
        route("GET", _events(PRODUCT_DEVICE), Bearer(Action.EVENTS_GET), "events.stream_product_device"),
    ),
)
