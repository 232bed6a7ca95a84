"""How a product's fleet did over time: the vendor's five (their names, queries and counts are in its API reference;
the shape of the answer is ours), and two of our own."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Route, route
from cloudchamber.api.routes.paths import PRODUCT


def _metric(path: str | tuple[str, ...], action: Action, handler: str, summary: str) -> Route:
    paths = (path,) if isinstance(path, str) else path
    return route(
        "GET",
        tuple(f"{PRODUCT}/metrics/{each}" for each in paths),
        Bearer(action),
        f"metrics.{handler}",
        summary,
        query="MetricsQuery",
        answer="Metrics",
    )


FAMILY: Final = Family(
    "Metrics",
    "How a product's fleet did over time.",
    (
        _metric("online", Action.METRICS_ONLINE_GET, "online", "Tells how many devices were online over time."),
        _metric(
            "connections",
            Action.METRICS_ONLINE_GET,
            "connections",
            "Tells how many devices came online over time, and how many handshakes failed.",
        ),
        _metric("events", Action.METRICS_EVENTS_GET, "events", "Tells how many events devices published over time."),
        _metric("functions", Action.METRICS_EVENTS_GET, "functions", "Tells how calls of functions ended over time."),
        _metric("variables", Action.METRICS_EVENTS_GET, "variables", "Tells how reads of variables ended over time."),
        _metric(
            # The vendor's reference has the first, and its list of scopes the second.
            ("integration", "integrations"),
            Action.METRICS_INTEGRATIONS_GET,
            "integrations",
            "Tells how deliveries of the product's webhooks ended over time.",
        ),
        _metric(
            "tokens",
            Action.METRICS_EVENTS_GET,
            "tokens",
            "Tells how many requests came over time with tokens of the product's clients, customers and API users.",
        ),
    ),
)
