"""A product's events as they happen, and publishing some."""

from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.access.model import Action
from cloudchamber.console.frame import REALM, Ask, Frame, product_url
from cloudchamber.console.section import PRODUCT, Nav, Section, form, live, page
from cloudchamber.errors import CloudError
from cloudchamber.messaging.model import DEFAULT_TTL_S, Event

_HERE: Final = f"{PRODUCT}/events"
_MAX_PREFIX: Final = 64
ROUTES: Final = (
    page(_HERE, Action.EVENTS_GET, "events.show", "Shows a product's events as they happen."),
    live(f"{_HERE}/live", Action.EVENTS_GET, "events.live", "Tells a product's events, as they happen."),
    form(f"{_HERE}/publish", Action.EVENTS_SEND, "events.publish", "Publishes an event to a product's devices."),
)


class EventPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def live(self, ask: Ask) -> Any:
        device, prefix = _filters(ask)
        events, product = self._services.events, ask.the_product
        if device:
            opened = await events.listen_product_device(ask.requester, product, device, prefix)
        else:
            opened = await events.listen_product(ask.requester, product, prefix)
        base = product_url(product)

        def render(event: Event) -> str:
            return self._frame.render("event_row.html", event=event, base=base)

        return self._frame.live.stream(ask.session, self._frame.shell.session_secret(ask.visit, REALM), opened, render)

    async def publish(self, ask: Ask) -> Any:
        name, data = ask.form.get("name", ""), ask.form.get("data", "")
        try:
            await self._services.events.publish_in(
                ask.requester, ask.the_product, name, data or None, DEFAULT_TTL_S,
                is_private=ask.form.get("public") != "1",
            )  # fmt: skip
        except CloudError as error:
            return await self._page(ask, error)
        return await self._page(ask, done=f"{name} is published, to every device that subscribes to it.")

    async def _page(self, ask: Ask, error: CloudError | None = None, done: str | None = None) -> Any:
        device, prefix = _filters(ask)
        base = f"{product_url(ask.the_product)}/events"
        filters = urlencode({name: value for name, value in (("device", device), ("prefix", prefix)) if value})
        return await self._frame.page(
            ask,
            "events.html",
            title="Events",
            section="events",
            status=200 if error is None else error.status,
            error=None if error is None else error.message,
            done=done,
            device=device,
            prefix=prefix,
            live_url=f"{base}/live?{filters}" if filters else f"{base}/live",
        )


def _filters(ask: Ask) -> tuple[str, str]:
    return ask.query.get("device", "").strip()[:_MAX_PREFIX], ask.query.get("prefix", "").strip()[:_MAX_PREFIX]


SECTION: Final = Section("events", "Events", Nav("product", "events", Action.EVENTS_GET), ROUTES, EventPages)
