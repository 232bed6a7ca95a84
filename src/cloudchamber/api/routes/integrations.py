"""Webhooks: two names for the same things, with different keys in the answers."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.schemas.integrations import (
    Integration,
    IntegrationAnswer,
    MadeIntegration,
    NewIntegration,
    WebhookAnswer,
)

FAMILY: Final = Family(
    "Integrations",
    "Webhooks; the two names of their paths have different keys in the answers.",
    (
        route(
            "GET",
            ("/v1/integrations", "/v1/webhooks"),
            Bearer(Action.INTEGRATIONS_LIST),
            "webhooks.list_own",
            "Lists the user's integrations.",
            answer=list[Integration],
        ),
        route(
            "POST",
            ("/v1/integrations", "/v1/webhooks"),
            Bearer(Action.INTEGRATIONS_CREATE),
            "webhooks.create_own",
            "Adds an integration.",
            request=NewIntegration,
            answer={201: MadeIntegration},
        ),
        route(
            "GET",
            "/v1/integrations/{hook}",
            Bearer(Action.INTEGRATIONS_GET),
            "webhooks.get_integration",
            "Shows an integration, and what became of its last calls.",
            answer=IntegrationAnswer,
        ),
        route(
            "GET",
            "/v1/webhooks/{hook}",
            Bearer(Action.INTEGRATIONS_GET),
            "webhooks.get_webhook",
            "Shows an integration, and what became of its last calls.",
            answer=WebhookAnswer,
        ),
        route(
            "DELETE",
            ("/v1/integrations/{hook}", "/v1/webhooks/{hook}"),
            Bearer(Action.INTEGRATIONS_REMOVE),
            "webhooks.delete_own",
            "Removes an integration.",
            answer={204: None},
        ),
    ),
)
