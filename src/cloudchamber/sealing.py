"""Encryption at rest for the few secrets that must be read back: the vendor's token list shows whole tokens, and a
session over datagrams goes on after a restart.

AES-256-GCM under a key that lies beside the database, never in it: a stolen database alone gives nothing away.
"""

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12


def key_for(purpose: str, key: bytes) -> bytes:
    """A key that serves one purpose alone, of the one that lies beside the database."""
    assert len(key) == KEY_BYTES
    return hmac.digest(key, b"cloudchamber: " + purpose.encode(), "sha256")


class Sealer:
    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """`context` binds the secret to its row: a sealed value moved to another row does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, context)

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """None when the key has changed since, or the value was tampered with."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            return None
