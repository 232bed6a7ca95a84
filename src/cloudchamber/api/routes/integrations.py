"""Webhooks: two names for the same things, with different keys in the answers; of a
user's own, of a product, of an organization."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Route, route
from cloudchamber.api.routes.paths import ORGANIZATION, PRODUCT

_PLACES: Final = ("/v1", PRODUCT, ORGANIZATION)
_WEBHOOKS: Final = tuple(f"{place}/webhooks" for place in _PLACES)
_INTEGRATIONS: Final = tuple(f"{place}/integrations" for place in _PLACES)


def _one(paths: tuple[str, ...], rest: str = "") -> tuple[str, ...]:
    return tuple(f"{path}/{{hook}}{rest}" for path in paths)


def _rows() -> tuple[Route, ...]:
    both = (*_WEBHOOKS, *_INTEGRATIONS)
    return (
        route(
            "GET",
            both,
            Bearer(Action.INTEGRATIONS_LIST),
            "webhooks.list",
            "Lists the webhooks of whoever asks, or of a product.",
            answer="list[Webhook]",
        ),
        route(
            "POST",
            both,
            Bearer(Action.INTEGRATIONS_CREATE),
            "webhooks.create",
            "Makes a webhook.",
            request="NewWebhook",
            answer={201: "WebhookMade"},
        ),
        route(
            "GET",
            _one(_WEBHOOKS),
            Bearer(Action.INTEGRATIONS_GET),
            "webhooks.get_webhook",
            "Shows a webhook with its last deliveries and its counters.",
            answer="WebhookAnswer",
        ),
        route(
            "GET",
            _one(_INTEGRATIONS),
            Bearer(Action.INTEGRATIONS_GET),
            "webhooks.get_integration",
            "Shows a webhook with its last deliveries and its counters.",
            answer="IntegrationAnswer",
        ),
        route(
            "PUT",
            _one(_WEBHOOKS),
            Bearer(Action.INTEGRATIONS_UPDATE),
            "webhooks.replace_webhook",
            "Replaces everything of a webhook but its id.",
            request="NewWebhook",
            answer="WebhookReplaced",
        ),
        route(
            "PUT",
            _one(_INTEGRATIONS),
            Bearer(Action.INTEGRATIONS_UPDATE),
            "webhooks.replace_integration",
            "Replaces everything of a webhook but its id.",
            request="NewWebhook",
            answer="IntegrationReplaced",
        ),
        route(
            "DELETE",
            _one(both),
            Bearer(Action.INTEGRATIONS_REMOVE),
            "webhooks.delete",
            "Deletes a webhook with its log and what waits for it.",
            answer={204: None},
        ),
        route(
            "POST",
            _one(both, "/test"),
            Bearer(Action.INTEGRATIONS_TEST),
            "webhooks.test",
            "Sends what an example event would cause, at once.",
            request="Nothing",
            answer="Tried",
        ),
    )


FAMILY: Final = Family(
    "Integrations",
    "Webhooks; the two names of their paths have different keys in the answers.",
    _rows(),
)
