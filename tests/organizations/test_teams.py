"""Who is in a team, and what that means from one moment to the next, on both databases."""

import asyncio

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action, Role
from cloudchamber.access.requester import ApiUser, Customer, OrganizationClient, ProductClient, Scopes, User
from cloudchamber.clock import DAY
from cloudchamber.identity.errors import UsernameUnusable
from cloudchamber.ids import ClientId
from cloudchamber.messaging.errors import StreamEnded
from cloudchamber.oauth.errors import InvalidToken
from cloudchamber.organizations import teams as teams_module
from cloudchamber.organizations.errors import MemberNotFound, TeamChangeInvalid
from tests.world import PASSWORD, World, device_id


def roles(team) -> dict[str, Role]:
    return {member.username: member.role for member in team.members}


async def corp_of(world: World):
    """An organization of Ann's with a product, and Bob, who is in neither yet."""
    ann, bob = await world.user("ann"), await world.user("bob")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    return ann, bob, corp, await world.product(ann, "Lamp", organization=corp)


async def test_somebody_is_invited_changed_and_removed(world: World) -> None:
    ann, bob, _, lamp = await corp_of(world)
    place = lamp.resource(ann)
    assert await world.teams.invite(ann, place, " Bob ", "Support") == "bob"
    assert roles(await world.teams.of(bob, (await world.products.find(lamp.slug)).resource(bob))) == {
        "ann": Role.OWNER,
        "bob": Role.SUPPORT,
    }
    assert await world.products.get(bob, lamp.slug, Action.FUNCTION_CALL)
    with pytest.raises(AccessRefused):
        await world.products.get(bob, lamp.slug, Action.DEVICES_IMPORT)
    assert await world.teams.change_role(ann, place, "BOB", "Developer") == ("bob", Role.DEVELOPER)
    assert await world.products.get(bob, lamp.slug, Action.DEVICES_IMPORT)
    assert await world.teams.change_role(ann, place, "bob", "000000000000000000000005") == ("bob", Role.VIEW_ONLY)
    with pytest.raises(AccessRefused):
        await world.products.get(bob, lamp.slug, Action.FUNCTION_CALL)
    await world.teams.remove(ann, place, "bob")
    with pytest.raises(AccessRefused):
        await world.products.get(bob, lamp.slug)
    assert await world.products.of_requester(bob) == []
    for act in (world.teams.remove(ann, place, "bob"), world.teams.change_role(ann, place, "bob", "Support")):
        with pytest.raises(MemberNotFound):
            await act


async def test_a_role_in_an_organization_counts_in_each_of_its_products(world: World) -> None:
    ann, bob, corp, lamp = await corp_of(world)
    own = await world.product(ann, "Own")
    await world.teams.invite(ann, corp.resource(ann), "bob", "Support")
    assert (await world.products.resource(bob, lamp.slug)).role is Role.SUPPORT
    assert (await world.products.resource(bob, own.slug)).role is None
    late = await world.product(ann, "Late", organization=await world.organizations.find(corp.id))
    assert (await world.products.resource(bob, late.slug)).role is Role.SUPPORT
    # The higher of the two counts, and each goes by itself.
    await world.teams.invite(ann, lamp.resource(ann), "bob", "Administrator")
    assert (await world.products.resource(bob, lamp.slug)).role is Role.ADMINISTRATOR
    await world.teams.change_role(ann, lamp.resource(ann), "bob", "View-only")
    assert (await world.products.resource(bob, lamp.slug)).role is Role.SUPPORT
    await world.teams.remove(ann, corp.resource(ann), "bob")
    assert (await world.products.resource(bob, lamp.slug)).role is Role.VIEW_ONLY
    assert (await world.products.resource(bob, late.slug)).role is None


async def test_a_products_team_shows_its_organizations_and_leaves_it_alone(world: World) -> None:
    ann, _, corp, lamp = await corp_of(world)
    await world.user("cid")
    place, above = lamp.resource(ann), corp.resource(ann)
    await world.teams.invite(ann, above, "bob", "Support")
    await world.teams.invite(ann, place, "cid", "Developer")
    _, org_robot = await world.teams.add_api_user(ann, above, "org robot", ["devices:list"])
    robot, _ = await world.teams.add_api_user(ann, place, "robot", ["devices:list"])
    team = await world.teams.of(ann, place)
    assert [(each.username, each.is_inherited) for each in team.members] == [
        ("ann", False),
        ("bob", True),
        ("cid", False),
    ]
    assert {each.friendly_name for each in team.api_users} == {"org robot", "robot"}
    assert roles(await world.teams.of(ann, above)) == {"ann": Role.OWNER, "bob": Role.SUPPORT}
    for act in (
        world.teams.remove(ann, place, "bob"),
        world.teams.change_role(ann, place, "bob", "Developer"),
        world.teams.remove(ann, place, "ann"),
        world.teams.change_role(ann, place, "ann", "View-only"),
        world.teams.change_role(ann, place, "cid", "Owner"),
        world.teams.invite(ann, place, "ann", "Support"),
        world.teams.invite(ann, place, "cid", "Support"),
        world.teams.invite(ann, place, robot.username, "Support"),
    ):
        with pytest.raises(TeamChangeInvalid):
            await act
    assert (await world.bearer(org_robot)).organization == corp.id


async def test_who_may_change_a_team(world: World) -> None:
    ann, _bob, corp, lamp = await corp_of(world)
    people = {role: await world.user(role.name.lower()) for role in Role if role is not Role.OWNER}
    for role, user in people.items():
        await world.join(lamp, user, role.name)
    lamp = await world.products.find(lamp.slug)
    server, org_server = ProductClient(ClientId("c"), lamp.id), OrganizationClient(ClientId("c"), corp.id)
    for requester in (*people.values(), ann):
        assert len((await world.teams.of(requester, lamp.resource(requester))).members) == len(Role)
    refused = [user for role, user in people.items() if role is not Role.ADMINISTRATOR]
    for requester in (*refused, await world.user("eve"), server, org_server):
        place = lamp.resource(requester)
        for act in (
            world.teams.invite(requester, place, "mallory", "Administrator"),
            world.teams.add_api_user(requester, place, "robot", ["devices:list"]),
            world.teams.change_role(requester, place, "support", "Administrator"),
            world.teams.change_api_user(requester, place, "robot", "x", None),
            world.teams.remove(requester, place, "support"),
        ):
            with pytest.raises(AccessRefused):
                await act
    admin = people[Role.ADMINISTRATOR]
    place = lamp.resource(admin)
    assert await world.teams.invite(admin, place, "new", "Administrator") == "new"
    with pytest.raises(TeamChangeInvalid):
        await world.teams.change_role(admin, place, "administrator", "Owner")
    # Whoever lowers themselves is lowered at once.
    await world.teams.change_role(admin, place, "administrator", "Support")
    with pytest.raises(AccessRefused):
        await world.teams.invite(admin, (await world.products.find(lamp.slug)).resource(admin), "x", None)


# -- invitations ---------------------------------------------------------------------------


async def test_somebody_without_an_account_is_in_the_team_as_soon_as_they_have_one(world: World) -> None:
    ann, _, corp, lamp = await corp_of(world)
    place = lamp.resource(ann)
    await world.teams.invite(ann, place, "Joe@example.com", "Support")
    await world.teams.invite(ann, corp.resource(ann), "joe@example.com", "View-only")
    team = await world.teams.of(ann, place)
    assert roles(team) == {"ann": Role.OWNER}
    assert [(each.username, each.role) for each in team.invitations] == [("joe@example.com", Role.SUPPORT)]
    # What is kept in memory knows of no Joe.
    assert (await world.products.find(lamp.slug)).has_open_invitations
    await world.organizations.find(corp.id)
    account = await world.users.create("joe@example.com", PASSWORD)
    joe = User(account.id, ClientId("particle"))
    assert (await world.products.resource(joe, lamp.slug)).role is Role.SUPPORT
    assert (await world.organizations.resource(joe, corp.id)).role is Role.VIEW_ONLY
    team = await world.teams.of(joe, await world.products.resource(joe, lamp.slug))
    assert (roles(team)["joe@example.com"], team.invitations) == (Role.SUPPORT, ())
    assert not (await world.products.find(lamp.slug)).has_open_invitations


async def test_an_account_made_by_another_process_is_in_its_teams_within_a_second(world: World, make_world) -> None:
    ann, _, corp, lamp = await corp_of(world)
    await world.teams.invite(ann, corp.resource(ann), "joe", "Support")
    await world.products.find(lamp.slug)
    await world.organizations.find(corp.id)
    other = make_world()  # its bus is not this one's, like that of the command line
    account = await other.users.create("joe", PASSWORD)
    joe = User(account.id, ClientId("particle"))
    world.clock.advance(1_000)
    assert (await world.products.resource(joe, lamp.slug)).role is Role.SUPPORT
    assert (await world.organizations.resource(joe, corp.id)).role is Role.SUPPORT


async def test_an_invitation_is_changed_withdrawn_or_ends(world: World) -> None:
    ann, _, _, lamp = await corp_of(world)
    place = lamp.resource(ann)
    await world.teams.invite(ann, place, "joe", "Administrator")
    await world.teams.invite(ann, place, "joe", "Developer")
    assert await world.teams.change_role(ann, place, "joe", "View-only") == ("joe", Role.VIEW_ONLY)
    (invitation,) = (await world.teams.of(ann, place)).invitations
    assert invitation.role is Role.VIEW_ONLY
    await world.teams.invite(ann, place, "kay", None)
    await world.teams.remove(ann, place, "joe")
    kay_only = await world.teams.of(ann, place)
    assert [(each.username, each.role) for each in kay_only.invitations] == [("kay", Role.DEVELOPER)]
    world.clock.advance(31 * DAY)
    assert (await world.teams.of(ann, place)).invitations == ()
    account = await world.users.create("kay", PASSWORD)
    assert (await world.products.resource(User(account.id, ClientId("c")), lamp.slug)).role is None
    await world.teams.invite(ann, place, "lee", None)
    world.clock.advance(31 * DAY)
    assert await world.teams.purge() == 1


async def test_who_takes_an_invited_name_takes_the_invitation(world: World) -> None:
    ann, bob, _, lamp = await corp_of(world)
    await world.teams.invite(ann, lamp.resource(ann), "robert", "Support")
    await world.products.find(lamp.slug)
    await world.accounts.rename(bob, "robert", PASSWORD, None)
    assert (await world.products.resource(bob, lamp.slug)).role is Role.SUPPORT


@pytest.mark.parametrize("name", ["", " ", "x" * 255, "a\nb"])
async def test_who_cannot_be_invited(world: World, name) -> None:
    ann, _, _, lamp = await corp_of(world)
    with pytest.raises((TeamChangeInvalid, UsernameUnusable)):
        await world.teams.invite(ann, lamp.resource(ann), name, None)


async def test_a_team_has_a_limit(world: World, monkeypatch) -> None:
    ann, _, _, lamp = await corp_of(world)
    monkeypatch.setattr(teams_module, "MAX_TEAM", 3)
    place = lamp.resource(ann)
    await world.teams.invite(ann, place, "bob", None)
    await world.teams.invite(ann, place, "joe", None)
    await world.teams.add_api_user(ann, place, "robot", ["devices:list"])
    for act in (
        world.teams.invite(ann, place, "kay", None),
        world.teams.add_api_user(ann, place, "robot", ["devices:list"]),
    ):
        with pytest.raises(TeamChangeInvalid, match="at most 3"):
            await act


async def test_a_hundred_invitations_at_once_leave_one_member(world: World) -> None:
    ann, bob, _, lamp = await corp_of(world)
    place = lamp.resource(ann)
    results = await asyncio.gather(
        *(world.teams.invite(ann, place, "bob", "Support") for _ in range(100)), return_exceptions=True
    )
    assert results.count("bob") == 1
    assert {type(result) for result in results if result != "bob"} == {TeamChangeInvalid}
    assert (await world.products.resource(bob, lamp.slug)).role is Role.SUPPORT


# -- the owner ---------------------------------------------------------------------------


async def test_an_organization_is_handed_over_and_has_one_owner_at_every_moment(world: World) -> None:
    ann, bob, corp, lamp = await corp_of(world)
    await world.teams.invite(ann, corp.resource(ann), "bob", "Developer")
    with pytest.raises(MemberNotFound):
        await world.teams.change_role(ann, corp.resource(ann), "cid", "Owner")
    bobs = (await world.organizations.find(corp.id)).resource(bob)
    with pytest.raises(AccessRefused):
        await world.teams.change_role(bob, bobs, "bob", "Owner")
    assert await world.teams.change_role(ann, corp.resource(ann), "ann", "Owner") == ("ann", Role.OWNER)
    assert await world.teams.change_role(ann, corp.resource(ann), "bob", "Owner") == ("bob", Role.OWNER)
    corp = await world.organizations.find(corp.id)
    assert (corp.owner, corp.owner_name, corp.team) == (
        bob.id,
        "bob",
        {bob.id: Role.OWNER, ann.id: Role.ADMINISTRATOR},
    )
    lamp = await world.products.find(lamp.slug)
    assert (lamp.owner, lamp.team) == (bob.id, {bob.id: Role.OWNER, ann.id: Role.ADMINISTRATOR})
    # What Ann held in her hands as the owner is worth nothing any more.
    stale = (await world.organizations.find(corp.id)).resource(ann)
    for place in (stale, type(stale)(stale.id, Role.OWNER)):
        with pytest.raises(TeamChangeInvalid):
            await world.teams.change_role(ann, place, "ann", "Owner")
    with pytest.raises(AccessRefused):
        await world.products.remove(ann, lamp.slug)


async def test_a_personal_organization_stays_its_users(world: World) -> None:
    ann, _bob = await world.user("ann"), await world.user("bob")
    own = await world.product(ann, "Own")
    personal = await world.organizations.find(own.organization)
    await world.teams.invite(ann, personal.resource(ann), "bob", "Developer")
    with pytest.raises(TeamChangeInvalid, match="personal"):
        await world.teams.change_role(ann, personal.resource(ann), "bob", "Owner")
    assert [each.id for each in await world.organizations.of_requester(_bob)] == [personal.id]


# -- API users ---------------------------------------------------------------------------


async def test_22_an_api_users_token_ends_when_it_was_said_to(world: World) -> None:
    ann, _, _, lamp = await corp_of(world)
    place = lamp.resource(ann)
    made, token = await world.teams.add_api_user(ann, place, "robot", ["devices:list"], "60")
    (listed,) = (await world.teams.of(ann, place)).api_users
    assert listed.token_ends_at == world.clock.now() + 60_000
    world.clock.advance(20_000)
    # Other scopes do not give it a longer life, and another name no other token.
    named = await world.teams.change_api_user(ann, place, made.username, "Robot", None)
    assert named.token is None
    changed = await world.teams.change_api_user(ann, place, made.username, None, ["devices:get"])
    assert changed.token is not None
    world.clock.advance(39_999)
    assert await world.bearer(changed.token)
    with pytest.raises(InvalidToken):
        await world.bearer(token)
    world.clock.advance(1)
    with pytest.raises(InvalidToken, match="expired"):
        await world.bearer(changed.token)
    with pytest.raises(TeamChangeInvalid, match="has ended"):
        await world.teams.change_api_user(ann, place, made.username, None, ["devices:list"])
    renewed = await world.teams.change_api_user(ann, place, made.username, None, None, "0")
    assert renewed.token is not None
    world.clock.advance(365 * DAY)
    assert (await world.bearer(renewed.token)).scopes.names == {"devices:get"}
    await world.tokens.revoke(renewed.token)
    with pytest.raises(TeamChangeInvalid, match="has ended"):
        await world.teams.change_api_user(ann, place, made.username, None, ["devices:list"])
    for wrong in ("x", "-1", "1.5"):
        with pytest.raises(TeamChangeInvalid, match="expires_in must be"):
            await world.teams.add_api_user(ann, place, "robot", ["devices:list"], wrong)


async def test_22_an_api_users_token_is_under_the_caps(world: World) -> None:
    ann, _, corp, _ = await corp_of(world)
    lamp = await world.products.create(
        ann,
        name="Capped",
        description="",
        platform_id=6,
        organization=corp,
        settings={"tokens": {"max_lifetime_s": 100}},
    )
    for asked in (None, "3600"):
        _, token = await world.teams.add_api_user(ann, lamp.resource(ann), "robot", ["devices:list"], asked)
        hash_ = (await world.bearer(token)).token
        assert hash_ is not None
        assert await world.tokens.expires_at(hash_) == world.clock.now() + 100_000
    with pytest.raises(TeamChangeInvalid, match="no tokens without end"):
        await world.teams.add_api_user(ann, lamp.resource(ann), "robot", ["devices:list"], "0")
    _, wide = await world.teams.add_api_user(ann, corp.resource(ann), "robot", ["devices:list"])
    assert (await world.bearer(wide)).token


async def test_an_api_user_does_what_its_scopes_name_in_its_place_alone(world: World) -> None:
    ann, _, corp, lamp = await corp_of(world)
    clock = await world.product(ann, "Clock", organization=corp)
    await world.import_(ann, lamp, 1)
    made, token = await world.teams.add_api_user(
        ann, lamp.resource(ann), "Build Server", ["devices:list", "products:list"]
    )
    assert made.username.startswith("build-server+")
    assert made.username.endswith("@api.example.com")
    robot = await world.bearer(token)
    assert robot == ApiUser(
        made.id,
        ClientId("api-user"),
        Scopes(frozenset({"devices:list", "products:list"})),
        robot.token,
        lamp.id,
        None,
    )
    assert await world.tokens.expires_at(robot.token) is None
    assert await world.products.of_requester(robot) == [lamp]
    assert await world.products.get(robot, lamp.slug, Action.DEVICES_LIST)
    for reference, action in ((lamp.slug, Action.DEVICES_GET), (clock.slug, Action.DEVICES_LIST)):
        with pytest.raises(AccessRefused):
            await world.products.get(robot, reference, action)
    for act in (world.devices.mine(robot), world.ownership.claim(robot, device_id(1)), world.users.profile(robot)):
        with pytest.raises(AccessRefused):
            await act
    _, wide = await world.teams.add_api_user(ann, corp.resource(ann), "wide", ["products:list", "devices:list"])
    wide_robot = await world.bearer(wide)
    assert {each.slug for each in await world.products.of_requester(wide_robot)} == {"lamp", "clock"}
    assert await world.products.get(wide_robot, clock.slug, Action.DEVICES_LIST)


async def test_other_scopes_replace_the_token_and_removal_ends_it(world: World) -> None:
    ann, _, _, lamp = await corp_of(world)
    place = lamp.resource(ann)
    made, token = await world.teams.add_api_user(ann, place, "robot", ["devices:list", "events:get"])
    robot = await world.bearer(token)
    listening = await world.events.listen_product(robot, lamp, "")
    same = await world.teams.change_api_user(ann, place, made.username, "Robot 2", ["events:get", "devices:list"])
    assert (same.user.friendly_name, same.token) == ("Robot 2", None)
    await world.bearer(token)
    changed = await world.teams.change_api_user(ann, place, made.username, None, ["devices:list"])
    assert changed.token is not None
    with pytest.raises(InvalidToken):
        await world.bearer(token)
    with pytest.raises(StreamEnded):
        await listening.next(0)
    fresh = await world.bearer(changed.token)
    with pytest.raises(AccessRefused):
        await world.events.listen_product(fresh, lamp, "")
    await world.teams.remove(ann, place, made.username)
    with pytest.raises(InvalidToken):
        await world.bearer(changed.token)
    assert (await world.teams.of(ann, place)).api_users == ()
    for act in (
        world.teams.change_api_user(ann, place, made.username, "x", None),
        world.teams.remove(ann, place, made.username),
    ):
        with pytest.raises(MemberNotFound):
            await act


async def test_no_usable_token_of_an_api_user_is_in_the_database(world: World) -> None:
    ann, _, _, lamp = await corp_of(world)
    _, token = await world.teams.add_api_user(ann, lamp.resource(ann), "robot", ["devices:list"])
    rows = [
        await world.db.fetch_all("SELECT * FROM access_tokens"),
        await world.db.fetch_all("SELECT * FROM api_users"),
        await world.db.fetch_all("SELECT * FROM clients"),
    ]
    assert token not in str(rows)
    kept = b"".join(value for table in rows for row in table for value in row if isinstance(value, bytes))
    assert bytes.fromhex(token) not in kept


async def test_an_api_user_cannot_lift_itself(world: World) -> None:
    ann, _, _, lamp = await corp_of(world)
    place = lamp.resource(ann)
    made, token = await world.teams.add_api_user(
        ann, place, "robot", ["teams.users:invite", "teams.users:update", "teams.users:list", "clients:create"]
    )
    robot = await world.bearer(token)
    robots = lamp.resource(robot)
    for act in (
        world.teams.invite(robot, robots, "bob", "View-only"),
        world.teams.invite(robot, robots, "mallory", "Administrator"),
        world.teams.add_api_user(robot, robots, "more", ["devices:list"]),
        world.teams.change_api_user(robot, robots, made.username, None, ["teams.users:update", "devices:list"]),
    ):
        with pytest.raises(TeamChangeInvalid):
            await act
    with pytest.raises(AccessRefused):
        await world.teams.remove(robot, robots, made.username)
    less, _ = await world.teams.add_api_user(robot, robots, "less", ["teams.users:list"])
    assert less.created_by == f"api-user:{made.id}"


# -- what somebody holds open ---------------------------------------------------------------------------


async def test_a_removed_members_streams_end_before_the_removal_is_answered(world: World) -> None:
    ann, bob, corp, lamp = await corp_of(world)
    own = await world.product(bob, "Bob's")
    await world.teams.invite(ann, corp.resource(ann), "bob", "Support")
    lamp, corp = await world.products.find(lamp.slug), await world.organizations.find(corp.id)
    await world.import_(ann, lamp, 1)
    gone = [
        await world.events.listen_product(bob, lamp, ""),
        await world.events.listen_product_device(bob, lamp, device_id(1), ""),
        await world.events.listen_organization(bob, corp, ""),
    ]
    stays = [
        await world.events.listen_own(bob, ""),
        await world.events.listen_product(bob, own, ""),
        await world.events.listen_product(ann, lamp, ""),
    ]
    await world.teams.remove(ann, corp.resource(ann), "bob")
    assert [stream._ended is not None for stream in (*gone, *stays)] == [True] * 3 + [False] * 3
    with pytest.raises(AccessRefused):
        await world.events.listen_product(bob, await world.products.find(lamp.slug), "")


async def test_a_stream_that_opens_while_its_listener_is_removed_does_not_stay(world: World, monkeypatch) -> None:
    """The right was there when it was asked for, and gone before there was a stream that could end."""
    ann, bob, corp, lamp = await corp_of(world)
    await world.teams.invite(ann, corp.resource(ann), "bob", "Support")
    bob = await world.bearer((await world.issue(bob)).access_token)
    lamp, corp = await world.products.find(lamp.slug), await world.organizations.find(corp.id)

    async def removed_meanwhile(hash_):
        monkeypatch.undo()
        await world.teams.remove(ann, corp.resource(ann), "bob")

    for listen in (
        lambda: world.events.listen_product(bob, lamp, ""),
        lambda: world.events.listen_organization(bob, corp, ""),
    ):
        monkeypatch.setattr(world.tokens, "expires_at", removed_meanwhile)
        with pytest.raises(AccessRefused):
            await listen()
        assert len(world.streams) == 0
        await world.teams.invite(ann, corp.resource(ann), "bob", "Support")


async def test_events_of_an_organization(world: World) -> None:
    ann, _, corp, lamp = await corp_of(world)
    clock = await world.product(ann, "Clock", organization=corp)
    elsewhere = await world.product(ann, "Own")
    account = await world.customers.create(ann, corp.resource(ann), "jane", None)
    jane = Customer(account.id, None, ClientId("c"), organization=corp.id)
    streams = {
        "corp": await world.events.listen_organization(ann, corp, ""),
        "lamp": await world.events.listen_product(ann, lamp, ""),
        "clock": await world.events.listen_product(ann, clock, ""),
        "elsewhere": await world.events.listen_product(ann, elsewhere, ""),
    }

    async def heard() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, stream in streams.items():
            while stream._queue:
                found.setdefault(name, []).append((await stream.next(0)).name)
        return found

    await world.events.publish_in(ann, lamp, "of-lamp", None, 60, is_private=True)
    await world.events.publish_in(ann, elsewhere, "of-elsewhere", None, 60, is_private=True)
    assert await heard() == {"corp": ["of-lamp"], "lamp": ["of-lamp"], "elsewhere": ["of-elsewhere"]}
    # A customer of the organization is in none of its products in particular.
    await world.events.publish_as(jane, "of-jane", None, 60, is_private=True)
    assert await heard() == {"corp": ["of-jane"]}
    for number, product in ((1, lamp), (2, clock), (3, elsewhere)):
        await world.import_(ann, product, number)
        await world.connect(number, f"{number}".encode().ljust(162, b"."))
    await world.events.publish_in_organization(ann, corp, "to-all", "x", 60, is_private=True)
    assert await heard() == {"corp": ["to-all"], "lamp": ["to-all"], "clock": ["to-all"]}
    assert {sent.device for sent in world.connected.sent if sent.name == "to-all"} == {device_id(1), device_id(2)}
    late = await world.product(ann, "Late", organization=corp)
    await world.events.publish_in(ann, late, "of-late", None, 60, is_private=True)
    assert await heard() == {"corp": ["of-late"]}
    eve = await world.user("eve")
    for act in (
        world.events.publish_in_organization(eve, corp, "x", None, 60, is_private=True),
        world.events.listen_organization(eve, corp, ""),
    ):
        with pytest.raises(AccessRefused):
            await act
