"""Devices of one's own, their functions and variables."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import DEVICE

FAMILY: Final = Family(
    "Devices",
    "Devices of whoever asks, their functions and variables.",
    (
        route("GET", "/v1/devices", Bearer(Action.DEVICES_LIST), "devices.list_own"),
        route("POST", "/v1/devices", Bearer(Action.DEVICES_CLAIM), "devices.claim"),
        route("GET", DEVICE, Bearer(Action.DEVICES_GET), "devices.get_own"),
        route("PUT", DEVICE, Bearer(Action.DEVICES_UPDATE), "devices.update_own"),
        route("DELETE", DEVICE, Bearer(Action.DEVICES_RELEASE), "devices.release_own"),
        route("PUT", f"{DEVICE}/ping", Bearer(Action.DEVICES_PING), "calls.ping_own"),
        # PUT is ping's; a variable or function may have that name, and POST /events is a function too.
        route(
            "GET",
            (f"{DEVICE}/{{name}}", f"{DEVICE}/ping"),
            Bearer(Action.VARIABLE_GET),
            "calls.read_own",
        ),
        route(
            "POST",
            (f"{DEVICE}/{{name}}", f"{DEVICE}/ping", f"{DEVICE}/events"),
            Bearer(Action.FUNCTION_CALL),
            "calls.call_own",
        ),
    ),
)
