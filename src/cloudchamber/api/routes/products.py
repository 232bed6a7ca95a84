"""Products and their settings."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT

FAMILY: Final = Family(
    "Products",
    "Products and their settings.",
    (
        route(
            "GET",
            "/v1/products",
            Bearer(Action.PRODUCTS_LIST),
            "products.list_all",
            "Lists the products in whose team the user is; for a client or an API user, those that it belongs to.",
            answer="ProductList",
        ),
        route(
            "GET",
            "/v1/user/products",
            Bearer(Action.PRODUCTS_LIST),
            "products.list_outside_organizations",
            "Lists the products outside of organizations in whose team the user is.",
            answer="ProductList",
        ),
        route(
            "POST",
            ("/v1/products", "/v1/user/products"),
            Bearer(Action.PRODUCTS_CREATE),
            "products.create",
            "Makes a product that belongs to the user.",
            request=("NewProduct", "ProductFields"),
            answer="ProductAnswer",
        ),
        route("GET", PRODUCT, Bearer(Action.PRODUCTS_GET), "products.get", "Shows a product.", answer="ProductAnswer"),
        route(
            "PUT",
            PRODUCT,
            Bearer(Action.PRODUCTS_UPDATE),
            "products.update",
            "Changes a product's name, description or settings; for Administrators.",
            request=("ProductChanges", "ProductFieldChanges"),
            answer="ProductAnswer",
        ),
        route(
            "DELETE",
            PRODUCT,
            Bearer(Action.PRODUCTS_REMOVE),
            "products.remove",
            "Removes a product that has no devices, with its clients and customers; for the Owner.",
            answer={204: None},
        ),
    ),
)
