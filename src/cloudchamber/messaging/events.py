"""Publishing, and opening streams."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any, Final

from cloudchamber.access.model import Action, Owner, OwnThings
from cloudchamber.access.requester import Anonymous, Customer, Device, Requester
from cloudchamber.access.rules import owner_of
from cloudchamber.access.service import require
from cloudchamber.clock import Clock
from cloudchamber.errors import CloudError
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices
from cloudchamber.ids import DeviceId, OrganizationId, ProductId
from cloudchamber.messaging.audience import Audience
from cloudchamber.messaging.errors import EventPrefixMissing
from cloudchamber.messaging.model import (
    DEFAULT_TTL_S,
    FROM_API,
    FROM_CLOUD,
    Event,
    Listening,
    OrganizationEvents,
    OwnAndPublicEvents,
    OwnDeviceEvents,
    OwnEvents,
    ProductDeviceEvents,
    ProductEvents,
)
from cloudchamber.messaging.ports import DeviceLink, EventSink
from cloudchamber.messaging.recording import Kept, Recording
from cloudchamber.messaging.rules import check_publication, is_reserved
from cloudchamber.messaging.streams import Streams, Subscription
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.organizations.model import Organization
from cloudchamber.organizations.service import Organizations
from cloudchamber.tally import Figure, Tally

_log = logging.getLogger(__name__)

Published = Callable[[Exception | None], None]
"""Told the end of a publication: why it is not on record, where it is not."""

Errand = Callable[[], Coroutine[Any, Any, bool]]

_RECEIVED: Final = int(Figure.EVENTS)  # a plain number is counted in half the time


class Events:
    def __init__(
        self,
        streams: Streams,
        audience: Audience,
        link: DeviceLink,
        devices: Devices,
        tokens: Tokens,
        clock: Clock,
        sink: EventSink | None = None,
        *,
        products: Products,
        organizations: Organizations,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._publishing: set[asyncio.Task[None]] = set()
        self._products = products
        self._organizations = organizations
        self._sink = sink
        self._streams = streams
        self._audience = audience
        self._link = link
        self._devices = devices
        self._tokens = tokens
        self._clock = clock

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def publish_as(
        self, requester: Requester, name: str, data: str | None, ttl_s: int, *, is_private: bool
    ) -> None:
        """As a user or customer: to the requester's streams and devices, and to everybody's when it is not private.
        When this returns, the webhooks that it fires are on record.

        Raises AccessRefused, EventInvalid, StorageUnavailable, StorageBusy.
        """
        event, owner = self._of_requester(requester, name, data, ttl_s, is_private=is_private)
        await self._recorded(event)
        self._spread_of(owner, event)

    def publish_soon(
        self, requester: Requester, name: str, data: str | None, ttl_s: int, *, is_private: bool
    ) -> Callable[[Published], Callable[[], None]]:
        """As `publish_as`, without a task where no webhook is fired, and nothing happens before what this gives is
        called, with what is to be told the end. Raises AccessRefused, EventInvalid."""
        event, owner = self._of_requester(requester, name, data, ttl_s, is_private=is_private)
        return partial(self._begin_publishing, event, owner)

    def _begin_publishing(self, event: Event, owner: Owner, told: Published) -> Callable[[], None]:
        try:
            recording = self._sink.offer(event) if self._sink is not None else None
        except CloudError as error:
            told(error)
            return _go_on
        if recording is None:
            self._spread_of(owner, event)
            told(None)
        else:
            task = asyncio.get_running_loop().create_task(self._finish_publishing(recording, event, owner, told))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
        return _go_on

    async def _finish_publishing(self, recording: Awaitable[None], event: Event, owner: Owner, told: Published) -> None:
        try:
            await recording
            self._spread_of(owner, event)
        except Exception as error:
            told(error)
        else:
            told(None)

    def _of_requester(
        self, requester: Requester, name: str, data: str | None, ttl_s: int, *, is_private: bool
    ) -> tuple[Event, Owner]:
        """Raises AccessRefused, EventInvalid."""
        require(requester, Action.EVENTS_SEND, OwnThings())
        check_publication(name, data, ttl_s)
        product, organization = None, None
        if isinstance(requester, Customer):
            product, organization = requester.product, requester.organization
        owner = owner_of(requester)
        assert owner is not None, "only users and customers pass the rule"
        now = self._clock.now()
        event = Event(name, data, ttl_s, now, FROM_API, not is_private, owner, product, organization=organization)
        return event, owner

    def _spread_of(self, owner: Owner, event: Event) -> None:
        self._streams.dispatch(event)
        self._deliver(event, own=self._audience.of_owner(owner), source=None)

    async def publish_in(
        self, requester: Requester, product: Product, name: str, data: str | None, ttl_s: int, *, is_private: bool
    ) -> None:
        """As a product: to its stream and to all of its devices, and its webhooks.

        Raises AccessRefused, EventInvalid, StorageUnavailable, StorageBusy.
        """
        require(requester, Action.EVENTS_SEND, product.resource(requester))
        check_publication(name, data, ttl_s)
        event = Event(name, data, ttl_s, self._clock.now(), FROM_API, not is_private, None, product.id)
        await self._recorded(event)
        self._streams.dispatch(event)
        self._deliver(event, own=self._audience.of_product(product.id), source=None)

    async def publish_in_organization(
        self,
        requester: Requester,
        organization: Organization,
        name: str,
        data: str | None,
        ttl_s: int,
        *,
        is_private: bool,
    ) -> None:
        """As an organization: to its stream, to those of its products, and to all of their devices.

        Raises AccessRefused, EventInvalid, StorageUnavailable, StorageBusy.
        """
        require(requester, Action.EVENTS_SEND, organization.resource(requester))
        check_publication(name, data, ttl_s)
        products = await self._products.ids_in(organization.id)
        now = self._clock.now()
        event = Event(name, data, ttl_s, now, FROM_API, not is_private, None, None, organization=organization.id)
        await self._recorded(event)
        self._streams.dispatch(event)
        own = {device for product in products for device in self._audience.of_product(product)}
        self._deliver(event, own=own, source=None)

    def publish_from(self, event: Event, device: DeviceId, *, may_refuse: bool, is_next: bool) -> Kept | Errand | None:
        """What a device published. None: all is done, for nothing had to be put on record. Otherwise call what is left
        to do; it gives False where the event could not be put on record and, if it `may_refuse`, is not taken. Not
        `is_next`: others of the device are not heard yet, and this one must be heard after them."""
        self._tally.note(event.product, _RECEIVED)
        recording = self._sink.offer(event) if self._sink is not None else None
        if recording is not None:
            return Kept(recording, partial(self._finish, recording, event, device, may_refuse))
        if not is_next:
            return partial(self._spread_later, event, device)
        self._spread(event, device)
        return None

    async def _spread_later(self, event: Event, device: DeviceId) -> bool:
        self._spread(event, device)
        return True

    def _finish(self, recording: Recording, event: Event, device: DeviceId, may_refuse: bool) -> bool:
        error = recording.error
        if error is not None:
            if not isinstance(error, CloudError):
                raise error
            if may_refuse:
                _log.debug("the event %s of %s is not taken: %s", event.name, event.source, error)
                return False
            # A device that asks for no answer has none that would say so.
            _log.warning("webhooks miss the event %s of %s: %s", event.name, event.source, error)
        self._spread(event, device)
        return True

    def _spread(self, event: Event, device: DeviceId) -> None:
        self._streams.dispatch(event)
        # The system's own events tell people about a device; other devices have no use for them.
        if not is_reserved(event.name):
            own = self._audience.of_owner(event.owner) if event.owner is not None else ()
            self._deliver(event, own=own, source=device)

    async def announce(self, event: Event) -> None:
        """What the cloud says about a device: to streams and webhooks, to no device."""
        await self._recorded_or_logged(event)
        self._streams.dispatch(event)

    def tell(
        self,
        name: str,
        data: str,
        *,
        owner: Owner | None,
        product: ProductId | None,
        organization: OrganizationId | None = None,
    ) -> None:
        """What the cloud says to somebody's streams and devices: to all of `owner`, or else of `product`; where it
        answers what was said to a whole organization, to that one's streams."""
        now = self._clock.now()
        event = Event(name, data, DEFAULT_TTL_S, now, FROM_CLOUD, False, owner, product, organization=organization)
        self._streams.dispatch(event)
        own: Collection[DeviceId] = ()
        if owner is not None:
            own = self._audience.of_owner(owner)
        elif product is not None:
            own = self._audience.of_product(product)
        self._deliver(event, own=own, source=None)

    async def _recorded(self, event: Event) -> None:
        recording = self._sink.offer(event) if self._sink is not None else None
        if recording is not None:
            await recording

    async def _recorded_or_logged(self, event: Event) -> None:
        """For whoever cannot be told of a failure."""
        try:
            await self._recorded(event)
        except CloudError:
            _log.warning("webhooks miss the event %s of %s", event.name, event.source, exc_info=True)

    def _deliver(self, event: Event, *, own: Collection[DeviceId], source: DeviceId | None) -> None:
        """Private events reach subscriptions to one's own devices, public ones those to everybody's: a device never
        gets both for one event."""
        targets = self._link.public_subscribers() if event.is_public else own
        if not targets:
            return
        data = None if event.data is None else event.data.encode()
        for target in tuple(targets):
            # Among the public subscribers are devices on no record, and some that are shut out.
            if event.is_public and not self._audience.is_reached(target):
                continue
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
        listening = ProductEvents(product.id, product.organization)
        return await self._open(requester, listening, prefix, self._in_team(requester, product))

    async def listen_product_device(
        self, requester: Requester, product: Product, reference: str, prefix: str
    ) -> Subscription:
        """Raises AccessRefused, DeviceNotInProduct, TooManyStreams."""
        device = await self._devices.in_product(requester, product, reference, Action.EVENTS_GET)
        listening = ProductDeviceEvents(product.id, product.organization, device.id)
        return await self._open(requester, listening, prefix, self._in_team(requester, product))

    async def listen_organization(self, requester: Requester, organization: Organization, prefix: str) -> Subscription:
        """Raises AccessRefused, TooManyStreams."""
        require(requester, Action.EVENTS_GET, organization.resource(requester))

        async def still() -> None:
            now = await self._organizations.by_id(organization.id)
            require(requester, Action.EVENTS_GET, now.resource(requester))

        return await self._open(requester, OrganizationEvents(organization.id), prefix, still)

    def _in_team(self, requester: Requester, product: Product) -> Callable[[], Awaitable[None]]:
        async def still() -> None:
            require(requester, Action.EVENTS_GET, (await self._products.by_id(product.id)).resource(requester))

        return still

    async def _open(
        self,
        requester: Requester,
        listening: Listening,
        prefix: str,
        still: Callable[[], Awaitable[None]] | None = None,
    ) -> Subscription:
        """`still` raises AccessRefused once the requester has lost the right to listen."""
        assert not isinstance(requester, Anonymous | Device), "the rule lets neither through"
        expires_at = await self._tokens.expires_at(requester.token) if requester.token is not None else None
        if still is not None:
            # Who was taken out of the team while we waited had no stream yet that could end.
            changes = None
            while changes != self._streams.team_changes:
                changes = self._streams.team_changes
                await still()
        return self._streams.open(requester, listening, prefix, expires_at)


def _go_on() -> None:
    """An event is published, whether or not somebody waits to hear it."""
