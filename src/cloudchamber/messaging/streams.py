"""Open streams of events: bounded, indexed, and ended when their token is.

An event is looked up by what it concerns - its owner, its product, its device, everybody - so that publishing costs
as much as there are listeners to it, not as there are streams. Streams that listen to the same make up a channel, for
which it is decided once whether they hear an event.

A stream's reader either asks for each event (`next`), or has them written to it (`attach`): what one turn of the loop
brought, to all readers of a channel the same object, so that it is encoded once and costs each of them one write. Each
stream has a bounded queue of what its reader could not take; whoever does not read fast enough is dropped, because a
buffer without bound would take the memory of everybody else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from cloudchamber.access.requester import ApiUser, Bearer, Customer, User
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import PRODUCT_REMOVED
from cloudchamber.ids import ClientId, OrganizationId, ProductId, SecretHash
from cloudchamber.messaging.errors import StreamEnded, TooManyStreams
from cloudchamber.messaging.model import (
    Event,
    Listening,
    OrganizationEvents,
    OwnAndPublicEvents,
    OwnDeviceEvents,
    OwnEvents,
    ProductDeviceEvents,
    ProductEvents,
)
from cloudchamber.messaging.rules import hears
from cloudchamber.oauth.tokens import CLIENT_CHANGED, TOKENS_REVOKED
from cloudchamber.organizations.model import TEAM_CHANGED, TeamChanged

K = TypeVar("K")
V = TypeVar("V")

# Three seconds of a busy fleet's events for one reader; about 100 KiB at the most.
_MAX_QUEUED: Final = 256
_MAX_PER_PRINCIPAL: Final = 100
# What is written at once. Past that waiting for the end of the turn saves nothing.
_MAX_BATCH: Final = 64

_PUBLIC: Final = "public"
_ORGANIZATION: Final = "organization"
_ITS_PRODUCTS: Final = "products of organization"


class Reader(Protocol):
    """Has events written to it as they come."""

    def write(self, events: tuple[Event, ...]) -> bool:
        """Sends them. False: nothing was sent, for what was sent before is not taken yet; call `Subscription.resume`
        when it is."""
        ...


class _Channel:
    """The streams that listen to the same."""

    __slots__ = ("asking", "attached", "listening", "pending", "prefix")

    def __init__(self, listening: Listening, prefix: str) -> None:
        self.listening = listening
        self.prefix = prefix
        self.asking: set[Subscription] = set()
        # In the order in which they came: who came first is served first.
        self.attached: dict[Subscription, Reader] = {}
        self.pending: list[Event] = []

    def __len__(self) -> int:
        return len(self.asking) + len(self.attached)


class Subscription:
    """One open stream. `next`, `attach`, `until_ended` and `close` belong to the one task that serves it."""

    __slots__ = (
        "_channel",
        "_ended",
        "_expires_at",
        "_queue",
        "_streams",
        "_waiter",
        "client",
        "principal",
        "token",
    )

    def __init__(
        self,
        streams: "Streams",
        channel: _Channel,
        principal: str,
        client: ClientId,
        token: SecretHash | None,
        expires_at: Millis | None,
    ) -> None:
        self._streams = streams
        self._channel = channel
        self._queue: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended: str | None = None
        self._expires_at = expires_at
        self.principal = principal
        self.client = client
        self.token = token

    @property
    def listening(self) -> Listening:
        return self._channel.listening

    @property
    def prefix(self) -> str:
        return self._channel.prefix

    async def next(self, timeout_s: float) -> Event | None:
        """The next event, or None when none came within `timeout_s`. Raises StreamEnded."""
        self._end_if_expired()
        if not self._queue and self._ended is None:
            if not await self._woken(timeout_s):
                return None
            self._end_if_expired()
        # What was queued for a stream that ended is not delivered: its reader has lost the right to it.
        if self._ended is not None:
            raise StreamEnded(self._ended)
        return self._queue.popleft() if self._queue else None

    def attach(self, reader: Reader) -> None:
        """From now on `reader` has the events, those first that nobody asked for. Nothing happens when the stream has
        ended."""
        if self._ended is None:
            self._streams.attach(self, reader)
            self.resume()

    def resume(self) -> None:
        """The reader that was attached takes events again."""
        self._end_if_expired()
        reader = self._channel.attached.get(self)
        if reader is not None and self._queue and reader.write(tuple(self._queue)):
            self._queue.clear()

    async def until_ended(self, timeout_s: float) -> None:
        """Returns after `timeout_s`. Raises StreamEnded."""
        self._end_if_expired()
        if self._ended is None:
            await self._woken(timeout_s)
            self._end_if_expired()
        if self._ended is not None:
            raise StreamEnded(self._ended)

    async def _woken(self, timeout_s: float) -> bool:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._waiter = None
        return True

    def close(self) -> None:
        """Lets go of everything; called when the reader went away."""
        self._streams.remove(self)

    def offer(self, event: Event) -> None:
        """To a reader that asks."""
        self._put(event)
        self._wake()

    def write(self, events: tuple[Event, ...], now: Millis) -> None:
        """To the reader that was attached."""
        if self._expires_at is not None and self._expires_at <= now:
            self.end("the token expired")
        elif self._queue or not self._channel.attached[self].write(events):
            for event in events:
                self._put(event)

    def _put(self, event: Event) -> None:
        if len(self._queue) < _MAX_QUEUED:
            self._queue.append(event)
        elif self._ended is None:
            self.end("the reader was too slow")

    def end(self, why: str) -> None:
        self._ended = why
        self._queue.clear()
        self._streams.remove(self)
        self._wake()

    def _end_if_expired(self) -> None:
        if self._expires_at is not None and self._expires_at <= self._streams.now():
            self.end("the token expired")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Streams:
    def __init__(
        self,
        bus: InProcessBus,
        clock: Clock,
        *,
        limit: int,
        organization_of: Callable[[ProductId], OrganizationId | None] = lambda _: None,
    ) -> None:
        """`organization_of` a product is asked for every event, and so must not wait."""
        self._clock = clock
        self._organization_of = organization_of
        self.team_changes = 0
        """Goes up with each change of who is in a team."""
        self._limit = limit
        self._channels: dict[tuple[Listening, str], _Channel] = {}
        self._by_key: dict[object, set[_Channel]] = {}
        # Those with something to be written at the end of this turn.
        self._due: list[_Channel] = []
        self._by_token: dict[SecretHash, set[Subscription]] = {}
        self._per_principal: dict[str, int] = {}
        self._open: set[Subscription] = set()
        bus.subscribe(TOKENS_REVOKED, self._revoked)
        bus.subscribe(CLIENT_CHANGED, self._client_changed)
        bus.subscribe(TEAM_CHANGED, self._team_changed)
        bus.subscribe(PRODUCT_REMOVED, self._product_removed)

    def __len__(self) -> int:
        return len(self._open)

    def now(self) -> Millis:
        return self._clock.now()

    def open(
        self,
        requester: Bearer,
        listening: Listening,
        prefix: str,
        expires_at: Millis | None,
    ) -> Subscription:
        """A stream for a requester whose right to `listening` was decided. Raises TooManyStreams."""
        principal = requester.id if isinstance(requester, User | Customer | ApiUser) else requester.client
        if len(self._open) >= self._limit or self._per_principal.get(principal, 0) >= _MAX_PER_PRINCIPAL:
            raise TooManyStreams("Too many event streams are open: close some, or try again later")
        channel = self._channels.get((listening, prefix))
        if channel is None:
            channel = self._channels[(listening, prefix)] = _Channel(listening, prefix)
            for key in _keys(listening):
                self._by_key.setdefault(key, set()).add(channel)
        subscription = Subscription(self, channel, principal, requester.client, requester.token, expires_at)
        channel.asking.add(subscription)
        self._open.add(subscription)
        self._per_principal[principal] = self._per_principal.get(principal, 0) + 1
        if requester.token is not None:
            self._by_token.setdefault(requester.token, set()).add(subscription)
        return subscription

    def dispatch(self, event: Event) -> int:
        """To everybody who may hear the event, by the end of this turn of the loop; returns to how many."""
        by_key = self._by_key
        if not by_key:
            return 0
        heard: set[_Channel] = set()
        organization = event.organization
        if organization is None and event.product is not None:
            organization = self._organization_of(event.product)
        keys: list[object] = [event.owner, event.source, event.product]
        if organization is not None:
            keys.append((_ORGANIZATION, organization))
        if event.is_organizations:
            keys.append((_ITS_PRODUCTS, organization))
        if event.is_public:
            keys.append(_PUBLIC)
        for key in keys:
            channels = None if key is None else by_key.get(key)
            if channels is not None:
                for channel in channels:
                    if hears(channel.listening, channel.prefix, event, organization):
                        heard.add(channel)
        count = 0
        for channel in heard:
            count += len(channel)
            for subscription in tuple(channel.asking):
                subscription.offer(event)
            if channel.attached:
                self._write_soon(channel, event)
        return count

    def _write_soon(self, channel: _Channel, event: Event) -> None:
        if not channel.pending:
            if not self._due:
                asyncio.get_running_loop().call_soon(self._write_due)
            self._due.append(channel)
        channel.pending.append(event)
        if len(channel.pending) >= _MAX_BATCH:
            self._write(channel)

    def _write_due(self) -> None:
        due, self._due = self._due, []
        for channel in due:
            self._write(channel)

    def _write(self, channel: _Channel) -> None:
        if not channel.pending:
            return
        events, now = tuple(channel.pending), self._clock.now()
        channel.pending.clear()
        for subscription in tuple(channel.attached):
            # One that ended for another's sake, a moment ago, hears nothing any more.
            if subscription in channel.attached:
                subscription.write(events, now)

    def attach(self, subscription: Subscription, reader: Reader) -> None:
        channel = subscription._channel
        # These it was offered already, if it was there.
        self._write(channel)
        channel.asking.discard(subscription)
        channel.attached[subscription] = reader

    def remove(self, subscription: Subscription) -> None:
        if subscription not in self._open:
            return
        self._open.discard(subscription)
        left = self._per_principal[subscription.principal] - 1
        if left:
            self._per_principal[subscription.principal] = left
        else:
            del self._per_principal[subscription.principal]
        channel = subscription._channel
        channel.asking.discard(subscription)
        channel.attached.pop(subscription, None)
        if not channel:
            del self._channels[(channel.listening, channel.prefix)]
            for key in _keys(channel.listening):
                _discard(self._by_key, key, channel)
        if subscription.token is not None:
            _discard(self._by_token, subscription.token, subscription)

    def close(self) -> None:
        """Ends every stream: the cloud stops."""
        for subscription in tuple(self._open):
            subscription.end("the cloud is stopping")

    def _revoked(self, hashes: frozenset[SecretHash]) -> None:
        for hash_ in hashes:
            for subscription in tuple(self._by_token.get(hash_, ())):
                subscription.end("the token was revoked")

    def _client_changed(self, client: ClientId) -> None:
        # Its tokens may have lost the right to listen. Whoever has not opens the stream again.
        for subscription in tuple(self._open):
            if subscription.client == client:
                subscription.end("the client was changed")

    def _team_changed(self, change: TeamChanged) -> None:
        self.team_changes += 1
        if change.user is None and not change.is_gone:
            return
        # Who has only another role now opens the stream again; who has none is refused.
        for subscription in tuple(self._open):
            if _is_at(subscription.listening, change) and (change.is_gone or subscription.principal == change.user):
                subscription.end("the team was changed")

    def _product_removed(self, product: Product) -> None:
        self._team_changed(TeamChanged(product=product.id, is_gone=True))


def _is_at(listening: Listening, change: TeamChanged) -> bool:
    match listening:
        case ProductEvents() | ProductDeviceEvents():
            if change.product is not None:
                return listening.product == change.product
            return listening.organization == change.organization
        case OrganizationEvents(organization=organization):
            return organization == change.organization
        case OwnEvents() | OwnAndPublicEvents() | OwnDeviceEvents():
            return False


def _keys(listening: Listening) -> tuple[object, ...]:
    """Under what a stream is found. Owners are typed values, product ids numbers, device ids text, organizations pairs:
    they never meet."""
    match listening:
        case OwnEvents(owner=owner):
            return (owner,)
        case OwnAndPublicEvents(owner=owner):
            return (owner, _PUBLIC)
        case OwnDeviceEvents(device=device) | ProductDeviceEvents(device=device):
            return (device,)
        case ProductEvents(product=product, organization=organization):
            return (product, (_ITS_PRODUCTS, organization))
        case OrganizationEvents(organization=organization):
            return ((_ORGANIZATION, organization),)


def _discard(index: dict[K, set[V]], key: K, value: V) -> None:
    found = index.get(key)
    if found is not None:
        found.discard(value)
        if not found:
            del index[key]
