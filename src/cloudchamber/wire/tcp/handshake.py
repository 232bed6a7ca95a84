"""Handshake (signatures first; bodies follow)."""

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


def open_handshake(server_key: RSAPrivateKey, ciphertext: bytes) -> bytes | None:
    """For the shell's pool: the plaintext of `DecryptHandshake`, or None."""
    raise NotImplementedError


def seal_credentials(server_key: RSAPrivateKey, device_public_key_der: bytes, credentials: bytes) -> bytes:
    """For the shell's pool: the 384 bytes for `admit`. `credentials`: 40 random bytes. Raises WireError on a bad key."""
    raise NotImplementedError
