"""A webhook as its owner described it."""

from dataclasses import dataclass
from typing import Any, Literal

from cloudchamber.clock import Millis


@dataclass(frozen=True, slots=True)
class Webhook:
    """`settings` are all fields of the request but the event and the URL, by their API names."""

    id: str
    owner_kind: Literal["user", "product"]
    owner_id: str
    event: str
    url: str
    settings: dict[str, Any]
    created_at: Millis
    updated_at: Millis
