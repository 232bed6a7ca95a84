"""Products."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Anything, Maybe, ObjectId

ProductNumber = Annotated[int, Meta(ge=1, le=65_535, examples=[6287])]


class Product(Struct):
    """`user` or `org` names the owner."""

    id: ProductNumber
    platform_id: int
    name: str
    slug: str
    description: str
    type: str | None
    hardware_version: str | None
    subscription_id: int
    mb_limit: int | None
    organization: ObjectId
    groups: list[str]
    settings: Anything
    user: str | Maybe = UNSET
    org: str | Maybe = UNSET


class ProductList(Struct):
    products: list[Product]


class ProductAnswer(Struct):
    product: Product


class ProductFields(Struct):
    name: str
    platform_id: Annotated[int, Meta(ge=0, le=65_535, examples=[6, 10])]
    description: str | Maybe = UNSET
    type: str | Maybe = UNSET
    hardware_version: str | Maybe = UNSET
    settings: Anything | Maybe = UNSET


class NewProduct(Struct):
    """The fields may also stand flat, without `product` around them."""

    product: ProductFields


class ProductBranding(Struct):
    """Empty: customers see the product's name."""

    name: Annotated[str, Meta(max_length=100, description="What pages and mails for customers are headed by.")] | (
        Maybe
    ) = UNSET


class ProductSettings(Struct):
    """What is left out stays as it is."""

    quarantine: Annotated[bool, Meta(description="Do devices that report to be of the product wait for approval?")] | (
        Maybe
    ) = UNSET
    location: Anything | Maybe = UNSET
    known_application: Anything | Maybe = UNSET
    branding: ProductBranding | Maybe = UNSET


class ProductFieldChanges(Struct):
    name: str | Maybe = UNSET
    description: str | Maybe = UNSET
    type: str | Maybe = UNSET
    hardware_version: str | Maybe = UNSET
    settings: ProductSettings | Maybe = UNSET


class ProductChanges(Struct):
    """The fields may also stand flat, without `product` around them."""

    product: ProductFieldChanges
