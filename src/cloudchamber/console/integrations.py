"""Webhooks: made, changed, tried, and what became of each delivery, with the request and its answer."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from cloudchamber.access.model import Action
from cloudchamber.api.fields import Fields
from cloudchamber.api.webhooks import settings_in
from cloudchamber.console.delivery_bars import Bar, bars
from cloudchamber.console.device import Result
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import Nav, Section, either, form, page
from cloudchamber.errors import CloudError, Invalid
from cloudchamber.webhooks.model import DeliveryState, Webhook
from cloudchamber.webhooks.service import Seen

_HOOK: Final = "/integrations/{hook}"
# Longer than most hosts need; whoever looks before the answer sees it after a moment.
_RETRY_SHOWN_S: Final = 1.0

ROUTES: Final = (
    page(either("/integrations"), Action.INTEGRATIONS_LIST, "integrations.list", "Shows webhooks."),
    page(
        either("/integrations/new"), Action.INTEGRATIONS_CREATE, "integrations.new", "Asks what a new webhook shall do."
    ),
    form(either("/integrations/new"), Action.INTEGRATIONS_CREATE, "integrations.create", "Makes a webhook."),
    page(either(_HOOK), Action.INTEGRATIONS_GET, "integrations.show", "Shows a webhook and its deliveries."),
    page(either(f"{_HOOK}/edit"), Action.INTEGRATIONS_UPDATE, "integrations.edit", "Asks how a webhook shall be."),
    form(either(f"{_HOOK}/edit"), Action.INTEGRATIONS_UPDATE, "integrations.save", "Changes a webhook."),
    form(
        either(f"{_HOOK}/test"),
        Action.INTEGRATIONS_TEST,
        "integrations.test",
        "Sends what an example event would cause.",
    ),
    form(
        either(f"{_HOOK}/retry"), Action.INTEGRATIONS_TEST, "integrations.retry", "Sends a failed delivery once more."
    ),
    form(either(f"{_HOOK}/remove"), Action.INTEGRATIONS_REMOVE, "integrations.remove", "Removes a webhook."),
)

METHODS: Final = ("POST", "GET", "PUT", "PATCH", "DELETE")
# How the body is written: the setting, and what it is called.
BODIES: Final = (
    ("", "the event's fields, as a form"),
    ("json", "JSON"),
    ("form", "form fields"),
    ("body", "text as it is"),
)
_OURS: Final = (
    *("name", "requestType", "json", "form", "body", "headers", "query", "auth", "deviceID", "responseTopic"),
    *("responseTemplate", "errorResponseTopic", "noDefaults", "rejectUnauthorized", "disabled"),
)
_TEXTS: Final = ("name", "deviceID", "responseTopic", "responseTemplate", "errorResponseTopic")


class IntegrationPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def list(self, ask: Ask) -> Any:
        hooks = await self._services.webhooks.all(ask.requester, ask.owner)
        return await self._frame.page(
            ask,
            "integrations.html",
            title="Integrations",
            section="integrations",
            hooks=[(hook, name_of(hook), host_of(hook)) for hook in hooks],
        )

    async def new(self, ask: Ask) -> Any:
        return await self._form(ask, None)

    async def create(self, ask: Ask) -> Any:
        try:
            made = await self._services.webhooks.create(ask.requester, ask.owner, **described(ask.form, {}))
        except CloudError as error:
            return await self._form(ask, None, error)
        return self._frame.redirect(ask, self._url(ask, made.id), "It fires from now on. Try it with a test.")

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask, await self._seen(ask))

    async def edit(self, ask: Ask) -> Any:
        return await self._form(ask, (await self._seen(ask)).hook)

    async def save(self, ask: Ask) -> Any:
        known = (await self._seen(ask)).hook
        try:
            await self._services.webhooks.replace(
                ask.requester,
                ask.owner,
                known.id,
                **described(ask.form, known.settings),
            )
        except CloudError as error:
            return await self._form(ask, known, error)
        return self._frame.redirect(ask, self._url(ask, known.id), "Saved. Deliveries that wait go by it.")

    async def test(self, ask: Ask) -> Any:
        seen = await self._seen(ask)
        passed, text = await self._services.webhooks.test(ask.requester, ask.owner, seen.hook.id)
        return await self._page(ask, seen, tried=Result(text or "(an empty answer)", passed))

    async def retry(self, ask: Ask) -> Any:
        place, hook = ask.owner, ask.params["hook"]
        await self._services.webhooks.retry(ask.requester, place, hook, ask.form.get("delivery", ""))
        await asyncio.sleep(_RETRY_SHOWN_S)
        return self._frame.redirect(ask, self._url(ask, hook), "Sent once more: the log tells what comes of it.")

    async def remove(self, ask: Ask) -> Any:
        await self._services.webhooks.delete(ask.requester, ask.owner, ask.params["hook"])
        return self._frame.redirect(ask, f"{ask.base}/integrations", "The webhook is removed.")

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _seen(self, ask: Ask) -> Seen:
        return await self._services.webhooks.get(ask.requester, ask.owner, ask.params["hook"])

    def _url(self, ask: Ask, hook: str) -> str:
        return f"{ask.base}/integrations/{hook}"

    async def _page(self, ask: Ask, seen: Seen, tried: Result | None = None) -> Any:
        hook = seen.hook
        return await self._frame.page(
            ask,
            "integration.html",
            title=name_of(hook),
            section="integrations",
            back=(f"{ask.base}/integrations", "Integrations"),
            hook=hook,
            settings=hook.settings,
            url=self._url(ask, hook.id),
            log=seen.log,
            failed=DeliveryState.FAILED,
            delivered=sum(day.success for day in seen.counters),
            errors=sum(day.error for day in seen.counters),
            skipped=sum(day.skipped for day in seen.counters),
            chart=bars([Bar(day.day, day.success, day.error) for day in seen.counters], "Deliveries by day"),
            tried=tried,
        )

    async def _form(self, ask: Ask, hook: Webhook | None, error: CloudError | None = None) -> Any:
        here = f"{ask.base}/integrations"
        return await self._frame.page(
            ask,
            "integration_form.html",
            title="New webhook" if hook is None else f"Change {name_of(hook)}",
            section="integrations",
            back=(here, "Integrations") if hook is None else (self._url(ask, hook.id), name_of(hook)),
            error=error,
            action=f"{here}/new" if hook is None else f"{self._url(ask, hook.id)}/edit",
            known=as_form(hook) if hook is not None else as_form(None),
            has_password=hook is not None and bool((hook.settings.get("auth") or {}).get("password")),
            is_new=hook is None,
            methods=METHODS,
            bodies=BODIES,
        )


def name_of(hook: Webhook) -> str:
    name = hook.settings.get("name")
    return name if isinstance(name, str) and name else f"{hook.event} → {host_of(hook)}"


def host_of(hook: Webhook) -> str:
    """Without what may be secret in the rest of the address."""
    try:
        return urlsplit(hook.url).netloc.rpartition("@")[2] or hook.url
    except ValueError:
        return hook.url


def described(given: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """What the form says, as the service takes it; settings that the form does not show stay as they are known.

    Raises Invalid, FieldInvalid.
    """
    settings: dict[str, Any] = {name: value for name, value in known.items() if name not in _OURS}
    settings |= {name: text for name in _TEXTS if (text := given.get(name, "").strip())}
    settings["requestType"] = given.get("requestType", "POST")
    settings["noDefaults"] = given.get("defaults") != "1"
    settings["rejectUnauthorized"] = given.get("verifies") == "1"
    settings["disabled"] = given.get("disabled") == "1"
    for name, joint in (("headers", ":"), ("query", "=")):
        if lines := pairs(given.get(name, ""), joint, name):
            settings[name] = lines
    kind, content = given.get("kind", ""), given.get("content", "").strip()
    match kind:
        case "json":
            settings["json"] = _json(content)
        case "form":
            settings["form"] = pairs(content, "=", "the form")
        case "body":
            settings["body"] = content
    user, password = given.get("user", "").strip(), given.get("password", "")
    if user:
        before = (known.get("auth") or {}).get("password", "")
        settings["auth"] = {"username": user, "password": password or before}
    return {
        "event": given.get("event", "").strip(),
        "url": given.get("url", "").strip(),
        "settings": settings_in(Fields(settings)),
    }


def pairs(text: str, joint: str, where: str) -> dict[str, str]:
    """`name: value` or `name=value` on each line. Raises Invalid."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, middle, value = line.partition(joint)
        if not middle or not name.strip():
            raise Invalid(f"Each line of {where} is written as name{joint}value: {line[:60]!r} is not")
        found[name.strip()] = value.strip()
    return found


def _json(text: str) -> Any:
    """A document whose texts are templates, or a template that becomes one."""
    try:
        found = msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text
    return found if isinstance(found, dict | list) else text


def as_form(hook: Webhook | None) -> dict[str, str]:
    """A hook in the fields of the form. The password is not among them."""
    settings: Mapping[str, Any] = hook.settings if hook is not None else {"rejectUnauthorized": True}
    kind = next((kind for kind, _ in BODIES if kind and settings.get(kind) is not None), "")
    content = settings.get(kind) if kind else ""
    if kind == "form" and isinstance(content, dict):
        content = "\n".join(f"{name}={_text(value)}" for name, value in content.items())
    elif not isinstance(content, str):
        content = msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
    auth = settings.get("auth")
    return {
        **{name: _text(settings.get(name, "")) for name in _TEXTS},
        "event": hook.event if hook is not None else "",
        "url": hook.url if hook is not None else "",
        "requestType": str(settings.get("requestType", "POST")).upper(),
        "kind": kind,
        "content": content,
        "headers": _lines(settings.get("headers"), ": "),
        "query": _lines(settings.get("query"), "="),
        "user": _text(auth.get("username", "")) if isinstance(auth, dict) else "",
        "defaults": "" if settings.get("noDefaults") else "1",
        "verifies": "1" if settings.get("rejectUnauthorized", True) else "",
        "disabled": "1" if settings.get("disabled") else "",
    }


def _lines(found: Any, joint: str) -> str:
    return "\n".join(f"{name}{joint}{_text(value)}" for name, value in found.items()) if isinstance(found, dict) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


SECTION: Final = Section(
    "integrations",
    "Integrations",
    Nav("either", "integrations", Action.INTEGRATIONS_LIST),
    ROUTES,
    IntegrationPages,
)
