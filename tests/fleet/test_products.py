import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action, Role
from cloudchamber.access.requester import ProductClient, Scopes, User
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import FixedClock
from cloudchamber.fleet import products as products_module
from cloudchamber.fleet.errors import ProductInvalid, ProductNotFound
from cloudchamber.fleet.products import ProductChanges, Products
from cloudchamber.fleet.store import ProductStore
from cloudchamber.ids import ClientId
from tests.world import World


async def test_a_product_is_found_by_number_and_slug(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.products.create(
        ann, name="My Thing", description="d", platform_id=10, hardware_version="v1.0", settings={"quarantine": False}
    )
    assert (thing.slug, thing.team, thing.owner_name) == ("my-thing-v10", {ann.id: Role.OWNER}, "ann")
    assert thing.settings == {"location": {}, "known_application": {"opt_in": False}, "quarantine": False}
    assert 1000 <= thing.id <= 65_535
    for reference in (str(thing.id), f"0{thing.id}"[-5:], "my-thing-v10"):
        assert await world.products.find(reference) == thing
        assert await world.products.find(reference) is await world.products.find(reference)
    for reference in ("", "0", "my-thing", "999", "99999", "MY-THING-V10"):
        with pytest.raises(ProductNotFound, match=r"^Product not found\.$"):
            await world.products.find(reference)


async def test_names_may_repeat_and_slugs_do_not(world: World, monkeypatch) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    made = []
    for who in (ann, bob, ann):
        world.clock.advance(1)
        made.append(await world.product(who, "Thing"))
    assert [product.slug for product in made] == ["thing", "thing-2", "thing-3"]
    assert await world.products.of_requester(ann) == [made[0], made[2]]
    monkeypatch.setattr(products_module, "_ATTEMPTS", 3)
    with pytest.raises(ProductInvalid, match="choose another"):
        await world.product(ann, "thing")


async def test_a_number_finds_a_product_by_its_id_and_never_by_its_name(world: World, monkeypatch) -> None:
    eve, ann = await world.user("eve"), await world.user("ann")
    squatter = await world.product(eve, "4711")
    assert (squatter.slug, await world.products.find("product-4711")) == ("product-4711", squatter)
    with pytest.raises(ProductNotFound):
        await world.products.find("4711")
    monkeypatch.setattr(products_module.secrets, "randbelow", lambda _: 3711)
    mine = await world.product(ann, "Lamp")
    assert mine.id == 4711
    assert await world.products.find("4711") == mine
    assert not await world.products.is_member(eve, mine.id)


@pytest.mark.parametrize(
    "fields",
    [{"name": " "}, {"name": "x" * 101}, {"description": "x" * 2001}, {"platform_id": -1}, {"platform_id": 65_536}],
)
async def test_what_no_product_can_be(fields) -> None:
    ann = User("a" * 24, ClientId("particle"))
    nothing = products_module.Products(None, None, None, None, InProcessBus(), FixedClock())
    with pytest.raises(ProductInvalid):
        await nothing.create(ann, **{"name": "x", "description": "", "platform_id": 6} | fields)


async def test_who_may_see_a_product(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    thing = await world.join(await world.product(ann), bob, "VIEW_ONLY")
    kim = await world.customer(ann, thing, "kim")
    server = ProductClient(ClientId("c-1"), thing.id)
    for requester in (ann, bob, server):
        assert await world.products.get(requester, str(thing.id)) == thing
        assert await world.products.of_requester(requester) == [thing]
        assert (await world.products.resource(requester, thing.slug)).role == thing.team.get(
            getattr(requester, "id", "")
        )
    with pytest.raises(AccessRefused):
        await world.products.get(bob, thing.slug, Action.DEVICES_IMPORT)
    for requester in (eve, kim, ProductClient(ClientId("c-1"), thing.id + 1)):
        with pytest.raises(AccessRefused):
            await world.products.get(requester, thing.slug)
    assert await world.products.of_requester(eve) == []
    with pytest.raises(AccessRefused):
        await world.products.of_requester(kim)
    with pytest.raises(AccessRefused):
        await world.products.create(server, name="x", description="", platform_id=6)
    limited = User(ann.id, ann.client, Scopes.parse("products:get"))
    with pytest.raises(AccessRefused):
        await world.products.create(limited, name="x", description="", platform_id=6)
    assert await world.products.is_member(bob, thing.id)
    assert not await world.products.is_member(eve, thing.id)
    assert not await world.products.is_member(kim, thing.id)
    assert not await world.products.is_member(bob, None)


async def test_a_product_that_another_process_made_or_changed_is_known_here(world: World) -> None:
    ann = await world.user("ann")
    other = Products(world.db, ProductStore(), world.organizations, world.tokens, InProcessBus(), world.clock)
    made = await other.create(ann, name="Lamp", description="", platform_id=6)
    assert world.products.organization_now(made.id) is None
    await world.products.changed_elsewhere(made.id)
    assert world.products.organization_now(made.id) == made.organization
    assert (await world.products.find(made.slug)).name == "Lamp"
    await other.update(ann, made.slug, ProductChanges(name="Lantern"))
    assert (await world.products.find(made.slug)).name == "Lamp"
    await world.products.changed_elsewhere(made.id)
    assert (await world.products.find(made.slug)).name == "Lantern"
