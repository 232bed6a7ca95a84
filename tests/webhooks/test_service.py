import asyncio

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import ProductClient
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.ids import ClientId
from cloudchamber.sealing import KEY_BYTES, Sealer
from cloudchamber.webhooks import service
from cloudchamber.webhooks.deliveries import Deliveries, HookIndex
from cloudchamber.webhooks.errors import WebhookInvalid, WebhookNotFound
from cloudchamber.webhooks.service import Webhooks
from cloudchamber.webhooks.store import DeliveryStore, WebhookStore
from tests.world import World

HOOK = {"event": "temp", "url": "https://a.example/{{PARTICLE_EVENT_NAME}}", "settings": {"requestType": "POST"}}


def make_hooks(world: World, key: bytes) -> Webhooks:
    sealer, bus = Sealer(key * KEY_BYTES), InProcessBus()
    store = WebhookStore(sealer)
    deliveries = Deliveries(world.db, store, DeliveryStore(sealer), HookIndex(bus), world.clock)
    return Webhooks(world.db, store, bus, world.clock, deliveries)


@pytest.fixture
def hooks(world: World) -> Webhooks:
    return make_hooks(world, b"k")


async def test_hooks_are_seen_where_they_belong(world: World, hooks: Webhooks) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing, other = await world.product(ann, "Thing"), await world.product(bob, "Other")
    server = ProductClient(ClientId("c-1"), thing.id)
    kim = await world.customer(ann, thing, "kim")
    mine = await hooks.create(ann, None, **HOOK)
    world.clock.advance(1)
    products = await hooks.create(server, thing.resource(server), **HOOK)
    assert await hooks.all(ann, None) == [mine]
    assert await hooks.all(ann, thing.resource(ann)) == [products] != [mine]
    assert (await hooks.get(ann, thing.resource(ann), products.id)).hook == products
    assert (mine.settings, mine.event, mine.owner_id, products.owner_id) == (
        *({"requestType": "POST"}, "temp", ann.id),
        str(thing.id),
    )
    for requester, product, hook in [
        (bob, None, mine.id),
        (bob, other, products.id),
        (ann, None, products.id),
        (ann, thing, mine.id),
        (ann, None, "unknown"),
    ]:
        resource = product.resource(requester) if product else None
        for refused in (hooks.get(requester, resource, hook), hooks.delete(requester, resource, hook)):
            with pytest.raises(WebhookNotFound, match=r"^Webhook not found$"):
                await refused
    for requester, product in [(bob, thing), (kim, thing), (kim, None), (server, None), (server, other)]:
        resource = product.resource(requester) if product else None
        for refused in (
            hooks.all(requester, resource),
            hooks.get(requester, resource, products.id),
            hooks.delete(requester, resource, products.id),
            hooks.create(requester, resource, **HOOK),
        ):
            with pytest.raises(AccessRefused):
                await refused
    await hooks.delete(ann, None, mine.id)
    assert await hooks.all(ann, None) == []
    assert await hooks.all(ann, thing.resource(ann)) == [products]


async def test_what_no_hook_can_be(world: World, hooks: Webhooks) -> None:
    ann = await world.user("ann")
    for change, message in [
        ({"event": ""}, "^no event name provided$"),
        ({"event": "x" * 65}, "at most 64 characters"),
        ({"url": ""}, "^no url provided$"),
        ({"url": "ftp://a.example"}, "begins with http"),
        ({"url": "javascript:x"}, "begins with http"),
        ({"url": "https://" + "a" * 2048}, "at most 2048 characters"),
        ({"url": "https://a.example/{{unclosed"}, "opens a tag at character 19"),
        ({"settings": {"integration_type": "AzureIotHub"}}, "delivers to webhooks alone, not to AzureIotHub"),
        ({"settings": {"requestType": "BREW"}}, "^requestType is one of DELETE, GET"),
        ({"settings": {"headers": "no object"}}, "headers"),
        ({"settings": {"headers": {"X Y": "z"}}}, "'X Y' cannot be the name of a header"),
        ({"settings": {"json": {"a": {"b": ["{{#x}}"]}}}}, "does not close the section 'x'"),
    ]:
        with pytest.raises(WebhookInvalid, match=message):
            await hooks.create(ann, None, **HOOK | change)
    assert await hooks.all(ann, None) == []


async def test_many_at_once_do_not_get_past_the_limit(world: World, hooks: Webhooks, monkeypatch) -> None:
    monkeypatch.setattr(service, "MAX_PER_OWNER", 3)
    ann = await world.user("ann")
    answers = await asyncio.gather(*(hooks.create(ann, None, **HOOK) for _ in range(10)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, WebhookInvalid)]
    assert {error.message for error in refused} == {"Too many web hooks for this device"}
    assert len(refused) == 7
    assert len(await hooks.all(ann, None)) == 3


async def test_other_services_secrets_are_sealed(world: World, hooks: Webhooks) -> None:
    ann = await world.user("ann")
    secret = {"event": "e", "url": "https://a.example/?key=URLSECRET", "settings": {"auth": {"password": "SECRETPW"}}}
    made = await hooks.create(ann, None, **secret)
    rows = await world.db.fetch_all("SELECT * FROM webhooks")
    assert "SECRET" not in repr(rows)
    assert (await hooks.get(ann, None, made.id)).hook == made
    # With another key it is as if it were not there, and nobody else's list suffers.
    stranger = make_hooks(world, b"z")
    assert await stranger.all(ann, None) == []
