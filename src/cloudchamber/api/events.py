"""Publishing events, and streams of them."""

from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.fields import Fields
from cloudchamber.api.places import Places
from cloudchamber.api.soon import Soon
from cloudchamber.api.sse import Encoded, EventStream
from cloudchamber.fleet.model import Product
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.model import DEFAULT_TTL_S
from cloudchamber.messaging.streams import Subscription

# Far above what an event may carry, which the domain decides.
_MAX_DATA_LENGTH: Final = 100_000


class EventsResource:
    def __init__(self, events: Events, places: Places) -> None:
        self._events = events
        self._places = places
        self._encoded = Encoded()

    async def publish_own(self, call: Call, requester: Bearer) -> Any:
        data = call.data
        await self._events.publish_as(
            requester, data.text("name") or "", _data(data), _ttl_s(data), is_private=_is_private(data)
        )
        return {"ok": True}

    def publish_own_soon(self, requester: Bearer, data: Fields) -> Soon:
        begin = self._events.publish_soon(
            requester, data.text("name") or "", _data(data), _ttl_s(data), is_private=_is_private(data)
        )
        return Soon(begin, _published)

    async def publish_of_product(self, call: Call, requester: Bearer) -> Any:
        data, product = call.data, await self._product(call)
        await self._events.publish_in(
            requester, product, data.text("name") or "", _data(data), _ttl_s(data), is_private=_is_private(data)
        )
        return {"ok": True}

    async def publish_of_organization(self, call: Call, requester: Bearer) -> Any:
        data, organization = call.data, await self._places.organization(call)
        await self._events.publish_in_organization(
            requester, organization, data.text("name") or "", _data(data), _ttl_s(data), is_private=_is_private(data)
        )
        return {"ok": True}

    async def stream_public(self, call: Call, requester: Bearer) -> Any:
        return self._stream(await self._events.listen_public(requester, _prefix(call)), detailed=False)

    async def stream_own(self, call: Call, requester: Bearer) -> Any:
        return self._stream(await self._events.listen_own(requester, _prefix(call)), detailed=False)

    async def stream_device(self, call: Call, requester: Bearer) -> Any:
        opened = await self._events.listen_device(requester, call.params["device"], _prefix(call))
        return self._stream(opened, detailed=False)

    async def stream_product(self, call: Call, requester: Bearer) -> Any:
        opened = await self._events.listen_product(requester, await self._product(call), _prefix(call))
        return self._stream(opened, detailed=True)

    async def stream_product_device(self, call: Call, requester: Bearer) -> Any:
        product = await self._places.holding(call, requester, Action.EVENTS_GET)
        opened = await self._events.listen_product_device(requester, product, call.params["device"], _prefix(call))
        return self._stream(opened, detailed=True)

    async def stream_organization(self, call: Call, requester: Bearer) -> Any:
        organization = await self._places.organization(call)
        opened = await self._events.listen_organization(requester, organization, _prefix(call))
        return self._stream(opened, detailed=True)

    def _stream(self, subscription: Subscription, *, detailed: bool) -> EventStream:
        return EventStream(subscription, self._encoded, detailed=detailed)

    async def _product(self, call: Call) -> Product:
        return await self._places.product(call)


def _published(_nothing: None) -> Any:
    return {"ok": True}


def _prefix(call: Call) -> str:
    return call.params.get("prefix", "")


def _data(data: Fields) -> str | None:
    return data.anything_as_text("data", max_length=_MAX_DATA_LENGTH)


def _ttl_s(data: Fields) -> int:
    ttl = data.integer("ttl")
    return DEFAULT_TTL_S if ttl is None else ttl


def _is_private(data: Fields) -> bool:
    """Left out means private, as in the newer reference: nobody should tell the world something by leaving a field
    out."""
    return data.flag("private") is not False
