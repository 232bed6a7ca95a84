"""Firmware files for tests."""

import hashlib
from functools import cache

from cloudchamber.wire.update.module import build_module
from cloudchamber.wire.update.sending import Image


@cache
def firmware(size: int = 40_000, platform_id: int = 6, product_version: int = 2) -> bytes:
    """A good module of about `size` bytes, with no two chunks alike."""
    content = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(size // 32))
    return build_module(content, platform_id=platform_id, product_id=4711, product_version=product_version)


def image(data: bytes) -> Image:
    return Image(data, hashlib.sha256(data).digest())
