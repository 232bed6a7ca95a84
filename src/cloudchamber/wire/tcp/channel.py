"""Frames: `u16 length of ciphertext ++ ciphertext`, AES-128-CBC over one message with PKCS#7 padding, no MAC.

The IV of a message is the **first** 16 bytes of the previous ciphertext of the same direction; the first message of
each direction takes the IV of the credentials. A library's CBC context goes on from the **last** block instead. So one
context lives as long as the direction, and the difference of the two blocks is exclusive-ored into the first block of
plaintext: before encryption, and after decryption. That saves a context per message, 3 µs.

A context takes nearly a kilobyte, and of many thousand connections nearly all are silent at a time. So a direction that
`rest`s throws it away, and makes the next one from the key and the IV.

Without a MAC a changed or repeated frame shows only as wrong padding or as a message that makes no sense. Either ends
the connection.
"""

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from cloudchamber.wire.errors import DecryptionError, FramingError

BLOCK: Final = 16
_PADDING: Final = [b""] + [bytes((size,)) * size for size in range(1, BLOCK + 1)]

MAX_CIPHERTEXT: Final = 2048
"""The largest device buffer is 1,152 bytes, which makes 1,168 with padding; the rest is room for one that grows. A
limit far below 65,535 keeps what a hostile peer can make us hold small."""


def plaintext_limit(buffer_size: int) -> int:
    """The largest message for a device with such a buffer: 767 bytes for the Photon's 800. One more byte of message
    and the device closes the connection, because it reads length, ciphertext and a spare block into that buffer."""
    return ciphertext_limit(buffer_size) - 1


def ciphertext_limit(buffer_size: int) -> int:
    return (buffer_size - 2 - BLOCK) // BLOCK * BLOCK


class Sealer:
    """One direction, outwards."""

    __slots__ = ("_cipher", "_difference", "_iv", "_key")

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._key = key
        self._iv = iv
        self._cipher: CipherContext | None = None
        self._difference = 0

    def rest(self) -> None:
        """Nothing is to be sent for a while."""
        self._cipher, self._difference = None, 0

    def seal(self, message: bytes) -> bytes:
        """The frame of a message."""
        padded = message + _PADDING[BLOCK - len(message) % BLOCK]
        difference = self._difference
        if difference:
            first = int.from_bytes(padded[:BLOCK], "big") ^ difference
            padded = first.to_bytes(BLOCK, "big") + padded[BLOCK:]
        cipher = self._cipher
        if cipher is None:
            cipher = self._cipher = Cipher(AES128(self._key), CBC(self._iv)).encryptor()
        ciphertext = cipher.update(padded)
        size = len(ciphertext)
        self._iv = ciphertext[:BLOCK]
        # A ciphertext of one block ends as it begins: the context then already stands right.
        self._difference = (
            0 if size == BLOCK else int.from_bytes(self._iv, "big") ^ int.from_bytes(ciphertext[-BLOCK:], "big")
        )
        return size.to_bytes(2, "big") + ciphertext


class Opener:
    """One direction, inwards: bytes in whatever pieces, whole messages out."""

    __slots__ = ("_at", "_buffer", "_cipher", "_difference", "_iv", "_key", "_limit")

    def __init__(self, key: bytes, iv: bytes, max_ciphertext: int = MAX_CIPHERTEXT) -> None:
        self._key = key
        self._iv = iv
        self._cipher: CipherContext | None = None
        self._difference = 0
        # Mostly a piece is a whole frame, or some: taken out of it as they are, without a copy of the rest for each.
        self._buffer = b""
        self._at = 0
        self._limit = max_ciphertext

    def rest(self) -> None:
        """Nothing is expected for a while. What came of a frame stays."""
        self._cipher, self._difference = None, 0

    @property
    def is_between_frames(self) -> bool:
        return not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer = self._buffer[self._at :] + data if self._buffer else data
        self._at = 0

    def next_message_untrusted(self) -> bytes | None:
        """The next whole message, or None until more bytes arrive.

        Raises FramingError as soon as a length is wrong, DecryptionError on wrong padding; the direction is then lost.
        """
        buffer, at = self._buffer, self._at
        left = len(buffer) - at
        if left < 2:
            return None
        size = buffer[at] << 8 | buffer[at + 1]
        if size == 0 or size % BLOCK or size > self._limit:
            raise FramingError(f"frame of {size} bytes")
        if left < size + 2:
            return None
        end = at + 2 + size
        ciphertext = buffer[at + 2 : end]
        if left > size + 2:
            self._at = end
        else:
            self._buffer, self._at = b"", 0
        return self._open_untrusted(ciphertext)

    def _open_untrusted(self, ciphertext: bytes) -> bytes:
        cipher = self._cipher
        if cipher is None:
            cipher = self._cipher = Cipher(AES128(self._key), CBC(self._iv)).decryptor()
        padded = cipher.update(ciphertext)
        difference = self._difference
        if difference:
            first = int.from_bytes(padded[:BLOCK], "big") ^ difference
            padded = first.to_bytes(BLOCK, "big") + padded[BLOCK:]
        self._iv = ciphertext[:BLOCK]
        self._difference = (
            0
            if len(ciphertext) == BLOCK
            else int.from_bytes(self._iv, "big") ^ int.from_bytes(ciphertext[-BLOCK:], "big")
        )
        size = padded[-1]
        if not 1 <= size <= BLOCK or not padded.endswith(_PADDING[size]):
            raise DecryptionError("wrong padding")
        return padded[:-size]
