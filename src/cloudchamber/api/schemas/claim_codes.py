"""Claim codes."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import DeviceId, Maybe


class NewClaimCode(Struct):
    """Nothing is required, and what clients send is not needed."""

    iccid: str | Maybe = UNSET
    imei: str | Maybe = UNSET
    activation_code: str | Maybe = UNSET


class ClaimCode(Struct):
    """`device_ids` are the devices that the requester owns already: an app sees the new one appear."""

    claim_code: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{63}$")]
    device_ids: list[DeviceId]
