"""Whose address counts, behind proxies and without them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.api.addresses import Proxies, limit_key
from cloudchamber.settings import networks

PROXIES = Proxies(networks("127.0.0.1, 10.0.0.0/8, ::1"))
CLIENT = "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", CLIENT, CLIENT),
        ("::1", CLIENT, CLIENT),
        ("::ffff:127.0.0.1", CLIENT, CLIENT),
        ("127.0.0.1", f"{CLIENT}:4711", CLIENT),
        ("127.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
        # A chain of our own proxies, and what a client had written before it reached them.
        ("127.0.0.1", f"1.2.3.4, {CLIENT}, 10.0.0.5", CLIENT),
        ("127.0.0.1", f"1.2.3.4,{CLIENT}", CLIENT),
        ("127.0.0.1", f"127.0.0.1, {CLIENT}", CLIENT),
        ("127.0.0.1", "10.1.1.1", "10.1.1.1"),
        # Broken: whoever wrote that is as far as we can follow.
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", f"{CLIENT}, nonsense, 10.0.0.5", "10.0.0.5"),
        # No proxy of ours.
        ("192.0.2.1", CLIENT, "192.0.2.1"),
        ("", CLIENT, ""),
    ],
)
def test_the_client_is_who_the_last_trusted_proxy_saw(peer: str, forwarded: str | None, expected: str) -> None:
    assert PROXIES.client(peer, forwarded) == expected
    assert Proxies([]).client(peer, forwarded) == peer


@given(st.text())
def test_what_a_client_writes_itself_changes_nothing(forged: str) -> None:
    assert PROXIES.client("127.0.0.1", f"{forged},{CLIENT}") == CLIENT
    assert PROXIES.client("192.0.2.1", forged) == "192.0.2.1"


def test_one_subscriber_of_ipv6_is_one_address() -> None:
    assert limit_key("203.0.113.7") == "203.0.113.7"
    assert limit_key("::ffff:203.0.113.7") == "203.0.113.7"
    assert limit_key("2001:db8::1") == limit_key("2001:db8::ffff:0:0:1")
    assert limit_key("2001:db8:0:1::1") != limit_key("2001:db8::1")
    assert limit_key("") == ""
