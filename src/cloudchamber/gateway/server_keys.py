"""The server's own keys, in the data folder: the one thing besides the database that must not be lost.

Every device holds the matching public key. With another server key no device connects any more, until somebody writes
the new one onto each of them; so a key is made once, never replaced, and a file that looks wrong stops the start.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from cloudchamber.gateway.errors import ServerKeyUnusable

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

    Raises ServerKeyUnusable.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tcp = _load_or_make(folder / TCP_FILE, _make_rsa)
    udp = _load_or_make(folder / UDP_FILE, _make_p256)
    if not (
        isinstance(tcp, rsa.RSAPrivateKey)
        and tcp.key_size == RSA_BITS
        and tcp.public_key().public_numbers().e == RSA_EXPONENT
    ):
        raise _unusable(folder / TCP_FILE, "is not an RSA key of 2,048 bits with exponent 65537")
    if not (isinstance(udp, ec.EllipticCurvePrivateKey) and isinstance(udp.curve, ec.SECP256R1)):
        raise _unusable(folder / UDP_FILE, "is not a P-256 key")
    return ServerKeys(tcp, udp)


def _make_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(RSA_EXPONENT, RSA_BITS)


def _make_p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _load_or_make(
    path: Path, make: Callable[[], rsa.RSAPrivateKey] | Callable[[], ec.EllipticCurvePrivateKey]
) -> PrivateKeyTypes:
    if not path.exists():
        pem = make().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with contextlib.suppress(FileExistsError):  # another process was faster: its key is the key
            _write_once(path, pem)
    return _load(path)


def _load(path: Path) -> PrivateKeyTypes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ServerKeyUnusable(
                f"{path} can be read by other users of this machine (mode {mode:04o}). If nobody else has read it, run:"
                f" chmod 600 {path}"
            )
        pem = path.read_bytes()
    except OSError as error:
        raise ServerKeyUnusable(
            f"{path} cannot be read ({error.strerror}). Run the cloud as the user who owns the data folder."
        ) from error
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, "is damaged") from error


def _unusable(path: Path, what: str) -> ServerKeyUnusable:
    return ServerKeyUnusable(
        f"{path} {what}. Restore it from a backup: the devices know this key. Only when no device is to connect any"
        " more with the key that it held, delete the file: a new key is then made, to be written onto each device."
    )


def _write_once(path: Path, content: bytes) -> None:
    """The whole file or none, readable by nobody else from its first byte. Raises FileExistsError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link refuses to take a name that exists, where a rename would silently replace another process's key.
        os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
