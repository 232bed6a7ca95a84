"""Webhooks under both names, `/v1/webhooks` and `/v1/integrations`, which differ in the keys of the answers."""

from typing import Any, Final

import msgspec

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.clock import iso
from cloudchamber.webhooks.model import DeliveryState, LogEntry, Webhook
from cloudchamber.webhooks.service import Place, Seen, Webhooks

# Headers, credentials and templates of one honest hook have a few kilobytes.
MAX_SETTINGS_BYTES: Final = 64 * 1024
_OWN_FIELDS: Final = ("event", "eventName", "url", "id", "created_at", "ok")

_FLAGS: Final = frozenset({"disabled", "unchunked", "dataUrlResponseEvent", "mydevices"})
_TEXTS: Final = frozenset({"name", "deviceID", "body", "responseTemplate", "responseTopic", "errorResponseTopic"})


class WebhooksResource:
    def __init__(self, webhooks: Webhooks, places: Places, public_url: str) -> None:
        self._webhooks = webhooks
        self._places = places
        self._public_url = public_url

    async def list(self, call: Call, requester: Bearer) -> Any:
        return [_hook(hook) for hook in await self._webhooks.all(requester, await self._place(call, requester))]

    async def create(self, call: Call, requester: Bearer) -> Any:
        hook = await self._webhooks.create(requester, await self._place(call, requester), **_described(call.data))
        path = call.req.path
        key = "hookUrl" if path.endswith("/webhooks") else "integrationUrl"
        body = _hook(hook) | {"ok": True, key: f"{self._public_url}{path}/{hook.id}"}
        return Reply(body, 201)

    async def get_webhook(self, call: Call, requester: Bearer) -> Any:
        seen = await self._webhooks.get(requester, await self._place(call, requester), call.params["hook"])
        failed = [_entry(entry) for entry in seen.log if entry.state is DeliveryState.FAILED]
        return {"webhook": _seen(seen) | {"errors": failed}}

    async def get_integration(self, call: Call, requester: Bearer) -> Any:
        seen = await self._webhooks.get(requester, await self._place(call, requester), call.params["hook"])
        return {"integration": _seen(seen)}

    async def replace_webhook(self, call: Call, requester: Bearer) -> Any:
        return {"webhook": _hook(await self._replace(call, requester)) | {"ok": True}}

    async def replace_integration(self, call: Call, requester: Bearer) -> Any:
        return {"integration": _hook(await self._replace(call, requester))}

    async def delete(self, call: Call, requester: Bearer) -> Any:
        await self._webhooks.delete(requester, await self._place(call, requester), call.params["hook"])
        return NO_CONTENT

    async def test(self, call: Call, requester: Bearer) -> Any:
        place = await self._place(call, requester)
        passed, text = await self._webhooks.test(requester, place, call.params["hook"])
        return {"pass": True, "data": text} if passed else {"pass": False, "error": text}

    async def _replace(self, call: Call, requester: Bearer) -> Webhook:
        place = await self._place(call, requester)
        return await self._webhooks.replace(requester, place, call.params["hook"], **_described(call.data))

    async def _place(self, call: Call, requester: Bearer) -> Place | None:
        """Whose hooks the path speaks of: a product's, an organization's, else the requester's own."""
        if "product" in call.params or "organization" in call.params:
            return await self._places.of(call, requester)
        return None


def _described(data: Fields) -> dict[str, Any]:
    """Raises FieldInvalid."""
    return {
        "event": data.text("event") or data.text("eventName") or "",
        "url": data.text("url") or "",
        "settings": settings_in(data),
    }


def settings_in(data: Fields) -> dict[str, Any]:
    """Every field but the event and the URL; truth values as such, whatever form they came in.

    Raises FieldInvalid.
    """
    settings: dict[str, Any] = {name: data[name] for name in data if name not in _OWN_FIELDS}
    settings["integration_type"] = data.text("integration_type") or "Webhook"
    settings["requestType"] = data.text("requestType") or "POST"
    settings["noDefaults"] = data.flag("noDefaults") or False
    settings["rejectUnauthorized"] = data.flag("rejectUnauthorized") is not False
    for name in _FLAGS & settings.keys():
        settings[name] = data.flag(name) or False
    for name in _TEXTS & settings.keys():
        settings[name] = data.text(name)
    if len(msgspec.json.encode(settings)) > MAX_SETTINGS_BYTES:
        raise FieldInvalid(f"The settings of a webhook are larger than {MAX_SETTINGS_BYTES} bytes")
    return settings


def _hook(hook: Webhook) -> dict[str, Any]:
    return {**hook.settings, "id": hook.id, "event": hook.event, "url": hook.url, "created_at": iso(hook.created_at)}


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        **_hook(seen.hook),
        "logs": [_entry(entry) for entry in seen.log],
        "counters": [
            {"date": counted.day, "success": counted.success, "error": counted.error, "sleep": counted.skipped}
            for counted in seen.counters
        ],
    }


def _entry(entry: LogEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "event": entry.event_name,
        "type": "success" if entry.state is DeliveryState.DELIVERED else "error",
        "time": iso(entry.finished_at),
        "attempts": entry.attempts,
        "request": entry.request,
        "response": entry.response,
    }
