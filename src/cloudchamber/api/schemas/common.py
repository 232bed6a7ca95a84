"""What many families share: kinds of values, and documents that say little."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Date = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2018-04-18T17:20:10.880Z"])]
"""ISO 8601 UTC with milliseconds and `Z`."""
ObjectId = Annotated[str, Meta(pattern="^[0-9a-f]{24}$", examples=["5aa86b2b3dd14b3a6b000000"])]
"""Of users, customers, webhooks, firmware: 24 hex digits."""
DeviceId = Annotated[str, Meta(pattern="^[0-9a-f]{24}$", examples=["0123456789abcdef01234567"])]
Secret = Annotated[str, Meta(pattern="^[0-9a-f]{40}$")]
"""A token or a client's secret: 40 hex digits."""
File = Annotated[bytes, Meta(extra_json_schema={"contentMediaType": "application/octet-stream"})]
"""A file part of a multipart body."""
Anything = dict[str, Any]
"""An object whose fields are the sender's own."""


class Open(Struct):
    """A base for documents that may hold more than their fields: what a client stored comes back as it was sent."""


class Nothing(Struct):
    """An empty object, or no body at all."""


class Ok(Struct):
    """Done, and nothing to tell."""

    ok: bool


class Message(Struct):
    """Done, in words."""

    ok: bool
    message: str


class Pages(Struct):
    total_pages: int


class Page(Struct):
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=1_000, description="Also `perPage`.")] = 25


Maybe = msgspec.UnsetType
"""`x: str | Maybe = UNSET`: may be absent."""
