"""Beginnings of paths that several families share."""

from typing import Final

ORGANIZATION: Final = "/v1/orgs/{organization}"
PRODUCT: Final = "/v1/products/{product}"
# Before products had numbers in their paths they stood below their organization.
LEGACY_PRODUCT: Final = "/v1/orgs/{organization}/products/{product}"
DEVICE: Final = "/v1/devices/{device}"
PRODUCT_DEVICE: Final = f"{PRODUCT}/devices/{{device}}"
LEGACY_DEVICE: Final = f"{LEGACY_PRODUCT}/devices/{{device}}"
# A device of any product of the organization.
ORGANIZATION_DEVICE: Final = f"{ORGANIZATION}/devices/{{device}}"
# One device, by each of the paths on which it has a product.
DEVICE_OF_PRODUCT: Final = (PRODUCT_DEVICE, LEGACY_DEVICE, ORGANIZATION_DEVICE)

# The last part of a device's path is a function's or a variable's name, but for these, each with methods of its own;
# by the other methods they are names, too.
DEVICE_KEYWORDS: Final = ("ping", "unprotect", "backup_files", "network")
PRODUCT_DEVICE_KEYWORDS: Final = ("ping", "owner", "unprotect", "target_profile")


def names_below(device: str, keywords: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of functions and variables: any name, the keywords among them."""
    return (f"{device}/{{name}}", *(f"{device}/{word}" for word in keywords))


# What the fields of paths mean.
FIELDS: Final = {
    "algorithm": "`rsa` or `ecc`.",
    "agreement": "A service agreement's id.",
    "binary": "A binary's id.",
    "client": "A client's id.",
    "customer": "A customer's e-mail address.",
    "device": "A device's id, or its name.",
    "document": "A document's name.",
    "factor": "A second factor's id.",
    "function": "A logic function's id.",
    "group": "A group's name, in any case.",
    "hardware": "A device's id, of which the server need not know.",
    "hook": "An integration's id.",
    "iccid": "A SIM card's number.",
    "key": "An environment variable's name.",
    "ledger": "A ledger's name.",
    "library": "A library's name.",
    "name": "The name of a function or variable, in any case.",
    "network": "A mesh network's id.",
    "organization": "An organization's id or slug.",
    "prefix": "The beginning of the events' names, case-sensitive; slashes may stand in it as they are.",
    "product": "A product's number or slug.",
    "report": "A report's id.",
    "rest": "The rest of the path.",
    "run": "A run's id.",
    "scope": "Whose instance of a ledger: a device, a product, an owner.",
    "secret": "A secret's name.",
    "serial": "A device's serial number, in any case.",
    "token": "The token itself.",
    "transfer": "A transfer's id.",
    "username": "The name of a member, of somebody invited, or of an API user.",
    "variable": "An environment variable's name, or its device's id.",
    "version": "A version.",
}
