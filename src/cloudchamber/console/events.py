"""Events of a product or an organization as they happen, and publishing some."""

from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.access.model import Action
from cloudchamber.console.frame import REALM, Ask, Frame
from cloudchamber.console.section import PREFIX, Nav, Section, either, form, live, page
from cloudchamber.errors import CloudError
from cloudchamber.messaging.model import DEFAULT_TTL_S, Event

_MAX_PREFIX: Final = 64
ROUTES: Final = (
    page(either("/events"), Action.EVENTS_GET, "events.show", "Shows events as they happen."),
    live(either("/events/live"), Action.EVENTS_GET, "events.live", "Tells events, as they happen."),
    form(either("/events/publish"), Action.EVENTS_SEND, "events.publish", "Publishes an event to devices."),
)


class EventPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def live(self, ask: Ask) -> Any:
        device, prefix = _filters(ask)
        events, product = self._services.events, ask.product
        if product is None:
            opened = await events.listen_organization(ask.requester, ask.the_organization, prefix)
        elif device:
            opened = await events.listen_product_device(ask.requester, product, device, prefix)
        else:
            opened = await events.listen_product(ask.requester, product, prefix)

        def render(event: Event) -> str:
            of = product.id if product is not None else event.product
            return self._frame.render("event_row.html", event=event, base=of and f"{PREFIX}/products/{of}")

        return self._frame.live.stream(ask.session, self._frame.shell.session_secret(ask.visit, REALM), opened, render)

    async def publish(self, ask: Ask) -> Any:
        name, data = ask.form.get("name", ""), ask.form.get("data", "")
        is_private = ask.form.get("public") != "1"
        events, sent = self._services.events, (name, data or None, DEFAULT_TTL_S)
        try:
            if ask.product is not None:
                await events.publish_in(ask.requester, ask.product, *sent, is_private=is_private)
            else:
                await events.publish_in_organization(ask.requester, ask.the_organization, *sent, is_private=is_private)
        except CloudError as error:
            return await self._page(ask, error)
        return await self._page(ask, done=f"{name} is published, to every device that subscribes to it.")

    async def _page(self, ask: Ask, error: CloudError | None = None, done: str | None = None) -> Any:
        device, prefix = _filters(ask)
        base = f"{ask.base}/events"
        filters = urlencode({name: value for name, value in (("device", device), ("prefix", prefix)) if value})
        return await self._frame.page(
            ask,
            "events.html",
            title="Events",
            section="events",
            error=error,
            done=done,
            device=device,
            prefix=prefix,
            live_url=f"{base}/live?{filters}" if filters else f"{base}/live",
        )


def _filters(ask: Ask) -> tuple[str, str]:
    return ask.query.get("device", "").strip()[:_MAX_PREFIX], ask.query.get("prefix", "").strip()[:_MAX_PREFIX]


SECTION: Final = Section("events", "Events", Nav("either", "events", Action.EVENTS_GET), ROUTES, EventPages)
