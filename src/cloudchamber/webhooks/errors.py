"""CloudError ── NotFound ── WebhookNotFound; Invalid ── WebhookInvalid ── TemplateInvalid."""

from typing import ClassVar

from cloudchamber.errors import Invalid, NotFound


class WebhookNotFound(NotFound):
    code: ClassVar[str] = "webhook_not_found"


class WebhookInvalid(Invalid):
    code: ClassVar[str] = "webhook_invalid"


class TemplateInvalid(WebhookInvalid):
    """A template that cannot be read, or that becomes more than one request may be."""

    code: ClassVar[str] = "template_invalid"
