"""What one device can take, from what its Hello tells."""

import msgspec

from cloudchamber.wire.messages import Hello
from cloudchamber.wire.tcp.channel import plaintext_limit
from cloudchamber.wire.transport import Transport

_CORE = 0
_CORE_BUFFER = 640
_OLD_BUFFER = 800
_GEN2 = frozenset({3, 6, 8, 10})
_SYSTEM_4_0 = 4000
_LARGEST_BUFFER = 2048

# An event beside its data: header 4, scope 2, name 64 and its option header, Max-Age 5, marker 1, rounded up.
_EVENT_OVERHEAD = 80


class DeviceLimits(msgspec.Struct, frozen=True):
    """All in bytes."""

    max_message: int
    max_name: int
    max_argument: int
    max_event_data: int


def limits_of(hello: Hello, transport: Transport) -> DeviceLimits:
    """From 3.0 on a device tells its buffer; before, it follows from the platform.

    Releases before 0.8 take arguments of 63 bytes only, and nothing in their Hello tells them from those of 622: they
    answer 4.00 themselves.
    """
    core = hello.platform_id == _CORE
    buffer_size = hello.max_message_size or (_CORE_BUFFER if core else _OLD_BUFFER)
    # What a device claims of itself is held between what every device has and what the channel carries.
    buffer_size = max(_CORE_BUFFER, min(buffer_size, _LARGEST_BUFFER))
    max_message = plaintext_limit(buffer_size) if transport is Transport.TCP else buffer_size
    if hello.system_version is None:
        size = 622
    elif hello.platform_id in _GEN2 and hello.system_version < _SYSTEM_4_0:
        size = 864
    else:
        size = 1024
    return DeviceLimits(
        max_message=max_message,
        max_name=12 if core else 64,
        max_argument=63 if core else size,
        max_event_data=255 if core else min(size, max_message - _EVENT_OVERHEAD),
    )
