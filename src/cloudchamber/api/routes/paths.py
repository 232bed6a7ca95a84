"""Beginnings of paths that several families share."""

from typing import Final

PRODUCT: Final = "/v1/products/{product}"
# Before products had numbers in their paths they stood below their organization.
LEGACY_PRODUCT: Final = "/v1/orgs/{organization}/products/{product}"
DEVICE: Final = "/v1/devices/{device}"
PRODUCT_DEVICE: Final = f"{PRODUCT}/devices/{{device}}"
LEGACY_DEVICE: Final = f"{LEGACY_PRODUCT}/devices/{{device}}"
