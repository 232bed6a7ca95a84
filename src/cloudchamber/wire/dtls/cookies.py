"""Cookies: proof that a peer receives at the address that it writes in its datagrams, without any memory of ours.

The cookie is an HMAC over the address and all of the ClientHello but the cookie itself (RFC 6347, section 4.2.1). So it
is good for one address and one hello, and worth nothing to whoever sees it elsewhere.
"""

import hmac
from typing import Final

from cloudchamber.wire.dtls.records import Address

COOKIE_SIZE: Final = 16
SECRET_SIZE: Final = 32


class CookieJar:
    """Two secrets: a hello that was under way when the secret changed is still good."""

    __slots__ = ("_current", "_previous")

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 random bytes."""
        assert len(secret) == SECRET_SIZE
        self._current = secret
        self._previous: bytes | None = None

    def rotate(self, secret: bytes) -> None:
        """After two rotations a cookie is worth nothing. Every few minutes is often enough: devices answer at once."""
        assert len(secret) == SECRET_SIZE
        self._previous, self._current = self._current, secret

    def make(self, address: Address, hello: bytes) -> bytes:
        """`hello`: the body of the ClientHello without its cookie."""
        return _cookie(self._current, address, hello)

    def is_good(self, cookie: bytes, address: Address, hello: bytes) -> bool:
        if len(cookie) != COOKIE_SIZE:
            return False
        if hmac.compare_digest(cookie, _cookie(self._current, address, hello)):
            return True
        return self._previous is not None and hmac.compare_digest(cookie, _cookie(self._previous, address, hello))


def _cookie(secret: bytes, address: Address, hello: bytes) -> bytes:
    host = address[0].encode()
    covered = bytes((len(host),)) + host + address[1].to_bytes(2, "big") + hello
    return hmac.digest(secret, covered, "sha256")[:COOKIE_SIZE]
