"""P-256 keys as they stand in messages: raw public keys (RFC 7250), uncompressed points, ephemeral keys.

SubjectPublicKeyInfo, 91 bytes:  30 59 30 13 ... 03 42 00 (26 bytes, the same for every P-256 key) ++ point
point, 65 bytes:                 04 ++ X (32) ++ Y (32)
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.wire.errors import WireError

Entropy = Callable[[int], bytes]
"""Gives that many bytes nobody can guess: `os.urandom` at the edge, a fixed sequence in tests."""

POINT_SIZE: Final = 65
SPKI_SIZE: Final = 91
SPKI_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")

_CURVE: Final = SECP256R1()
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA: Final = ECDSA(SHA256())
_ECDSA_OF_HASH: Final = ECDSA(Prehashed(SHA256()))
_ECDH: Final = ECDH()


def ephemeral_key(entropy: Entropy) -> EllipticCurvePrivateKey:
    """40 bytes: 64 bits more than the order, so that the remainder is not biased (FIPS 186-5, A.2.1)."""
    return derive_private_key(int.from_bytes(entropy(40), "big") % (_ORDER - 1) + 1, _CURVE)


def point_of(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def spki_of(key: EllipticCurvePublicKey) -> bytes:
    return SPKI_PREFIX + point_of(key)


def read_point_untrusted(point: bytes) -> EllipticCurvePublicKey:
    """Uncompressed points only; one that is not on the curve is refused here."""
    if len(point) != POINT_SIZE or point[0] != 4:
        raise WireError("not an uncompressed P-256 point")
    try:
        return EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError:
        raise WireError("point not on the curve") from None


def read_spki_untrusted(der: bytes) -> EllipticCurvePublicKey:
    if len(der) != SPKI_SIZE or not der.startswith(SPKI_PREFIX):
        raise WireError("not a raw public key on P-256")
    return read_point_untrusted(der[len(SPKI_PREFIX) :])


def shared_secret(own: EllipticCurvePrivateKey, peer: EllipticCurvePublicKey) -> bytes:
    return own.exchange(_ECDH, peer)


def sign(key: EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, _ECDSA)


def sign_hash(key: EllipticCurvePrivateKey, digest: bytes) -> bytes:
    return key.sign(digest, _ECDSA_OF_HASH)


def verify_untrusted(key: EllipticCurvePublicKey, signature: bytes, data: bytes) -> None:
    try:
        key.verify(signature, data, _ECDSA)
    except InvalidSignature:
        raise WireError("signature does not fit") from None


def verify_hash_untrusted(key: EllipticCurvePublicKey, signature: bytes, digest: bytes) -> None:
    try:
        key.verify(signature, digest, _ECDSA_OF_HASH)
    except InvalidSignature:
        raise WireError("signature does not fit") from None
