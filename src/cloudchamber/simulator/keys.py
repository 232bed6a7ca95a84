"""Keys of virtual devices on disk, and the server's public key in the forms in which people have it.

Over TCP they are RSA keys (device 1024, server 2048 bits), over UDP P-256 keys.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.keys import (
    ServerAddress,
    check_device_key_der_untrusted,
    check_server_key_untrusted,
    parse_server_key_file_untrusted,
)
from cloudchamber.wire.transport import Transport

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class KeyUnusable(Exception):
    """A key file that no device could use; the message says which and what it should hold."""


@dataclass(frozen=True, slots=True)
class ServerKey:
    """`address` stands in the key file of a device; a PEM file has none."""

    key: PublicKey
    address: ServerAddress | None


def device_key(folder: Path, device_id: str, transport: Transport = Transport.TCP) -> PrivateKey:
    """The key of a device in `folder`, made when it is missing: some 10 ms over TCP, off the event loop please.

    Raises KeyUnusable.
    """
    path = folder / f"{device_id}.{transport.value}.der"
    try:
        return _load_device_key(path, transport)
    except FileNotFoundError:
        key: PrivateKey
        if transport is Transport.TCP:
            key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the only size that firmware takes
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        write_private(path, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return _load_device_key(path, transport)


def _load_device_key(path: Path, transport: Transport) -> PrivateKey:
    der = path.read_bytes()
    try:
        if transport is Transport.TCP:
            check_device_key_der_untrusted(der)
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except (WireError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_device_key(path, transport, str(error)) from error
    if transport is Transport.TCP:
        assert isinstance(key, rsa.RSAPrivateKey)
        return key
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _no_device_key(path, transport, "not a P-256 key")
    return key


def _no_device_key(path: Path, transport: Transport, why: str) -> KeyUnusable:
    name = transport.name
    return KeyUnusable(f"{path} holds no device key for {name} ({why}); delete it and a new one is made")


def write_private(path: Path, content: bytes) -> None:
    """In place of what was there, whole or not at all, and for nobody else to read."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def server_key(path: Path, transport: Transport = Transport.TCP) -> ServerKey:
    """A device's key file (DER, with or without the address), or PEM: the public key, or the server's own private one.

    Raises KeyUnusable.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyUnusable(f"cannot read the server key {path}: {error.strerror}") from error
    address = None
    try:
        if b"-----BEGIN" in data:
            der = _public_der(data)
            check_server_key_untrusted(transport, der)
        else:
            found = parse_server_key_file_untrusted(transport, data)
            der, address = found.public_key_der, found.address
    except (WireError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} holds no server key for {transport.name}: {error}") from error
    key = load_der_public_key(der)
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return ServerKey(key, address)


def _public_der(pem: bytes) -> bytes:
    public = load_pem_private_key(pem, None).public_key() if b"PRIVATE KEY" in pem else load_pem_public_key(pem)
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
