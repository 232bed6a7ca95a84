"""Devices, as their product sees them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import DeviceId, File, Maybe, ObjectId, Page, Pages
from cloudchamber.api.schemas.devices import Device, DeviceChanged, DeviceChanges


class ProductDevice(Device, kw_only=True):
    """What its owner sees, and how the product holds it."""

    firmware_product_id: int | None
    firmware_version: int | None
    desired_firmware_version: int | None
    targeted_firmware_release_version: int | None
    groups: list[str]
    development: bool
    quarantined: bool
    denied: bool
    user_id: ObjectId | Maybe = UNSET
    customer_id: ObjectId | Maybe = UNSET


class ProductDeviceDetail(ProductDevice, kw_only=True):
    mobile_secret: str | None


class CustomerName(Struct):
    id: ObjectId
    username: str | None


class ProductDeviceList(Struct):
    devices: list[ProductDevice]
    customers: list[CustomerName]
    meta: Pages


class ProductDevicesQuery(Page):
    deviceId: Annotated[str, Meta(description="A part of the id.")] | Maybe = UNSET
    deviceName: Annotated[str, Meta(description="A part of the name.")] | Maybe = UNSET
    groups: Annotated[str, Meta(description="Names, with commas between them.")] | Maybe = UNSET
    serialNumber: Annotated[str, Meta(description="A part of the serial number.")] | Maybe = UNSET
    sortAttr: (
        Annotated[str, Meta(description="`deviceName`, `deviceId`, `firmwareVersion` or `lastConnection`.")] | Maybe
    ) = UNSET
    sortDir: Annotated[str, Meta(description="`asc` or `desc`.")] | Maybe = UNSET
    quarantined: bool | Maybe = UNSET
    denied: bool | Maybe = UNSET


class Import(Struct):
    """One `id`, several `ids`, or a text file with one on each line: device ids, serial numbers, IMEIs or ICCIDs."""

    id: str | Maybe = UNSET
    ids: list[str] | Maybe = UNSET
    file: File | Maybe = UNSET
    claim_user: Annotated[str, Meta(description="A member of the team, who becomes their owner.")] | Maybe = UNSET


class ImportReport(Struct):
    """What became of each id. `nonmember` devices belong to somebody outside of the product's team."""

    updated: int
    updatedDeviceIds: list[DeviceId]
    existingDeviceIds: list[DeviceId]
    nonmemberDeviceIds: list[DeviceId]
    invalidDeviceIds: list[str]


class ImportQuery(Struct):
    claim_user: Annotated[str, Meta(description="As in the body.")] | Maybe = UNSET


class GroupMetadata(Struct):
    add: list[str] | Maybe = UNSET
    remove: list[str] | Maybe = UNSET


class ManyDeviceChanges(Struct):
    """All of them, or none where one is not in the product. Groups that are missing are made."""

    action: Literal["groups"]
    devices: list[DeviceId]
    metadata: GroupMetadata


class ProductDeviceChanges(DeviceChanges):
    """`groups` are all that the device is in then. `desired_firmware_version` locks it to a version, null unlocks it;
    with `flash` at once. `serial_number` and `mobile_secret` are what is printed on it."""

    development: bool | Maybe = UNSET
    desired_firmware_version: int | Maybe | None = UNSET
    flash: bool | Maybe = UNSET
    groups: list[str] | Maybe = UNSET
    denied: bool | Maybe = UNSET
    quarantined: bool | Maybe = UNSET
    serial_number: str | Maybe | None = UNSET
    mobile_secret: str | Maybe | None = UNSET


class ProductDeviceChanged(DeviceChanged):
    development: bool | Maybe = UNSET
    desired_firmware_version: int | Maybe | None = UNSET
    groups: list[str] | Maybe = UNSET
    denied: bool | Maybe = UNSET
    quarantined: bool | Maybe = UNSET
    serial_number: str | Maybe | None = UNSET
    mobile_secret: str | Maybe | None = UNSET


class Removal(Struct):
    deny: Annotated[bool, Meta(description="Puts the device on the product's deny list.")] | Maybe = UNSET
