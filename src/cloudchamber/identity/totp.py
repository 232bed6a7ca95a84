"""One-time codes of an authenticator app: HOTP (RFC 4226) over time steps of 30 seconds (RFC 6238). Pure.

Apps know one set of parameters for certain: SHA-1, 6 digits, 30 seconds. SHA-1 is sound here: HMAC needs no collision
resistance, and the secret has 160 random bits.
"""

import base64
import hashlib
import hmac
from typing import Final, Literal
from urllib.parse import quote, urlencode

from cloudchamber.clock import SECOND, Millis

SECRET_BYTES: Final = 20
"""RFC 4226 4: at least 128 bits, 160 recommended."""

DIGITS: Final = 6
STEP_S: Final = 30
# RFC 6238 5.2: one step back for codes that were on their way; one ahead for clocks that are fast.
DRIFT: Final = 1

Algorithm = Literal["sha1", "sha256", "sha512"]


def hotp(secret: bytes, counter: int, *, digits: int = DIGITS, algorithm: Algorithm = "sha1") -> str:
    """RFC 4226 5.3."""
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), getattr(hashlib, algorithm))
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_at(now: Millis) -> int:
    return now // (STEP_S * SECOND)


def matching_step(secret: bytes, code: str, now: Millis, *, used: int | None) -> int | None:
    """The time step whose code this is; None for a wrong code, and for one of a step that was used before (RFC 6238
    5.2: a code is accepted once). `used` is the last step of which a code was accepted."""
    code = code.replace(" ", "")
    if len(code) != DIGITS or not code.isascii() or not code.isdecimal():
        return None
    found = None
    # Every candidate is compared, so that the time does not tell which one it was.
    for step in range(step_at(now) - DRIFT, step_at(now) + DRIFT + 1):
        if hmac.compare_digest(hotp(secret, step), code) and (used is None or step > used):
            found = step
    return found


def as_text(secret: bytes) -> str:
    """How people type it into an app that cannot scan: base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def key_uri(secret: bytes, account: str, issuer: str) -> str:
    """What the QR code holds: the `otpauth` URI that authenticator apps agree on."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    query = urlencode({"secret": as_text(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{label}?{query}"
