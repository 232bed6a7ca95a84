"""CoAP messages (RFC 7252 section 3), read and written fast.

    0 1 2 3 4 5 6 7   8..15   16..31      tkl bytes   options ...                      payload
   |ver|typ|  tkl  | code | message id |  token  | delta,length,value ... | ff (marker) | ... |

One departure from the RFC: a marker with nothing after it is not a format error. Devices send empty event data that
way, and no marker at all means that there are no data, so `payload` is None, b"" or bytes.
"""

from typing import Final

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.structs import Value


class Type:
    CON: Final = 0
    NON: Final = 1
    ACK: Final = 2
    RST: Final = 3


class Code:
    """Request and answer codes; 2.05 is 0x45: class in the upper three bits."""

    EMPTY: Final = 0
    GET: Final = 1
    POST: Final = 2
    PUT: Final = 3
    CREATED: Final = 0x41
    CHANGED: Final = 0x44
    CONTENT: Final = 0x45
    CONTINUE: Final = 0x5F
    BAD_REQUEST: Final = 0x80
    BAD_OPTION: Final = 0x82
    FORBIDDEN: Final = 0x83
    NOT_FOUND: Final = 0x84
    INTERNAL: Final = 0xA0
    NOT_IMPLEMENTED: Final = 0xA1
    UNAVAILABLE: Final = 0xA3
    TIMEOUT: Final = 0xA4


class Option:
    URI_PATH: Final = 11
    CONTENT_FORMAT: Final = 12
    MAX_AGE: Final = 14
    URI_QUERY: Final = 15
    BLOCK2: Final = 23
    BLOCK1: Final = 27
    NO_RESPONSE: Final = 258


class Message(Value, frozen=True):
    """A Struct, because making one costs a tenth of a frozen dataclass, and this is made for every message."""

    type: int
    code: int
    id: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes | None = None

    def option(self, number: int) -> bytes | None:
        """The first option of that number."""
        for found, value in self.options:
            if found == number:
                return value
        return None

    def path(self) -> bytes:
        """All Uri-Path options joined with slashes."""
        return b"/".join([value for number, value in self.options if number == Option.URI_PATH])


_MAX_OPTION_NUMBER = 65_535


def decode_untrusted(data: bytes) -> Message:
    size = len(data)
    if size < 4:
        raise WireError("message shorter than its header")
    first = data[0]
    if first & 0xC0 != 0x40:
        raise WireError("not CoAP version 1")
    position = 4 + (first & 15)
    if position > 12:
        raise WireError("token longer than 8 bytes")
    if position > size:
        raise WireError("token cut off")
    message_id = data[2] << 8 | data[3]
    if position == size:
        return Message(first >> 4 & 3, data[1], message_id, data[4:position])
    token = data[4:position]
    options: list[tuple[int, bytes]] = []
    payload = None
    number = 0
    try:
        while position < size:
            byte = data[position]
            position += 1
            if byte == 0xFF:
                payload = data[position:]
                break
            delta, length = byte >> 4, byte & 15
            if delta > 12:
                delta, position = _extended_untrusted(data, delta, position)
            if length > 12:
                length, position = _extended_untrusted(data, length, position)
            number += delta
            end = position + length
            if end > size:
                raise WireError("option cut off")
            options.append((number, data[position:end]))
            position = end
    except IndexError:
        raise WireError("option header cut off") from None
    if number > _MAX_OPTION_NUMBER:
        raise WireError("option number out of range")
    return Message(first >> 4 & 3, data[1], message_id, token, tuple(options), payload)


def _extended_untrusted(data: bytes, nibble: int, position: int) -> tuple[int, int]:
    if nibble == 13:
        return data[position] + 13, position + 1
    if nibble == 14:
        return (data[position] << 8 | data[position + 1]) + 269, position + 2
    raise WireError("reserved option nibble")


def encode(message: Message) -> bytes:
    """The bytes of a message. Options must be sorted by number; a wrong one is our own bug."""
    token, payload, message_id = message.token, message.payload, message.id
    out = bytearray((0x40 | message.type << 4 | len(token), message.code, message_id >> 8, message_id & 0xFF))
    out += token
    previous = 0
    for number, value in message.options:
        delta, length = number - previous, len(value)
        assert delta >= 0, "options must be sorted by number"
        previous = number
        if delta < 13 and length < 13:
            out.append(delta << 4 | length)
        else:
            _append_header(out, delta, length)
        out += value
    if payload is not None:
        out.append(0xFF)
        out += payload
    return bytes(out)


def _append_header(out: bytearray, delta: int, length: int) -> None:
    delta_nibble, delta_tail = _extend(delta)
    length_nibble, length_tail = _extend(length)
    out.append(delta_nibble << 4 | length_nibble)
    out += delta_tail
    out += length_tail


def _extend(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def uint(value: int) -> bytes:
    """The shortest form of an unsigned option value (RFC 7252 section 3.2): nothing at all for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def empty_ack(message_id: int) -> bytes:
    return bytes((0x60, 0, message_id >> 8, message_id & 0xFF))
