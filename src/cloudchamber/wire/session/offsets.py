"""How devices up to 5.x read requests: by fixed offset, with no look at option numbers.

This is the device's side of the dialect, faults included, so that a cloud that breaks the dialect is found out by the
simulated device as it would be by a real one. `T` is the token length:

| offset | what                                                                          |
|--------|-------------------------------------------------------------------------------|
| 5 + T  | the kind of message, as the letter of a one-letter path                       |
| 6 + T  | header of the second option: function or variable name, describe flag         |
| 8      | signal: 0 stops, else starts (right only when the token has one byte)         |
| 7 + T  | key change: 1 discards the session                                            |
| 6 .. 9 | **any** 2.05: the time, unsigned 32-bit                                       |

Where a message ends early the device goes on reading what an earlier message left in its buffer.
"""

from enum import Enum, auto

from cloudchamber.wire.coap import Code, Type
from cloudchamber.wire.errors import WireError


class Heard(Enum):
    PING = auto()
    EMPTY_ACK = auto()
    RESET = auto()
    HELLO = auto()
    FUNCTION = auto()
    VARIABLE = auto()
    DESCRIBE = auto()
    EVENT = auto()
    SIGNAL = auto()
    KEY_CHANGE = auto()
    TIME = auto()
    UPDATE_BEGIN = auto()
    UPDATE_CHUNK = auto()
    UPDATE_DONE = auto()
    V3_START = auto()
    V3_CHUNK = auto()
    V3_FINISH = auto()
    ANSWER = auto()
    UNKNOWN = auto()


_BY_CODE_AND_LETTER = {
    (Code.GET, ord("v")): Heard.VARIABLE,
    (Code.GET, ord("d")): Heard.DESCRIBE,
    (Code.POST, ord("f")): Heard.FUNCTION,
    (Code.POST, ord("e")): Heard.EVENT,
    (Code.POST, ord("E")): Heard.EVENT,
    (Code.POST, ord("h")): Heard.HELLO,
    (Code.PUT, ord("k")): Heard.KEY_CHANGE,
    (Code.PUT, ord("s")): Heard.SIGNAL,
    (Code.POST, ord("u")): Heard.UPDATE_BEGIN,
    (Code.POST, ord("s")): Heard.UPDATE_BEGIN,
    (Code.POST, ord("c")): Heard.UPDATE_CHUNK,
    (Code.PUT, ord("u")): Heard.UPDATE_DONE,
    (Code.POST, ord("S")): Heard.V3_START,
    (Code.POST, ord("C")): Heard.V3_CHUNK,
    (Code.POST, ord("F")): Heard.V3_FINISH,
}


class Memory:
    """The message buffer of a device: what a shorter message does not overwrite stays there."""

    __slots__ = ("_bytes", "size")

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(size)
        self.size = 0

    def load_untrusted(self, message: bytes) -> None:
        if not 4 <= len(message) <= len(self._bytes):
            raise WireError("message of a wrong size")
        self._bytes[: len(message)] = message
        self.size = len(message)

    def at(self, offset: int) -> int:
        return self._bytes[offset] if offset < len(self._bytes) else 0

    def slice(self, offset: int, size: int) -> bytes:
        return bytes(self._bytes[offset : offset + size])

    @property
    def kind(self) -> int:
        return self._bytes[0] >> 4 & 3

    @property
    def code(self) -> int:
        return self._bytes[1]

    @property
    def message_id(self) -> int:
        return self._bytes[2] << 8 | self._bytes[3]

    @property
    def token_size(self) -> int:
        return self._bytes[0] & 15

    @property
    def token(self) -> bytes:
        """Empty where no message can have one of that size, so that no answer gets it."""
        return self.slice(4, self.token_size) if self.token_size <= 8 else b""

    def heard(self) -> Heard:
        code = self.code
        if code == Code.EMPTY:
            if self.kind == Type.RST:
                return Heard.RESET
            return Heard.PING if self.kind == Type.CON else Heard.EMPTY_ACK
        if code == Code.CONTENT:
            return Heard.TIME
        if code >= 0x40:
            return Heard.ANSWER
        letter_at = 5 + self.token_size
        letter = self.at(letter_at) if letter_at < self.size else 0
        return _BY_CODE_AND_LETTER.get((code, letter), Heard.UNKNOWN)

    def name_and_argument(self) -> tuple[bytes, bytes]:
        """Second option, and the one after it, whatever its number is and whether it is there."""
        name, position = self._option(6 + self.token_size)
        return name, self._option(position)[0]

    def describe_flag(self) -> int | None:
        """The value of the second option, when there is one of one byte."""
        position = 6 + self.token_size
        return self.at(position + 1) if position + 1 < self.size and self.at(position) == 0x41 else None

    def signal_is_on(self) -> bool:
        return self.at(8) != 0

    def key_change_is_reset(self) -> bool:
        return self.at(7 + self.token_size) == 1

    def time(self) -> int:
        return int.from_bytes(self.slice(6, 4), "big")

    def _option(self, position: int) -> tuple[bytes, int]:
        size = self.at(position) & 15
        position += 1
        if size == 13:
            size = self.at(position) + 13
            position += 1
        elif size == 14:
            size = (self.at(position) << 8 | self.at(position + 1)) + 269
            position += 2
        return self.slice(position, size), position + size
