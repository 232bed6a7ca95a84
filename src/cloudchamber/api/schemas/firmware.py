"""Firmware of a product."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, field

from cloudchamber.api.schemas.common import Date, DeviceId, File, Maybe, ObjectId

Version = Annotated[int, Meta(ge=0, le=65_534)]


class Uploader(Struct):
    """Empty where no person uploaded it."""

    id: ObjectId | Maybe = UNSET
    username: str | Maybe = UNSET


class Firmware(Struct, kw_only=True):
    """A version of a product's firmware. `groups` are those to which it is released; `current` is `product_default`;
    `device_count` counts the product's devices that run it."""

    id: ObjectId = field(name="_id")
    version: Version
    title: str
    description: str
    name: str
    size: int
    product_id: int
    uploaded_on: Date
    updated_at: Date
    uploaded_by: Uploader
    current: bool
    product_default: bool
    groups: list[str]
    mandatory: bool
    intelligent: bool
    device_count: int


class NewFirmware(Struct, kw_only=True):
    """The file is `binary`, or `file`."""

    version: Version
    title: str | Maybe = UNSET
    description: str | Maybe = UNSET
    mandatory: bool | Maybe = UNSET
    binary: File | Maybe = UNSET
    file: File | Maybe = UNSET


class FirmwareChanges(Struct):
    title: str | Maybe = UNSET
    description: str | Maybe = UNSET
    mandatory: bool | Maybe = UNSET


class NewRelease(Struct):
    """To whom a version is released: to all of the product's devices, or to groups. `intelligent`: to those that are
    online and not busy at once; to all others when they connect."""

    version: Version
    product_default: bool | Maybe = UNSET
    groups: list[str] | Maybe = UNSET
    intelligent: bool | Maybe = UNSET


class Flashing(Struct):
    """The device has begun to take the file; events `spark/flash/status` tell how it goes on."""

    id: DeviceId
    status: str
