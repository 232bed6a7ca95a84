"""Webhooks under both names, `/v1/webhooks` and `/v1/integrations`, which differ in the keys of the answers."""

from typing import Any, Final

import msgspec

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.clock import iso
from cloudchamber.webhooks.model import Webhook
from cloudchamber.webhooks.service import Webhooks

# Headers, credentials and templates of one honest hook have a few kilobytes.
MAX_SETTINGS_BYTES: Final = 64 * 1024
_OWN_FIELDS: Final = ("event", "eventName", "url", "id", "created_at", "ok")


class WebhooksResource:
    def __init__(self, webhooks: Webhooks, public_url: str) -> None:
        self._webhooks = webhooks
        self._public_url = public_url

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        return [_hook(hook) for hook in await self._webhooks.all(requester, None)]

    async def create_own(self, call: Call, requester: Bearer) -> Any:
        data = call.data
        hook = await self._webhooks.create(
            requester,
            None,
            event=data.text("event") or data.text("eventName") or "",
            url=data.text("url") or "",
            settings=settings_in(data),
        )
        path = call.req.path
        key = "hookUrl" if path.endswith("/webhooks") else "integrationUrl"
        body = _hook(hook) | {"ok": True, key: f"{self._public_url}{path}/{hook.id}"}
        return Reply(body, 201)

    async def get_webhook(self, call: Call, requester: Bearer) -> Any:
        hook = await self._webhooks.get(requester, None, call.params["hook"])
        return {"webhook": _hook(hook) | {"logs": [], "errors": [], "counters": []}}

    async def get_integration(self, call: Call, requester: Bearer) -> Any:
        hook = await self._webhooks.get(requester, None, call.params["hook"])
        return {"integration": _hook(hook) | {"logs": [], "counters": []}}

    async def delete_own(self, call: Call, requester: Bearer) -> Any:
        await self._webhooks.delete(requester, None, call.params["hook"])
        return NO_CONTENT


def settings_in(data: Fields) -> dict[str, Any]:
    """Every field but the event and the URL; truth values as such, whatever form they came in.

    Raises FieldInvalid.
    """
    settings: dict[str, Any] = {name: data[name] for name in data if name not in _OWN_FIELDS}
    settings["integration_type"] = data.text("integration_type") or "Webhook"
    settings["requestType"] = data.text("requestType") or "POST"
    settings["noDefaults"] = data.flag("noDefaults") or False
    settings["rejectUnauthorized"] = data.flag("rejectUnauthorized") is not False
    if len(msgspec.json.encode(settings)) > MAX_SETTINGS_BYTES:
        raise FieldInvalid(f"The settings of a webhook are larger than {MAX_SETTINGS_BYTES} bytes")
    return settings


def _hook(hook: Webhook) -> dict[str, Any]:
    return {**hook.settings, "id": hook.id, "event": hook.event, "url": hook.url, "created_at": iso(hook.created_at)}
