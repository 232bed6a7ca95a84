"""Organizations, their products, customers and clients, on both databases."""

import asyncio

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action, Role
from cloudchamber.access.requester import Customer, OrganizationClient, User
from cloudchamber.fleet.errors import ProductNotEmpty, ProductNotFound
from cloudchamber.fleet.products import ProductChanges
from cloudchamber.identity.errors import CustomerExists, OwnsProducts
from cloudchamber.ids import ClientId
from cloudchamber.oauth.errors import InvalidToken, OAuthError
from cloudchamber.organizations.errors import OrganizationInvalid, OrganizationNotFound
from cloudchamber.organizations.model import TEAM_CHANGED
from cloudchamber.ownership.errors import DeviceDoesNotExist
from tests.world import PASSWORD, World, device_id, key


async def token_of(world: World, basic: tuple[str, str], **form: str) -> str:
    issued = await world.endpoint.answer({"grant_type": "client_credentials", **form}, basic)
    return issued.access_token


async def test_an_organization_is_made_found_renamed_and_removed(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    corp = await world.organizations.create(ann, name="Example Corp", slug=None)
    assert (corp.slug, corp.owner, corp.team, corp.is_personal) == ("example-corp", ann.id, {ann.id: Role.OWNER}, False)
    assert await world.organizations.find("example-corp") == await world.organizations.find(corp.id) == corp
    world.clock.advance(1)
    again = await world.organizations.create(eve, name="Example Corp", slug=None)
    assert again.slug == "example-corp-2"
    chosen = await world.organizations.create(ann, name="Other", slug="other-things")
    assert await world.organizations.of_requester(ann) == [corp, chosen]
    assert await world.organizations.of_requester(eve) == [again]
    with pytest.raises(OrganizationInvalid, match="taken"):
        await world.organizations.create(eve, name="Mine", slug="example-corp")
    renamed = await world.organizations.rename(ann, corp.slug, "Example Inc")
    assert (renamed.name, renamed.slug) == ("Example Inc", "example-corp")
    assert (await world.organizations.find(corp.id)).name == "Example Inc"
    for act in (world.organizations.rename(eve, corp.slug, "x"), world.organizations.remove(eve, corp.slug)):
        with pytest.raises(AccessRefused):
            await act
    await world.organizations.remove(ann, corp.slug)
    for reference in (corp.slug, corp.id):
        with pytest.raises(OrganizationNotFound):
            await world.organizations.find(reference)


async def test_who_may_make_and_see_one(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    server = OrganizationClient(ClientId("c-1"), corp.id)
    for requester in (kim, server):
        with pytest.raises(AccessRefused):
            await world.organizations.create(requester, name="x", slug=None)
    assert await world.organizations.get(ann, corp.slug) == await world.organizations.get(server, corp.slug) == corp
    for requester in (eve, kim):
        with pytest.raises(AccessRefused):
            await world.organizations.get(requester, corp.slug)


async def test_a_product_of_nobodys_organization_is_in_its_owners_personal_one(world: World) -> None:
    ann = await world.user("ann@example.com")
    with pytest.raises(OrganizationNotFound):
        await world.organizations.find("ann-example-com")
    one = await world.product(ann, "One")
    world.clock.advance(1)
    two = await world.product(ann, "Two")
    assert one.organization == two.organization
    assert one.is_personal
    personal = await world.organizations.find(one.organization)
    assert (personal.owner, personal.is_personal) == (ann.id, True)
    # Nobody learns from paths who has an account.
    assert "ann" not in personal.slug
    assert await world.organizations.find(personal.slug) == personal
    # It is no organization in its own user's eyes, and everything else is as with any.
    assert await world.organizations.of_requester(ann) == []
    assert await world.products.below(personal.slug, one.slug) == one
    assert await world.products.of_organization(ann, personal) == [one, two]
    with pytest.raises(OrganizationInvalid, match="account"):
        await world.organizations.remove(ann, personal.id)
    # The slug is taken like any other, so nobody's paths can become another's.
    with pytest.raises(OrganizationInvalid, match="taken"):
        await world.organizations.create(await world.user("eve"), name="x", slug=personal.slug)


async def test_a_hundred_first_products_at_once_are_in_one_personal_organization(world: World) -> None:
    ann = await world.user("ann")
    made = await asyncio.gather(*(world.product(ann, f"Thing {number}") for number in range(100)))
    assert len({product.organization for product in made}) == 1
    assert len(await world.db.fetch_all("SELECT id FROM organizations")) == 1


async def test_a_product_of_an_organization(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    other = await world.organizations.create(eve, name="Other", slug=None)
    await world.teams.invite(ann, corp.resource(ann), "bob", "Developer")
    corp = await world.organizations.find(corp.id)
    # An organization's Developer may create products, and is no owner of what they make.
    made = await world.product(bob, "Thing", organization=corp)
    assert (made.owner, made.organization, made.is_personal) == (ann.id, corp.id, False)
    assert made.team == {ann.id: Role.OWNER, bob.id: Role.DEVELOPER}
    assert made == await world.products.find(made.slug)
    assert await world.products.of_requester(ann) == await world.products.of_requester(bob) == [made]
    assert await world.products.below(corp.slug, str(made.id)) == made
    with pytest.raises(ProductNotFound):
        await world.products.below(other.slug, made.slug)
    with pytest.raises(OrganizationNotFound):
        await world.products.below("no-such", made.slug)
    with pytest.raises(AccessRefused):
        await world.product(eve, "Mine", organization=corp)
    with pytest.raises(OrganizationInvalid, match="products"):
        await world.organizations.remove(ann, corp.slug)


async def test_a_product_is_changed(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing = await world.product(ann)
    await world.join(thing, bob, "DEVELOPER")
    assert thing.quarantines
    changed = await world.products.update(
        ann, thing.slug, ProductChanges(name="New", settings={"quarantine": False, "location": {"opt_in": True}})
    )
    assert (changed.name, changed.slug, changed.platform_id, changed.quarantines) == ("New", "thing", 6, False)
    assert changed.settings == {
        "known_application": {"opt_in": False},
        "location": {"opt_in": True},
        "quarantine": False,
    }
    assert await world.products.find(thing.slug) == await world.products.find(str(thing.id)) == changed
    assert (await world.products.update(ann, thing.slug, ProductChanges(description="d"))).settings == changed.settings
    with pytest.raises(AccessRefused):
        await world.products.update(bob, thing.slug, ProductChanges(name="Bob's"))


async def test_a_product_goes_with_all_that_is_its_own_but_not_with_devices(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing = await world.product(ann)
    thing = await world.join(thing, bob, "ADMINISTRATOR")
    client, basic = await world.client(ann, thing)
    await world.customer(ann, thing, "kim")
    _, robot = await world.teams.add_api_user(ann, thing.resource(ann), "robot", ["devices:list"])
    tokens = [
        await token_of(world, basic),
        await token_of(world, basic, scope="customer=kim"),
        robot,
    ]
    for token in tokens:
        await world.bearer(token)
    await world.import_(ann, thing, 1)
    listening = await world.events.listen_product(bob, thing, "")
    with pytest.raises(ProductNotEmpty):
        await world.products.remove(ann, thing.slug)
    with pytest.raises(AccessRefused):
        await world.products.remove(bob, thing.slug)
    await world.updates.remove(ann, thing, device_id(1))
    await world.products.remove(ann, thing.slug)
    for reference in (thing.slug, str(thing.id)):
        with pytest.raises(ProductNotFound):
            await world.products.find(reference)
    for token in tokens:
        with pytest.raises(InvalidToken):
            await world.bearer(token)
    assert listening._ended is not None
    assert await world.clients.find(client.id) is None
    assert await world.customers.find(thing.id, "kim") is None
    assert await world.products.of_requester(bob) == []
    assert world.products.organization_now(thing.id) is None


# -- customers and clients of an organization --------------------------------------------------------------------------


async def corp_with_products(world: World):
    ann = await world.user("ann")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    lamp = await world.product(ann, "Lamp", organization=corp)
    world.clock.advance(1)
    clock = await world.product(ann, "Clock", organization=corp)
    client, secret = await world.clients.create(
        ann, corp.resource(ann), name="MyApp", type_="installed", redirect_uri=None, scope=None
    )
    return ann, corp, lamp, clock, (client.id, secret)


async def test_a_client_of_an_organization_acts_for_all_of_its_products(world: World) -> None:
    ann, corp, lamp, clock, basic = await corp_with_products(world)
    elsewhere = await world.product(ann, "Own")
    token = await token_of(world, basic)
    server = await world.bearer(token)
    assert server == OrganizationClient(basic[0], corp.id, token=server.token)
    assert await world.products.of_requester(server) == [lamp, clock]
    for product in (lamp, clock):
        assert await world.products.get(server, product.slug, Action.DEVICES_IMPORT) == product
    with pytest.raises(AccessRefused):
        await world.products.get(server, elsewhere.slug)
    with pytest.raises(AccessRefused):
        await world.organizations.remove(server, corp.slug)
    assert [each.id for each in await world.clients.of(ann, corp.resource(ann))] == [basic[0]]
    assert await world.clients.of_user(ann) == []
    await world.clients.delete(ann, corp.resource(ann), basic[0])
    with pytest.raises(InvalidToken):
        await world.bearer(token)


async def test_a_customer_of_an_organization(world: World) -> None:
    ann, corp, lamp, clock, basic = await corp_with_products(world)
    server = OrganizationClient(basic[0], corp.id)
    account = await world.customers.create(server, corp.resource(server), "Jane@example.com", PASSWORD)
    assert (account.product, account.organization) == (None, corp.id)
    token = await token_of(world, basic, scope="customer=jane@example.com")
    jane = await world.bearer(token)
    assert jane == Customer(account.id, None, basic[0], token=jane.token, organization=corp.id)
    form = {"grant_type": "password", "username": "jane@example.com", "password": PASSWORD}
    issued = await world.endpoint.answer(form, basic)
    assert (await world.bearer(issued.access_token)).id == account.id
    refreshed = await world.endpoint.answer(
        {"grant_type": "refresh_token", "refresh_token": issued.refresh_token}, basic
    )
    assert (await world.bearer(refreshed.access_token)).organization == corp.id

    # Products see them: they log in through a product's client, but no product's server speaks for them.
    _, of_lamp = await world.client(ann, lamp)
    assert (await world.bearer((await world.endpoint.answer(form, of_lamp)).access_token)).id == account.id
    with pytest.raises(OAuthError, match="Customer not found"):
        await token_of(world, of_lamp, scope="customer=jane@example.com")
    assert await world.customers.of(ann, lamp.resource(ann), page=1, per_page=10) == ([], 0)
    assert await world.customers.of(ann, lamp.resource(ann), page=1, per_page=10, everybody=True) == ([account], 1)
    assert await world.customers.of(ann, corp.resource(ann), page=1, per_page=10, everybody=True) == ([account], 1)

    # They claim devices of any product of the organization, and of no other.
    elsewhere = await world.product(ann, "Own")
    await world.import_(ann, lamp, 1)
    await world.import_(ann, clock, 2)
    await world.import_(ann, elsewhere, 3)
    for number in (1, 2):
        assert (await world.ownership.claim(jane, device_id(number))).owner.id == account.id
    with pytest.raises(DeviceDoesNotExist):
        await world.ownership.claim(jane, device_id(3))
    assert await world.customers.of(ann, lamp.resource(ann), page=1, per_page=10) == ([account], 1)
    assert await world.customers.of(ann, elsewhere.resource(ann), page=1, per_page=10, everybody=True) == ([], 0)
    assert await world.customers.of(ann, corp.resource(ann), page=1, per_page=10) == ([account], 1)


async def test_claim_codes_of_an_organizations_customer(world: World) -> None:
    ann, corp, lamp, clock, basic = await corp_with_products(world)
    account = await world.customers.create(ann, corp.resource(ann), "jane", None)
    jane = Customer(account.id, None, basic[0], organization=corp.id)
    elsewhere = await world.product(ann, "Own")
    for number, product in ((1, lamp), (2, clock), (3, clock), (4, elsewhere)):
        await world.import_(ann, product, number)
        await world.connect(number, key(str(number)))
    for_any = (await world.ownership.issue_code(jane)).code
    assert (await world.ownership.present_code(device_id(2), for_any)).owner.id == account.id
    for_lamp = (await world.ownership.issue_code(jane, lamp)).code
    assert await world.ownership.present_code(device_id(3), for_lamp) is None
    assert (await world.ownership.present_code(device_id(1), for_lamp)).owner.id == account.id
    outside = (await world.ownership.issue_code(jane)).code
    assert await world.ownership.present_code(device_id(4), outside) is None
    with pytest.raises(AccessRefused):
        await world.ownership.issue_code(jane, elsewhere)


async def test_names_tell_customers_apart_in_an_organization_and_its_product_together(world: World) -> None:
    ann, corp, lamp, clock, _ = await corp_with_products(world)
    await world.customers.create(ann, corp.resource(ann), "jane", None)
    for product in (lamp, clock):
        with pytest.raises(CustomerExists):
            await world.customers.create(ann, product.resource(ann), "jane", None)
        await world.customers.create(ann, product.resource(ann), "joe", None)
    with pytest.raises(CustomerExists):
        await world.customers.create(ann, corp.resource(ann), "joe", None)
    with pytest.raises(CustomerExists):
        await world.customers.create(ann, corp.resource(ann), "JANE", None)
    # Somebody else's organization has its own.
    eve = await world.user("eve")
    other = await world.organizations.create(eve, name="Other", slug=None)
    await world.customers.create(eve, other.resource(eve), "jane", None)
    with pytest.raises(AccessRefused):
        await world.customers.create(eve, corp.resource(eve), "mallory", None)


async def test_an_organization_goes_with_all_that_is_its_own(world: World) -> None:
    ann = await world.user("ann")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    client, secret = await world.clients.create(
        ann, corp.resource(ann), name="MyApp", type_="installed", redirect_uri=None, scope=None
    )
    await world.customers.create(ann, corp.resource(ann), "jane", None)
    _, robot = await world.teams.add_api_user(ann, corp.resource(ann), "robot", ["products:list"])
    basic = (client.id, secret)
    tokens = [await token_of(world, basic), await token_of(world, basic, scope="customer=jane"), robot]
    for token in tokens:
        await world.bearer(token)
    listening = await world.events.listen_organization(ann, corp, "")
    await world.organizations.remove(ann, corp.id)
    for token in tokens:
        with pytest.raises(InvalidToken):
            await world.bearer(token)
    assert listening._ended is not None
    for left in ("SELECT id FROM organizations", "SELECT id FROM customers", "SELECT id FROM api_users"):
        assert await world.db.fetch_all(left) == []


async def test_who_deletes_their_account_leaves_organizations_behind_in_order(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    thing = await world.product(ann)
    corp = await world.organizations.create(bob, name="Corp", slug=None)
    await world.teams.invite(bob, corp.resource(bob), "ann", "Support")
    personal = await world.organizations.find(thing.organization)
    client, secret = await world.clients.create(
        ann, personal.resource(ann), name="MyApp", type_="installed", redirect_uri=None, scope=None
    )
    token = await token_of(world, (client.id, secret))
    await world.bearer(token)
    with pytest.raises(OwnsProducts):
        await world.accounts.delete(ann, PASSWORD)
    await world.bearer(token)
    await world.products.remove(ann, thing.slug)
    await world.accounts.delete(ann, PASSWORD)
    with pytest.raises(InvalidToken):
        await world.bearer(token)
    with pytest.raises(OrganizationNotFound):
        await world.organizations.find(personal.id)
    assert (await world.teams.of(bob, corp.resource(bob))).members[1:] == ()
    with pytest.raises(OwnsProducts):
        await world.accounts.delete(bob, PASSWORD)


async def test_a_new_name_is_seen_where_it_was_kept(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.organizations.find(thing.organization)
    await world.accounts.rename(ann, "anna", PASSWORD, None)
    assert (await world.products.find(thing.slug)).owner_name == "anna"
    assert (await world.organizations.find(thing.organization)).owner_name == "anna"


async def test_a_change_while_it_is_read_is_not_kept(world: World, monkeypatch) -> None:
    """A slow read must not put an old team back into memory."""
    ann, bob = await world.user("ann"), await world.user("bob")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    store = world.organizations._store
    by_id = type(store).by_id

    async def slow(self, db, organization):
        found = await by_id(self, db, organization)
        monkeypatch.undo()
        await world.teams.invite(ann, corp.resource(ann), "bob", "Support")
        return found

    changes = []
    world.bus.subscribe(TEAM_CHANGED, changes.append)
    monkeypatch.setattr(type(store), "by_id", slow)
    stale = await world.organizations.find(corp.id)
    assert (bob.id in stale.team, len(changes)) == (False, 1)
    assert (await world.organizations.find(corp.id)).team[bob.id] is Role.SUPPORT


async def test_which_organization_a_product_is_in_is_known_without_waiting(world: World) -> None:
    ann, corp, lamp, clock, _ = await corp_with_products(world)
    own = await world.product(ann, "Own")
    fresh = type(world.products)(
        world.db, world.products._store, world.organizations, world.tokens, world.bus, world.clock
    )
    assert fresh.organization_now(lamp.id) is None
    await fresh.start()
    assert [fresh.organization_now(product.id) for product in (lamp, clock, own)] == [
        corp.id,
        corp.id,
        own.organization,
    ]
    late = await world.product(ann, "Late", organization=corp)
    assert fresh.organization_now(late.id) == corp.id


async def test_a_user_is_no_customer_of_theirs(world: World) -> None:
    """A client of an organization never speaks for a user whose name a customer could have."""
    ann, _corp, _lamp, _clock, basic = await corp_with_products(world)
    for name in ("ann", ann.id, basic[0]):
        with pytest.raises(OAuthError, match="Customer not found"):
            await token_of(world, basic, scope=f"customer={name}")
    assert isinstance(ann, User)
