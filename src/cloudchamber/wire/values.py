"""Variable values and function results as devices send them.

| type   | describe number | bytes                                       |
|--------|-----------------|---------------------------------------------|
| bool   | 1               | one, zero or not                            |
| int    | 2               | four, big-endian, signed                    |
| string | 4               | the text, no terminator                     |
| double | 9               | eight, **little-endian**, as it lies in RAM |

Nothing in the answer tells the type: it comes from the describe data.
"""

import struct
from enum import IntEnum

from cloudchamber.wire.errors import WireError


class VariableType(IntEnum):
    BOOL = 1
    INT = 2
    STRING = 4
    DOUBLE = 9


Value = bool | int | float | str

_INT = struct.Struct(">i")
_DOUBLE = struct.Struct("<d")


def encode(kind: VariableType, value: Value) -> bytes:
    """Raises ValueError when `value` is not of that type: only our own side calls it."""
    if kind is VariableType.STRING:
        return str(value).encode()
    if isinstance(value, str):
        raise ValueError(f"{kind.name} expected, got text")
    if kind is VariableType.BOOL:
        return b"\x01" if value else b"\x00"
    if kind is VariableType.DOUBLE:
        return _DOUBLE.pack(value)
    return encode_int(int(value))


def decode_untrusted(kind: VariableType, data: bytes) -> Value:
    """A double may be NaN or infinite. Text that is not UTF-8 is read with replacement characters."""
    if kind is VariableType.STRING:
        return data.decode("utf-8", "replace")
    if kind is VariableType.BOOL:
        if len(data) != 1:
            raise WireError("a bool of other than one byte")
        return data != b"\x00"
    if kind is VariableType.DOUBLE:
        if len(data) != 8:
            raise WireError("a double of other than eight bytes")
        return float(_DOUBLE.unpack(data)[0])
    return decode_int_untrusted(data)


def encode_int(value: int) -> bytes:
    """Wraps to 32 bits as the device's arithmetic does."""
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


def decode_int_untrusted(data: bytes) -> int:
    if len(data) != 4:
        raise WireError("an int of other than four bytes")
    return int(_INT.unpack(data)[0])
