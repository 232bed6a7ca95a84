"""Events, before devices in the table: `events` is no device's name."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Stream, route
from cloudchamber.api.routes.paths import DEVICE, DEVICE_OF_PRODUCT, LEGACY_PRODUCT, ORGANIZATION, PRODUCT


def _events(path: str) -> tuple[str, str]:
    return f"{path}/events", f"{path}/events/{{prefix:path}}"


FAMILY: Final = Family(
    "Events",
    "Publish, and streams of what was published.",
    (
        route(
            "POST",
            "/v1/devices/events",
            Bearer(Action.EVENTS_SEND),
            "events.publish_own",
            "Publishes an event to one's own devices, streams and webhooks.",
            request="NewEvent",
            answer="Ok",
            direct="events.publish_own_soon",
        ),
        route(
            "POST",
            f"{PRODUCT}/events",
            Bearer(Action.EVENTS_SEND),
            "events.publish_of_product",
            "Publishes an event to a product's devices, streams and webhooks.",
            request="NewEvent",
            answer="Ok",
        ),
        route(
            "GET",
            _events("/v1"),
            Bearer(Action.EVENTS_GET),
            "events.stream_public",
            "Streams everybody's public events and all of one's own; needs a prefix.",
            answer=Stream(),
            limit="stream",
        ),
        route(
            "GET",
            _events("/v1/devices"),
            Bearer(Action.EVENTS_GET),
            "events.stream_own",
            "Streams the events of one's own devices.",
            answer=Stream(),
            limit="stream",
        ),
        route(
            "GET",
            _events(DEVICE),
            Bearer(Action.EVENTS_GET),
            "events.stream_device",
            "Streams the events of one of one's own devices.",
            answer=Stream(),
            limit="stream",
        ),
        route(
            "GET",
            (*_events(PRODUCT), *_events(LEGACY_PRODUCT)),
            Bearer(Action.EVENTS_GET),
            "events.stream_product",
            "Streams the events of a product and its devices.",
            answer=Stream(),
            limit="stream",
        ),
        route(
            "POST",
            f"{ORGANIZATION}/events",
            Bearer(Action.EVENTS_SEND),
            "events.publish_of_organization",
            "Publishes an event to all of an organization's devices, its streams and webhooks.",
            request="NewEvent",
            answer="Ok",
        ),
        route(
            "GET",
            _events(ORGANIZATION),
            Bearer(Action.EVENTS_GET),
            "events.stream_organization",
            "Streams the events of an organization, its products and their devices.",
            answer=Stream(),
            limit="stream",
        ),
        route(
            "GET",
            tuple(path for device in DEVICE_OF_PRODUCT for path in _events(device)),
            Bearer(Action.EVENTS_GET),
            "events.stream_product_device",
            "Streams the events of one of a product's devices.",
            answer=Stream(),
            limit="stream",
        ),
    ),
)
