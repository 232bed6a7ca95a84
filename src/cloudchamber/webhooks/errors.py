"""CloudError ── NotFound ── WebhookNotFound; Invalid ── WebhookInvalid ── TemplateInvalid;
TooManyRequests ── HookBehind."""

from typing import ClassVar

from cloudchamber.errors import Invalid, NotFound, TooManyRequests


class WebhookNotFound(NotFound):
    code: ClassVar[str] = "webhook_not_found"


class WebhookInvalid(Invalid):
    code: ClassVar[str] = "webhook_invalid"


class TemplateInvalid(WebhookInvalid):
    """A template that cannot be read, or that becomes more than one request may be."""

    code: ClassVar[str] = "template_invalid"


class HookBehind(TooManyRequests):
    """Events come faster than a hook's host takes them."""

    def __init__(self, topic: str) -> None:
        super().__init__(1_000, f"Too many events wait for the webhook on {topic!r}: publish more slowly")
