"""Products and their settings."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT
from cloudchamber.api.schemas.products import NewProduct, ProductAnswer, ProductFields, ProductList

FAMILY: Final = Family(
    "Products",
    "Products and their settings.",
    (
        route(
            "GET",
            ("/v1/products", "/v1/user/products"),
            Bearer(Action.PRODUCTS_LIST),
            "products.list_own",
            "Lists the products in whose team the user is.",
            answer=ProductList,
        ),
        route(
            "POST",
            ("/v1/products", "/v1/user/products"),
            Bearer(Action.PRODUCTS_CREATE),
            "products.create",
            "Makes a product that belongs to the user.",
            request=(NewProduct, ProductFields),
            answer=ProductAnswer,
        ),
        route("GET", PRODUCT, Bearer(Action.PRODUCTS_GET), "products.get", "Shows a product.", answer=ProductAnswer),
    ),
)
