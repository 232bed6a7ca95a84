"""Devices of a product, whoever owns them."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import IMPORT_BODY_LIMIT, Bearer, Family, route
from cloudchamber.api.routes.paths import LEGACY_DEVICE, LEGACY_PRODUCT, PRODUCT, PRODUCT_DEVICE

FAMILY: Final = Family(
    "Product devices",
    "Devices of a product, whoever owns them.",
    (
        route(
            "GET",
            (f"{PRODUCT}/devices", f"{LEGACY_PRODUCT}/devices"),
            Bearer(Action.DEVICES_LIST),
            "product_devices.list",
        ),
        route(
            "POST",
            f"{PRODUCT}/devices",
            Bearer(Action.DEVICES_IMPORT),
            "product_devices.import_",
            body_limit=IMPORT_BODY_LIMIT,
        ),
        route("GET", (PRODUCT_DEVICE, LEGACY_DEVICE), Bearer(Action.DEVICES_GET), "product_devices.get"),
        route("PUT", PRODUCT_DEVICE, Bearer(Action.DEVICES_UPDATE), "product_devices.update"),
        route("DELETE", PRODUCT_DEVICE, Bearer(Action.DEVICES_REMOVE), "product_devices.remove"),
        route("DELETE", f"{PRODUCT_DEVICE}/owner", Bearer(Action.DEVICES_RELEASE), "product_devices.release"),
        route("PUT", f"{PRODUCT_DEVICE}/ping", Bearer(Action.DEVICES_PING), "calls.ping_of_product"),
        route(
            "GET",
            (f"{PRODUCT_DEVICE}/{{name}}", f"{PRODUCT_DEVICE}/ping", f"{PRODUCT_DEVICE}/owner"),
            Bearer(Action.VARIABLE_GET),
            "calls.read_of_product",
        ),
        route(
            "POST",
            (
                f"{PRODUCT_DEVICE}/{{name}}",
                f"{PRODUCT_DEVICE}/ping",
                f"{PRODUCT_DEVICE}/owner",
                f"{PRODUCT_DEVICE}/events",
            ),
            Bearer(Action.FUNCTION_CALL),
            "calls.call_of_product",
        ),
    ),
)
