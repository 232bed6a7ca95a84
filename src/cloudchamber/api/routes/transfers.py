"""Transfers of devices from one owner to the next."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route

_TRANSFER: Final = "/v1/transfers/{transfer}"

FAMILY: Final = Family(
    "Transfers",
    "Devices that go from one owner to the next. Who wants somebody's device claims it with `request_transfer`.",
    (
        route(
            "GET",
            "/v1/transfers",
            Bearer(Action.DEVICES_TRANSFER),
            "transfers.list_own",
            "Lists what you are asked for, and what you asked for.",
            answer="TransferList",
        ),
        route(
            "GET",
            _TRANSFER,
            Bearer(Action.DEVICES_TRANSFER),
            "transfers.get",
            "Shows a transfer.",
            answer="OneTransfer",
            errors=(404,),
        ),
        route(
            "POST",
            _TRANSFER,
            Bearer(Action.DEVICES_TRANSFER),
            "transfers.decide",
            "Gives one of your devices to whoever asks for it, or does not.",
            request="TransferAnswer",
            answer="Ok",
            errors=(404, 409),
        ),
        route(
            "DELETE",
            _TRANSFER,
            Bearer(Action.DEVICES_TRANSFER),
            "transfers.cancel",
            "Takes back your request for somebody's device.",
            answer="Ok",
            errors=(404, 409),
        ),
    ),
)
