"""Publishing to streams and devices, as users, customers, products and devices do."""

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import Anonymous, ProductClient
from cloudchamber.fleet.errors import DeviceNotInProduct, DeviceUnknown
from cloudchamber.ids import ClientId, DeviceId
from cloudchamber.messaging.errors import EventInvalid, EventPrefixMissing, StreamEnded
from cloudchamber.messaging.inbox import Inbox
from cloudchamber.wire.events import EventPublished
from tests.world import World, device_id, key

ONE, TWO, THREE = map(device_id, (1, 2, 3))


class Heard:
    """Streams that everybody has open, and what each of them heard since it was last asked."""

    def __init__(self, **streams) -> None:
        self.streams = streams

    async def now(self) -> dict[str, list[str]]:
        heard: dict[str, list[str]] = {}
        for name, stream in self.streams.items():
            while stream._queue:
                heard.setdefault(name, []).append((await stream.next(0)).name)
        return heard


def all_hear(event: str, *names: str) -> dict[str, list[str]]:
    return {name: [event] for name in names}


async def published(inbox: Inbox, device: DeviceId, name: str, data: bytes | None, *, is_private: bool) -> None:
    said = EventPublished(name, data, 60, is_private)
    assert inbox.published(device, said, is_next=True) is None, "no webhook waits for it"


@pytest.fixture
def inbox(world: World) -> Inbox:
    return Inbox(world.connections, world.ownership, world.events, world.audience, world.bus, world.clock)


async def test_who_hears_whose_events(world: World, inbox: Inbox) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    server = ProductClient(ClientId("c-1"), thing.id)
    await world.import_(ann, thing, 1, 2)
    await world.ownership.claim(kim, ONE)
    for number in (1, 2, 3):
        await world.connect(number, key(str(number)))
    await world.ownership.claim(bob, THREE)
    heard = Heard(
        ann=await world.events.listen_own(ann, ""),
        bob=await world.events.listen_own(bob, ""),
        kim=await world.events.listen_own(kim, ""),
        kims_device=await world.events.listen_device(kim, ONE, ""),
        product=await world.events.listen_product(server, thing, ""),
        product_device=await world.events.listen_product_device(ann, thing, TWO, ""),
        public=await world.events.listen_public(ann, "p"),
    )
    world.connected.wide = {TWO}

    await published(inbox, ONE, "private", b"1", is_private=True)
    assert await heard.now() == all_hear("private", "kim", "kims_device", "product")
    assert [(s.device, s.is_private, s.is_own) for s in world.connected.sent] == [(ONE, True, True)]
    world.connected.sent.clear()

    await published(inbox, ONE, "public", b"\xff", is_private=False)
    assert await heard.now() == all_hear("public", "kim", "kims_device", "product", "public")
    # Public events reach wide subscriptions alone, never the owner's own as well.
    assert [(s.device, s.is_private, s.is_own, s.source) for s in world.connected.sent] == [(TWO, False, False, ONE)]
    world.connected.sent.clear()

    await published(inbox, TWO, "free", None, is_private=True)
    assert await heard.now() == all_hear("free", "product", "product_device")
    assert world.connected.sent == []

    await world.events.publish_as(kim, "by-kim", "x", 60, is_private=True)
    assert await heard.now() == all_hear("by-kim", "kim", "product")
    assert [s.device for s in world.connected.sent] == [ONE]
    world.connected.sent.clear()

    await world.events.publish_as(bob, "p-by-bob", None, 60, is_private=False)
    assert await heard.now() == all_hear("p-by-bob", "bob", "public")
    world.connected.sent.clear()

    await world.events.publish_in(server, thing, "from-product", "x", 60, is_private=True)
    assert await heard.now() == {"product": ["from-product"]}
    assert {(s.device, s.is_own) for s in world.connected.sent} == {(ONE, True), (TWO, True)}
    world.connected.sent.clear()

    await published(inbox, ONE, "spark/device/last_reset", b"x", is_private=False)
    assert world.connected.sent == []  # the system's events are for people
    assert set(await heard.now()) == {"kim", "kims_device", "product"}


async def test_after_a_transfer_the_old_owner_hears_nothing(world: World, inbox: Inbox) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim, lee = await world.customer(ann, thing, "kim"), await world.customer(ann, thing, "lee")
    await world.import_(ann, thing, 1)
    await world.connect(1, key("one"))
    await world.ownership.claim(kim, ONE)
    heard = Heard(kim=await world.events.listen_own(kim, ""), kims=await world.events.listen_device(kim, ONE, ""))
    await published(inbox, ONE, "before", None, is_private=True)
    assert await heard.now() == {"kim": ["before"], "kims": ["before"]}
    await world.ownership.unclaim(kim, ONE)
    await published(inbox, ONE, "between", None, is_private=True)
    await world.ownership.claim(lee, ONE)
    heard.streams["lee"] = await world.events.listen_device(lee, ONE, "")
    for is_private in (True, False):
        await published(inbox, ONE, "after", None, is_private=is_private)
    world.connected.sent.clear()
    await world.events.publish_as(kim, "from-kim", None, 60, is_private=True)
    assert world.connected.sent == []
    assert await heard.now() == {"lee": ["after", "after"], "kim": ["from-kim"]}
    with pytest.raises(AccessRefused):
        await world.events.listen_device(kim, ONE, "")
    await world.updates.remove(ann, thing, ONE)
    heard.streams["product"] = await world.events.listen_product(ann, thing, "")
    await published(inbox, ONE, "outside", None, is_private=False)
    assert await heard.now() == {}


async def test_devices_that_are_waiting_or_shut_out_are_not_heard(world: World, inbox: Inbox) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    await world.connect(1, key("one"))
    await world.connect(2, key("two"))
    heard = Heard(
        product=await world.events.listen_product(ann, thing, ""), all=await world.events.listen_public(ann, "e")
    )
    await published(inbox, TWO, "event", None, is_private=False)
    await world.connections.set_flag(ONE, "is_quarantined", value=True)
    await published(inbox, ONE, "event", None, is_private=False)
    for name in ("e\nvent: forged", "e\r"):
        await published(inbox, ONE, name, None, is_private=False)
    assert await heard.now() == {}
    await world.connections.set_flag(ONE, "is_quarantined", value=False)
    await published(inbox, ONE, "event", None, is_private=False)
    assert await heard.now() == {"product": ["event"], "all": ["event"]}


async def test_rights(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    server = ProductClient(ClientId("c-1"), thing.id)
    await world.import_(ann, thing, 1)
    for requester in (server, Anonymous()):
        with pytest.raises(AccessRefused):
            await world.events.publish_as(requester, "x", None, 60, is_private=True)
        with pytest.raises(AccessRefused):
            await world.events.listen_own(requester, "")
        with pytest.raises(AccessRefused):
            await world.events.listen_public(requester, "x")
    for requester in (eve, kim):
        with pytest.raises(AccessRefused):
            await world.events.publish_in(requester, thing, "x", None, 60, is_private=True)
        with pytest.raises(AccessRefused):
            await world.events.listen_product(requester, thing, "")
        with pytest.raises(AccessRefused):
            await world.events.listen_product_device(requester, thing, ONE, "")
        with pytest.raises(AccessRefused):
            await world.events.listen_device(requester, ONE, "")
    with pytest.raises(DeviceUnknown):
        await world.events.listen_device(kim, TWO, "")
    with pytest.raises(DeviceNotInProduct):
        await world.events.listen_product_device(ann, thing, TWO, "")
    with pytest.raises(EventPrefixMissing, match=r"^event prefix filter is required$"):
        await world.events.listen_public(ann, "")
    for publish in (
        lambda name: world.events.publish_as(ann, name, None, 60, is_private=True),
        lambda name: world.events.publish_in(ann, thing, name, None, 60, is_private=True),
    ):
        with pytest.raises(EventInvalid):
            await publish("spark/status")


async def test_a_stream_lives_no_longer_than_its_token(world: World) -> None:
    ann = await world.user("ann")
    revoked, expiring = await world.issue(ann), await world.issue(ann, 10)
    streams = [
        await world.events.listen_own(await world.bearer(issued.access_token), "") for issued in (revoked, expiring)
    ]
    await world.tokens.revoke(revoked.access_token)
    with pytest.raises(StreamEnded, match="revoked"):
        await streams[0].next(1)
    world.clock.advance(10_000)
    await world.events.publish_as(ann, "late", None, 60, is_private=True)
    with pytest.raises(StreamEnded, match="expired"):
        await streams[1].next(1)
    assert len(world.streams) == 0


async def test_an_event_waits_for_the_devices_former_ones(world: World, inbox: Inbox) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    await world.connect(1, key("1"))
    heard = Heard(product=await world.events.listen_product(ann, thing, "news"))
    rest = inbox.published(ONE, EventPublished("news", None, 60, True), is_next=False)
    assert rest is not None
    assert await heard.now() == {}
    assert await rest()
    assert await heard.now() == {"product": ["news"]}
