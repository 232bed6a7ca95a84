"""The record layer (RFC 6347, section 4.1): layouts, protection with AES-128-CCM-8, the replay window.

    epoch 0            type(1) fefd epoch(2) number(6) length(2) body
    epoch 1            type(1) fefd epoch(2) number(6) length(2) explicit nonce(8) ciphertext tag(8)
    epoch 1 with a     19      fefd epoch(2) number(6) cid(8) length(2) explicit nonce(8) ciphertext tag(8)
    connection id               plaintext = content ++ its type(1) ++ zeros

The nonce is the 4 fixed bytes of the direction and the 8 explicit ones; a sender takes epoch and number for these.
Additional data, where `length` is that of the plaintext:

    without connection id      epoch number type fefd length
    draft (extensions 53, 254) epoch number 19 fefd cid cid_length length
    RFC 9146 (extension 54)    ff*8 19 cid_length 19 fefd epoch number cid length

A device that goes on with a saved session marks its records *after* sealing them, so that the mark is no part of what
was authenticated: type 253 stands for 19 (25), and type 254 for 17 (23) with a trailer that no length counts:

    fe fefd epoch(2) number(6) length(2) body | device id(12) 0c

A direction keeps its key and not a cipher made from it: that takes 550 bytes, many sessions are silent, and making one
takes 0.3 µs of a record's 3.

A nonce must never come twice under one key: it would give away both plaintexts and the key of the tag. A sender here
takes numbers only below a limit that its owner has put where a crash cannot take it back (`Sealer.limit`).
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.structs import Value

Address = tuple[str, int]
"""Host and port, as the shell sends to them. An IPv6 scope belongs into the host."""

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
WITH_CID: Final = 25
MOVED_WITH_CID: Final = 253
MOVED_WITH_DEVICE_ID: Final = 254

CLOSE_NOTIFY: Final = b"\x01\x00"
FATAL: Final = 2

VERSION: Final = b"\xfe\xfd"
CID_SIZE: Final = 8
"""Other lengths are not saved by a device."""
DEVICE_ID_SIZE: Final = 12
MIN_DATAGRAM: Final = 14
"""A record header and one byte. Keep-alives of one byte, and less, come from some networks."""
MAX_PLAINTEXT: Final = 1 << 14

CID_DRAFT_53: Final = 53
CID_DRAFT_254: Final = 254
CID_RFC_9146: Final = 54

_HEADER: Final = 13
_WITH_CID: Final = (WITH_CID, MOVED_WITH_CID)
_TRAILER: Final = DEVICE_ID_SIZE + 1
_NONCE: Final = 8
_TAG: Final = 8
_PADDING: Final = 16
_FIRST_OF_EPOCH_1: Final = 1 << 48
_LAST_NUMBER: Final = (1 << 48) - 1
_CID_RECORD: Final = bytes((WITH_CID,)) + VERSION
_CID_LENGTH: Final = bytes((CID_SIZE,))
_RFC_9146_HEAD: Final = b"\xff" * 8 + bytes((WITH_CID, CID_SIZE, WITH_CID)) + VERSION
_WINDOW: Final = 64
_WINDOW_MASK: Final = (1 << _WINDOW) - 1


class ReplayedRecord(WireError):
    """Seen before, or older than the window."""


class ForgedRecord(WireError):
    """Does not authenticate: forged, corrupt, or made with other keys."""


class NotReserved(Exception):
    """Our own side would take a record number that is not reserved."""


class Record(Value, frozen=True):
    type: int
    """As it was when the record was sealed: the marks of moved sessions are undone."""
    sequence: bytes
    """Epoch and number, 8 bytes."""
    cid: bytes
    body: bytes

    @property
    def epoch(self) -> int:
        return self.sequence[0] << 8 | self.sequence[1]

    @property
    def number(self) -> int:
        return int.from_bytes(self.sequence[2:], "big")


def read_record_untrusted(data: bytes, at: int) -> tuple[Record, int]:
    """The record that begins at `at`, and where it ends."""
    start = at + _HEADER - 2
    whole = len(data)
    if whole < start + 2:
        raise WireError("record header cut off")
    kind = data[at]
    if data[at + 1] != 0xFE or (data[at + 2] != 0xFD and (data[at + 2] != 0xFF or kind != HANDSHAKE)):
        raise WireError("not DTLS 1.2")
    cid = b""
    if kind in _WITH_CID:
        kind = WITH_CID
        cid = data[start : start + CID_SIZE]
        start += CID_SIZE
        if whole < start + 2:
            raise WireError("record header cut off")
    end = start + 2 + (data[start] << 8 | data[start + 1])
    if end > whole:
        raise WireError("record cut off")
    return Record(kind, data[at + 3 : at + 11], cid, data[start + 2 : end]), end


def cut_device_id_untrusted(datagram: bytes) -> tuple[bytes, bytes]:
    """A datagram of type 254: the device id, and the datagram as it was before it was marked."""
    if len(datagram) < _HEADER + _TRAILER or datagram[-1] != DEVICE_ID_SIZE:
        raise WireError("no device id behind the record")
    return datagram[-_TRAILER:-1], bytes((APPLICATION_DATA,)) + datagram[1:-_TRAILER]


def mark_moved_with_cid(record: bytes) -> bytes:
    return bytes((MOVED_WITH_CID,)) + record[1:]


def mark_moved_with_device_id(record: bytes, device_id: bytes) -> bytes:
    return bytes((MOVED_WITH_DEVICE_ID,)) + record[1:] + device_id + bytes((DEVICE_ID_SIZE,))


def plain_record(kind: int, number: int, body: bytes) -> bytes:
    """Epoch 0."""
    return bytes((kind,)) + VERSION + number.to_bytes(8, "big") + len(body).to_bytes(2, "big") + body


class ReplayWindow:
    """Which of the newest 64 numbers have come (RFC 6347, section 4.1.2.6). `bits` 0 is `top`, -1 before any."""

    __slots__ = ("bits", "top")

    def __init__(self, top: int = -1, bits: int = 0) -> None:
        self.top = top
        self.bits = bits

    def is_new(self, number: int) -> bool:
        age = self.top - number
        return age < 0 or (age < _WINDOW and not self.bits >> age & 1)

    def accept(self, number: int) -> None:
        """Only what has been authenticated."""
        ahead = number - self.top
        if ahead > 0:
            self.bits = (self.bits << ahead | 1) & _WINDOW_MASK if ahead < _WINDOW else 1
            self.top = number
        else:
            self.bits |= 1 << -ahead


class Opener:
    """Epoch 1, inwards."""

    __slots__ = ("_cid", "_mode", "iv", "key", "window")

    def __init__(self, key: bytes, iv: bytes, *, cid: bytes, mode: int, window: ReplayWindow) -> None:
        """`cid`: what the peer puts into its records, b"" for none; `mode`: the number of the extension, 0 for none."""
        self.key = key
        self.iv = iv
        self._cid = cid
        self._mode = mode
        self.window = window

    def open_untrusted(self, record: Record) -> tuple[int, bytes]:
        """Content type and content. Raises ReplayedRecord or ForgedRecord; only what authenticates counts as seen."""
        sequence, cid, body = record.sequence, record.cid, record.body
        size = len(body) - _NONCE - _TAG
        number = int.from_bytes(sequence) - _FIRST_OF_EPOCH_1
        if size < 0 or cid != self._cid or not 0 <= number <= _LAST_NUMBER:
            raise ForgedRecord("not a record of this session")
        window = self.window
        if number <= window.top and not window.is_new(number):
            raise ReplayedRecord("record seen before")
        if cid:
            additional = _additional_with_cid(self._mode, sequence, cid, size.to_bytes(2))
        else:
            additional = sequence + bytes((record.type,)) + VERSION + size.to_bytes(2)
        try:
            content = AESCCM(self.key, _TAG).decrypt(self.iv + body[:_NONCE], body[_NONCE:], additional)
        except InvalidTag:
            raise ForgedRecord("record does not authenticate") from None
        window.accept(number)
        if cid:
            content = content.rstrip(b"\0")
            if not content:
                raise WireError("record without a type")
            return content[-1], content[:-1]
        return record.type, content


class Sealer:
    """Epoch 1, outwards."""

    __slots__ = ("_cid", "_mode", "iv", "key", "limit", "next_number")

    def __init__(self, key: bytes, iv: bytes, *, cid: bytes, mode: int, next_number: int, limit: int) -> None:
        """`cid`: what the peer wants to see in our records, b"" for none. Numbers below `limit` may be used."""
        self.key = key
        self.iv = iv
        self._cid = cid
        self._mode = mode
        self.next_number = next_number
        self.limit = limit

    def seal(self, kind: int, content: bytes) -> bytes:
        """The record. Raises NotReserved when no number is left."""
        number = self.next_number
        if number >= self.limit:
            raise NotReserved
        assert len(content) <= MAX_PLAINTEXT
        self.next_number = number + 1
        sequence = (_FIRST_OF_EPOCH_1 + number).to_bytes(8)
        cid = self._cid
        if cid:
            content += bytes((kind,))
            content += bytes(-len(content) % _PADDING)
            additional = _additional_with_cid(self._mode, sequence, cid, len(content).to_bytes(2))
            head = _CID_RECORD
        else:
            head = bytes((kind,)) + VERSION
            additional = sequence + head + len(content).to_bytes(2)
        sealed = AESCCM(self.key, _TAG).encrypt(self.iv + sequence, content, additional)
        return head + sequence + cid + (_NONCE + len(sealed)).to_bytes(2) + sequence + sealed


def _additional_with_cid(mode: int, sequence: bytes, cid: bytes, length: bytes) -> bytes:
    assert len(cid) == CID_SIZE
    if mode == CID_RFC_9146:
        return _RFC_9146_HEAD + sequence + cid + length
    return sequence + _CID_RECORD + cid + _CID_LENGTH + length
