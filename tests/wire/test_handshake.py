import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.tcp import handshake
from tests.wire.link import CREDENTIALS, DEVICE_ID, NONCE, device_key, device_public_der, seal_credentials, server_key


def test_both_halves_meet() -> None:
    sealed = handshake.seal_identity(server_key().public_key(), NONCE, DEVICE_ID, device_key().public_key())
    assert len(sealed) == handshake.CIPHERTEXT_SIZE
    plaintext = handshake.open_handshake(server_key(), sealed)
    assert handshake.read_identity(plaintext, NONCE) == (DEVICE_ID, device_public_der())
    reply = seal_credentials(server_key(), device_public_der(), CREDENTIALS)
    assert len(reply) == handshake.REPLY_SIZE
    opened = handshake.open_credentials_untrusted(device_key(), server_key().public_key(), reply)
    assert opened == CREDENTIALS


def test_trap_02_the_signature_is_type_1_padding_over_the_bare_hmac() -> None:
    reply = seal_credentials(server_key(), device_public_der(), CREDENTIALS)
    numbers = server_key().public_key().public_numbers()
    opened = pow(int.from_bytes(reply[128:], "big"), numbers.e, numbers.n).to_bytes(256, "big")
    digest = hmac.digest(CREDENTIALS, reply[:128], "sha1")
    assert opened == b"\x00\x01" + b"\xff" * 233 + b"\x00" + digest


def test_very_old_firmware_sends_no_key() -> None:
    sealed = handshake.seal_identity(server_key().public_key(), NONCE, DEVICE_ID, None)
    assert handshake.read_identity(handshake.open_handshake(server_key(), sealed), NONCE) == (DEVICE_ID, None)


GOOD = NONCE + DEVICE_ID + device_public_der()


@pytest.mark.parametrize(
    "plaintext",
    [
        None,
        b"",
        NONCE,
        NONCE + DEVICE_ID[:-1],
        bytes(40) + GOOD[40:],
        GOOD[:-1],
        GOOD + b"\0",
        GOOD[:52] + bytes(162),
        GOOD[:-1] + b"\x03",
    ],
)
def test_whatever_is_wrong_looks_the_same(plaintext: bytes | None) -> None:
    assert handshake.read_identity(plaintext, NONCE) is None


@given(st.binary(max_size=300))
def test_no_plaintext_breaks_it(data: bytes) -> None:
    handshake.read_identity(data, NONCE)
    handshake.read_identity(NONCE + data, NONCE)


@given(st.binary(max_size=256))
def test_no_ciphertext_breaks_it(data: bytes) -> None:
    assert handshake.read_identity(handshake.open_handshake(server_key(), data), NONCE) is None


def test_a_reply_of_another_server_is_refused() -> None:
    stranger = generate_private_key(65537, 2048)
    reply = seal_credentials(stranger, device_public_der(), CREDENTIALS)
    with pytest.raises(WireError, match="not signed"):
        handshake.open_credentials_untrusted(device_key(), server_key().public_key(), reply)


def test_a_reply_for_another_device_is_refused() -> None:
    stranger = generate_private_key(65537, 1024)
    reply = seal_credentials(server_key(), device_public_der(), CREDENTIALS)
    with pytest.raises(WireError):
        handshake.open_credentials_untrusted(stranger, server_key().public_key(), reply)


def test_a_signature_with_digest_info_is_refused() -> None:
    reply = seal_credentials(server_key(), device_public_der(), CREDENTIALS)
    digest = hmac.digest(CREDENTIALS, reply[:128], "sha1")
    wrong = server_key().sign(digest, PKCS1v15(), Prehashed(SHA1()))  # noqa: S303
    with pytest.raises(WireError, match="not signed"):
        handshake.open_credentials_untrusted(device_key(), server_key().public_key(), reply[:128] + wrong)


@pytest.mark.parametrize(
    "key", [generate_private_key(65537, 2048).public_key(), ec.generate_private_key(ec.SECP256R1()).public_key()]
)
def test_device_keys_of_another_kind_are_refused(key: object) -> None:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    with pytest.raises(WireError):
        seal_credentials(server_key(), der, CREDENTIALS)


@given(st.binary(max_size=200))
def test_only_wire_error_comes_out_of_device_keys_and_replies(data: bytes) -> None:
    for read in (
        lambda: handshake.load_device_key_untrusted(data),
        lambda: handshake.load_device_key_untrusted(device_public_der()[:29] + data),
        lambda: handshake.open_credentials_untrusted(device_key(), server_key().public_key(), data),
    ):
        with pytest.raises(WireError):
            read()
