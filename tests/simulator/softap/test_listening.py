"""What a device in listening mode answers, and what a network makes of the credentials: pure."""

import datetime as dt
import json
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key

from cloudchamber.simulator.softap.air import Key, Network, NoNetwork, lets_in
from cloudchamber.simulator.softap.listening import ListeningMode, UnknownCommand
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.softap import Request, Security, encode_json, public_key_untrusted

ID = "0123456789abcdef01234567"
NETWORKS = [Network("Chamber", "cloud-in-a-box"), Network("Guests"), Network("Campus", "pw-of-kim", "kim")]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 1024)


@pytest.fixture
def mode(key: rsa.RSAPrivateKey) -> ListeningMode:
    return ListeningMode(ID, key, NETWORKS)


def ask(mode: ListeningMode, command: str, **body: object) -> dict[str, object]:
    answer = mode.answer(Request(command, encode_json(body) if body else b""))
    assert answer is not None
    assert b" " not in answer.replace(b"Photon ", b"")
    return json.loads(answer)


def seal(key: rsa.RSAPrivateKey, text: bytes) -> str:
    return key.public_key().encrypt(text, PKCS1v15()).hex()


def test_every_command(mode: ListeningMode, key: rsa.RSAPrivateKey) -> None:
    assert ask(mode, "version") == {"v": 2}
    assert ask(mode, "device-id") == {"id": ID.upper(), "c": "0"}
    scans = ask(mode, "scan-ap")["scans"]
    assert [(scan["ssid"], scan["sec"]) for scan in scans] == [
        ("Chamber", 0x00400004),
        ("Guests", 0),
        ("Campus", 0x02400004),
    ]
    found = load_der_public_key(public_key_untrusted(mode.answer(Request("public-key"))))
    assert found == key.public_key()
    assert ask(mode, "set", k="cc", v="c" * 64) == {"r": 0}
    assert mode.claim_code == "c" * 63
    assert ask(mode, "set", k="xx", v="1") == {"r": -1}
    assert ask(mode, "set", k="cc", v="") == {"r": -1}
    assert mode.claim_code == "c" * 63
    assert mode.answer(Request("ant-internal")) is None
    assert not mode.is_done
    assert ask(mode, "connect-ap", idx=0) == {"r": 0}
    assert mode.is_done
    for unknown in ("", "hello", "SET", "../etc"):
        with pytest.raises(UnknownCommand):
            mode.answer(Request(unknown))
    for bad in (b"{", b'{"k":1}', b'{"k":"ccc","v":"x"}', b'{"z":1}'):
        with pytest.raises(WireError):
            mode.answer(Request("set", bad))


def test_a_claimed_device_says_so(key: rsa.RSAPrivateKey) -> None:
    assert ask(ListeningMode(ID, key, NETWORKS, is_claimed=True), "device-id")["c"] == "1"


def test_passwords_are_decrypted(mode: ListeningMode, key: rsa.RSAPrivateKey) -> None:
    sealed = seal(key, "pässword".encode())
    assert ask(mode, "configure-ap", idx=0, ssid="X", sec=0x00400006, ch=6, pwd=sealed) == {"r": 0}
    assert mode.stored == [Key("X", Security.WPA2_MIXED, "pässword")]
    other = rsa.generate_private_key(65_537, 1024)
    for undecryptable in (seal(other, b"x"), "00" * 128, "ff" * 128, "00", sealed[:-2], seal(key, b"\xff\xfe")):
        assert ask(mode, "configure-ap", ssid="Y", sec=0x00400006, pwd=undecryptable) == {"r": -1}
    assert [known.ssid for known in mode.stored] == ["X"]
    # The same network again takes the old one's place.
    assert ask(mode, "configure-ap", ssid="X", sec=0) == {"r": 0}
    assert mode.stored == [Key("X", Security.OPEN)]


def certificate(private: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kim")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def test_enterprise_keys_are_decrypted(mode: ListeningMode, key: rsa.RSAPrivateKey) -> None:
    private, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    secret = os.urandom(32)
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES(secret[:16]), CBC(secret[16:])).encryptor()
    sealed = (encryptor.update(padder.update(pem) + padder.finalize()) + encryptor.finalize()).hex()
    wanted = {"ssid": "Campus", "sec": 0x02400004, "eap": 13, "ek": seal(key, secret), "key": sealed}
    assert ask(mode, "configure-ap", **wanted, crt=certificate(private)) == {"r": 0}
    assert lets_in(NETWORKS, mode.stored[0])
    assert ask(mode, "configure-ap", **wanted, crt=certificate(other)) == {"r": 0}
    assert not lets_in(NETWORKS, mode.stored[0])
    for change in ({"ek": seal(key, b"short")}, {"key": sealed[:-32] + "00" * 16}, {"crt": "no certificate"}):
        assert ask(mode, "configure-ap", **(wanted | {"crt": certificate(private)} | change)) == {"r": -1}
    assert ask(mode, "configure-ap", ssid="Campus", sec=0x02400004, eap=25, ii="kim", pwd=seal(key, b"pw-of-kim")) == {
        "r": 0
    }
    assert lets_in(NETWORKS, mode.stored[0])


@pytest.mark.parametrize(
    ("key", "is_in"),
    [
        (Key("Chamber", Security.WPA2_AES, "cloud-in-a-box"), True),
        (Key("Chamber", Security.WPA2_MIXED, "cloud-in-a-box"), True),
        (Key("Chamber", Security.WPA2_AES, "wrong"), False),
        (Key("Chamber", Security.OPEN), False),
        (Key("Chamber", Security.OPEN, "cloud-in-a-box"), False),
        (Key("Guests", Security.OPEN), True),
        (Key("Guests", Security.WPA2_AES, "x"), False),
        (Key("Elsewhere", Security.OPEN), False),
        (Key("Campus", Security.WPA2_ENTERPRISE_AES, "pw-of-kim", "kim"), True),
        (Key("Campus", Security.WPA2_ENTERPRISE_AES, "pw-of-kim", "bob"), False),
        (Key("Campus", Security.WPA2_AES, "pw-of-kim", "kim"), False),
        (Key("Chamber", Security.WPA2_ENTERPRISE_AES, "cloud-in-a-box"), False),
    ],
)
def test_whom_a_network_lets_in(key: Key, is_in: bool) -> None:
    assert lets_in(NETWORKS, key) is is_in


def test_how_networks_are_written() -> None:
    assert Network.parse("Guests") == Network("Guests")
    assert Network.parse("A B=with=equals") == Network("A B", "with=equals")
    assert Network.parse("enterprise:E=kim@uni@pw") == Network("E", "pw", "kim@uni")
    for bad in ("", "=x", "A=short", "x" * 33, "enterprise:E", "enterprise:E=nopassword"):
        with pytest.raises(NoNetwork):
            Network.parse(bad)
