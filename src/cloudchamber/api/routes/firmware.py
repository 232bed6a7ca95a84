"""Firmware of products. Flashing one device is an update of that device."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import FIRMWARE_BODY_LIMIT, Bearer, Family, Raw, route
from cloudchamber.api.routes.paths import PRODUCT

_FIRMWARE: Final = f"{PRODUCT}/firmware"
_VERSION: Final = f"{_FIRMWARE}/{{version}}"

FAMILY: Final = Family(
    "Firmware",
    "Versions of a product's firmware, and to whom they are released. Devices get them over the air.",
    (
        route(
            "GET",
            _FIRMWARE,
            Bearer(Action.FIRMWARE_LIST),
            "firmware.list",
            "Lists the versions of a product's firmware.",
            answer="list[Firmware]",
        ),
        route(
            "POST",
            _FIRMWARE,
            Bearer(Action.FIRMWARE_CREATE),
            "firmware.upload",
            "Uploads a version of a product's firmware.",
            request="NewFirmware",
            answer={201: "Firmware"},
            body_limit=FIRMWARE_BODY_LIMIT,
        ),
        route(
            "PUT",
            f"{_FIRMWARE}/release",
            Bearer(Action.FIRMWARE_RELEASE),
            "firmware.release",
            "Releases a version to a product's devices.",
            request="NewRelease",
            answer="Firmware",
        ),
        route("GET", _VERSION, Bearer(Action.FIRMWARE_GET), "firmware.get", "Shows a version.", answer="Firmware"),
        route(
            "PUT",
            _VERSION,
            Bearer(Action.FIRMWARE_UPDATE),
            "firmware.update",
            "Changes what is written about a version.",
            request="FirmwareChanges",
            answer="Firmware",
        ),
        route(
            "DELETE",
            _VERSION,
            Bearer(Action.FIRMWARE_REMOVE),
            "firmware.delete",
            "Deletes a version that was never released.",
            answer={204: None},
        ),
        route(
            "GET",
            f"{_VERSION}/binary",
            Bearer(Action.FIRMWARE_BINARY_GET),
            "firmware.binary",
            "Downloads a version's binary.",
            answer=Raw("application/octet-stream"),
        ),
    ),
)
