"""What a device keeps of a datagram session over sleep and reset, and how it finds out what it must say again.

A device counts something as known to the cloud only after the cloud acknowledged it. At a resume it compares:

| Device OS | compared                                                          | when different                      |
|-----------|-------------------------------------------------------------------|-------------------------------------|
| up to 1.5 | one checksum over subscriptions and both parts of the description | Hello, and everything after it      |
| 2.x       | system part, flags                                                | Hello and the system part           |
|           | application part; subscriptions                                   | that one, with or without Hello     |
| from 3.0  | as 2.x; with the flags also version and sizes of Hello            | as 2.x                              |

1.5.2 was seen to say Hello each time. What the checksums are made of is the device's own matter: no cloud sees them.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from msgspec import structs

from cloudchamber.wire.coap import Code, Message, Option
from cloudchamber.wire.describe import Part
from cloudchamber.wire.messages import Hello, Subscription
from cloudchamber.wire.session import device_describe
from cloudchamber.wire.session.profile import DeviceSetup


class Told(Enum):
    SYSTEM = "system"
    APPLICATION = "application"
    SUBSCRIPTIONS = "subscriptions"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a resumed session goes on from. A checksum is None for what the cloud did not acknowledge."""

    next_message_id: int
    next_token: int
    system: int | None
    application: int | None
    subscriptions: int | None


def checksum(told: Told, setup: DeviceSetup, hello: Hello, subscriptions: Iterable[Subscription]) -> int:
    if told is Told.SUBSCRIPTIONS:
        everything = repr(
            [structs.astuple(one) for one in (*setup.profile.system_subscriptions, *subscriptions)]
        ).encode()
    elif told is Told.APPLICATION:
        everything = device_describe.body(setup, Part.APPLICATION) or b""
    else:
        everything = (device_describe.body(setup, Part.SYSTEM) or b"") + repr(structs.astuple(hello.steady)).encode()
    return zlib.crc32(everything)


def told_by(message: Message) -> Told | None:
    """What the cloud knows once it acknowledged this message of the device, and all others that tell the same; None
    for what is not remembered."""
    path = message.option(Option.URI_PATH)
    if message.code == Code.GET and path == b"e":
        return Told.SUBSCRIPTIONS
    if message.code != Code.POST or path != b"d":
        return None
    return _PARTS.get(message.option(Option.URI_QUERY) or b"")


_PARTS = {bytes((Part.SYSTEM,)): Told.SYSTEM, bytes((Part.APPLICATION,)): Told.APPLICATION}
