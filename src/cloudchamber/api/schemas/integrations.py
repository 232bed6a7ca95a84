"""Webhooks, as http-api.md 15 has them. Settings come back as they were sent, so a hook has more fields than these."""

from typing import Any, Literal

from msgspec import UNSET

from cloudchamber.api.schemas.common import Date, Maybe, ObjectId, Open


class NewWebhook(Open, kw_only=True):
    """What a webhook is made of. Texts in `url`, `headers`, `query`, `json`, `form`, `body` and the topics are Mustache
    templates."""

    event: str
    url: str
    requestType: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] | Maybe = UNSET
    integration_type: Literal["Webhook"] | Maybe = UNSET
    name: str | Maybe | None = UNSET
    deviceID: str | Maybe | None = UNSET
    mydevices: bool | Maybe | None = UNSET
    auth: dict[str, str] | Maybe | None = UNSET
    headers: dict[str, str] | Maybe | None = UNSET
    query: dict[str, Any] | Maybe | None = UNSET
    json: dict[str, Any] | list[Any] | str | Maybe | None = UNSET
    form: dict[str, Any] | Maybe | None = UNSET
    body: str | Maybe | None = UNSET
    responseTemplate: str | Maybe | None = UNSET
    responseTopic: str | Maybe | None = UNSET
    errorResponseTopic: str | Maybe | None = UNSET
    noDefaults: bool | Maybe = UNSET
    rejectUnauthorized: bool | Maybe = UNSET
    disabled: bool | Maybe = UNSET
    unchunked: bool | Maybe = UNSET
    dataUrlResponseEvent: bool | Maybe = UNSET


class Webhook(NewWebhook, kw_only=True):
    id: ObjectId
    created_at: Date


class WebhookMade(Webhook, kw_only=True):
    """`hookUrl` under /v1/webhooks, `integrationUrl` under /v1/integrations."""

    ok: bool
    hookUrl: str | Maybe = UNSET
    integrationUrl: str | Maybe = UNSET


class LogEntry(Open):
    """One delivery: what was sent, without credentials, and what came back."""

    id: str
    event: str
    type: Literal["success", "error"]
    time: Date
    attempts: int
    request: str
    response: str


class Counter(Open):
    """One day, UTC. `sleep` counts events that were skipped because the host had failed again and again."""

    date: str
    success: int
    error: int
    sleep: int


class WebhookSeen(Webhook, kw_only=True):
    logs: list[LogEntry]
    counters: list[Counter]
    errors: list[LogEntry] | Maybe = UNSET


class WebhookAnswer(Open):
    webhook: WebhookSeen


class IntegrationAnswer(Open):
    integration: WebhookSeen


class WebhookReplacedDocument(Webhook, kw_only=True):
    ok: bool


class WebhookReplaced(Open):
    webhook: WebhookReplacedDocument


class IntegrationReplaced(Open):
    integration: Webhook


class Tried(Open, rename={"passed": "pass"}):
    """`data` is what a device would be told, where it passed; else `error` says what went wrong."""

    passed: bool
    data: str | Maybe = UNSET
    error: str | Maybe = UNSET
