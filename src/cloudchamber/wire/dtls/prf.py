"""The pseudorandom function of TLS 1.2 with SHA-256 (RFC 5246, section 5), and what is derived with it."""

import hmac
from typing import Final, NamedTuple

MASTER_SIZE: Final = 48
VERIFY_DATA_SIZE: Final = 12
_KEY_SIZE: Final = 16
_IV_SIZE: Final = 4


def prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    seed = label + seed
    out, chain = b"", seed
    while len(out) < size:
        chain = hmac.digest(secret, chain, "sha256")
        out += hmac.digest(secret, chain + seed, "sha256")
    return out[:size]


def master_secret(premaster: bytes, client_random: bytes, server_random: bytes) -> bytes:
    return prf(premaster, b"master secret", client_random + server_random, MASTER_SIZE)


def client_verify_data(master: bytes, transcript_hash: bytes) -> bytes:
    return prf(master, b"client finished", transcript_hash, VERIFY_DATA_SIZE)


def server_verify_data(master: bytes, transcript_hash: bytes) -> bytes:
    return prf(master, b"server finished", transcript_hash, VERIFY_DATA_SIZE)


class KeyBlock(NamedTuple):
    client_key: bytes
    server_key: bytes
    client_iv: bytes
    server_iv: bytes


def key_block(master: bytes, client_random: bytes, server_random: bytes) -> KeyBlock:
    """AEAD: no MAC keys; the IVs are the fixed 4 bytes of a nonce (RFC 6655)."""
    block = prf(master, b"key expansion", server_random + client_random, 2 * (_KEY_SIZE + _IV_SIZE))
    return KeyBlock(block[:16], block[16:32], block[32:36], block[36:40])
