"""Identifiers, parsed once at the edge, and the secrets that the cloud gives out.

Formats are the API's own: users, customers and the like are 24 lower-case hex digits, tokens and client secrets 40,
claim codes 63 characters of the base64 alphabet (the size of the field in Device OS), products an integer that
firmware carries as an unsigned 16-bit number.
"""

import base64
import hashlib
import os
import re
import secrets
from typing import NewType

UserId = NewType("UserId", str)
CustomerId = NewType("CustomerId", str)
ApiUserId = NewType("ApiUserId", str)
OrganizationId = NewType("OrganizationId", str)
ClientId = NewType("ClientId", str)
ProductId = NewType("ProductId", int)
DeviceId = NewType("DeviceId", str)
SecretHash = NewType("SecretHash", bytes)

MAX_PRODUCT_ID = 65_535

_DEVICE_ID = re.compile(r"[0-9a-fA-F]{24}")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def new_id() -> str:
    """24 hex digits; 96 random bits, so that ids tell nothing of each other or of their time."""
    return secrets.token_hex(12)


def new_ordered_id(now: int) -> str:
    """24 hex digits that sort by `now`, in milliseconds; 52 bits of them are random. For rows that only we name.

    Random keys put each new row into another page of each of a table's indexes, and each such page is written whole.
    """
    return f"{now:011x}{os.urandom(7).hex()[:13]}"


def new_token() -> str:
    """40 hex digits, 160 random bits: access tokens, refresh tokens, client secrets."""
    return os.urandom(20).hex()  # as secrets.token_hex has it, in two thirds of its time


def new_claim_code() -> str:
    """63 characters: 48 random bytes in base64 make 64, and a device's field would cut the last."""
    return base64.b64encode(secrets.token_bytes(48)).decode()[:63]


def hash_secret(secret: str) -> SecretHash:
    """SHA-256, enough for what is random: a slow hash protects guessable secrets, and these cannot be guessed."""
    return SecretHash(hashlib.sha256(secret.encode()).digest())


def parse_device_id(text: str) -> DeviceId | None:
    """Lower-case id, or None. SoftAP answers in upper case and people paste either."""
    return DeviceId(text.lower()) if _DEVICE_ID.fullmatch(text) else None


def slugify(name: str) -> str:
    return _NOT_SLUG.sub("-", name.lower()).strip("-")
