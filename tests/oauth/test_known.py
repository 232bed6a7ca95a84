"""What is kept of clients and of products' settings is what is true, or younger than a second."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cloudchamber.clock import FixedClock
from cloudchamber.fleet.products import ProductChanges
from cloudchamber.ids import ClientId
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.known import KEPT_MS, KnownClients
from cloudchamber.oauth.model import Client
from cloudchamber.oauth.store import ClientStore
from cloudchamber.storage.database import Database, Reader
from tests.world import World

CC = {"grant_type": "client_credentials"}


class Counting(ClientStore):
    """Counts the reads; `meanwhile` happens within each of them."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        self.reads = 0
        self._meanwhile = meanwhile

    async def by_id(self, db: Reader, client: ClientId) -> Client | None:
        self.reads += 1
        found = await super().by_id(db, client)
        if self._meanwhile is not None:
            await self._meanwhile()
        return found

    async def product_settings(self, db: Reader, product: Any) -> dict[str, Any]:
        self.reads += 1
        return await super().product_settings(db, product)


def known(world: World, store: ClientStore) -> KnownClients:
    return KnownClients(world.db, store, world.clock)


async def switch_off_elsewhere(db: Database, client: ClientId) -> None:
    async def write(tx: Any) -> None:
        await tx.execute("UPDATE clients SET is_enabled = 0 WHERE id = $1", client)

    await db.transaction(write)


async def test_a_client_is_read_once_until_something_changes(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    client, _ = await world.client(ann, shop)
    store = Counting()
    clients = known(world, store)
    assert clients.now(client.id) is None
    for _ in range(3):
        assert await clients.get(client.id) == clients.now(client.id) == client
        assert await clients.product_settings(shop.id) == shop.settings
    assert store.reads == 2
    clients.forget()
    assert clients.now(client.id) is None
    await clients.get(client.id)
    await clients.product_settings(shop.id)
    assert store.reads == 4


async def test_what_another_process_changed_is_seen_within_a_second(world: World) -> None:
    ann = await world.user("ann")
    client, basic = await world.client(ann, None)
    await world.endpoint.answer(CC, basic)
    await switch_off_elsewhere(world.db, client.id)
    world.clock.advance(KEPT_MS)
    for _ in range(2):
        with pytest.raises(OAuthError, match="Client credentials are invalid"):
            await world.endpoint.answer(CC, basic)


async def test_a_clock_that_was_set_back_keeps_nothing(world: World) -> None:
    ann = await world.user("ann")
    client, _ = await world.client(ann, None)
    clock = FixedClock(world.clock.now() + 10 * KEPT_MS)
    clients = KnownClients(world.db, ClientStore(), clock)
    await clients.get(client.id)
    clock.advance(-5 * KEPT_MS)
    assert clients.now(client.id) is None


async def test_what_was_read_while_it_changed_is_not_kept(world: World) -> None:
    ann = await world.user("ann")
    client, _ = await world.client(ann, None)

    async def change() -> None:
        await asyncio.sleep(0)
        clients.forget()

    clients = known(world, Counting(change))
    assert await clients.get(client.id) == client
    assert clients.now(client.id) is None


async def test_names_that_nobody_has_fill_nothing(world: World) -> None:
    store = Counting()
    clients = known(world, store)
    for _ in range(2):
        assert await clients.get(ClientId("nobody-1")) is None
    assert store.reads == 2


async def test_each_change_of_a_client_is_seen_at_once(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    place = shop.resource(ann)
    client, basic = await world.client(ann, shop)
    token = (await world.endpoint.answer(CC, basic)).access_token
    assert (await world.endpoint.introspect({"token": token}, basic)).scope is None
    await world.clients.update(ann, place, client.id, name=None, scope="devices:list")
    assert world.endpoint.introspect_now({"token": token}, basic) is None
    assert (await world.endpoint.introspect({"token": token}, basic)).scope == "devices:list"
    assert world.endpoint.introspect_now({"token": token}, basic).scope == "devices:list"
    await world.clients.delete(ann, place, client.id)
    assert world.endpoint.introspect_now({"token": token}, basic) is None
    with pytest.raises(OAuthError, match="Client credentials are invalid"):
        await world.endpoint.introspect({"token": token}, basic)


async def test_a_products_cap_is_seen_at_once(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    _, basic = await world.client(ann, shop)
    assert (await world.endpoint.answer(CC, basic)).expires_in == 7_776_000
    await world.products.update(ann, str(shop.id), ProductChanges(settings={"tokens": {"max_lifetime_s": 60}}))
    assert (await world.endpoint.answer(CC, basic)).expires_in == 60


async def test_introspection_from_memory_tells_what_the_database_tells(world: World) -> None:
    ann = await world.user("ann")
    shop, other = await world.product(ann, "Shop"), await world.product(ann, "Other")
    _, basic = await world.client(ann, shop)
    _, stranger = await world.client(ann, other)
    issued = await world.endpoint.answer(CC | {"expires_in": "60"}, basic)
    asked = {"token": issued.access_token}
    assert world.endpoint.introspect_now(asked, basic) is None, "nobody asked the database yet"
    told = await world.endpoint.introspect(asked, basic)
    assert told is not None
    assert world.endpoint.introspect_now(asked, basic) == told
    await world.endpoint.introspect(asked, stranger)
    assert world.endpoint.introspect_now(asked, stranger) is None
    # A refresh token can be used up at any moment, so it is asked for each time.
    refresh = {"token": issued.refresh_token or ""}
    assert await world.endpoint.introspect(refresh, basic)
    assert world.endpoint.introspect_now(refresh, basic) is None
    with pytest.raises(OAuthError, match="Client credentials are invalid"):
        world.endpoint.introspect_now(asked, (basic[0], "wrong"))
    world.clock.advance(KEPT_MS // 2)
    await world.tokens.revoke(issued.access_token)
    await world.clients.authenticate(*basic)
    assert world.endpoint.introspect_now(asked, basic) is None
    again = await world.endpoint.answer(CC | {"expires_in": "60"}, basic)
    asked = {"token": again.access_token}
    await world.endpoint.introspect(asked, basic)
    world.clock.advance(60_000)
    await world.clients.authenticate(*basic)
    assert world.endpoint.introspect_now(asked, basic) is None, "it has expired"
