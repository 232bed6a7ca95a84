"""Publishing, and opening streams."""

from collections.abc import Collection

from cloudchamber.access.model import Action, OwnThings
from cloudchamber.access.requester import Customer, ProductClient, Requester, User
from cloudchamber.access.rules import owner_of
from cloudchamber.access.service import require
from cloudchamber.clock import Clock
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.service import Devices
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.audience import Audience
from cloudchamber.messaging.errors import EventPrefixMissing
from cloudchamber.messaging.model import (
    FROM_API,
    Event,
    Listening,
    OwnAndPublicEvents,
    OwnDeviceEvents,
    OwnEvents,
    ProductDeviceEvents,
    ProductEvents,
)
from cloudchamber.messaging.ports import DeviceLink
from cloudchamber.messaging.rules import check_publication, is_reserved
from cloudchamber.messaging.streams import Streams, Subscription
from cloudchamber.oauth.tokens import Tokens


class Events:
    def __init__(
        self,
        streams: Streams,
        audience: Audience,
        link: DeviceLink,
        devices: Devices,
        tokens: Tokens,
        clock: Clock,
    ) -> None:
        self._streams = streams
        self._audience = audience
        self._link = link
        self._devices = devices
        self._tokens = tokens
        self._clock = clock

    # -- publishing ---------------------------------------------------------------------------------------------------

    def publish_as(self, requester: Requester, name: str, data: str | None, ttl_s: int, *, is_private: bool) -> None:
        """As a user or customer: to the requester's streams and devices, and to everybody's when it is not private.

        Raises AccessRefused, EventInvalid.
        """
        require(requester, Action.EVENTS_SEND, OwnThings())
        check_publication(name, data, ttl_s)
        product = requester.product if isinstance(requester, Customer) else None
        owner = owner_of(requester)
        event = Event(name, data, ttl_s, self._clock.now(), FROM_API, not is_private, owner, product)
        self._streams.dispatch(event)
        assert owner is not None, "only users and customers pass the rule"
        self._deliver(event, own=self._audience.of_owner(owner), source=None)

    def publish_in(
        self, requester: Requester, product: Product, name: str, data: str | None, ttl_s: int, *, is_private: bool
    ) -> None:
        """As a product: to its stream and to all of its devices. Raises AccessRefused, EventInvalid."""
        require(requester, Action.EVENTS_SEND, product.resource(requester))
        check_publication(name, data, ttl_s)
        event = Event(name, data, ttl_s, self._clock.now(), FROM_API, not is_private, None, product.id)
        self._streams.dispatch(event)
        self._deliver(event, own=self._audience.of_product(product.id), source=None)

    def publish_from(self, event: Event, device: DeviceId) -> None:
        """What a device published."""
        self._streams.dispatch(event)
        # The system's own events tell people about a device; other devices have no use for them.
        if not is_reserved(event.name):
            own = self._audience.of_owner(event.owner) if event.owner is not None else ()
            self._deliver(event, own=own, source=device)

    def announce(self, event: Event) -> None:
        """What the cloud says about a device: to streams alone."""
        self._streams.dispatch(event)

    def _deliver(self, event: Event, *, own: Collection[DeviceId], source: DeviceId | None) -> None:
        """Private events reach subscriptions to one's own devices, public ones those to everybody's: a device never
        gets both for one event."""
        data = None if event.data is None else event.data.encode()
        targets = self._link.public_subscribers() if event.is_public else own
        for target in tuple(targets):
            self._link.send_event(
                target,
                event.name,
                data,
                ttl_s=event.ttl_s,
                is_private=not event.is_public,
                is_own=target in own,
                source=source,
            )

    # -- streams ------------------------------------------------------------------------------------------------------

    async def listen_own(self, requester: Requester, prefix: str) -> Subscription:
        """Raises AccessRefused, TooManyStreams."""
        require(requester, Action.EVENTS_GET, OwnThings())
        owner = owner_of(requester)
        assert owner is not None, "only users and customers pass the rule"
        return await self._open(requester, OwnEvents(owner), prefix)

    async def listen_public(self, requester: Requester, prefix: str) -> Subscription:
        """Everybody's public events and all of one's own. Raises AccessRefused, EventPrefixMissing, TooManyStreams."""
        require(requester, Action.EVENTS_GET, OwnThings())
        if not prefix:
            raise EventPrefixMissing("event prefix filter is required")
        owner = owner_of(requester)
        assert owner is not None, "only users and customers pass the rule"
        return await self._open(requester, OwnAndPublicEvents(owner), prefix)

    async def listen_device(self, requester: Requester, reference: str, prefix: str) -> Subscription:
        """Raises DeviceUnknown, AccessRefused, TooManyStreams."""
        device = await self._devices.own(requester, reference, Action.EVENTS_GET)
        owner = owner_of(requester)
        assert owner is not None, "only users and customers pass the rule"
        return await self._open(requester, OwnDeviceEvents(owner, device.id), prefix)

    async def listen_product(self, requester: Requester, product: Product, prefix: str) -> Subscription:
        """Raises AccessRefused, TooManyStreams."""
        require(requester, Action.EVENTS_GET, product.resource(requester))
        return await self._open(requester, ProductEvents(product.id), prefix)

    async def listen_product_device(
        self, requester: Requester, product: Product, reference: str, prefix: str
    ) -> Subscription:
        """Raises AccessRefused, DeviceNotInProduct, TooManyStreams."""
        device = await self._devices.in_product(requester, product, reference, Action.EVENTS_GET)
        return await self._open(requester, ProductDeviceEvents(product.id, device.id), prefix)

    async def _open(self, requester: Requester, listening: Listening, prefix: str) -> Subscription:
        assert isinstance(requester, User | Customer | ProductClient), "the rule lets nobody else through"
        expires_at = await self._tokens.expires_at(requester.token) if requester.token is not None else None
        return self._streams.open(requester, listening, prefix, expires_at)
