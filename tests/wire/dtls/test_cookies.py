from cloudchamber.wire.dtls.cookies import CookieJar
from tests.wire.dtls.net import ATTACKER, HOME


def test_a_cookie_is_good_for_one_address_and_one_hello() -> None:
    jar = CookieJar(bytes(32))
    cookie = jar.make(HOME, b"hello")
    assert jar.is_good(cookie, HOME, b"hello")
    assert not jar.is_good(cookie, ATTACKER, b"hello")
    assert not jar.is_good(cookie, (HOME[0], HOME[1] + 1), b"hello")
    assert not jar.is_good(cookie, HOME, b"other")
    for wrong in (b"", cookie[:-1], cookie + b"\0", bytes(16)):
        assert not jar.is_good(wrong, HOME, b"hello")


def test_the_previous_secret_still_counts_and_the_one_before_does_not() -> None:
    jar = CookieJar(bytes(32))
    cookie = jar.make(HOME, b"hello")
    jar.rotate(b"\1" * 32)
    assert jar.is_good(cookie, HOME, b"hello")
    assert jar.make(HOME, b"hello") != cookie
    jar.rotate(b"\2" * 32)
    assert not jar.is_good(cookie, HOME, b"hello")


def test_zero_is_no_secret_before_the_first_rotation() -> None:
    jar = CookieJar(b"\1" * 32)
    assert not jar.is_good(CookieJar(bytes(32)).make(HOME, b"hello"), HOME, b"hello")
