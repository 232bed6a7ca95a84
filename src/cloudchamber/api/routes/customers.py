"""Customers of a product, or of an organization."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrClient, Family, route
from cloudchamber.api.routes.paths import ORGANIZATION, PRODUCT
from cloudchamber.api.schemas.customers import CustomerList, CustomersQuery, NewCustomer
from cloudchamber.api.schemas.oauth import Token

_CUSTOMERS: Final = (f"{PRODUCT}/customers", f"{ORGANIZATION}/customers")

FAMILY: Final = Family(
    "Customers",
    "Customers of a product, or of an organization and so of all its products.",
    (
        route(
            "GET",
            _CUSTOMERS,
            Bearer(Action.CUSTOMERS_LIST),
            "customers.list",
            "Lists customers, with their devices; a product's are joined by its organization's.",
            query=CustomersQuery,
            answer=CustomerList,
        ),
        route(
            "POST",
            _CUSTOMERS,
            BearerOrClient(Action.CUSTOMERS_CREATE),
            "customers.create",
            "Makes a customer, and a token for it; a web client is redirected with the token or an error.",
            request=NewCustomer,
            answer={201: Token, 302: None},
        ),
    ),
)
