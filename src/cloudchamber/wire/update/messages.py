"""The messages of both update protocols, built and read.

**Legacy**: every device up to 2.x, and Gen 2 and the gcc platform always. `u` begin and done, `c` chunk and missed
chunks. Devices read these by offset too, so builders keep to exactly the options shown.

**Version 3**: Gen 3 from 3.0 on, told by a flag of Hello. Proper CoAP options, with numbers from 2049 on: `S` start,
`C` chunk, `A` acknowledgement, `F` finish.
"""

import struct
import zlib
from typing import Final

import msgspec

from cloudchamber.wire.coap import Code, Message, Option, Type, uint
from cloudchamber.wire.errors import WireError

DEFAULT_CHUNK_SIZE: Final = 512

# --- legacy ----------------------------------------------------------------------------------------------------------

MAX_LEGACY_CHUNKS: Final = 0xFFFE
FAST: Final = 0x01

# 0: flags u8 (1: fast), 1: chunk size u16, 3: file length u32, 7: store u8 (0: firmware), 8: address u32 (0: any)
_BEGIN: Final = struct.Struct(">BHIBI")

_BEGIN_AT: Final = 8
"""Of a message with a one-byte token: where the device reads the payload, after its marker at 7."""


class Begin(msgspec.Struct, frozen=True):
    is_fast: bool
    chunk_size: int
    length: int
    store: int = 0


def update_begin(message_id: int, token: int, begin: Begin) -> Message:
    """`41 02 id T b1 75 ff` and 12 bytes."""
    flags = FAST if begin.is_fast else 0
    payload = _BEGIN.pack(flags, begin.chunk_size, begin.length, begin.store, 0)
    return Message(Type.CON, Code.POST, message_id, bytes((token,)), ((Option.URI_PATH, b"u"),), payload)


def read_begin(raw: bytes) -> Begin | None:
    """As a device reads it: by offset. None for the form without a payload (very old and slow)."""
    if len(raw) < _BEGIN_AT + _BEGIN.size or raw[_BEGIN_AT - 1] != 0xFF:
        return None
    flags, chunk_size, length, store, _ = _BEGIN.unpack_from(raw, _BEGIN_AT)
    return Begin(bool(flags & FAST), chunk_size, length, store)


def update_ready(message_id: int, token: bytes, *, is_fast: bool, confirmable: bool) -> Message:
    """`51|41 44 id T ff 01|00`."""
    kind = Type.CON if confirmable else Type.NON
    return Message(kind, Code.CHANGED, message_id, token, (), bytes((is_fast,)))


def chunk(message_id: int, token: int, data: bytes, index: int | None, *, confirmable: bool) -> Message:
    """`41|51 02 id T b1 63 44 crc [02 index] ff data`. With an index (from 0): fast, and never answered."""
    options: tuple[tuple[int, bytes], ...] = (
        (Option.URI_PATH, b"c"),
        (Option.URI_QUERY, zlib.crc32(data).to_bytes(4, "big")),
    )
    if index is not None:
        options += ((Option.URI_QUERY, index.to_bytes(2, "big")),)
    return Message(
        Type.CON if confirmable else Type.NON, Code.POST, message_id, bytes((token,)), options, data
    )  # fmt: skip


class Chunk(msgspec.Struct, frozen=True):
    """`index` is None in the slow form. `is_whole`: the checksum fits."""

    data: bytes
    index: int | None
    is_whole: bool


def read_chunk_untrusted(message: Message) -> Chunk:
    queries = [value for number, value in message.options if number == Option.URI_QUERY]
    data = message.payload or b""
    if not queries or len(queries[0]) != 4 or (len(queries) > 1 and len(queries[1]) != 2):
        raise WireError("chunk without its checksum")
    index = int.from_bytes(queries[1], "big") if len(queries) > 1 else None
    return Chunk(data, index, zlib.crc32(data) == int.from_bytes(queries[0], "big"))


def chunk_answer(message_id: int, token: bytes, *, is_whole: bool, confirmable: bool) -> Message:
    code = Code.CHANGED if is_whole else Code.BAD_REQUEST
    return Message(Type.CON if confirmable else Type.NON, code, message_id, token)


def update_done(message_id: int, token: int) -> Message:
    """`41 03 id T b1 75`."""
    return Message(Type.CON, Code.PUT, message_id, bytes((token,)), ((Option.URI_PATH, b"u"),))


def device_update_done(message_id: int, result: bytes, *, confirmable: bool) -> Message:
    """`40|50 03 id b1 75 ff {"r":0}`: what some releases send besides, or in place of, their acknowledgement."""
    kind = Type.CON if confirmable else Type.NON
    return Message(kind, Code.PUT, message_id, b"", ((Option.URI_PATH, b"u"),), result)


def chunks_missed(message_id: int, indexes: list[int], *, confirmable: bool) -> Message:
    """`40|50 01 id b1 63 ff index*`."""
    kind = Type.CON if confirmable else Type.NON
    payload = b"".join(index.to_bytes(2, "big") for index in indexes)
    return Message(kind, Code.GET, message_id, b"", ((Option.URI_PATH, b"c"),), payload)


def read_missed_untrusted(message: Message) -> list[int]:
    payload = message.payload or b""
    if not payload or len(payload) % 2:
        raise WireError("missed chunks: not a list of 16-bit numbers")
    return [int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), 2)]


# --- version 3 -------------------------------------------------------------------------------------------------------


class OtaOption:
    CHUNK_INDEX: Final = 2049
    WINDOW: Final = 2053
    """In chunks."""
    FILE_SIZE: Final = 2057
    """In an answer: the offset to go on from."""
    SHA256: Final = 2061
    CHUNK_SIZE: Final = 2065
    DISCARD: Final = 2069
    CANCEL: Final = 2073


CHUNK_OVERHEAD: Final = 14
"""Header 4, path 2, chunk index up to 7, marker 1."""
MIN_V3_CHUNK_SIZE: Final = 512
MAX_WINDOW: Final = 4096
"""Larger than 128 KiB of the smallest chunks; a device that says more would only make us keep more."""


class Start(msgspec.Struct, frozen=True):
    size: int
    sha256: bytes | None
    chunk_size: int


def start(message_id: int, token: int, wanted: Start) -> Message:
    """`41 02 id T b1 53 e406f1 size [4d13 sha] 42 chunk size`."""
    options: tuple[tuple[int, bytes], ...] = (
        (Option.URI_PATH, b"S"),
        (OtaOption.FILE_SIZE, wanted.size.to_bytes(4, "big")),
    )
    if wanted.sha256 is not None:
        options += ((OtaOption.SHA256, wanted.sha256),)
    options += ((OtaOption.CHUNK_SIZE, uint(wanted.chunk_size)),)
    return Message(Type.CON, Code.POST, message_id, bytes((token,)), options)


def read_start_untrusted(message: Message) -> Start:
    size = _uint_untrusted(message, OtaOption.FILE_SIZE)
    chunk_size = _uint_untrusted(message, OtaOption.CHUNK_SIZE)
    sha256 = message.option(OtaOption.SHA256)
    if not size or (sha256 is not None and len(sha256) != 32):
        raise WireError("update start: bad size or hash")
    if chunk_size is None or chunk_size < MIN_V3_CHUNK_SIZE or chunk_size % 4:
        raise WireError("update start: bad chunk size")
    return Start(size, sha256, chunk_size)


class Started(msgspec.Struct, frozen=True):
    window: int
    offset: int


def started(message_id: int, token: bytes, answer: Started, *, confirmable: bool) -> Message:
    """`41 41 id T e206f8 window 4. offset`."""
    options = ((OtaOption.WINDOW, uint(answer.window)), (OtaOption.FILE_SIZE, uint(answer.offset)))
    return Message(Type.CON if confirmable else Type.NON, Code.CREATED, message_id, token, options)


def read_started_untrusted(message: Message) -> Started:
    window = _uint_untrusted(message, OtaOption.WINDOW)
    if not window:
        raise WireError("update start: no window")
    return Started(min(window, MAX_WINDOW), _uint_untrusted(message, OtaOption.FILE_SIZE) or 0)


def v3_chunk(message_id: int, index: int, data: bytes) -> Message:
    """`50 02 id b1 43 e.06e9 index ff data`: never confirmable, no token; indexes begin at 1."""
    options = ((Option.URI_PATH, b"C"), (OtaOption.CHUNK_INDEX, uint(index)))
    return Message(Type.NON, Code.POST, message_id, b"", options, data)


def read_v3_index_untrusted(message: Message) -> int:
    index = _uint_untrusted(message, OtaOption.CHUNK_INDEX)
    if index is None:
        raise WireError("chunk without an index")
    return index


def acknowledgement(message_id: int, cumulative: int, later: int) -> Message:
    """`50 02 id b1 41 e.06e9 cumulative [ff bitmap]`. `later`: bit 0 is the chunk after the cumulative one."""
    options = ((Option.URI_PATH, b"A"), (OtaOption.CHUNK_INDEX, uint(cumulative)))
    payload = None
    if later:
        words = (later.bit_length() + 31) // 32
        payload = later.to_bytes(words * 4, "little")
    return Message(Type.NON, Code.POST, message_id, b"", options, payload)


class Acknowledgement(msgspec.Struct, frozen=True):
    cumulative: int
    later: int


def read_acknowledgement_untrusted(message: Message) -> Acknowledgement:
    payload = message.payload or b""
    if len(payload) > MAX_WINDOW // 8:
        raise WireError("acknowledgement of more than a window")
    return Acknowledgement(read_v3_index_untrusted(message), int.from_bytes(payload, "little"))


def finish(message_id: int, token: int, *, cancels: bool = False, discards: bool = False) -> Message:
    """`41 02 id T b1 46`; cancelled, and what was received thrown away: `.. e0 06fd 40`."""
    options: tuple[tuple[int, bytes], ...] = ((Option.URI_PATH, b"F"),)
    if discards:
        options += ((OtaOption.DISCARD, b""),)
    if cancels:
        options += ((OtaOption.CANCEL, b""),)
    return Message(Type.CON, Code.POST, message_id, bytes((token,)), options)


def finished(message_id: int, token: bytes, statistics: bytes | None, *, confirmable: bool) -> Message:
    kind = Type.CON if confirmable else Type.NON
    return Message(kind, Code.CHANGED, message_id, token, (), statistics)


def _uint_untrusted(message: Message, number: int) -> int | None:
    value = message.option(number)
    if value is None:
        return None
    if len(value) > 4:
        raise WireError("option number too long")
    return int.from_bytes(value, "big")
