"""Why a device did not change hands.

CloudError
├── NotFound
│   ├── DeviceDoesNotExist     no such device, or none that this requester could ever claim
│   └── DeviceOffline          it has to be online to be claimed by its id
├── Forbidden
│   └── BelongsToAnother
└── Invalid
    └── DeviceIdMissing
"""

from typing import ClassVar

from cloudchamber.errors import Forbidden, Invalid, NotFound


class DeviceDoesNotExist(NotFound):
    code: ClassVar[str] = "device_does_not_exist"


class DeviceOffline(NotFound):
    code: ClassVar[str] = "device_offline"


class BelongsToAnother(Forbidden):
    code: ClassVar[str] = "belongs_to_another"


class DeviceIdMissing(Invalid):
    code: ClassVar[str] = "device_id_missing"
