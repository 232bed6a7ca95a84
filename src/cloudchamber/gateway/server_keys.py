"""The server's own keys, in the data folder: the one thing besides the database that must not be lost.

Every device holds the matching public key. With another server key no device connects any more, until somebody writes
the new one onto each of them; so a key is made once, never replaced, and a file that looks wrong stops the start.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from cloudchamber import secretfiles
from cloudchamber.secretfiles import SecretFileUnusable

TCP_FILE = "server-tcp.pem"
UDP_FILE = "server-udp.pem"

# Devices read the modulus at a fixed offset of a 294-byte key and assume the exponent.
RSA_BITS = 2048
RSA_EXPONENT = 65537


@dataclass(frozen=True, slots=True, repr=False)
class ServerKeys:
    """`tcp`: RSA-2048 with e = 65537. `udp`: P-256."""

    tcp: rsa.RSAPrivateKey
    udp: ec.EllipticCurvePrivateKey


def load_or_make(folder: Path) -> ServerKeys:
    """The keys of the data folder `folder`, made when missing. About 0.1 s when they are made.

    Raises SecretFileUnusable.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tcp = _load(folder / TCP_FILE, secretfiles.load_or_make(folder / TCP_FILE, _make_rsa))
    udp = _load(folder / UDP_FILE, secretfiles.load_or_make(folder / UDP_FILE, _make_p256))
    if not (
        isinstance(tcp, rsa.RSAPrivateKey)
        and tcp.key_size == RSA_BITS
        and tcp.public_key().public_numbers().e == RSA_EXPONENT
    ):
        raise _unusable(folder / TCP_FILE, "is not an RSA key of 2,048 bits with exponent 65537")
    if not (isinstance(udp, ec.EllipticCurvePrivateKey) and isinstance(udp.curve, ec.SECP256R1)):
        raise _unusable(folder / UDP_FILE, "is not a P-256 key")
    return ServerKeys(tcp, udp)


def _make_rsa() -> bytes:
    return _pem(rsa.generate_private_key(RSA_EXPONENT, RSA_BITS))


def _make_p256() -> bytes:
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def _pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load(path: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, "is damaged") from error


def _unusable(path: Path, what: str) -> SecretFileUnusable:
    return SecretFileUnusable(
        f"{path} {what}. Restore it from a backup: the devices know this key. Only when no device is to connect any"
        " more with the key that it held, delete the file: a new key is then made, to be written onto each device."
    )
