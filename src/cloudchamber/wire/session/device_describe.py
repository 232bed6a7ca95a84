"""What a device answers to, and posts for, a description: by release, faults included.

| release    | no flag    | flag for both parts           | answer                   | in blocks      |
|------------|------------|-------------------------------|--------------------------|----------------|
| up to 1.5  | both, JSON | both                          | inside the ACK           | -              |
| 2.x        | both, JSON | both                          | ACK, then CON with token | -              |
| 3.3 to 5.8 | ACK 4.00   | a comma missing between both  | same                     | Block2, Block1 |
| from 5.9   | ACK 4.00   | ACK, then the connection ends | same; system in protobuf | Block2, Block1 |
"""

from collections.abc import Mapping
from typing import Any

from cloudchamber.wire import coap
from cloudchamber.wire.coap import Code, Message, Option, Type
from cloudchamber.wire.describe import (
    Part,
    build_application,
    build_metrics,
    build_system,
    build_system_protobuf,
)
from cloudchamber.wire.messages import Block, block_option
from cloudchamber.wire.session.profile import DeviceSetup

_BOTH = Part.SYSTEM | Part.APPLICATION
_PROTOBUF = 42


def default_system(setup: DeviceSetup) -> Mapping[str, Any]:
    """A bootloader-less device of one good system module and one user module."""
    version = setup.profile.system_version or 1
    system_module = {"s": 499_712, "l": "m", "vc": 30, "vv": 30, "f": "s", "n": "1", "v": version, "d": []}
    needs = [{"f": "s", "n": "1", "v": version}]
    user_module = {"s": 131_072, "l": "m", "vc": 30, "vv": 28 if setup.safe_mode else 30,
                   "u": setup.application_sha256.hex(), "f": "u", "n": "1", "v": 5, "d": needs}  # fmt: skip
    return {"p": setup.platform_id, "m": [system_module, user_module]}


def body(setup: DeviceSetup, flags: int) -> bytes | None:
    """The bytes for a request with these flags; None where the device breaks down over them."""
    profile = setup.profile
    if flags == Part.METRICS and setup.metrics:
        return build_metrics(setup.metrics)
    if flags == Part.APPLICATION:
        return build_application(setup.application)
    system = setup.system if setup.system is not None else default_system(setup)
    if flags == Part.SYSTEM:
        return build_system_protobuf(system) if profile.system_in_protobuf else build_system(system)
    if profile.system_in_protobuf:
        return None
    application_text, system_text = build_application(setup.application), build_system(system)
    if profile.needs_describe_flag:
        return system_text[:-1] + application_text[1:]
    return application_text[:-1] + b"," + system_text[1:]


def default_flags(setup: DeviceSetup) -> int | None:
    """What a request without its flag asks for; None when the device refuses it."""
    return None if setup.profile.needs_describe_flag else _BOTH


def block_exponent(setup: DeviceSetup) -> int | None:
    """SZX of this device's blocks (6 is 1,024 bytes, 5 is 512); None when it has no blocks."""
    if not setup.profile.needs_describe_flag:
        return None
    return 6 if setup.profile.buffer_size > 1024 + 64 else 5


def cut(setup: DeviceSetup, whole: bytes, number: int) -> tuple[bytes, bytes | None] | None:
    """One block and its option value (None when all fits into one message); None past the end."""
    exponent = block_exponent(setup)
    if exponent is None or len(whole) <= 16 << exponent:
        return (whole, None) if number == 0 else None
    size = 16 << exponent
    if number * size >= len(whole):
        return None
    block = Block(number, (number + 1) * size < len(whole), exponent)
    return whole[number * size : (number + 1) * size], block_option(block)


def answer(
    setup: DeviceSetup, kind: int, message_id: int, token: bytes, flags: int, data: bytes, block2: bytes | None
) -> Message:
    options: tuple[tuple[int, bytes], ...] = ()
    if flags == Part.SYSTEM and setup.profile.system_in_protobuf:
        options += ((Option.CONTENT_FORMAT, coap.uint(_PROTOBUF)),)
    if block2 is not None:
        options += ((Option.BLOCK2, block2),)
    return Message(kind, Code.CONTENT, message_id, token, options, data)


def post(setup: DeviceSetup, message_id: int, token: bytes, part: Part, data: bytes, block1: bytes | None) -> Message:
    """`40 02 id b1 64 41 flag ff ...`; Content-Format 42 stands before the flag, Block1 after it."""
    options: tuple[tuple[int, bytes], ...] = ((Option.URI_PATH, b"d"),)
    if part is Part.SYSTEM and setup.profile.system_in_protobuf:
        options += ((Option.CONTENT_FORMAT, coap.uint(_PROTOBUF)),)
    options += ((Option.URI_QUERY, bytes((part,))),)
    if block1 is not None:
        options += ((Option.BLOCK1, block1),)
    return Message(Type.CON, Code.POST, message_id, token, options, data)
