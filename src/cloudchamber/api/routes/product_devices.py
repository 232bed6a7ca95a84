"""Devices of a product, whoever owns them."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import FIRMWARE_BODY_LIMIT, IMPORT_BODY_LIMIT, Bearer, Family, Raw, route
from cloudchamber.api.routes.paths import (
    DEVICE_OF_PRODUCT,
    LEGACY_DEVICE,
    LEGACY_PRODUCT,
    PRODUCT,
    PRODUCT_DEVICE,
    PRODUCT_DEVICE_KEYWORDS,
    names_below,
)

_NAMES: Final = tuple(path for device in DEVICE_OF_PRODUCT for path in names_below(device, PRODUCT_DEVICE_KEYWORDS))

FAMILY: Final = Family(
    "Product devices",
    "Devices of a product, whoever owns them.",
    (
        route(
            "GET",
            (f"{PRODUCT}/devices", f"{LEGACY_PRODUCT}/devices"),
            Bearer(Action.DEVICES_LIST),
            "product_devices.list",
            "Lists a product's devices, filtered and sorted.",
            query="ProductDevicesQuery",
            answer="ProductDeviceList",
        ),
        route(
            "POST",
            f"{PRODUCT}/devices",
            Bearer(Action.DEVICES_IMPORT),
            "product_devices.import_",
            "Imports devices into a product.",
            query="ImportQuery",
            request="Import",
            answer="ImportReport",
            body_limit=IMPORT_BODY_LIMIT,
        ),
        route(
            "PUT",
            f"{PRODUCT}/devices",
            Bearer(Action.DEVICES_UPDATE),
            "product_devices.update_many",
            "Puts devices of a product into groups, or takes them out.",
            request="ManyDeviceChanges",
            answer="Ok",
        ),
        route(
            "GET",
            DEVICE_OF_PRODUCT,
            Bearer(Action.DEVICES_GET),
            "product_devices.get",
            "Shows one of a product's devices.",
            answer="ProductDeviceDetail",
            direct="product_devices.get_now",
        ),
        route(
            "PUT",
            DEVICE_OF_PRODUCT,
            Bearer(Action.DEVICES_UPDATE),
            "product_devices.update",
            "Changes one of a product's devices, makes it signal, or flashes it.",
            request="ProductDeviceChanges",
            answer=("ProductDeviceChanged", "Signaled", "Flashing"),
            errors=(409, 500, 501),
            body_limit=FIRMWARE_BODY_LIMIT,
        ),
        route(
            "DELETE",
            (PRODUCT_DEVICE, LEGACY_DEVICE),
            Bearer(Action.DEVICES_REMOVE),
            "product_devices.remove",
            "Removes a device from a product.",
            request="Removal",
            answer={204: None},
        ),
        route(
            "DELETE",
            (f"{PRODUCT_DEVICE}/owner", f"{LEGACY_DEVICE}/owner"),
            Bearer(Action.DEVICES_RELEASE),
            "product_devices.release",
            "Takes a device from its owner; it stays in the product.",
            answer="Ok",
        ),
        route(
            "PUT",
            tuple(f"{device}/ping" for device in DEVICE_OF_PRODUCT),
            Bearer(Action.DEVICES_PING),
            "calls.ping_of_product",
            "Tells whether one of a product's devices answers now.",
            request="Nothing",
            answer="Pinged",
        ),
        route(
            "GET",
            _NAMES,
            Bearer(Action.VARIABLE_GET),
            "calls.read_of_product",
            "Reads a variable of one of a product's devices.",
            query="FormatQuery",
            answer=("VariableReturn", Raw("text/plain; charset=utf-8")),
            errors=(408,),
            direct="calls.read_of_product_soon",
        ),
        route(
            "POST",
            (*_NAMES, *(f"{device}/events" for device in DEVICE_OF_PRODUCT)),
            Bearer(Action.FUNCTION_CALL),
            "calls.call_of_product",
            "Calls a function of one of a product's devices.",
            query="FormatQuery",
            request="FunctionCall",
            answer=("FunctionReturn", Raw("text/plain; charset=utf-8")),
            direct="calls.call_of_product_soon",
        ),
    ),
)
