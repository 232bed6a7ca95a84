"""Webhooks: two names for the same things, with different keys in the answers."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route

FAMILY: Final = Family(
    "Integrations",
    "Webhooks; the two names of their paths have different keys in the answers.",
    (
        route("GET", "/v1/webhooks", Bearer(Action.INTEGRATIONS_LIST), "webhooks.list_own"),
        route("POST", "/v1/webhooks", Bearer(Action.INTEGRATIONS_CREATE), "webhooks.create_own"),
        route("GET", "/v1/webhooks/{hook}", Bearer(Action.INTEGRATIONS_GET), "webhooks.get_webhook"),
        route("GET", "/v1/integrations", Bearer(Action.INTEGRATIONS_LIST), "webhooks.list_own"),
        route("POST", "/v1/integrations", Bearer(Action.INTEGRATIONS_CREATE), "webhooks.create_own"),
        route("GET", "/v1/integrations/{hook}", Bearer(Action.INTEGRATIONS_GET), "webhooks.get_integration"),
        route(
            "DELETE",
            ("/v1/webhooks/{hook}", "/v1/integrations/{hook}"),
            Bearer(Action.INTEGRATIONS_REMOVE),
            "webhooks.delete_own",
        ),
    ),
)
