"""Keys of virtual devices, and the forms in which a server's key comes."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloudchamber.simulator.keys import KeyUnusable, device_key, server_key
from cloudchamber.simulator.target import NoTarget, find_target, parse_server
from cloudchamber.wire.keys import ServerAddress, build_server_key_file, check_device_key_der_untrusted
from cloudchamber.wire.transport import Transport

DEVICE = "0123456789abcdef01234567"


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def public_der(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_device_key_is_made_once_in_the_form_that_firmware_reads(tmp_path: Path) -> None:
    made = device_key(tmp_path, DEVICE)
    path = tmp_path / f"{DEVICE}.tcp.der"
    assert [path] == list(tmp_path.iterdir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    check_device_key_der_untrusted(path.read_bytes())
    assert path.read_bytes()[11:139] == made.public_key().public_numbers().n.to_bytes(128, "big")
    assert device_key(tmp_path, DEVICE).private_numbers() == made.private_numbers()
    assert device_key(tmp_path, "f" * 24).private_numbers() != made.private_numbers()


@pytest.mark.parametrize("content", [b"", b"no key", bytes(700)])
def test_a_damaged_device_key_is_named_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"{DEVICE}.tcp.der"
    path.write_bytes(content)
    with pytest.raises(KeyUnusable, match=path.name):
        device_key(tmp_path, DEVICE)
    assert path.read_bytes() == content


def test_server_keys_of_every_form(tmp_path: Path, key: RSAPrivateKey) -> None:
    path = tmp_path / "key"
    address = ServerAddress("192.0.2.1", 5683)
    forms = {
        build_server_key_file(Transport.TCP, public_der(key), address): address,
        public_der(key): None,
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo): None,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()): None,
    }
    for data, wanted in forms.items():
        path.write_bytes(data)
        found = server_key(path)
        assert found.key.public_numbers() == key.public_key().public_numbers()
        assert found.address == wanted


def test_what_is_no_server_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(KeyUnusable, match="No such file"):
        server_key(path)
    small = generate_private_key(65537, 1024)
    for data in (b"", b"x", public_der(small), b"-----BEGIN PUBLIC KEY-----\n", bytes(512)):
        path.write_bytes(data)
        with pytest.raises(KeyUnusable, match="no server key"):
            server_key(path)


def test_where_to_connect(tmp_path: Path, key: RSAPrivateKey) -> None:
    with pytest.raises(NoTarget, match="no cloud's data folder"):
        find_target(data=tmp_path, server=None, server_key_file=None)
    (tmp_path / "server-tcp.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(NoTarget, match="cloudchamber serve"):
        find_target(data=tmp_path, server=None, server_key_file=None)
    listeners = tmp_path / "listeners.json"
    for text, wanted in {
        '{"http": "http://127.0.0.1:1", "tcp": "0.0.0.0:4711"}': ("127.0.0.1", 4711),
        '{"tcp": "[::]:4712", "udp": "x"}': ("::1", 4712),
        '{"tcp": "cloud.example:4713"}': ("cloud.example", 4713),
    }.items():
        listeners.write_text(text)
        target = find_target(data=tmp_path, server=None, server_key_file=None)
        assert (target.host, target.port) == wanted
    for text in ("", "[]", "{}", '{"tcp": 5}', '{"tcp": "host:port"}'):
        listeners.write_text(text)
        with pytest.raises(NoTarget):
            find_target(data=tmp_path, server=None, server_key_file=None)
    target = find_target(data=tmp_path, server="192.0.2.7:99", server_key_file=None)
    assert (target.host, target.port) == ("192.0.2.7", 99)


def test_a_key_file_with_its_address_is_enough(tmp_path: Path, key: RSAPrivateKey) -> None:
    path = tmp_path / "server.der"
    path.write_bytes(build_server_key_file(Transport.TCP, public_der(key), ServerAddress("192.0.2.1", 4000)))
    target = find_target(data=tmp_path / "none", server=None, server_key_file=path)
    assert (target.host, target.port) == ("192.0.2.1", 4000)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cloud.example:1234", ("cloud.example", 1234)),
        ("cloud.example", ("cloud.example", 5683)),
        ("[::1]:7", ("::1", 7)),
        ("[::1]", ("::1", 5683)),
    ],
)
def test_server_addresses(text: str, wanted: tuple[str, int]) -> None:
    assert parse_server(text) == wanted


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:x", "host:0", "host:65536"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(NoTarget, match="HOST:PORT"):
        parse_server(text)
