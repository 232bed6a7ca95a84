"""OAuth clients, of a user and of a product."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT
from cloudchamber.api.schemas.clients import NewOAuthClient, OAuthClientAnswer, OAuthClientChanges, OAuthClientList

FAMILY: Final = Family(
    "OAuth clients",
    "Clients of a user, and of a product.",
    (
        route(
            "GET",
            "/v1/clients",
            Bearer(Action.CLIENTS_LIST),
            "clients.list_own",
            "Lists the user's clients.",
            answer=OAuthClientList,
        ),
        route(
            "POST",
            "/v1/clients",
            Bearer(Action.CLIENTS_CREATE),
            "clients.create_own",
            "Makes a client that acts for the user.",
            request=NewOAuthClient,
            answer=OAuthClientAnswer,
        ),
        route(
            "PUT",
            "/v1/clients/{client}",
            Bearer(Action.CLIENTS_UPDATE),
            "clients.update_own",
            "Changes one of the user's clients.",
            request=OAuthClientChanges,
            answer=OAuthClientAnswer,
        ),
        route(
            "DELETE",
            "/v1/clients/{client}",
            Bearer(Action.CLIENTS_REMOVE),
            "clients.delete_own",
            "Deletes one of the user's clients, and revokes its tokens.",
            answer={204: None},
        ),
        route(
            "GET",
            f"{PRODUCT}/clients",
            Bearer(Action.CLIENTS_LIST),
            "clients.list_of_product",
            "Lists a product's clients.",
            answer=OAuthClientList,
        ),
        route(
            "POST",
            f"{PRODUCT}/clients",
            Bearer(Action.CLIENTS_CREATE),
            "clients.create_of_product",
            "Makes a client that acts for the product.",
            request=NewOAuthClient,
            answer=OAuthClientAnswer,
        ),
        route(
            "PUT",
            f"{PRODUCT}/clients/{{client}}",
            Bearer(Action.CLIENTS_UPDATE),
            "clients.update_of_product",
            "Changes one of a product's clients.",
            request=OAuthClientChanges,
            answer=OAuthClientAnswer,
        ),
        route(
            "DELETE",
            f"{PRODUCT}/clients/{{client}}",
            Bearer(Action.CLIENTS_REMOVE),
            "clients.delete_of_product",
            "Deletes one of a product's clients, and revokes its tokens.",
            answer={204: None},
        ),
    ),
)
