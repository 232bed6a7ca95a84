"""Customers of a product, or of an organization."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrClient, Family, route
from cloudchamber.api.routes.paths import ORGANIZATION, PRODUCT

_CUSTOMERS: Final = (f"{PRODUCT}/customers", f"{ORGANIZATION}/customers")
_CUSTOMER: Final = tuple(f"{path}/{{customer}}" for path in _CUSTOMERS)

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
            query="CustomersQuery",
            answer="CustomerList",
        ),
        route(
            "POST",
            _CUSTOMERS,
            BearerOrClient(Action.CUSTOMERS_CREATE),
            "customers.create",
            "Makes a customer, and a token for it; a web client is redirected with the token or an error.",
            request="NewCustomer",
            answer={201: "Token", 302: None},
        ),
        route(
            "PUT",
            _CUSTOMER,
            Bearer(Action.CUSTOMERS_UPDATE),
            "customers.set_password",
            "Gives a customer a new password, and ends the log-ins of before.",
            request="CustomerPassword",
            answer="Ok",
        ),
        route(
            "DELETE",
            _CUSTOMER,
            Bearer(Action.CUSTOMERS_REMOVE),
            "customers.remove",
            "Removes a customer with their tokens and claim codes; their devices become nobody's.",
            answer="Ok",
        ),
        route(
            "POST",
            tuple(f"{path}/reset_password" for path in _CUSTOMERS),
            BearerOrClient(Action.CUSTOMERS_CREATE),
            "customers.reset_password",
            "Mails a customer a link to choose a new password, if there is such a customer.",
            request="CustomerReset",
            answer="Ok",
            limit="reset",
        ),
    ),
)
