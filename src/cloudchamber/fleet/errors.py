"""What can go wrong with products and devices.

CloudError
├── NotFound
│   ├── ProductNotFound      no product has this id or slug
│   ├── DeviceNotInProduct   the product has no such device
│   └── SerialNumberUnknown  no device has it, or not with this secret
├── Forbidden
│   └── DeviceUnknown        no such device, or not this requester's: outwardly the same
└── Invalid
    ├── ProductInvalid       a product that cannot be made or changed as asked
    ├── ProductNotEmpty      it cannot go while it has devices
    ├── UpdateEmpty          nothing in the request can be changed
    ├── UpdateInvalid        a name or notes that no device can have
    ├── ClaimantNotInTeam    imported devices are claimed for members of the product's team
    ├── SerialNumberTaken
    └── DeviceKeyInvalid
"""

from typing import ClassVar

from cloudchamber.errors import Forbidden, Invalid, NotFound


class ProductNotFound(NotFound):
    code: ClassVar[str] = "product_not_found"


class DeviceNotInProduct(NotFound):
    code: ClassVar[str] = "device_not_in_product"


class SerialNumberUnknown(NotFound):
    code: ClassVar[str] = "serial_number_unknown"


class DeviceUnknown(Forbidden):
    code: ClassVar[str] = "device_unknown"


class ProductInvalid(Invalid):
    code: ClassVar[str] = "product_invalid"


class ProductNotEmpty(Invalid):
    code: ClassVar[str] = "product_not_empty"


class UpdateEmpty(Invalid):
    code: ClassVar[str] = "update_empty"


class UpdateInvalid(Invalid):
    code: ClassVar[str] = "update_invalid"


class ClaimantNotInTeam(Invalid):
    code: ClassVar[str] = "claimant_not_in_team"


class SerialNumberTaken(Invalid):
    code: ClassVar[str] = "serial_number_taken"


class DeviceKeyInvalid(Invalid):
    code: ClassVar[str] = "device_key_invalid"


def product_not_found() -> ProductNotFound:
    return ProductNotFound("Product not found.")


def device_unknown() -> DeviceUnknown:
    return DeviceUnknown("Permission Denied")


def device_not_in_product() -> DeviceNotInProduct:
    return DeviceNotInProduct("Device not found")
