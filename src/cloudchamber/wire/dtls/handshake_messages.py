"""Handshake messages (RFC 6347, section 4.2.2; RFC 5246, section 7.4): layouts, fragments in and out.

    header, 12 bytes:  kind(1) length(3) message number(2) fragment offset(3) fragment length(3)

The transcript that signatures and Finished cover holds each message as if it had come in one fragment.
"""

from typing import Final, NamedTuple

from cloudchamber.wire.dtls.raw_keys import POINT_SIZE
from cloudchamber.wire.dtls.records import CID_DRAFT_53, CID_DRAFT_254, CID_RFC_9146, CID_SIZE, VERSION
from cloudchamber.wire.errors import WireError

CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
HELLO_VERIFY_REQUEST: Final = 3
CERTIFICATE: Final = 11
SERVER_KEY_EXCHANGE: Final = 12
CERTIFICATE_REQUEST: Final = 13
SERVER_HELLO_DONE: Final = 14
CERTIFICATE_VERIFY: Final = 15
CLIENT_KEY_EXCHANGE: Final = 16
FINISHED: Final = 20

SUITE: Final = 0xC0AE
"""TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, the only one that devices have."""
RENEGOTIATION_SCSV: Final = 0x00FF

GROUPS: Final = 10
POINT_FORMATS: Final = 11
SIGNATURE_ALGORITHMS: Final = 13
CLIENT_CERTIFICATE_TYPE: Final = 19
SERVER_CERTIFICATE_TYPE: Final = 20
RENEGOTIATION_INFO: Final = 0xFF01
CID_EXTENSIONS: Final = (CID_RFC_9146, CID_DRAFT_254, CID_DRAFT_53)

RAW_PUBLIC_KEY: Final = 2
RANDOM_SIZE: Final = 32
_P256: Final = b"\x00\x17"
_ECDSA_SHA256: Final = b"\x04\x03"
_ECDHE_P256: Final = b"\x03" + _P256
_VERSION_1_0: Final = b"\xfe\xff"

MAX_MESSAGE: Final = 512
"""The largest that either end has to say after ClientHello is a ServerKeyExchange of 150 bytes."""

MAX_AHEAD: Final = 4
"""Messages kept while one before them is missing: a flight has five."""

HEADER_SIZE: Final = 12


def message(kind: int, number: int, body: bytes) -> bytes:
    size = len(body).to_bytes(3, "big")
    return bytes((kind,)) + size + number.to_bytes(2, "big") + b"\0\0\0" + size + body


def fragments(whole: bytes, max_size: int) -> list[bytes]:
    """A message in pieces of at most `max_size` bytes each, header included."""
    body = whole[HEADER_SIZE:]
    room = max_size - HEADER_SIZE
    assert room > 0
    if len(body) <= room:
        return [whole]
    return [
        whole[:6] + at.to_bytes(3, "big") + len(body[at : at + room]).to_bytes(3, "big") + body[at : at + room]
        for at in range(0, len(body), room)
    ]


class Fragment(NamedTuple):
    kind: int
    size: int
    """Of the whole message."""
    number: int
    offset: int
    data: bytes

    @property
    def is_whole(self) -> bool:
        return len(self.data) == self.size


def read_fragments_untrusted(body: bytes) -> list[Fragment]:
    """All fragments in the body of one record."""
    found: list[Fragment] = []
    at = 0
    while at < len(body):
        head = body[at : at + HEADER_SIZE]
        if len(head) < HEADER_SIZE:
            raise WireError("handshake header cut off")
        size, offset = int.from_bytes(head[1:4], "big"), int.from_bytes(head[6:9], "big")
        length = int.from_bytes(head[9:12], "big")
        at += HEADER_SIZE + length
        if at > len(body) or offset + length > size:
            raise WireError("handshake fragment cut off")
        found.append(Fragment(head[0], size, int.from_bytes(head[4:6], "big"), offset, body[at - length : at]))
    return found


class Reassembler:
    """Puts one peer's messages in order. Holds at most MAX_AHEAD + 1 messages of MAX_MESSAGE bytes."""

    __slots__ = ("_partial", "_whole", "next_number")

    def __init__(self, next_number: int) -> None:
        self.next_number = next_number
        self._whole: dict[int, tuple[int, bytes]] = {}
        self._partial: dict[int, tuple[int, bytearray, bytearray]] = {}

    def add_untrusted(self, fragment: Fragment) -> None:
        """What is over already, or too far ahead, is left out."""
        number = fragment.number
        if not self.next_number <= number <= self.next_number + MAX_AHEAD or number in self._whole:
            return
        if fragment.size > MAX_MESSAGE:
            raise WireError("handshake message too large")
        if fragment.is_whole:
            self._whole[number] = (fragment.kind, fragment.data)
            self._partial.pop(number, None)
            return
        kind, buffer, missing = self._partial.setdefault(
            number, (fragment.kind, bytearray(fragment.size), bytearray(b"\1" * fragment.size))
        )
        if kind != fragment.kind or len(buffer) != fragment.size:
            raise WireError("fragments of one message disagree")
        end = fragment.offset + len(fragment.data)
        buffer[fragment.offset : end] = fragment.data
        missing[fragment.offset : end] = bytes(len(fragment.data))
        if not any(missing):
            self._whole[number] = (kind, bytes(buffer))
            del self._partial[number]

    def next_message(self) -> tuple[int, int, bytes] | None:
        """Kind, number and body of the message whose turn it is."""
        found = self._whole.pop(self.next_number, None)
        if found is None:
            return None
        number = self.next_number
        self.next_number = number + 1
        return found[0], number, found[1]


class _Reader:
    """Cuts fields from a body; every way of running over the end is the same WireError."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise WireError("handshake message cut off")
        field, self._at = self._data[self._at : end], end
        return field

    def vector(self, length_size: int) -> bytes:
        """A field with its own length in front, of so many bytes."""
        return self.take(int.from_bytes(self.take(length_size), "big"))

    def expect_end(self) -> None:
        if not self.is_at_end:
            raise WireError("handshake message too long")


def _read_extensions_untrusted(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        start = at + 4
        number = data[at] << 8 | int.from_bytes(data[at + 1 : at + 2], "big")
        at = start + int.from_bytes(data[at + 2 : start], "big")
        if at > len(data):
            raise WireError("extension cut off")
        if number in found:
            raise WireError("extension given twice")
        found[number] = data[start:at]
    return found


def _extensions(items: list[tuple[int, bytes]]) -> bytes:
    packed = b"".join(number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for number, value in items)
    return len(packed).to_bytes(2, "big") + packed


class ClientHello(NamedTuple):
    """version random(32) <session id> <cookie> <<suites>> <compressions> <<extensions>>"""

    random: bytes
    suites: frozenset[int]
    extensions: dict[int, bytes]

    @property
    def cid_extension(self) -> int:
        """Which connection id extension to answer, 0 for none. Only peers that want no id in our own records."""
        return next((number for number in CID_EXTENSIONS if self.extensions.get(number) == b"\0"), 0)

    def check_untrusted(self) -> None:
        """Raises WireError when this peer and we have nothing in common."""
        offered = self.extensions
        if SUITE not in self.suites:
            raise WireError("no common cipher suite")
        for number in (CLIENT_CERTIFICATE_TYPE, SERVER_CERTIFICATE_TYPE):
            if RAW_PUBLIC_KEY not in offered.get(number, b"")[1:]:
                raise WireError("peer does not take raw public keys")
        if _P256 not in _pairs(offered.get(GROUPS, b"\0\2" + _P256)):
            raise WireError("peer does not have P-256")
        if _ECDSA_SHA256 not in _pairs(offered.get(SIGNATURE_ALGORITHMS, b"\0\2" + _ECDSA_SHA256)):
            raise WireError("peer does not have ECDSA with SHA-256")


def _pairs(vector: bytes) -> list[bytes]:
    return [vector[at : at + 2] for at in range(2, len(vector), 2)]


def split_cookie_untrusted(body: bytes) -> tuple[bytes, bytes]:
    """The cookie of a ClientHello, and all but it: what the cookie stands for. Cheap; reads nothing else."""
    at = 2 + RANDOM_SIZE
    if len(body) < at + 2 or body[0] != 0xFE or body[:2] > VERSION:  # 1.0 is feff: larger numbers are older
        raise WireError("client does not have DTLS 1.2")
    at += 1 + body[at]
    end = at + 1 + int.from_bytes(body[at : at + 1], "big")
    if end >= len(body):
        raise WireError("ClientHello cut off")
    return body[at + 1 : end], body[:at] + body[end:]


def read_client_hello_untrusted(without_cookie: bytes) -> ClientHello:
    """`without_cookie`: as `split_cookie_untrusted` gives it."""
    reader = _Reader(without_cookie)
    reader.take(2)
    random = reader.take(RANDOM_SIZE)
    reader.vector(1)
    suites = reader.vector(2)
    if len(suites) % 2:
        raise WireError("half a cipher suite")
    if 0 not in reader.vector(1):
        raise WireError("client wants compression")
    extensions = {} if reader.is_at_end else _read_extensions_untrusted(reader.vector(2))
    reader.expect_end()
    offered = frozenset(int.from_bytes(suites[at : at + 2], "big") for at in range(0, len(suites), 2))
    return ClientHello(random, offered, extensions)


def client_hello(random: bytes, cookie: bytes, extensions: list[tuple[int, bytes]]) -> bytes:
    suites = SUITE.to_bytes(2, "big") + RENEGOTIATION_SCSV.to_bytes(2, "big")
    return (
        VERSION
        + random
        + b"\0"
        + bytes((len(cookie),))
        + cookie
        + len(suites).to_bytes(2, "big")
        + suites
        + b"\x01\x00"
        + _extensions(extensions)
    )


def hello_verify_request(cookie: bytes) -> bytes:
    """The version is 1.0 whatever follows (RFC 6347, section 4.2.1)."""
    return _VERSION_1_0 + bytes((len(cookie),)) + cookie


def read_hello_verify_request_untrusted(body: bytes) -> bytes:
    """The cookie."""
    reader = _Reader(body)
    reader.take(2)
    cookie = reader.vector(1)
    reader.expect_end()
    return cookie


class ServerHello(NamedTuple):
    """version random(32) <session id> suite compression <<extensions>>"""

    random: bytes
    extensions: dict[int, bytes]

    def cid_untrusted(self, extension: int) -> bytes:
        """The id to put into records, b"" when none was agreed on."""
        value = self.extensions.get(extension, b"\0")
        if value[:1] != bytes((len(value) - 1,)) or len(value) - 1 not in (0, CID_SIZE):
            raise WireError("connection id of another length")
        return value[1:]


def server_hello(random: bytes, session_id: bytes, hello: ClientHello, cid: bytes) -> bytes:
    """Answers what was offered, and nothing else."""
    answers: list[tuple[int, bytes]] = []
    if cid:
        answers.append((hello.cid_extension, bytes((len(cid),)) + cid))
    answers += [(number, bytes((RAW_PUBLIC_KEY,))) for number in (CLIENT_CERTIFICATE_TYPE, SERVER_CERTIFICATE_TYPE)]
    if POINT_FORMATS in hello.extensions:
        answers.append((POINT_FORMATS, b"\x01\x00"))
    if RENEGOTIATION_SCSV in hello.suites or RENEGOTIATION_INFO in hello.extensions:
        answers.append((RENEGOTIATION_INFO, b"\0"))
    return (
        VERSION
        + random
        + bytes((len(session_id),))
        + session_id
        + SUITE.to_bytes(2, "big")
        + b"\0"
        + _extensions(answers)
    )


def read_server_hello_untrusted(body: bytes) -> ServerHello:
    reader = _Reader(body)
    if reader.take(2) != VERSION:
        raise WireError("server does not have DTLS 1.2")
    random = reader.take(RANDOM_SIZE)
    reader.vector(1)
    if reader.take(3) != SUITE.to_bytes(2, "big") + b"\0":
        raise WireError("server chose another cipher suite")
    extensions = {} if reader.is_at_end else _read_extensions_untrusted(reader.vector(2))
    reader.expect_end()
    if any(extensions.get(number) != b"\x02" for number in (CLIENT_CERTIFICATE_TYPE, SERVER_CERTIFICATE_TYPE)):
        raise WireError("server does not take raw public keys")
    return ServerHello(random, extensions)


def key_exchange_parameters(point: bytes) -> bytes:
    """What the server signs, behind both randoms."""
    return _ECDHE_P256 + bytes((POINT_SIZE,)) + point


def signed(signature: bytes) -> bytes:
    """Algorithm and signature, as in ServerKeyExchange and CertificateVerify."""
    return _ECDSA_SHA256 + len(signature).to_bytes(2, "big") + signature


def _read_signed_untrusted(reader: _Reader) -> bytes:
    if reader.take(2) != _ECDSA_SHA256:
        raise WireError("signature of another kind")
    signature = reader.vector(2)
    reader.expect_end()
    return signature


def read_server_key_exchange_untrusted(body: bytes) -> tuple[bytes, bytes]:
    """The point and the signature."""
    reader = _Reader(body)
    if reader.take(3) != _ECDHE_P256:
        raise WireError("key exchange on another curve")
    return reader.vector(1), _read_signed_untrusted(reader)


def certificate_request() -> bytes:
    """ecdsa_sign; ECDSA with SHA-256; no authorities. Without it a device shows no key."""
    return b"\x01\x40" + b"\x00\x02" + _ECDSA_SHA256 + b"\x00\x00"


def certificate(spki: bytes) -> bytes:
    """A raw public key has one length in front, and no list around it (RFC 7250, section 3)."""
    return len(spki).to_bytes(3, "big") + spki


def read_certificate_untrusted(body: bytes) -> bytes:
    reader = _Reader(body)
    spki = reader.vector(3)
    reader.expect_end()
    return spki


def client_key_exchange(point: bytes) -> bytes:
    return bytes((len(point),)) + point


def read_client_key_exchange_untrusted(body: bytes) -> bytes:
    reader = _Reader(body)
    point = reader.vector(1)
    reader.expect_end()
    return point


def read_certificate_verify_untrusted(body: bytes) -> bytes:
    return _read_signed_untrusted(_Reader(body))
