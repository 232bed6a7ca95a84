"""What can go wrong between an application and a device.

CloudError
├── NotFound
│   ├── FunctionNotFound
│   └── VariableNotFound
├── Invalid
│   ├── ArgumentTooLong         more than the device's messages can carry
│   ├── EventInvalid            a name or data that no event can have
│   └── EventPrefixMissing      a public stream needs a filter
├── Unavailable
│   ├── DeviceBusy              the device has as many requests open as it can tell apart
│   └── TooManyStreams
└── DeviceTimedOut              offline, or no answer in time
    ├── FunctionTimedOut
    ├── VariableTimedOut
    └── SignalTimedOut

StreamEnded is no CloudError: it ends an answer that has begun.
"""

from typing import ClassVar

from cloudchamber.errors import CloudError, Invalid, NotFound, Unavailable


class FunctionNotFound(NotFound):
    code: ClassVar[str] = "function_not_found"


class VariableNotFound(NotFound):
    code: ClassVar[str] = "variable_not_found"


class ArgumentTooLong(Invalid):
    code: ClassVar[str] = "argument_too_long"


class EventInvalid(Invalid):
    code: ClassVar[str] = "event_invalid"


class EventPrefixMissing(Invalid):
    code: ClassVar[str] = "event_prefix_missing"


class DeviceBusy(Unavailable):
    code: ClassVar[str] = "device_busy"


class TooManyStreams(Unavailable):
    code: ClassVar[str] = "too_many_streams"
    status: ClassVar[int] = 429


class DeviceTimedOut(CloudError):
    """`detail` tells an offline device from a silent one; applications are told the same for both."""

    code: ClassVar[str] = "device_timed_out"
    status: ClassVar[int] = 408


class FunctionTimedOut(DeviceTimedOut):
    status: ClassVar[int] = 400


class VariableTimedOut(DeviceTimedOut):
    pass


class SignalTimedOut(DeviceTimedOut):
    status: ClassVar[int] = 500


class StreamEnded(Exception):
    """A stream of events is over: its reader was too slow, its token was revoked or expired, or the cloud stops."""
