"""Key files and key slots of devices: what `--server_key` of a device reads and what a programmer writes into flash.

Server slot: the key's SubjectPublicKeyInfo DER, 0xFF fill, and an address block of 128 bytes.

| transport | slot | DER           | address at |
|-----------|------|---------------|------------|
| TCP       | 512  | RSA-2048, 294 | 384        |
| UDP       | 320  | P-256, 91     | 192        |

Address block: 0 type (0 IPv4, 1 domain), 1 length, 2.. the address, 66 port (u16 big-endian; 0 and ffff: default).
Firmware finds moduli at fixed offsets and assumes the exponent 65537: a key of any other size or exponent cannot work.
"""

import ipaddress
import re

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.transport import Transport

DEFAULT_PORTS = {Transport.TCP: 5683, Transport.UDP: 5684}
DEVICE_KEY_SLOTS = {Transport.TCP: 612, Transport.UDP: 192}
DEVICE_PUBLIC_KEY_SIZES = {Transport.TCP: 162, Transport.UDP: 91}

_SLOTS = {Transport.TCP: 512, Transport.UDP: 320}
_ADDRESS_AT = {Transport.TCP: 384, Transport.UDP: 192}
_DER_SIZES = {Transport.TCP: 294, Transport.UDP: 91}
_PORT_AT = 66
_IPV4, _DOMAIN = 0, 1

MAX_DOMAIN = 63
"""64 bytes with the NUL. `$id` in it stands for the hex device id."""
_HOST_NAME = re.compile(rf"(?=.{{1,{MAX_DOMAIN}}}\Z)(?:[A-Za-z0-9._-]|\$id)+")


class ServerAddress(msgspec.Struct, frozen=True):
    """`host` is an IPv4 address or a domain name; `port` None is the default of the transport. Devices on UDP go to
    their built-in port whatever stands here."""

    host: str
    port: int | None = None


class ServerKeyFile(msgspec.Struct, frozen=True):
    public_key_der: bytes
    address: ServerAddress | None


def build_server_key_file(transport: Transport, public_key_der: bytes, address: ServerAddress) -> bytes:
    """The whole slot. Raises ValueError, with what to do, for a key or host that no device could use."""
    try:
        check_server_key_untrusted(transport, public_key_der)
    except WireError as error:
        raise ValueError(str(error)) from None
    try:
        kind, raw = _IPV4, ipaddress.IPv4Address(address.host).packed
    except ValueError:
        if not _HOST_NAME.fullmatch(address.host):
            raise ValueError(
                f"a device takes an IPv4 address or host names of 1 to {MAX_DOMAIN} letters, digits, dots and hyphens"
            ) from None
        kind, raw = _DOMAIN, address.host.encode("ascii")
    port = DEFAULT_PORTS[transport] if address.port is None else address.port
    slot = bytearray(b"\xff" * _SLOTS[transport])
    slot[: len(public_key_der)] = public_key_der
    at = _ADDRESS_AT[transport]
    text = raw + b"\0" if kind == _DOMAIN else raw
    slot[at : at + 2] = bytes((kind, len(raw)))
    slot[at + 2 : at + 2 + len(text)] = text
    slot[at + _PORT_AT : at + _PORT_AT + 2] = port.to_bytes(2, "big")
    return bytes(slot)


def parse_server_key_file_untrusted(transport: Transport, data: bytes) -> ServerKeyFile:
    """Reads a slot, or a bare DER (then without an address)."""
    der = cut_der_untrusted(data)
    check_server_key_untrusted(transport, der)
    block = data[_ADDRESS_AT[transport] :]
    if len(block) < _PORT_AT + 2 or block[0] == 0xFF:
        return ServerKeyFile(der, None)
    kind, size = block[0], block[1]
    if kind == _IPV4 and size == 4:
        host = str(ipaddress.IPv4Address(block[2:6]))
    elif kind == _DOMAIN and 0 < size <= MAX_DOMAIN:
        try:
            host = block[2 : 2 + size].rstrip(b"\0").decode("ascii")
        except UnicodeDecodeError:
            raise WireError("server address is not ASCII") from None
    else:
        raise WireError("server address of an unknown form")
    port = int.from_bytes(block[_PORT_AT : _PORT_AT + 2], "big")
    return ServerKeyFile(der, ServerAddress(host, None if port in (0, 0xFFFF) else port))


def cut_der_untrusted(data: bytes) -> bytes:
    """The DER sequence at the start of a slot, without the fill after it."""
    if len(data) < 4 or data[0] != 0x30:
        raise WireError("no DER sequence")
    first = data[1]
    if first < 0x80:
        end = 2 + first
    elif first in (0x81, 0x82):
        count = first & 0x7F
        end = 2 + count + int.from_bytes(data[2 : 2 + count], "big")
    else:
        raise WireError("DER sequence of an impossible length")
    if end > len(data):
        raise WireError("DER sequence cut off")
    return data[:end]


def check_server_key_untrusted(transport: Transport, der: bytes) -> None:
    """RSA-2048 with exponent 65537, or P-256: in exactly the layout that firmware reads by offset."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise WireError("server key cannot be read") from None
    if transport is Transport.TCP:
        fits = isinstance(key, RSAPublicKey) and key.key_size == 2048 and key.public_numbers().e == 65537
        wanted = "RSA with 2,048 bits and exponent 65537"
    else:
        fits = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        wanted = "P-256, uncompressed"
    if not fits or len(der) != _DER_SIZES[transport]:
        raise WireError(f"server key must be {wanted}")


def check_device_key_der_untrusted(der: bytes) -> None:
    """A TCP device's private key: PKCS#1, RSA-1024, so that the modulus lies at offset 11. Fits its slot."""
    # 30 82 LL LL | 02 01 00 version | 02 81 81 00 modulus of 128 bytes with its sign byte
    if len(der) > DEVICE_KEY_SLOTS[Transport.TCP]:
        raise WireError("device key larger than its slot")
    if len(der) < 11 or der[:2] != b"\x30\x82" or der[4:11] != bytes.fromhex("02010002818100"):
        raise WireError("device key is not RSA-1024 in PKCS#1 form")


def parse_device_public_key_untrusted(pem: bytes, transport: Transport | None) -> bytes:
    """The SubjectPublicKeyInfo, DER, of a device's public key: RSA-1024 with exponent 65537 for TCP, P-256 for UDP.
    `transport` None: either."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise WireError("it is no public key in PEM form") from None
    if isinstance(key, RSAPublicKey):
        found, fits = Transport.TCP, key.key_size == 1024 and key.public_numbers().e == 65537
    else:
        found, fits = Transport.UDP, isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if not fits:
        raise WireError("devices have RSA keys with 1,024 bits and exponent 65537, or keys on the curve P-256")
    if transport not in (None, found):
        raise WireError(f"it is {'an RSA key' if found is Transport.TCP else 'a key on the curve P-256'}")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if len(der) != DEVICE_PUBLIC_KEY_SIZES[found]:
        raise WireError("it is of a form that no device has")
    return der
