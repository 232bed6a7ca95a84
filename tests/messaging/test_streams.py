"""Open streams: found by what they listen to, bounded, and ended with their token."""

import asyncio
from itertools import product as every

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser
from cloudchamber.access.requester import User
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import FixedClock, Millis
from cloudchamber.ids import ClientId, CustomerId, DeviceId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.messaging.errors import StreamEnded, TooManyStreams
from cloudchamber.messaging.model import (
    FROM_API,
    Event,
    OrganizationEvents,
    OwnAndPublicEvents,
    OwnDeviceEvents,
    OwnEvents,
    ProductDeviceEvents,
    ProductEvents,
)
from cloudchamber.messaging.rules import hears
from cloudchamber.messaging.streams import Streams
from cloudchamber.oauth.tokens import CLIENT_CHANGED, TOKENS_REVOKED
from cloudchamber.organizations.model import TEAM_CHANGED, TeamChanged

ANN = OwnedByUser(UserId("a"))
OWNERS = [ANN, OwnedByUser(UserId("b")), OwnedByCustomer(CustomerId("a"))]
PRODUCTS = [ProductId(1), ProductId(2), ProductId(3)]
ORGANIZATIONS = [OrganizationId("a" * 24), OrganizationId("b" * 24)]
# The third product is not known to be in any.
ORGANIZATION_OF = {PRODUCTS[0]: ORGANIZATIONS[0], PRODUCTS[1]: ORGANIZATIONS[1]}
DEVICES = [DeviceId("d" * 24), DeviceId("e" * 24)]
LISTENINGS = [
    *map(OwnEvents, OWNERS),
    *map(OwnAndPublicEvents, OWNERS),
    *(OwnDeviceEvents(owner, device) for owner, device in every(OWNERS, DEVICES)),
    *(ProductEvents(product, organization) for product, organization in ORGANIZATION_OF.items()),
    *(
        ProductDeviceEvents(product, organization, device)
        for (product, organization), device in every(ORGANIZATION_OF.items(), DEVICES)
    ),
    *map(OrganizationEvents, ORGANIZATIONS),
]
PREFIXES = ["", "a", "ab", "b", "A"]


def event(
    name: str = "x", *, public: bool = False, owner=ANN, product=None, source: str = FROM_API, organization=None
) -> Event:
    return Event(name, None, 60, Millis(0), source, public, owner, product, organization=organization)


def requester(token: str = "t", user: str = "a", client: str = "particle") -> User:
    return User(UserId(user), ClientId(client), token=SecretHash(token.encode()))


class Desk:
    def __init__(self, limit: int = 1000) -> None:
        self.bus, self.clock = InProcessBus(), FixedClock(0)
        self.streams = Streams(self.bus, self.clock, limit=limit, organization_of=ORGANIZATION_OF.get)

    def open(self, listening=None, prefix: str = "", expires_at: int | None = None, **who: str):
        return self.streams.open(requester(**who), listening or OwnEvents(ANN), prefix, expires_at)


EVENTS = st.builds(
    event,
    st.sampled_from(["a", "ab", "b", "abc"]),
    public=st.booleans(),
    owner=st.none() | st.sampled_from(OWNERS),
    product=st.none() | st.sampled_from(PRODUCTS),
    source=st.sampled_from([FROM_API, *DEVICES]),
    organization=st.none() | st.sampled_from(ORGANIZATIONS),
)


@given(st.lists(st.tuples(st.sampled_from(LISTENINGS), st.sampled_from(PREFIXES), st.booleans()), max_size=15), EVENTS)
def test_an_event_reaches_whom_asking_everybody_would_find(opened, one) -> None:
    desk = Desk()
    open_ = []
    for listening, prefix, stays in opened:
        subscription = desk.open(listening, prefix)
        if stays:
            open_.append(subscription)
        else:
            subscription.close()
    organization = one.organization or ORGANIZATION_OF.get(one.product)
    expected = [
        subscription for subscription in open_ if hears(subscription.listening, subscription.prefix, one, organization)
    ]
    assert desk.streams.dispatch(one) == len(expected)
    assert [subscription for subscription in open_ if subscription._queue] == expected
    for subscription in open_:
        subscription.close()
        subscription.close()
    streams = desk.streams
    for index in (streams._open, streams._by_key, streams._by_token, streams._per_principal):
        assert not index


async def test_events_come_in_order_or_nothing_within_the_time() -> None:
    desk = Desk()
    stream = desk.open()
    for name in ("one", "two"):
        desk.streams.dispatch(event(name))
    assert [(await stream.next(1)).name for _ in range(2)] == ["one", "two"]
    assert await stream.next(0.001) is None
    waiting = asyncio.create_task(stream.next(5))
    await asyncio.sleep(0)
    desk.streams.dispatch(event("three"))
    assert (await waiting).name == "three"


async def test_a_reader_that_is_too_slow_is_dropped_and_nobody_else() -> None:
    desk = Desk()
    slow, quick = desk.open(), desk.open()
    for number in range(256):
        desk.streams.dispatch(event(str(number)))
        assert (await quick.next(1)).name == str(number)
    assert desk.streams.dispatch(event("too much")) == 2
    assert (await quick.next(1)).name == "too much"
    with pytest.raises(StreamEnded, match="too slow"):
        await slow.next(1)
    assert len(slow._queue) == 0
    assert len(desk.streams) == 1


async def test_a_revoked_token_ends_its_streams_at_once() -> None:
    desk = Desk()
    mine, also_mine, other = desk.open(token="t"), desk.open(token="t"), desk.open(token="u")
    waiting = asyncio.create_task(mine.next(5))
    await asyncio.sleep(0)
    desk.streams.dispatch(event("before"))
    desk.bus.publish(TOKENS_REVOKED, frozenset({requester("t").token, SecretHash(b"unknown")}))
    for ended in (waiting, also_mine.next(1)):
        with pytest.raises(StreamEnded, match="revoked"):
            await ended
    assert (await other.next(1)).name == "before"
    assert desk.streams.dispatch(event()) == len(desk.streams) == 1


async def test_a_change_of_its_client_ends_a_stream() -> None:
    desk = Desk()
    mine, other = desk.open(client="shop-1"), desk.open(client="shop-2")
    desk.bus.publish(CLIENT_CHANGED, ClientId("shop-1"))
    with pytest.raises(StreamEnded, match="client"):
        await mine.next(1)
    assert await other.next(0.001) is None


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        (TeamChanged(product=PRODUCTS[0], user=UserId("a")), {"product", "device"}),
        (TeamChanged(organization=ORGANIZATIONS[0], user=UserId("a")), {"product", "device", "organization"}),
        (TeamChanged(organization=ORGANIZATIONS[1], user=UserId("a")), {"elsewhere"}),
        (TeamChanged(product=PRODUCTS[0], is_gone=True), {"product", "device", "bobs"}),
        (TeamChanged(organization=ORGANIZATIONS[0], is_gone=True), {"product", "device", "bobs", "organization"}),
        (TeamChanged(product=PRODUCTS[0], user=UserId("nobody")), set()),
        # A rename, an invitation: nobody has lost anything.
        (TeamChanged(product=PRODUCTS[0]), set()),
        (TeamChanged(organization=ORGANIZATIONS[0]), set()),
    ],
)
async def test_a_change_of_the_team_ends_what_its_member_holds_open_there(change, ended) -> None:
    desk = Desk()
    organization = ORGANIZATIONS[0]
    streams = {
        "product": desk.open(ProductEvents(PRODUCTS[0], organization)),
        "device": desk.open(ProductDeviceEvents(PRODUCTS[0], organization, DEVICES[0])),
        "bobs": desk.open(ProductEvents(PRODUCTS[0], organization), user="b"),
        "organization": desk.open(OrganizationEvents(organization)),
        "elsewhere": desk.open(ProductEvents(PRODUCTS[1], ORGANIZATIONS[1])),
        "own": desk.open(),
    }
    waiting = {name: asyncio.create_task(stream.next(5)) for name, stream in streams.items()}
    await asyncio.sleep(0)
    desk.bus.publish(TEAM_CHANGED, change)
    await asyncio.sleep(0)
    assert {name for name, task in waiting.items() if task.done()} == ended
    for name in ended:
        with pytest.raises(StreamEnded, match="team"):
            await waiting[name]
    assert len(desk.streams) == len(streams) - len(ended)
    for task in waiting.values():
        task.cancel()


async def test_an_expired_token_hears_nothing_more() -> None:
    desk = Desk()
    stream = desk.open(expires_at=10)
    waiting = asyncio.create_task(stream.next(5))
    await asyncio.sleep(0)
    desk.clock.advance(10)
    desk.streams.dispatch(event("after its end"))
    with pytest.raises(StreamEnded, match="expired"):
        await waiting
    late = desk.open(expires_at=10)
    desk.streams.dispatch(event())
    with pytest.raises(StreamEnded, match="expired"):
        await late.next(1)
    assert len(desk.streams) == 0


async def test_the_number_of_streams_is_bounded_in_all_and_for_each() -> None:
    desk = Desk(limit=101)
    mine = [desk.open() for _ in range(100)]
    with pytest.raises(TooManyStreams) as refused:
        desk.open()
    assert refused.value.status == 429
    desk.open(user="b")
    with pytest.raises(TooManyStreams):
        desk.open(user="c")
    mine[0].close()
    desk.open()


async def test_the_cloud_stops() -> None:
    desk = Desk()
    streams = [desk.open() for _ in range(3)]
    waiting = asyncio.create_task(streams[0].next(5))
    await asyncio.sleep(0)
    desk.streams.close()
    with pytest.raises(StreamEnded, match="stopping"):
        await waiting
    assert len(desk.streams) == 0


# -- readers that events are written to -----------------------------------------------------------------------------


class Pen:
    """A reader; `is_full` while it takes nothing."""

    def __init__(self) -> None:
        self.is_full = False
        self.written: list[tuple[Event, ...]] = []

    def write(self, events: tuple[Event, ...]) -> bool:
        if not self.is_full:
            self.written.append(events)
        return not self.is_full

    @property
    def names(self) -> list[str]:
        return [each.name for events in self.written for each in events]


def attached(desk: Desk, **how):
    subscription, pen = desk.open(**how), Pen()
    subscription.attach(pen)
    return subscription, pen


async def test_what_a_turn_brings_is_one_object_for_all_who_listen_to_the_same() -> None:
    desk = Desk()
    (_, one), (_, two) = attached(desk), attached(desk, token="u")
    _, prefixed = attached(desk, prefix="t")
    asking = desk.open()
    for name in ("one", "two", "three"):
        assert desk.streams.dispatch(event(name)) == 3 + (name != "one")
    assert not one.written
    await asyncio.sleep(0)
    assert one.names == two.names == ["one", "two", "three"]
    (mine,), (theirs,) = one.written, two.written
    assert mine is theirs
    assert prefixed.names == ["two", "three"]
    assert [(await asking.next(1)).name for _ in range(3)] == one.names


async def test_a_long_turn_is_written_in_pieces() -> None:
    desk = Desk()
    _, pen = attached(desk)
    names = [str(number) for number in range(1_000)]
    for name in names:
        desk.streams.dispatch(event(name))
    await asyncio.sleep(0)
    assert pen.names == names
    assert max(len(events) for events in pen.written) < 100


async def test_a_reader_that_comes_later_has_what_waits_for_it_and_nothing_twice() -> None:
    desk = Desk()
    _, there = attached(desk)
    subscription, pen = desk.open(), Pen()
    desk.streams.dispatch(event("one"))
    subscription.attach(pen)
    desk.streams.dispatch(event("two"))
    _, late = attached(desk)
    desk.streams.dispatch(event("three"))
    await asyncio.sleep(0)
    assert pen.names == there.names == ["one", "two", "three"]
    assert late.names == ["three"]


async def test_a_reader_that_is_full_has_the_rest_in_order_when_it_takes_again() -> None:
    desk = Desk()
    subscription, pen = attached(desk)
    pen.is_full = True
    for name in ("one", "two"):
        desk.streams.dispatch(event(name))
        await asyncio.sleep(0)
    subscription.resume()
    assert not pen.written
    pen.is_full = False
    desk.streams.dispatch(event("three"))
    await asyncio.sleep(0)
    subscription.resume()
    desk.streams.dispatch(event("four"))
    await asyncio.sleep(0)
    subscription.resume()
    assert pen.names == ["one", "two", "three", "four"]


async def test_a_reader_that_stays_full_is_dropped_and_nobody_else() -> None:
    desk = Desk()
    (slow, full), (_, quick) = attached(desk), attached(desk)
    full.is_full = True
    waiting = asyncio.create_task(slow.until_ended(5))
    for number in range(257):
        desk.streams.dispatch(event(str(number)))
        await asyncio.sleep(0)
    with pytest.raises(StreamEnded, match="too slow"):
        await waiting
    full.is_full = False
    slow.resume()
    assert not full.written
    assert len(quick.names) == 257
    assert len(desk.streams) == len(slow._queue) + 1 == 1


@pytest.mark.parametrize("end", ["revoked", "client", "team", "expired", "gone", "stopping"])
async def test_whoever_lost_the_right_within_the_turn_hears_nothing_of_it(end: str) -> None:
    desk = Desk()
    listening = ProductEvents(PRODUCTS[0], ORGANIZATIONS[0])
    subscription, pen = attached(desk, listening=listening, expires_at=10)
    _, other = attached(desk, listening=listening, token="u", user="b", client="other")
    waiting = asyncio.create_task(subscription.until_ended(0.001 if end == "expired" else 5))
    await asyncio.sleep(0)
    desk.streams.dispatch(event(product=PRODUCTS[0]))
    if end == "revoked":
        desk.bus.publish(TOKENS_REVOKED, frozenset({requester().token}))
    elif end == "client":
        desk.bus.publish(CLIENT_CHANGED, ClientId("particle"))
    elif end == "team":
        desk.bus.publish(TEAM_CHANGED, TeamChanged(product=PRODUCTS[0], user=UserId("a")))
    elif end == "expired":
        desk.clock.advance(10)
    elif end == "gone":
        subscription.end("gone")
    else:
        desk.streams.close()
    with pytest.raises(StreamEnded, match=end):
        await waiting
    assert not pen.written
    assert len(other.names) == (end != "stopping")
    subscription.attach(pen)
    subscription.close()
    desk.streams.close()
    assert not desk.streams._channels
    assert not desk.streams._by_key
