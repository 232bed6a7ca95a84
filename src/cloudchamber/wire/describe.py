"""What a device says of itself: JSON up to Device OS 5.8, protobuf for the system part later, and binary metrics.

The JSON keys are the firmware's own (`f` functions, `v` variables, `p` platform, `m` modules with `s l vc vv u f n v
d`), and the protobuf form is translated into them, so that everything above reads one shape.
"""

import hashlib
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from functools import lru_cache
from typing import Any, Final

import msgspec

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.values import VariableType

MAX_SHARED: Final = 256
"""Applications that are kept to be shared: a fleet runs a few. The largest description has 32 KiB."""

DIGEST_SIZE: Final = 8


class Part(IntFlag):
    """The byte of a describe request. Ask for one part at a time: 3.3 to 4.x answer combined ones with invalid JSON,
    and 6.x drops the connection."""

    SYSTEM = 1
    APPLICATION = 2
    METRICS = 4


@dataclass(frozen=True, slots=True)
class Application:
    """Functions and variables of the user's firmware. Devices of one firmware share one (`application`)."""

    functions: tuple[str, ...] = ()
    variables: Mapping[str, VariableType] = field(default_factory=dict, hash=False)


def application(functions: tuple[str, ...], variables: Mapping[str, VariableType]) -> Application:
    """An equal one that is there already, or a new one."""
    return _shared(functions, tuple(variables.items()))


@lru_cache(MAX_SHARED)
def _shared(functions: tuple[str, ...], variables: tuple[tuple[str, VariableType], ...]) -> Application:
    return Application(functions, dict(variables))


class Describe(msgspec.Struct, frozen=True):
    """A complete description. `system` is the JSON object of the system part, in the firmware's own keys; None: as it
    was told before."""

    functions: tuple[str, ...]
    variables: Mapping[str, VariableType]
    system: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Known:
    """What a session remembers of a complete description. The system part has kilobytes, and nobody asks the session
    for it: a digest tells whether it changed."""

    application: Application
    system_digest: bytes


def digest_of(system: Mapping[str, Any]) -> bytes:
    """A device that finds two of one digest hides a change of its own from itself."""
    return hashlib.blake2s(msgspec.json.encode(dict(system)), digest_size=DIGEST_SIZE).digest()


class Parts(msgspec.Struct, frozen=True):
    """What one message told: either part may be missing."""

    application: Application | None
    system: Mapping[str, Any] | None


class Metric(msgspec.Struct, frozen=True):
    """One diagnostics value. `failed`: the device could not measure it, and `value` is a system error number."""

    id: int
    value: int
    failed: bool


def parse_untrusted(payload: bytes) -> Parts:
    """Reads either form; JSON begins with `{`, which no protobuf message of this schema does."""
    if payload.lstrip()[:1] == b"{":
        return _parse_json_untrusted(payload)
    return Parts(None, _parse_protobuf_untrusted(payload))


# --- JSON ------------------------------------------------------------------------------------------------------------

_MISSING_COMMA: Final = re.compile(rb'([\]}"\d])("f":\[)')
_NUL: Final = b"\\u0000"
"""What no database keeps in a text. Unescaped it is not JSON."""


def _parse_json_untrusted(payload: bytes) -> Parts:
    text = payload.rstrip(b"\0")
    try:
        try:
            found = msgspec.json.decode(text)
        except msgspec.DecodeError:
            # 3.3 to 4.x leave out the comma between the system and the application part when asked for both.
            found = msgspec.json.decode(_MISSING_COMMA.sub(rb"\1,\2", text))
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise WireError("describe data are not JSON") from None
    if not isinstance(found, dict) or _NUL in text:
        raise WireError("describe data are not a JSON object of plain text")
    told = None
    if "f" in found or "v" in found:
        told = _application_untrusted(found.pop("f", []), found.pop("v", {}))
    return Parts(told, found or None)


def _application_untrusted(functions: Any, variables: Any) -> Application:
    if not isinstance(functions, list) or not all(isinstance(name, str) for name in functions):
        raise WireError("describe: functions are not a list of names")
    if not isinstance(variables, dict):
        raise WireError("describe: variables are not an object")
    return application(tuple(functions), {name: _variable_type(number) for name, number in variables.items()})


def _variable_type(number: Any) -> VariableType:
    try:
        return VariableType(number)
    except ValueError:
        return VariableType.STRING  # a type that a later firmware may add: its bytes can still be shown


def build_application(told: Application) -> bytes:
    """The application part as devices post it."""
    found = {"f": list(told.functions), "v": {name: int(kind) for name, kind in told.variables.items()}}
    return json.dumps(found, separators=(",", ":")).encode()


def build_system(system: Mapping[str, Any]) -> bytes:
    """The system part as devices up to 5.8 post it."""
    return json.dumps(dict(system), separators=(",", ":")).encode()


# --- protobuf --------------------------------------------------------------------------------------------------------

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Letters that the JSON form uses for the numbers of the protobuf form.
_MODULE_TYPES = {1: "r", 2: "b", 3: "m", 4: "s", 5: "u", 6: "e", 7: "c", 8: "a", 9: "t"}
_MODULE_STORES = {0: "m", 1: "f", 2: "b", 3: "t"}
_TYPE_NUMBERS = {letter: number for number, letter in _MODULE_TYPES.items()}
_STORE_NUMBERS = {letter: number for number, letter in _MODULE_STORES.items()}
_STRINGS = {2: "imei", 3: "iccid", 4: "cellfw"}


def _fields_untrusted(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position, size = 0, len(data)
    while position < size:
        key, position = _varint_untrusted(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint_untrusted(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint_untrusted(data, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise WireError("protobuf: group or unknown wire type")
        if position + length > size:
            raise WireError("protobuf: field cut off")
        raw = data[position : position + length]
        position += length
        yield key >> 3, raw if kind == _BYTES else int.from_bytes(raw, "little")


def _varint_untrusted(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise WireError("protobuf: bad varint")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _text_untrusted(value: int | bytes) -> str:
    if isinstance(value, int) or b"\0" in value:
        raise WireError("protobuf: text expected")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise WireError("protobuf: text is not UTF-8") from None


def _int_untrusted(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise WireError("protobuf: number expected")
    return value


def _bytes_untrusted(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise WireError("protobuf: bytes expected")
    return value


def _parse_protobuf_untrusted(payload: bytes) -> dict[str, Any]:
    system: dict[str, Any] = {}
    modules: list[dict[str, Any]] = []
    for number, value in _fields_untrusted(payload):
        if number == 1:
            modules.append(_module_untrusted(_bytes_untrusted(value)))
        elif number in _STRINGS:
            system[_STRINGS[number]] = _text_untrusted(value)
    system["m"] = modules
    return system


def _module_untrusted(data: bytes) -> dict[str, Any]:
    # proto3 leaves out zeros, so every key starts with what zero means.
    kind = index = version = store = size = checked = passed = 0
    digest = b""
    dependencies = []
    for number, value in _fields_untrusted(data):
        if number == 1:
            kind = _int_untrusted(value)
        elif number == 2:
            index = _int_untrusted(value)
        elif number == 3:
            version = _int_untrusted(value)
        elif number == 4:
            store = _int_untrusted(value)
        elif number == 5:
            size = _int_untrusted(value)
        elif number == 6:
            checked = _int_untrusted(value)
        elif number == 7:
            passed = _int_untrusted(value)
        elif number == 8:
            digest = _bytes_untrusted(value)
        elif number == 9:
            dependencies.append(_dependency_untrusted(_bytes_untrusted(value)))
    module: dict[str, Any] = {"s": size, "l": _MODULE_STORES.get(store, "_"), "vc": checked, "vv": passed}
    if digest:
        module["u"] = digest.hex()
    module |= {"f": _MODULE_TYPES.get(kind, "_"), "n": str(index), "v": version, "d": dependencies}
    return module


def _dependency_untrusted(data: bytes) -> dict[str, Any]:
    kind = index = version = 0
    for number, value in _fields_untrusted(data):
        if number == 1:
            kind = _int_untrusted(value)
        elif number == 2:
            index = _int_untrusted(value)
        elif number == 3:
            version = _int_untrusted(value)
    return {"f": _MODULE_TYPES.get(kind, "_"), "n": str(index), "v": version}


def build_system_protobuf(system: Mapping[str, Any]) -> bytes:
    """The system part as devices from 5.9 on post it (the device half needs it)."""
    out = bytearray()
    for module in system.get("m", []):
        out += _field(1, _build_module(module))
    for number, key in _STRINGS.items():
        if key in system:
            out += _field(number, str(system[key]).encode())
    return bytes(out)


def _build_module(module: Mapping[str, Any]) -> bytes:
    out = bytearray(_build_version(module))
    for number, value in ((4, _STORE_NUMBERS.get(module.get("l", ""), 0)), (5, int(module.get("s", 0)))):
        out += _field(number, value)
    for number, key in ((6, "vc"), (7, "vv")):
        out += _varint(number << 3 | _FIXED32) + int(module.get(key, 0)).to_bytes(4, "little")
    if "u" in module:
        out += _field(8, bytes.fromhex(module["u"]))
    for dependency in module.get("d", []):
        out += _field(9, _build_version(dependency))
    return bytes(out)


def _build_version(named: Mapping[str, Any]) -> bytes:
    numbers = (_TYPE_NUMBERS.get(named.get("f", ""), 0), int(named.get("n", 0)), int(named.get("v", 0)))
    return b"".join(_field(number, value) for number, value in enumerate(numbers, 1))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value) if value else b""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# --- metrics ---------------------------------------------------------------------------------------------------------

# 00 (binary), u16 LE packet type 4, u16 LE size of an id, u16 LE size of a value; then records {u16 LE, i32 LE}.
_METRICS_HEADER = bytes.fromhex("00040002000400")
_METRIC = struct.Struct("<Hi")
_FAILED = 0x8000


def parse_metrics_untrusted(payload: bytes) -> tuple[Metric, ...]:
    if payload[: len(_METRICS_HEADER)] != _METRICS_HEADER:
        raise WireError("metrics of an unknown form")
    records = payload[len(_METRICS_HEADER) :]
    if len(records) % _METRIC.size:
        raise WireError("metrics cut off")
    return tuple(
        Metric(number & ~_FAILED, value, bool(number & _FAILED)) for number, value in _METRIC.iter_unpack(records)
    )


def build_metrics(metrics: Mapping[int, int]) -> bytes:
    return _METRICS_HEADER + b"".join(_METRIC.pack(number, value) for number, value in metrics.items())
