import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.softap import (
    MAX_BODY_LENGTH,
    AccessPoint,
    Eap,
    Request,
    RequestReader,
    Security,
    credentials_untrusted,
    encode_json,
    encode_public_key,
    encode_request,
    encode_scan,
    parse_json_untrusted,
    public_key_untrusted,
    result_untrusted,
    scan_untrusted,
    setting_untrusted,
)

WHOLE = b'set\n26\n\n{"k":"cc","v":"0123456789"}'


def test_a_request_in_pieces() -> None:
    whole = encode_request("configure-ap", {"ssid": "größe", "sec": 0})
    for cut in range(len(whole)):
        reader = RequestReader()
        assert reader.receive_untrusted(whole[:cut]) is None
        body = b'{"ssid":"gr\xc3\xb6\xc3\x9fe","sec":0}'
        assert reader.receive_untrusted(whole[cut:]) == Request("configure-ap", body)
    reader = RequestReader()
    answers = [reader.receive_untrusted(whole[index : index + 1]) for index in range(len(whole))]
    assert answers[:-1] == [None] * (len(whole) - 1)
    assert answers[-1] is not None
    assert RequestReader().receive_untrusted(b"scan-ap\n0\n\n") == Request("scan-ap")
    # What comes after the length that was said is not read.
    assert RequestReader().receive_untrusted(b"set\n2\n\n{}garbage") == Request("set", b"{}")


@pytest.mark.parametrize(
    "data",
    [
        b"set\nx\n\n",
        b"set\n-1\n\n",
        b"set\n\n",
        b"\n0\n\n",
        b"set\n%d\n\n" % (MAX_BODY_LENGTH + 1),
        b"set\n9999999\n\n",
        b"a" * 30 + b"\n0\n\n",
        b"x" * 64,
        b"\xff\xfe\n0\n\n",
    ],
)
def test_what_is_no_request(data: bytes) -> None:
    with pytest.raises(WireError):
        RequestReader().receive_untrusted(data)


def test_the_requests_of_the_vendors_client() -> None:
    """Bytes as @particle/softap-setup 4.1.1 sends them."""
    body = b'{"idx":0,"ssid":"Chamber","sec":4194310,"ch":null,"pwd":"00ff"}'
    request = RequestReader().receive_untrusted(b"configure-ap\n%d\n\n%b" % (len(body), body))
    assert request is not None
    known = credentials_untrusted(request.body)
    assert (known.ssid, known.security, known.channel, known.password) == ("Chamber", Security.WPA2_MIXED, 0, b"\0\xff")
    assert setting_untrusted(b'{"k":"cc","v":"' + b"x" * 64 + b'"}') == ("cc", "x" * 63)


def test_enterprise_credentials() -> None:
    known = credentials_untrusted(
        encode_json(
            {"ssid": "E", "sec": 0x02400004, "eap": 13, "oi": "o", "ii": "i", "crt": "C", "ek": "01", "key": "02"}
        )
    )
    assert known.security & Security.ENTERPRISE
    assert (known.eap, known.outer_identity, known.inner_identity) == (Eap.TLS, "o", "i")
    assert (known.key_envelope, known.encrypted_key, known.client_certificate) == (b"\1", b"\2", "C")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"ssid":1}',
        b'{"ssid":""}',
        b'{"ssid":"' + b"x" * 33 + b'"}',
        b'{"ssid":"a","sec":"4"}',
        b'{"ssid":"a","sec":true}',
        b'{"ssid":"a","sec":1.5}',
        b'{"ssid":"a","pwd":"xyz"}',
        b'{"ssid":"a","eap":1}',
        b'{"ssid":"a","what":1}',
        b"[" * 100_000,
        b'{"ssid":"\xff"}',
    ],
)
def test_what_no_credentials_can_be(body: bytes) -> None:
    with pytest.raises(WireError):
        credentials_untrusted(body)


def test_answers_are_read_as_they_are_written() -> None:
    found = [AccessPoint("Chamber", Security.WPA2_AES, -40, 6), AccessPoint("Guests", Security.OPEN)]
    assert encode_scan(found[:1]) == b'{"scans":[{"ssid":"Chamber","rssi":-40,"sec":4194308,"ch":6,"mdr":130000}]}'
    assert scan_untrusted(encode_scan(found)) == found
    der = bytes(range(162))
    field = encode_public_key(der)
    assert len(field) == len('{"b":"","r":0}') + 588
    assert public_key_untrusted(field) == der
    assert result_untrusted(b'{"r":-1}') == -1
    for bad in (b"", b"{}", b'{"r":"0"}', b'{"scans":1}', b'{"scans":[1]}', b'{"b":"00"}'):
        for read in (result_untrusted, scan_untrusted, public_key_untrusted):
            with pytest.raises(WireError):
                read(bad)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_any_bytes_are_a_request_or_a_wire_error(data: bytes, cut: int) -> None:
    for read in (credentials_untrusted, setting_untrusted, scan_untrusted, public_key_untrusted, parse_json_untrusted):
        with contextlib.suppress(WireError):
            read(data)
    reader = RequestReader()
    with contextlib.suppress(WireError):
        reader.receive_untrusted(data[:cut])
        reader.receive_untrusted(data[cut:])
