"""What can go wrong with firmware.

CloudError
├── NotFound
│   ├── FirmwareNotFound   the product has no such version
│   └── AppNotFound        no known application of this name for this platform
├── Conflict
│   ├── FirmwareExists     the product has this version already
│   └── UpdateRunning      the device takes another file at this moment
├── Invalid
│   ├── FirmwareInvalid    a file that is no firmware, or not what the request says of it
│   ├── FirmwareUntested   a release of what no device of the product has run
│   └── FirmwareReleased   what was released cannot be deleted
├── FlashRefused           the device does not take it now
└── FlashTimedOut          the device is offline, or does not answer
"""

from typing import ClassVar

from cloudchamber.errors import CloudError, Conflict, Invalid, NotFound


class FirmwareNotFound(NotFound):
    code: ClassVar[str] = "firmware_not_found"


class AppNotFound(NotFound):
    code: ClassVar[str] = "app_not_found"


class FirmwareExists(Conflict):
    code: ClassVar[str] = "firmware_exists"
    # Clients know 400 for all that an upload can be wrong about.
    status: ClassVar[int] = 400


class UpdateRunning(Conflict):
    code: ClassVar[str] = "update_running"


class FirmwareInvalid(Invalid):
    code: ClassVar[str] = "firmware_invalid"


class FirmwareUntested(Invalid):
    code: ClassVar[str] = "firmware_untested"


class FirmwareReleased(Invalid):
    code: ClassVar[str] = "firmware_released"


class FlashRefused(Conflict):
    code: ClassVar[str] = "flash_refused"


class FlashTimedOut(CloudError):
    """The vendor's own status for it."""

    code: ClassVar[str] = "flash_timed_out"
    status: ClassVar[int] = 500


def firmware_not_found(version: int | None) -> FirmwareNotFound:
    return FirmwareNotFound("Firmware not found" if version is None else f"Firmware version {version} not found")


def flash_timed_out(detail: str | None = None) -> FlashTimedOut:
    return FlashTimedOut("Request Timed Out", detail=detail)
