"""Listening mode: commands in, answers out. Pure but for the device's private key, which decrypts for real.

A password that does not decrypt is refused; one that decrypts to the wrong text is taken, as on a real device, and
found out when the network refuses it.
"""

import base64
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from cloudchamber.simulator.softap.air import Key, Network, scan
from cloudchamber.wire.softap import (
    CLAIM_CODE_KEY,
    VERSION,
    Credentials,
    Request,
    Security,
    credentials_untrusted,
    encode_json,
    encode_public_key,
    encode_scan,
    parse_json_untrusted,
    setting_untrusted,
)

_OK: Final = encode_json({"r": 0})
_REFUSED: Final = encode_json({"r": -1})
MAX_STORED_NETWORKS: Final = 5


class UnknownCommand(Exception):
    pass


class ListeningMode:
    """One stay in listening mode. When `is_done`, the app has told the device to connect."""

    def __init__(
        self, device_id: str, key: RSAPrivateKey, networks: Sequence[Network], *, is_claimed: bool = False
    ) -> None:
        self._device_id = device_id
        self._key = key
        self._networks = networks
        self._is_claimed = is_claimed
        self.claim_code: str | None = None
        self.stored: list[Key] = []
        self.is_done = False

    def answer(self, request: Request) -> bytes | None:
        """The JSON of the reply, None for a command that has none. Raises UnknownCommand, WireError."""
        match request.command:
            case "version":
                return encode_json({"v": VERSION})
            case "device-id":
                # Real devices answer in upper case.
                return encode_json({"id": self._device_id.upper(), "c": "1" if self._is_claimed else "0"})
            case "scan-ap":
                return encode_scan(scan(self._networks))
            case "public-key":
                return encode_public_key(
                    self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                )
            case "set":
                return self._set(request.body)
            case "configure-ap":
                return self._configure(request.body)
            case "connect-ap":
                parse_json_untrusted(request.body)
                self.is_done = True
                return _OK
            case "ant-internal" | "ant-external":
                return None
            case _:
                raise UnknownCommand(request.command)

    def _set(self, body: bytes) -> bytes:
        key, value = setting_untrusted(body)
        if key != CLAIM_CODE_KEY or not value:
            return _REFUSED
        self.claim_code = value
        return _OK

    def _configure(self, body: bytes) -> bytes:
        given = credentials_untrusted(body)
        try:
            key = self._decrypted(given)
        except ValueError:
            return _REFUSED
        self.stored = [key, *(known for known in self.stored if known.ssid != key.ssid)][:MAX_STORED_NETWORKS]
        return _OK

    def _decrypted(self, given: Credentials) -> Key:
        """Raises ValueError for what does not decrypt."""
        password = "" if given.password is None else decrypt(self._key, given.password).decode()
        return Key(
            given.ssid,
            given.security,
            password,
            given.inner_identity or "",
            has_certificate=bool(given.security & Security.ENTERPRISE) and self._has_certificate(given),
        )

    def _has_certificate(self, given: Credentials) -> bool:
        if given.encrypted_key is None or given.key_envelope is None or given.client_certificate is None:
            return False
        secret = decrypt(self._key, given.key_envelope)
        if len(secret) != 32:
            raise ValueError("an AES key and an IV have 32 bytes")
        decryptor = Cipher(AES(secret[:16]), CBC(secret[16:])).decryptor()
        padded = decryptor.update(given.encrypted_key) + decryptor.finalize()
        unpadder = PKCS7(128).unpadder()
        pem = unpadder.update(padded) + unpadder.finalize()
        try:
            private = load_pem_private_key(pem, None)
            certificate = load_pem_x509_certificate(given.client_certificate.encode())
        except (UnsupportedAlgorithm, TypeError) as error:
            raise ValueError("not a key or certificate that this device can use") from error
        return private.public_key() == certificate.public_key()


def decrypt(key: RSAPrivateKey, ciphertext: bytes) -> bytes:
    """RSA PKCS#1 v1.5. Raises ValueError where the padding is wrong.

    OpenSSL gives random bytes for wrong padding, so that a server is no oracle; a device has to say so, and a virtual
    one keeps no secret, so the padding is looked at here.
    """
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    if len(ciphertext) != size:
        raise ValueError("the ciphertext is not as long as the key")
    padded = pow(int.from_bytes(ciphertext, "big"), numbers.d, modulus).to_bytes(size, "big")
    end = padded.find(b"\0", 2)
    if padded[:2] != b"\0\x02" or end < 10:
        raise ValueError("the padding is wrong")
    return padded[end + 1 :]


def ssid_suffix(device_id: str) -> str:
    """What stands behind `Photon-` in the access point's name: four characters, other ones for the next id."""
    return base64.b32encode(bytes.fromhex(device_id)[-5:])[-4:].decode()
