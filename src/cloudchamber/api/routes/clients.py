"""OAuth clients, of a user and of a product."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT

FAMILY: Final = Family(
    "OAuth clients",
    "Clients of a user, and of a product.",
    (
        route("GET", "/v1/clients", Bearer(Action.CLIENTS_LIST), "clients.list_own"),
        route("POST", "/v1/clients", Bearer(Action.CLIENTS_CREATE), "clients.create_own"),
        route("PUT", "/v1/clients/{client}", Bearer(Action.CLIENTS_UPDATE), "clients.update_own"),
        route("DELETE", "/v1/clients/{client}", Bearer(Action.CLIENTS_REMOVE), "clients.delete_own"),
        route("GET", f"{PRODUCT}/clients", Bearer(Action.CLIENTS_LIST), "clients.list_of_product"),
        route("POST", f"{PRODUCT}/clients", Bearer(Action.CLIENTS_CREATE), "clients.create_of_product"),
        route("PUT", f"{PRODUCT}/clients/{{client}}", Bearer(Action.CLIENTS_UPDATE), "clients.update_of_product"),
        route("DELETE", f"{PRODUCT}/clients/{{client}}", Bearer(Action.CLIENTS_REMOVE), "clients.delete_of_product"),
    ),
)
