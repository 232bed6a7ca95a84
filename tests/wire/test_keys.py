import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire import keys
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.keys import ServerAddress, ServerKeyFile
from cloudchamber.wire.transport import Transport
from tests.wire.link import device_key, server_key

RSA_DER = server_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
EC_DER = EC_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_tcp_slot() -> None:
    slot = keys.build_server_key_file(Transport.TCP, RSA_DER, ServerAddress("192.168.1.7", 5683))
    assert len(slot) == 512
    assert slot[:294] == RSA_DER
    assert set(slot[294:384]) == {0xFF}
    assert slot[384:390].hex() == "0004c0a80107"
    assert slot[384 + 66 : 384 + 68].hex() == "1633"
    assert keys.parse_server_key_file_untrusted(Transport.TCP, slot) == ServerKeyFile(
        RSA_DER, ServerAddress("192.168.1.7", 5683)
    )


def test_udp_slot() -> None:
    slot = keys.build_server_key_file(Transport.UDP, EC_DER, ServerAddress("$id.udp.example.org"))
    assert len(slot) == 320
    assert slot[:91] == EC_DER
    assert slot[192:194] == b"\x01\x13"
    assert slot[194:214] == b"$id.udp.example.org\0"
    assert keys.parse_server_key_file_untrusted(Transport.UDP, slot) == ServerKeyFile(
        EC_DER, ServerAddress("$id.udp.example.org", 5684)
    )


@pytest.mark.parametrize("port", ["0000", "ffff"])
def test_port_0_and_ffff_mean_the_default(port: str) -> None:
    slot = bytearray(keys.build_server_key_file(Transport.TCP, RSA_DER, ServerAddress("10.0.0.1", 1)))
    slot[450:452] = bytes.fromhex(port)
    assert keys.parse_server_key_file_untrusted(Transport.TCP, bytes(slot)).address == ServerAddress("10.0.0.1", None)


def test_a_bare_der_has_no_address() -> None:
    assert keys.parse_server_key_file_untrusted(Transport.TCP, RSA_DER).address is None
    assert keys.parse_server_key_file_untrusted(Transport.TCP, RSA_DER.ljust(512, b"\xff")).address is None


@pytest.mark.parametrize("host", ["", "x" * 64, "::1", "ex ample", "a\n", "höst", "a:5683", "http://a", "$ID.example"])
def test_hosts_no_device_can_hold(host: str) -> None:
    with pytest.raises(ValueError, match="host names"):
        keys.build_server_key_file(Transport.TCP, RSA_DER, ServerAddress(host))


def test_keys_that_cannot_work() -> None:
    small = rsa.generate_private_key(65537, 1024).public_key()
    odd = rsa.generate_private_key(3, 2048).public_key()
    for key in (small, odd, EC_KEY.public_key()):
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(ValueError, match="2,048"):
            keys.build_server_key_file(Transport.TCP, der, ServerAddress("10.0.0.1"))
    with pytest.raises(ValueError, match="P-256"):
        keys.build_server_key_file(Transport.UDP, RSA_DER, ServerAddress("10.0.0.1"))


def test_device_private_keys() -> None:
    form = (Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    keys.check_device_key_der_untrusted(device_key().private_bytes(*form))
    for wrong in (server_key().private_bytes(*form), EC_KEY.private_bytes(*form), b""):
        with pytest.raises(WireError):
            keys.check_device_key_der_untrusted(wrong)


@given(st.binary(max_size=520), st.integers(0, 400))
def test_only_wire_error_comes_out(data: bytes, at: int) -> None:
    slot = bytearray(keys.build_server_key_file(Transport.TCP, RSA_DER, ServerAddress("10.0.0.1")))
    slot[at : at + len(data)] = data
    for given_bytes in (data, bytes(slot)):
        for transport in Transport:
            with contextlib.suppress(WireError):
                keys.parse_server_key_file_untrusted(transport, given_bytes)
