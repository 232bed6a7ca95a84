"""CloudError ── NotFound ── WebhookNotFound; Invalid ── WebhookInvalid."""

from typing import ClassVar

from cloudchamber.errors import Invalid, NotFound


class WebhookNotFound(NotFound):
    code: ClassVar[str] = "webhook_not_found"


class WebhookInvalid(Invalid):
    code: ClassVar[str] = "webhook_invalid"
