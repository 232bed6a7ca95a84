"""Test vectors of RFC 4226 appendix D and RFC 6238 appendix B, and what a code may be used for."""

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.clock import Millis
from cloudchamber.identity.totp import DIGITS, as_text, hotp, key_uri, matching_step, step_at

SECRET = b"12345678901234567890"
NOW = Millis(1_600_000_000_000)


@pytest.mark.parametrize(
    ("counter", "code"),
    list(
        enumerate(["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"])
    ),
)
def test_rfc_4226(counter: int, code: str) -> None:
    assert hotp(SECRET, counter) == code


@pytest.mark.parametrize(
    ("seconds", "sha1", "sha256", "sha512"),
    [
        (59, "94287082", "46119246", "90693936"),
        (1111111109, "07081804", "68084774", "25091201"),
        (1111111111, "14050471", "67062674", "99943326"),
        (1234567890, "89005924", "91819424", "93441116"),
        (2000000000, "69279037", "90698825", "38618901"),
        (20000000000, "65353130", "77737706", "47863826"),
    ],
)
def test_rfc_6238(seconds: int, sha1: str, sha256: str, sha512: str) -> None:
    step = step_at(Millis(seconds * 1000))
    long = SECRET * 4
    assert hotp(SECRET, step, digits=8) == sha1
    assert hotp(long[:32], step, digits=8, algorithm="sha256") == sha256
    assert hotp(long[:64], step, digits=8, algorithm="sha512") == sha512


def test_a_code_counts_for_a_step_before_and_after_its_own() -> None:
    now = step_at(NOW)
    for distance in range(-3, 4):
        found = matching_step(SECRET, hotp(SECRET, now + distance), NOW, used=None)
        assert found == (now + distance if abs(distance) <= 1 else None)


def test_a_code_counts_once_and_none_before_it() -> None:
    now = step_at(NOW)
    assert matching_step(SECRET, hotp(SECRET, now), NOW, used=now - 1) == now
    assert matching_step(SECRET, hotp(SECRET, now), NOW, used=now) is None
    assert matching_step(SECRET, hotp(SECRET, now - 1), NOW, used=now) is None
    assert matching_step(SECRET, hotp(SECRET, now + 1), NOW, used=now) == now + 1


@given(st.text())
def test_whatever_is_sent_is_a_code_or_not(text: str) -> None:
    assert matching_step(SECRET, text, NOW, used=None) in {None, *range(step_at(NOW) - 1, step_at(NOW) + 2)}


@pytest.mark.parametrize("text", ["", "12345", "1234567", "١٢٣٤٥٦", "-12345", "1e5000", "abcdef"])
def test_what_is_no_code(text: str) -> None:
    assert matching_step(SECRET, text, NOW, used=None) is None


def test_people_type_codes_with_a_blank() -> None:
    code = hotp(SECRET, step_at(NOW))
    assert matching_step(SECRET, f"{code[:3]} {code[3:]}", NOW, used=None) == step_at(NOW)
    assert len(code) == DIGITS


def test_what_the_qr_code_holds() -> None:
    uri = urlsplit(key_uri(SECRET, "ann & co@example.com", "cloud chamber"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/cloud chamber:ann & co@example.com"
    query = parse_qs(uri.query, strict_parsing=True)
    assert query == {"secret": [as_text(SECRET)], "issuer": ["cloud chamber"]}
    assert "+" not in uri.query, "apps do not take it for a blank"
    assert base64.b32decode(as_text(SECRET)) == SECRET
