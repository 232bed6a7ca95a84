"""Which protocol a device's Hello asks for, and in chunks of what size."""

from typing import Final

from cloudchamber.wire.messages import Hello, HelloFlag
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update import messages
from cloudchamber.wire.update.legacy_cloud import LegacySender
from cloudchamber.wire.update.sending import Image, Outlet, Sender
from cloudchamber.wire.update.v3_cloud import V3Sender

LEGACY_OVERHEAD: Final = 19
"""Header 4, token 1, path 2, checksum 5, index 3, marker 1, and three to spare."""
MIN_LEGACY_CHUNK_SIZE: Final = 64


def make_sender(
    image: Image,
    token: int,
    out: Outlet,
    *,
    hello: Hello,
    chunk_size: int,
    max_message: int,
    transport: Transport,
    now: float,
) -> Sender | None:
    """`chunk_size` counts where Hello tells none. None: the file is larger than the device can take."""
    size = len(image.data)
    if not size or (hello.max_binary_size and size > hello.max_binary_size):
        return None
    wanted = hello.ota_chunk_size or chunk_size
    if hello.flags & HelloFlag.OTA_V3:
        largest = (max_message - messages.CHUNK_OVERHEAD) // 4 * 4
        return V3Sender(image, token, out, chunk_size=v3_chunk_size(wanted, largest), now=now)
    wanted = max(MIN_LEGACY_CHUNK_SIZE, min(wanted, max_message - LEGACY_OVERHEAD))
    if -(-size // wanted) > messages.MAX_LEGACY_CHUNKS:
        return None
    return LegacySender(image, token, out, chunk_size=wanted, transport=transport, now=now)


def v3_chunk_size(wanted: int, largest: int) -> int:
    """A multiple of 4 from 512 on; whatever a device says of itself."""
    return max(messages.MIN_V3_CHUNK_SIZE, min(wanted // 4 * 4, largest))
