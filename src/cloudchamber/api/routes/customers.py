"""Customers of a product."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrClient, Family, route
from cloudchamber.api.routes.paths import PRODUCT

FAMILY: Final = Family(
    "Customers",
    "Customers of a product.",
    (
        route("GET", f"{PRODUCT}/customers", Bearer(Action.CUSTOMERS_LIST), "customers.list"),
        route("POST", f"{PRODUCT}/customers", BearerOrClient(Action.CUSTOMERS_CREATE), "customers.create"),
    ),
)
