"""Webhooks and other integrations."""

from typing import Annotated

from msgspec import UNSET, Meta

from cloudchamber.api.schemas.common import Anything, Date, Maybe, ObjectId, Open


class IntegrationSettings(Open, kw_only=True):
    """Fields that stand in templates' places are Mustache; what is not named here is kept and given back."""

    integration_type: str | Maybe = UNSET
    requestType: Annotated[str, Meta(examples=["POST"])] | Maybe = UNSET
    noDefaults: bool | Maybe = UNSET
    rejectUnauthorized: bool | Maybe = UNSET
    auth: Anything | Maybe = UNSET
    headers: Anything | Maybe = UNSET
    query: Anything | Maybe = UNSET
    json: Anything | Maybe = UNSET
    form: Anything | Maybe = UNSET
    body: str | Maybe = UNSET
    responseTemplate: str | Maybe = UNSET
    responseTopic: str | Maybe = UNSET
    errorResponseTopic: str | Maybe = UNSET


class NewIntegration(IntegrationSettings, kw_only=True):
    event: Annotated[str, Meta(description="A prefix of events' names; also `eventName`.", examples=["temperature"])]
    url: Annotated[str, Meta(examples=["https://example.com/hook"])]


class Integration(IntegrationSettings, kw_only=True):
    id: ObjectId
    event: str
    url: str
    created_at: Date


class MadeIntegration(Integration, kw_only=True):
    """`hookUrl` below `/v1/webhooks`, `integrationUrl` below `/v1/integrations`."""

    ok: bool
    hookUrl: str | Maybe = UNSET
    integrationUrl: str | Maybe = UNSET


class IntegrationDetail(Integration, kw_only=True):
    logs: list[Anything]
    counters: list[Anything]


class WebhookDetail(IntegrationDetail, kw_only=True):
    errors: list[Anything]


class IntegrationAnswer(Open):
    integration: IntegrationDetail


class WebhookAnswer(Open):
    webhook: WebhookDetail
