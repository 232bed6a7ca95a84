"""The RSA handshake, byte by byte, and the RSA work of both ends as pure functions.

| # | from   | bytes | content                                                                                        |
|---|--------|-------|------------------------------------------------------------------------------------------------|
| 1 | server | 40    | random nonce                                                                                   |
| 2 | device | 256   | RSA-2048 with the server's key, PKCS#1 v1.5: nonce 40 ++ device id 12 ++ device public key 162 |
| 3 | server | 384   | 128: RSA-1024 with the device's key of 40 random bytes (AES key 16 ++ IV 16 ++ salt 8);        |
|   |        |       | 256: type-1 padding, with the server's private key, around the bare HMAC-SHA1 (key: those 40   |
|   |        |       | bytes, data: the 128) - **no DigestInfo**, which an ordinary "sign with SHA-1" would add       |

PKCS#1 v1.5 decryption is an oracle (Bleichenbacher) when a peer can tell "wrong padding" from "wrong content". Both
end in the same close here, at the same point, without an answer; the caller must not stop earlier for either.
"""

import hmac
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from msgspec import Struct

from cloudchamber.wire.errors import WireError

NONCE_SIZE: Final = 40
CIPHERTEXT_SIZE: Final = 256
CREDENTIALS_SIZE: Final = 40
SEALED_SIZE: Final = 128
REPLY_SIZE: Final = 384
DEVICE_ID_SIZE: Final = 12
KEY_AT: Final = NONCE_SIZE + DEVICE_ID_SIZE
PUBLIC_KEY_SIZE: Final = 162

_PUBLIC_KEY_PREFIX = bytes.fromhex("30819f300d06092a864886f70d010101050003818d0030818902818100")
_PUBLIC_KEY_SUFFIX = bytes.fromhex("0203010001")


class Credentials(Struct, frozen=True, gc=False):
    """The 40 secret bytes of a connection, taken apart."""

    key: bytes
    iv: bytes
    salt: bytes


def split_credentials(credentials: bytes) -> Credentials:
    assert len(credentials) == CREDENTIALS_SIZE
    return Credentials(credentials[:16], credentials[16:32], credentials[32:])


# --- server ----------------------------------------------------------------------------------------------------------


def open_handshake(server_key: RSAPrivateKey, ciphertext: bytes) -> bytes | None:
    """The plaintext of `DecryptHandshake`, or None. A third of a millisecond, so the shell sees to it that nobody
    waits for it meanwhile.

    With OpenSSL 3.2 and later wrong padding gives random bytes, not an error; either way the nonce does not fit.
    """
    try:
        return server_key.decrypt(ciphertext, PKCS1v15())
    except ValueError:
        return None


def read_identity(plaintext: bytes | None, nonce: bytes) -> tuple[bytes, bytes | None] | None:
    """Device id and public key (None when not sent), or None for whatever is wrong with it, alike for every fault."""
    if plaintext is None:
        plaintext = b""
    fits = hmac.compare_digest(plaintext[:NONCE_SIZE], nonce)
    if not fits or len(plaintext) < KEY_AT:
        return None
    key = plaintext[KEY_AT:]
    if not key:
        return plaintext[NONCE_SIZE:KEY_AT], None
    return (plaintext[NONCE_SIZE:KEY_AT], key) if _has_usual_form(key) else None


def _has_usual_form(der: bytes) -> bool:
    """Of devices' keys: RSA, 1,024 bits, 65537."""
    is_framed = der.startswith(_PUBLIC_KEY_PREFIX) and der.endswith(_PUBLIC_KEY_SUFFIX)
    return is_framed and len(der) == PUBLIC_KEY_SIZE


def seal_to_device(device_public_key_der: bytes, credentials: bytes) -> tuple[bytes, bytes]:
    """The first 128 bytes of the reply of 384, and what `sign_digest` makes the others of.

    `credentials` are 40 random bytes, new for each connection. Raises WireError when the device's key, which came from
    the device, is none of RSA-1024.
    """
    sealed = load_device_key_untrusted(device_public_key_der).encrypt(credentials, PKCS1v15())
    return sealed, _digest(credentials, sealed)


def sign_digest(server_key: RSAPrivateKey, digest: bytes) -> bytes:
    """A third of a millisecond, as `open_handshake`."""
    return server_key.sign(digest, PKCS1v15(), NoDigestInfo())


def load_device_key_untrusted(der: bytes) -> RSAPublicKey:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise WireError("device key cannot be read") from None
    # The form tells the kind as well; to ask for an abstract class is a search each time.
    if not (_has_usual_form(der) or isinstance(key, RSAPublicKey)):
        raise WireError("device key is not RSA-1024")
    found: RSAPublicKey = key  # type: ignore[assignment]  # a `cast` is a call
    if found.key_size != SEALED_SIZE * 8:
        raise WireError("device key is not RSA-1024")
    return found


def _digest(credentials: bytes, sealed: bytes) -> bytes:
    return hmac.digest(credentials, sealed, "sha1")


# --- device ----------------------------------------------------------------------------------------------------------


def seal_identity(server_key: RSAPublicKey, nonce: bytes, device_id: bytes, device_key: RSAPublicKey | None) -> bytes:
    """The 256 bytes of step 2. The padding's random bytes are the library's own."""
    der = b"" if device_key is None else device_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return server_key.encrypt(nonce + device_id + der, PKCS1v15())


def open_credentials_untrusted(device_key: RSAPrivateKey, server_key: RSAPublicKey, reply: bytes) -> bytes:
    """The 40 bytes of step 3, when the server that holds `server_key` made them; else WireError."""
    sealed, signature = reply[:SEALED_SIZE], reply[SEALED_SIZE:]
    try:
        credentials = device_key.decrypt(sealed, PKCS1v15())
    except ValueError:
        raise WireError("credentials cannot be decrypted") from None
    if len(credentials) != CREDENTIALS_SIZE:
        raise WireError("credentials of a wrong size")
    try:
        signed = server_key.recover_data_from_signature(signature, PKCS1v15(), NoDigestInfo())
    except (InvalidSignature, ValueError):
        signed = b""
    if not hmac.compare_digest(signed, _digest(credentials, sealed)):
        raise WireError("credentials are not signed by the server")
    return credentials
