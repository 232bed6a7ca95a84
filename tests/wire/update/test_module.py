"""Firmware files, read and built."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.update.module import (
    MIN_SIZE,
    Dependency,
    Function,
    build_module,
    content_of,
    hash_is_right,
    parse_module_untrusted,
)

NEEDS = (Dependency(Function.SYSTEM_PART, 1, 2302), Dependency(Function.BOOTLOADER, 0, 501))


@pytest.mark.parametrize("offset", [0, 0x200, 0x184, 0x10C, 0xC0, 8 * 1024])
def test_a_module_is_read_wherever_its_header_stands(offset: int) -> None:
    data = build_module(
        b"program" * 3, platform_id=13, product_id=4711, product_version=3, dependencies=NEEDS, vectors=bytes(offset)
    )
    module = parse_module_untrusted(data)
    assert (module.platform_id, module.function, module.index, module.version) == (13, Function.USER_PART, 1, 5)
    assert (module.product_id, module.product_version) == (4711, 3)
    assert module.dependencies == NEEDS
    assert module.size == len(data)
    assert module.is_application
    assert hash_is_right(data)


def test_the_layout_is_that_of_device_os() -> None:
    """Byte by byte, as `module_info.h` and the linker scripts have it."""
    data = build_module(
        b"abcd", platform_id=6, product_id=5, product_version=10, dependencies=NEEDS[:1], start=0x080A0000
    )
    header = bytes.fromhex("00000a08 44000a08 00 00 0500 0600 05 01 04 01 fe08 00 00 0000".replace(" ", ""))
    assert data[:24] == header
    assert data[24:28] == b"abcd"
    assert data[28:34] == bytes.fromhex("0500 0a00 0000".replace(" ", ""))
    assert data[66:68] == (40).to_bytes(2, "little")
    assert data[68:] == zlib.crc32(data[:68]).to_bytes(4, "big")
    assert len(data) == 72


def test_an_application_without_product_numbers() -> None:
    module = parse_module_untrusted(build_module(b"", platform_id=6))
    assert (module.product_id, module.product_version) == (None, None)


def test_a_system_part_has_no_product_numbers() -> None:
    data = build_module(b"", platform_id=6, product_id=1, product_version=1, function=Function.SYSTEM_PART)
    module = parse_module_untrusted(data)
    assert not module.is_application
    assert (module.product_id, module.product_version) == (None, None)


def test_a_trailer_of_36_bytes_holds_none() -> None:
    """What stands before it is the end of the program."""
    data = bytearray(build_module(b"program", platform_id=6, product_id=1, product_version=1))
    data[-6:-4] = (36).to_bytes(2, "little")
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "big")
    assert parse_module_untrusted(bytes(data)).product_version is None


def test_extensions_may_stand_before_the_product_numbers() -> None:
    """As newer platforms have them: the numbers stay where they were, and the size tells more."""
    data = bytearray(build_module(b"program" + bytes(22), platform_id=32, product_id=32, product_version=4))
    data[-6:-4] = (62).to_bytes(2, "little")
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "big")
    module = parse_module_untrusted(bytes(data))
    assert (module.product_id, module.product_version) == (32, 4)


def test_every_flipped_bit_is_found() -> None:
    data = build_module(b"x" * 8, platform_id=6, product_id=1, product_version=2)
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            parse_module_untrusted(bytes(damaged))


def test_every_shortened_file_is_found() -> None:
    data = build_module(b"x" * 8, platform_id=6, product_id=1, product_version=2)
    for size in range(len(data)):
        with pytest.raises(WireError):
            parse_module_untrusted(data[:size])


@given(st.binary(max_size=MIN_SIZE + 200))
def test_anything_with_a_right_checksum_is_read_or_refused(content: bytes) -> None:
    try:
        parse_module_untrusted(content + zlib.crc32(content).to_bytes(4, "big"))
    except WireError:
        return


def test_a_header_must_make_sense() -> None:
    good = build_module(b"x" * 64, platform_id=6)
    for at, value in ((0, 1), (4, 1), (14, 0), (14, 10), (16, 10), (17, 1), (22, 1)):
        bad = bytearray(good)
        bad[at] = value
        bad[-4:] = zlib.crc32(bad[:-4]).to_bytes(4, "big")
        with pytest.raises(WireError, match="no module header"):
            parse_module_untrusted(bytes(bad))


def test_the_content_comes_back() -> None:
    assert content_of(build_module(b"program", platform_id=6)) == b"program"
    assert content_of(b"\0" * 200) == b""
    assert content_of(b"") == b""
    assert struct.calcsize("<IIBBHHBBBBHBBH") == 24
