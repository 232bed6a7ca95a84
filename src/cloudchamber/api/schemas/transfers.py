"""Transfers of devices."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Date, DeviceId, Maybe, ObjectId


class Transfer(Struct):
    """`incoming`: you are asked for one of your devices, by `requested_by`. `outgoing`: you asked for somebody's."""

    id: ObjectId
    device_id: DeviceId
    direction: Literal["incoming", "outgoing"]
    status: Literal["pending", "approved", "denied", "cancelled", "expired", "void"]
    created_at: Date
    expires_at: Date
    requested_by: str | Maybe | None = UNSET


class TransferList(Struct):
    transfers: list[Transfer]


class OneTransfer(Struct):
    transfer: Transfer


class TransferAnswer(Struct):
    action: Annotated[Literal["approve", "deny"], Meta(description="Whether the device goes to whoever asks.")]
