"""Keys of devices and of the server, serial numbers."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import DeviceId, Maybe


class DeviceKey(Struct):
    """A device's public key."""

    deviceID: Annotated[DeviceId, Meta(description="As in the path.")]
    publicKey: Annotated[
        str,
        Meta(
            description="SubjectPublicKeyInfo in PEM form: RSA with 1,024 bits and exponent 65537 of devices that"
            " connect over TCP, P-256 of those that connect over UDP."
        ),
    ]
    algorithm: Annotated[Literal["rsa", "ecc"], Meta(description="Of the key; without it, what it is.")] | Maybe = UNSET
    product_id: Annotated[int | str, Meta(description="Imports the device into this product before.")] | Maybe = UNSET
    order: str | Maybe = UNSET
    filename: Annotated[str, Meta(description="Which program sends it.")] | Maybe = UNSET


Provisioned = Literal["Success!"]


class KeyFormat(Struct):
    format: Literal["pem", "der"] = "pem"


class SerialNumberQuery(Struct):
    mobile_secret: (
        Annotated[str, Meta(description="The one printed on the device; where it is given, it must be right.")] | Maybe
    ) = UNSET


class SerialNumberFound(Struct):
    """`iccid` is that of the device's SIM card, for whoever has its mobile secret."""

    ok: bool
    deviceID: DeviceId
    iccid: str | Maybe | None = UNSET
