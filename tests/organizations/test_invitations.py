"""Invitations that are mailed: only who holds the mail takes the place, and only for the account that it names."""

import asyncio
import re
from typing import Any

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Role
from cloudchamber.access.requester import Scopes, User
from cloudchamber.clock import DAY
from cloudchamber.identity.rules import is_address
from cloudchamber.ids import ClientId
from cloudchamber.organizations.errors import InvitationInvalid, TeamChangeInvalid
from cloudchamber.organizations.store import ApiUserStore, OrganizationStore, TeamStore
from cloudchamber.organizations.teams import Teams
from cloudchamber.settings import Address, Settings
from tests.world import PASSWORD, Letters, World

URL = "https://cloud.example.com"


@pytest.fixture
def letters(world: World) -> Letters:
    made = Letters()
    outbox: Any = made
    world.teams = Teams(
        *(
            world.db,
            TeamStore(),
            ApiUserStore(),
            OrganizationStore(),
            world.users,
            world.tokens,
            world.bus,
            world.clock,
        ),
        api_domain="api.example.com",
        outbox=outbox,
        public_url=URL,
    )
    return made


async def code_to(world: World, letters: Letters, name: str) -> str:
    await world.teams.close()
    to, text = letters.sent[-1]
    assert to == name
    found = re.search(rf"{URL}/oauth/invitation\?code=([0-9a-f]{{40}})\n", text)
    assert found
    return found[1]


@pytest.mark.parametrize("has_account", [True, False])
async def test_only_who_holds_the_mail_takes_the_place(world: World, letters: Letters, has_account: bool) -> None:
    ann, eve = await world.user("ann"), await world.user("eve@example.com")
    corp = await world.organizations.create(ann, name="Corp", slug=None)
    lamp = await world.product(ann, "Lamp", organization=corp)
    place = lamp.resource(ann)
    joe = await world.user("joe@example.com") if has_account else None
    await world.teams.invite(ann, place, "Joe@example.com", "Support")
    await world.teams.invite(ann, corp.resource(ann), "joe@example.com", "View-only")
    code = await code_to(world, letters, "joe@example.com")
    account = None if has_account else await world.users.create("joe@example.com", PASSWORD)
    joe = joe or User(account.id, ClientId("particle"))  # type: ignore[union-attr]
    # The name alone opens nothing, and neither does the code in other hands.
    assert (await world.products.resource(joe, lamp.slug)).role is None
    assert [each.username for each in (await world.teams.of(ann, place)).invitations] == ["joe@example.com"]
    for who, shown in [(eve, code), (joe, "0" * 40), (joe, "")]:
        with pytest.raises(InvitationInvalid, match="another account"):
            await world.teams.accept(who, shown)
    with pytest.raises(AccessRefused):
        await world.teams.accept(User(joe.id, joe.client, Scopes(frozenset({"devices:list"}))), code)
    await world.teams.accept(joe, code)
    assert (await world.organizations.resource(joe, corp.id)).role is Role.VIEW_ONLY
    assert (await world.products.resource(joe, lamp.slug)).role is Role.VIEW_ONLY, "in the product by its organization"
    with pytest.raises(InvitationInvalid):
        await world.teams.accept(joe, code)
    other = re.search(r"code=([0-9a-f]{40})", letters.sent[0][1])
    assert other
    await world.teams.accept(joe, other[1])
    assert (await world.products.resource(joe, lamp.slug)).role is Role.SUPPORT
    assert (await world.teams.of(ann, place)).invitations == ()
    with pytest.raises(TeamChangeInvalid, match="in this team already"):
        await world.teams.invite(ann, place, "joe@example.com", "Developer")


async def test_of_two_who_show_a_code_at_once_one_counts(world: World, letters: Letters) -> None:
    ann, joe = await world.user("ann"), await world.user("joe@example.com")
    lamp = await world.product(ann, "Lamp")
    await world.teams.invite(ann, lamp.resource(ann), "joe@example.com", "Support")
    code = await code_to(world, letters, "joe@example.com")
    done = await asyncio.gather(*(world.teams.accept(joe, code) for _ in range(5)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["InvitationInvalid"] * 4 + ["NoneType"]


async def test_a_code_lives_and_ends_with_its_invitation(world: World, letters: Letters) -> None:
    ann, joe = await world.user("ann"), await world.user("joe@example.com")
    lamp = await world.product(ann, "Lamp")
    place = lamp.resource(ann)
    codes = []
    for _ in range(2):
        await world.teams.invite(ann, place, "joe@example.com", "Administrator")
        codes.append(await code_to(world, letters, "joe@example.com"))
    with pytest.raises(InvitationInvalid):
        await world.teams.accept(joe, codes[0])
    # Another role changes nothing about who may take it.
    await world.teams.change_role(ann, place, "joe@example.com", "View-only")
    world.clock.advance(30 * DAY)
    with pytest.raises(InvitationInvalid):
        await world.teams.accept(joe, codes[1])
    world.clock.advance(-DAY)
    await world.teams.accept(joe, codes[1])
    assert (await world.products.resource(joe, lamp.slug)).role is Role.VIEW_ONLY
    await world.teams.invite(ann, place, "kay@example.com", None)
    code = await code_to(world, letters, "kay@example.com")
    await world.teams.remove(ann, place, "kay@example.com")
    with pytest.raises(InvitationInvalid):
        await world.teams.accept(await world.user("kay@example.com"), code)
    rows = await world.db.fetch_all("SELECT 1 FROM invitation_codes")
    assert rows == []
    with pytest.raises(TeamChangeInvalid, match="must be an e-mail address"):
        await world.teams.invite(ann, place, "no address", None)


def test_what_mail_can_go_to() -> None:
    assert all(is_address(name) for name in ("a@b", "joe@example.com", "o'neil+x@sub.example.com"))
    for name in ("", "joe", "@example.com", "joe@", "a b@c", "a@b,c@d", "<a@b>", "a@b\n"):
        assert not is_address(name)


@pytest.mark.parametrize(
    ("settings", "mails"),
    [
        (Settings(), False),
        (Settings(http=Address("0.0.0.0", 80)), False),  # noqa: S104
        (Settings(http=Address("0.0.0.0", 80), registration="open"), True),  # noqa: S104
        (Settings(http=Address("0.0.0.0", 80), registration="open", invitations="by-name"), False),  # noqa: S104
        (Settings(invitations="by-mail"), True),
    ],
)
def test_where_invitations_are_mailed(settings: Settings, mails: bool) -> None:
    assert settings.mails_invitations is mails
