"""Customers of a product."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrClient, Family, route
from cloudchamber.api.routes.paths import PRODUCT
from cloudchamber.api.schemas.customers import CustomerList, CustomersQuery, NewCustomer
from cloudchamber.api.schemas.oauth import Token

FAMILY: Final = Family(
    "Customers",
    "Customers of a product.",
    (
        route(
            "GET",
            f"{PRODUCT}/customers",
            Bearer(Action.CUSTOMERS_LIST),
            "customers.list",
            "Lists a product's customers, with their devices.",
            query=CustomersQuery,
            answer=CustomerList,
        ),
        route(
            "POST",
            f"{PRODUCT}/customers",
            BearerOrClient(Action.CUSTOMERS_CREATE),
            "customers.create",
            "Makes a customer, and a token for it; a web client is redirected with the token or an error.",
            request=NewCustomer,
            answer={201: Token, 302: None},
        ),
    ),
)
