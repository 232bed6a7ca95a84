"""Devices, as their product sees them."""

from typing import Annotated

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
    deviceId: str | Maybe = UNSET
    deviceName: Annotated[str, Meta(description="A part of the name.")] | Maybe = UNSET
    groups: Annotated[str, Meta(description="Names, with commas between them.")] | Maybe = UNSET
    serialNumber: str | Maybe = UNSET
    sortAttr: (
        Annotated[str, Meta(description="`deviceName`, `deviceId`, `firmwareVersion` or `lastConnection`.")] | Maybe
    ) = UNSET
    sortDir: Annotated[str, Meta(description="`asc` or `desc`.")] | Maybe = UNSET
    quarantined: bool | Maybe = UNSET


class Import(Struct):
    """One `id`, several `ids`, or a text file with one on each line."""

    id: str | Maybe = UNSET
    ids: list[str] | Maybe = UNSET
    file: File | Maybe = UNSET


class ImportReport(Struct):
    """What became of each id. `nonmember` devices belong to somebody outside of the product's team."""

    updated: int
    updatedDeviceIds: list[DeviceId]
    existingDeviceIds: list[DeviceId]
    nonmemberDeviceIds: list[DeviceId]
    invalidDeviceIds: list[str]


class ProductDeviceChanges(DeviceChanges):
    development: bool | Maybe = UNSET


class ProductDeviceChanged(DeviceChanged):
    development: bool | Maybe = UNSET


class Removal(Struct):
    deny: Annotated[bool, Meta(description="Puts the device on the product's deny list.")] | Maybe = UNSET
