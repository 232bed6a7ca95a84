"""The server's keys: made once, kept, and refused when they look wrong."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from cloudchamber.gateway.server_keys import TCP_FILE, UDP_FILE, load_or_make
from cloudchamber.secretfiles import SecretFileUnusable
from cloudchamber.wire.keys import check_server_key_untrusted
from cloudchamber.wire.transport import Transport


def test_made_once_and_readable_by_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    made = load_or_make(folder)
    assert isinstance(made.udp.curve, SECP256R1)
    for key, transport in ((made.tcp, Transport.TCP), (made.udp, Transport.UDP)):
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        check_server_key_untrusted(transport, der)
    assert sorted(path.name for path in folder.iterdir()) == [TCP_FILE, UDP_FILE]
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600, 0o600]
    again = load_or_make(folder)
    assert again.tcp.private_numbers() == made.tcp.private_numbers()
    assert again.udp.private_numbers() == made.udp.private_numbers()
    assert "object at" in repr(made)  # nothing of the keys


def test_two_that_start_at_once_get_the_same_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(load_or_make, [tmp_path] * 4))
    assert len({keys.tcp.private_numbers().d for keys in found}) == 1
    assert len({keys.udp.private_numbers().private_value for keys in found}) == 1


def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    (tmp_path / TCP_FILE).chmod(0o640)
    with pytest.raises(SecretFileUnusable, match="chmod 600"):
        load_or_make(tmp_path)


@pytest.mark.parametrize("file", [TCP_FILE, UDP_FILE])
def test_damage_stops_the_start_and_replaces_nothing(tmp_path: Path, file: str) -> None:
    load_or_make(tmp_path)
    path = tmp_path / file
    for damaged in (b"", path.read_bytes()[:-200], path.read_bytes().replace(b"M", b"N", 9)):
        path.write_bytes(damaged)
        with pytest.raises(SecretFileUnusable, match="Restore it from a backup"):
            load_or_make(tmp_path)
        assert path.read_bytes() == damaged


def test_keys_that_no_device_could_use(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    small = generate_private_key(65537, 1024)
    locked = generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    unusable = [
        small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        (tmp_path / UDP_FILE).read_bytes(),
        locked,
    ]
    for pem in unusable:
        (tmp_path / TCP_FILE).write_bytes(pem)
        with pytest.raises(SecretFileUnusable, match=TCP_FILE):
            load_or_make(tmp_path)
