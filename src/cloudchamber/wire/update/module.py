"""Firmware files: what a module says of itself, and whether it is whole; read, and built for simulated devices.

A `.bin` is a module with a header near its start and a trailer at its end (Device OS `dynalib/inc/module_info.h`; all
numbers little-endian but the last):

    header, 24 bytes, at offset 0; behind an interrupt vector table at 0x184 (Gen 2), 0x200 (Gen 3) or 0x10c (Core):
    | start u32 | end u32 | reserved u8 | flags u8 | version u16 | platform u16 | function u8 | index u8 |
    | dependency: function u8, index u8, version u16 | the same again |

    trailer, the last bytes of the file:
    | ... extensions | product id u16 | product version u16 | reserved u16 | SHA-256 | size u16 | CRC-32, big-endian |

`end - start` is the size of the file without its CRC. The SHA-256 is that of everything before it; `size` counts from
the product id (from the extensions, where there are some) to itself, and 36 means that there is no product id. The
CRC is zlib's, of all before it.

From Device OS 4.0 on an application is built without its product's id, and says its platform's number in that place.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec

from cloudchamber.wire.errors import WireError


class Function(IntEnum):
    """What a module is."""

    NONE = 0
    RESOURCE = 1
    BOOTLOADER = 2
    MONOLITHIC = 3
    """System and application in one: the Core's."""
    SYSTEM_PART = 4
    USER_PART = 5
    """An application."""
    SETTINGS = 6
    NCP_FIRMWARE = 7
    RADIO_STACK = 8
    ASSET = 9


class Dependency(msgspec.Struct, frozen=True):
    """`version` is the lowest that will do."""

    function: int
    index: int
    version: int


@dataclass(frozen=True, slots=True)
class Module:
    """`version` is the module's own, that of its interface; `product_version` what its maker counts. Both product
    numbers are None where the firmware has none. `sha256` is what the module says of itself."""

    platform_id: int
    function: int
    index: int
    version: int
    dependencies: tuple[Dependency, ...]
    product_id: int | None
    product_version: int | None
    sha256: bytes
    size: int

    @property
    def is_application(self) -> bool:
        return self.function in {Function.USER_PART, Function.MONOLITHIC}


_HEADER: Final = struct.Struct("<IIBBHHBBBBHBBH")
_TRAILER: Final = struct.Struct("<HHH32sH")
_CRC_SIZE: Final = 4
_SUFFIX_WITHOUT_PRODUCT: Final = 36
_SUFFIX_WITH_PRODUCT: Final = 40
_UNSET: Final = 0xFFFF

# Where headers stand, most frequent first; elsewhere in the first pages for what else there may be.
_OFFSETS: Final = (0, 0x200, 0x184, 0x10C)
_SEARCHED: Final = 8 * 1024

MIN_SIZE: Final = _HEADER.size + _TRAILER.size + _CRC_SIZE


def parse_module_untrusted(data: bytes) -> Module:
    """A whole file. Raises WireError, in words for whoever sent it."""
    if len(data) < MIN_SIZE:
        raise WireError("the file is too short to be firmware")
    if zlib.crc32(memoryview(data)[:-_CRC_SIZE]) != int.from_bytes(data[-_CRC_SIZE:], "big"):
        raise WireError("the file's checksum (CRC-32) is wrong: it is damaged, or no firmware")
    header = _find_header(data)
    if header is None:
        raise WireError("the file holds no module header of a known form")
    _, _, _, _, version, platform_id, function, index, *needs = header
    product_id, product_version, _, sha256, suffix_size = _TRAILER.unpack_from(data, len(data) - _TRAILER.size - 4)
    has_product = suffix_size >= _SUFFIX_WITH_PRODUCT and function in {Function.USER_PART, Function.MONOLITHIC}
    return Module(
        platform_id=platform_id,
        function=function,
        index=index,
        version=version,
        dependencies=tuple(Dependency(*needs[at : at + 3]) for at in (0, 3) if needs[at] != Function.NONE),
        product_id=product_id if has_product and product_id != _UNSET else None,
        product_version=product_version if has_product and product_version != _UNSET else None,
        sha256=sha256,
        size=len(data),
    )


def _find_header(data: bytes) -> tuple[int, ...] | None:
    last = min(_SEARCHED, len(data) - _CRC_SIZE - _TRAILER.size - _HEADER.size)
    for offset in (*_OFFSETS, *range(4, last + 1, 4)):
        if offset <= last and _is_header(found := _HEADER.unpack_from(data, offset), len(data)):
            return found
    return None


def _is_header(found: tuple[int, ...], file_size: int) -> bool:
    start, end, function = found[0], found[1], found[6]
    needs = (found[8:11], found[11:14])
    return (
        end - start == file_size - _CRC_SIZE
        and Function.NONE < function <= Function.ASSET
        and all(kind <= Function.ASSET and (kind or not (index or version)) for kind, index, version in needs)
    )


def hash_is_right(data: bytes) -> bool:
    """Does the module's SHA-256 fit what stands before it? (Old builds of other makers leave it blank.)"""
    at = len(data) - _CRC_SIZE - 2 - 32
    return hashlib.sha256(memoryview(data)[:at]).digest() == data[at : at + 32]


def build_module(
    content: bytes,
    *,
    platform_id: int,
    product_id: int | None = None,
    product_version: int | None = None,
    function: Function = Function.USER_PART,
    index: int = 1,
    version: int = 5,
    dependencies: tuple[Dependency, ...] = (),
    start: int = 0x080A0000,
    vectors: bytes = b"",
) -> bytes:
    """A module with `content` for its program. `vectors` stands before the header, as an interrupt vector table does.

    Without product numbers the trailer says "unset", as a plain application's does.
    """
    assert len(dependencies) <= 2
    assert len(vectors) % 4 == 0
    needs = [*dependencies, *(Dependency(0, 0, 0),) * (2 - len(dependencies))]
    size = len(vectors) + _HEADER.size + len(content) + _TRAILER.size
    header = _HEADER.pack(
        start,
        start + size,
        0,
        0,
        version,
        platform_id,
        function,
        index,
        *(number for need in needs for number in (need.function, need.index, need.version)),
    )
    product = struct.pack(
        "<HHH",
        _UNSET if product_id is None else product_id,
        _UNSET if product_version is None else product_version,
        0,
    )
    hashed = vectors + header + content + product
    whole = hashed + hashlib.sha256(hashed).digest() + struct.pack("<H", _SUFFIX_WITH_PRODUCT)
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def content_of(data: bytes) -> bytes:
    """The program of a module that `build_module` made at offset 0. Nothing for others."""
    if len(data) < MIN_SIZE or not _is_header(_HEADER.unpack_from(data, 0), len(data)):
        return b""
    return data[_HEADER.size : -_TRAILER.size - _CRC_SIZE]
