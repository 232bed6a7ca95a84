"""Products and their settings."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT

FAMILY: Final = Family(
    "Products",
    "Products and their settings.",
    (
        route("GET", "/v1/user/products", Bearer(Action.PRODUCTS_LIST), "products.list_own"),
        route("POST", ("/v1/user/products", "/v1/products"), Bearer(Action.PRODUCTS_CREATE), "products.create"),
        route("GET", "/v1/products", Bearer(Action.PRODUCTS_LIST), "products.list_own"),
        route("GET", PRODUCT, Bearer(Action.PRODUCTS_GET), "products.get"),
    ),
)
