"""Beginnings of paths that several families share."""

from typing import Final

PRODUCT: Final = "/v1/products/{product}"
# Before products had numbers in their paths they stood below their organization.
LEGACY_PRODUCT: Final = "/v1/orgs/{organization}/products/{product}"
DEVICE: Final = "/v1/devices/{device}"
PRODUCT_DEVICE: Final = f"{PRODUCT}/devices/{{device}}"
LEGACY_DEVICE: Final = f"{LEGACY_PRODUCT}/devices/{{device}}"

# What the fields of paths mean.
FIELDS: Final = {
    "client": "A client's id.",
    "device": "A device's id, or its name.",
    "hook": "An integration's id.",
    "name": "The name of a function or variable, in any case.",
    "organization": "An organization's id or slug.",
    "prefix": "The beginning of the events' names, case-sensitive; slashes may stand in it as they are.",
    "product": "A product's number or slug.",
    "token": "The token itself.",
}
