"""Devices of one's own, their functions and variables."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import FIRMWARE_BODY_LIMIT, Bearer, Family, Raw, route
from cloudchamber.api.routes.paths import DEVICE, DEVICE_KEYWORDS, names_below

FAMILY: Final = Family(
    "Devices",
    "Devices of whoever asks, their functions and variables.",
    (
        route(
            "GET",
            "/v1/devices",
            Bearer(Action.DEVICES_LIST),
            "devices.list_own",
            "Lists one's own devices, the newest handshake first.",
            answer="list[Device]",
            direct="devices.list_own_now",
        ),
        route(
            "POST",
            "/v1/devices",
            Bearer(Action.DEVICES_CLAIM),
            "devices.claim",
            "Claims a device, or makes an id for one of a product's.",
            request="Claim",
            answer=("Claimed", "TransferRequested", "DeviceDetail"),
            limit="search",
            errors=(404,),
        ),
        route(
            "GET",
            DEVICE,
            Bearer(Action.DEVICES_GET),
            "devices.get_own",
            "Shows one of one's own devices.",
            answer="DeviceDetail",
            direct="devices.get_own_now",
        ),
        route(
            "PUT",
            DEVICE,
            Bearer(Action.DEVICES_UPDATE),
            "devices.update_own",
            "Changes one of one's own devices, makes it signal, or flashes it.",
            request="DeviceChanges",
            answer=("DeviceChanged", "Signaled", "Flashing"),
            errors=(409, 500, 501),
            body_limit=FIRMWARE_BODY_LIMIT,
        ),
        route(
            "DELETE",
            DEVICE,
            Bearer(Action.DEVICES_RELEASE),
            "devices.release_own",
            "Gives up one of one's own devices.",
            answer="Ok",
        ),
        route(
            "PUT",
            f"{DEVICE}/ping",
            Bearer(Action.DEVICES_PING),
            "calls.ping_own",
            "Tells whether one of one's own devices answers now.",
            request="Nothing",
            answer="Pinged",
        ),
        # A variable or function may have a keyword's name, and POST /events is a function too.
        route(
            "GET",
            names_below(DEVICE, DEVICE_KEYWORDS),
            Bearer(Action.VARIABLE_GET),
            "calls.read_own",
            "Reads a variable.",
            query="FormatQuery",
            answer=("VariableReturn", Raw("text/plain; charset=utf-8")),
            errors=(408,),
            direct="calls.read_own_soon",
        ),
        route(
            "POST",
            (*names_below(DEVICE, DEVICE_KEYWORDS), f"{DEVICE}/events"),
            Bearer(Action.FUNCTION_CALL),
            "calls.call_own",
            "Calls a function.",
            query="FormatQuery",
            request="FunctionCall",
            answer=("FunctionReturn", Raw("text/plain; charset=utf-8")),
            direct="calls.call_own_soon",
        ),
    ),
)
