"""A webhook as its owner described it, and what becomes of the events that trigger it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import msgspec

from cloudchamber.clock import Millis
from cloudchamber.messaging.model import Event

OwnerKind = Literal["user", "product", "organization"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """`settings` are all fields of the request but the event and the URL, by their API names."""

    id: str
    owner_kind: OwnerKind
    owner_id: str
    event: str
    url: str
    settings: dict[str, Any]
    created_at: Millis
    updated_at: Millis


class Settings(msgspec.Struct, frozen=True):
    """The settings that delivery reads, by their API names (http-api.md 15.2). Forms send everything as text, so it is
    decoded without strictness."""

    integration_type: str = "Webhook"
    requestType: str = "POST"  # noqa: N815
    deviceID: str | None = None  # noqa: N815
    auth: dict[str, str] | None = None
    headers: dict[str, str] | None = None
    query: dict[str, Any] | None = None
    # An object whose texts are templates, or one template that becomes the document.
    json: dict[str, Any] | list[Any] | str | None = None
    form: dict[str, Any] | None = None
    body: str | None = None
    responseTemplate: str | None = None  # noqa: N815
    responseTopic: str | None = None  # noqa: N815
    errorResponseTopic: str | None = None  # noqa: N815
    noDefaults: bool = False  # noqa: N815
    rejectUnauthorized: bool = True  # noqa: N815
    disabled: bool = False
    unchunked: bool = False
    dataUrlResponseEvent: bool = False  # noqa: N815


@dataclass(frozen=True, slots=True)
class HookRequest:
    """One HTTP request, ready to be sent. `verifies_tls` off means that any certificate will do."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    verifies_tls: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """`body` is cut at the size that goes back to devices."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer. `is_final`: asking again cannot help (the address is refused, the template does not render)."""

    reason: str
    is_final: bool = False


Outcome = Answered | Failed


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one hook. `attempts` are those made so far."""

    id: str
    hook: str
    event: Event
    attempts: int
    next_at: Millis


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A delivery that ended. `request` and `response` are as they are shown: cut, and without credentials."""

    id: str
    hook: str
    event_name: str
    state: DeliveryState
    attempts: int
    finished_at: Millis
    request: str
    response: str


@dataclass(frozen=True, slots=True)
class DayCount:
    """What happened to one hook's events on one day, UTC. `skipped`: while the hook slept."""

    day: str
    success: int
    error: int
    skipped: int
