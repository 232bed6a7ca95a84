"""OAuth clients, of a user, of a product and of an organization."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import ORGANIZATION, PRODUCT

_CLIENTS: Final = (f"{PRODUCT}/clients", f"{ORGANIZATION}/clients")
_CLIENT: Final = tuple(f"{clients}/{{client}}" for clients in _CLIENTS)

FAMILY: Final = Family(
    "OAuth clients",
    "Clients of a user, of a product, and of an organization.",
    (
        route(
            "GET",
            "/v1/clients",
            Bearer(Action.CLIENTS_LIST),
            "clients.list_own",
            "Lists the user's clients.",
            answer="OAuthClientList",
        ),
        route(
            "POST",
            "/v1/clients",
            Bearer(Action.CLIENTS_CREATE),
            "clients.create_own",
            "Makes a client that acts for the user, or for the organization that is named.",
            request="NewOwnClient",
            answer="OAuthClientAnswer",
            errors=(404,),
        ),
        route(
            "PUT",
            "/v1/clients/{client}",
            Bearer(Action.CLIENTS_UPDATE),
            "clients.update_own",
            "Changes one of the user's clients.",
            request="OAuthClientChanges",
            answer="OAuthClientAnswer",
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
            _CLIENTS,
            Bearer(Action.CLIENTS_LIST),
            "clients.list",
            "Lists the clients of a product or an organization.",
            answer="OAuthClientList",
        ),
        route(
            "POST",
            _CLIENTS,
            Bearer(Action.CLIENTS_CREATE),
            "clients.create",
            "Makes a client that acts for the product, or for all products of the organization.",
            request="NewOAuthClient",
            answer="OAuthClientAnswer",
        ),
        route(
            "PUT",
            _CLIENT,
            Bearer(Action.CLIENTS_UPDATE),
            "clients.update",
            "Changes a client of a product or an organization.",
            request="OAuthClientChanges",
            answer="OAuthClientAnswer",
        ),
        route(
            "DELETE",
            _CLIENT,
            Bearer(Action.CLIENTS_REMOVE),
            "clients.delete",
            "Deletes a client of a product or an organization, and revokes its tokens.",
            answer={204: None},
        ),
    ),
)
