"""
CloudError
└── NotFound
    ├── NoVitals        the device has told none yet, or not to this owner
    ├── NoLocation      the device has told none, or none in this area and time
    └── DeviceAway      it is not connected, and cannot be asked
"""

from typing import ClassVar

from cloudchamber.errors import NotFound


class NoVitals(NotFound):
    code: ClassVar[str] = "no_vitals"


class NoLocation(NotFound):
    code: ClassVar[str] = "no_location"


class DeviceAway(NotFound):
    code: ClassVar[str] = "device_away"
