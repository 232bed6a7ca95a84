"""The handshakes of the firmware's unit tests: its keys, its ciphertexts, its server's signatures."""

import hmac
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.keys import check_device_key_der_untrusted, check_server_key_untrusted, cut_der_untrusted
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from cloudchamber.wire.tcp.device import DeviceConnection
from cloudchamber.wire.tcp.handshake import open_credentials_untrusted
from cloudchamber.wire.transport import Transport
from tests.captures import load

FIXTURES = load("handshakes.json")


def keys_of(fixture: dict[str, str]) -> tuple[RSAPrivateKey, RSAPublicKey]:
    private = load_der_private_key(cut_der_untrusted(bytes.fromhex(fixture["device_private_key"])), None)
    public = load_der_public_key(bytes.fromhex(fixture["server_public_key"]))
    return cast("RSAPrivateKey", private), cast("RSAPublicKey", public)


@pytest.fixture(params=FIXTURES, ids=lambda fixture: fixture["name"])
def fixture(request: pytest.FixtureRequest) -> dict[str, str]:
    return cast("dict[str, str]", request.param)


def reply_of(fixture: dict[str, str]) -> bytes:
    return bytes.fromhex(fixture["sealed"] + fixture["signature"])


def test_the_device_half_opens_the_credentials(fixture: dict[str, str]) -> None:
    credentials = open_credentials_untrusted(*keys_of(fixture), reply_of(fixture))
    assert credentials.hex() == fixture["credentials"]
    assert hmac.digest(credentials, bytes.fromhex(fixture["sealed"]), "sha1").hex() == fixture["hmac"]


def test_trap_02_the_signature_is_type_1_padding_around_the_bare_hmac(fixture: dict[str, str]) -> None:
    numbers = keys_of(fixture)[1].public_numbers()
    opened = pow(int(fixture["signature"], 16), numbers.e, numbers.n).to_bytes(256, "big")
    assert opened == b"\x00\x01" + b"\xff" * (256 - 3 - 20) + b"\x00" + bytes.fromhex(fixture["hmac"])


@pytest.mark.parametrize("at", [0, 127, 128, 383])
def test_a_changed_byte_anywhere_is_refused(fixture: dict[str, str], at: int) -> None:
    reply = bytearray(reply_of(fixture))
    reply[at] ^= 0x01
    with pytest.raises(WireError):
        open_credentials_untrusted(*keys_of(fixture), bytes(reply))


def test_the_keys_have_the_layout_that_firmware_reads_by_offset(fixture: dict[str, str]) -> None:
    check_device_key_der_untrusted(cut_der_untrusted(bytes.fromhex(fixture["device_private_key"])))
    check_server_key_untrusted(Transport.TCP, bytes.fromhex(fixture["server_public_key"]))


def test_a_whole_device_end_says_the_hello_of_the_fixture() -> None:
    """Nonce and reply in, encrypted Hello of the Core out: handshake, salt counter and channel in one."""
    fixture = next(fixture for fixture in FIXTURES if fixture["name"] == "ConstructorFixture")
    device_key, server_key = keys_of(fixture)
    core = DeviceSetup(
        bytes.fromhex(fixture["device_id"]), PROFILES["core"], platform_id=0, product_id=0xFFFF, product_version=0xFFFF
    )
    device = DeviceConnection(setup=core, device_key=device_key, server_key=server_key, now=0.0)
    device.receive(bytes.fromhex(fixture["nonce"]), 0.0)
    assert len(device.data_to_send(0.0)) == 256
    device.receive(reply_of(fixture), 0.0)
    assert device.data_to_send(0.0).hex() == "0010de896027ba111a95be396f4dfc309b6b"
