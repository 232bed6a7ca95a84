"""What people change about their accounts, and what ends with it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import Anonymous, ProductClient, Scopes, User
from cloudchamber.fleet.model import Change
from cloudchamber.identity.errors import (
    AccountInfoUnusable,
    CredentialsMissing,
    CurrentPasswordWrong,
    OwnsProducts,
    PasswordUnusable,
    UsernameTaken,
    UsernameUnusable,
)
from cloudchamber.ids import ClientId, hash_secret
from cloudchamber.oauth import tokens as tokens_module
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Issued
from cloudchamber.organizations.errors import OrganizationNotFound
from tests.world import CLI, PASSWORD, World, device_id, key

NEW = "another horse, another battery"


async def is_alive(world: World, token: str) -> bool:
    """For who knows the token, and for who has to look."""
    answers = []
    for tokens in (world.tokens, world.other_tokens()):
        try:
            answers.append(bool(await tokens.check(token)))
        except OAuthError:
            answers.append(False)
    assert answers[0] == answers[1]
    return answers[0]


async def two_log_ins(world: World, ann: User) -> tuple[User, Issued, Issued]:
    """Ann with the first of two log-ins."""
    mine, other = await world.issue(ann), await world.issue(ann)
    return replace(ann, token=hash_secret(mine.access_token)), mine, other


async def test_account_information_is_merged(world: World) -> None:
    ann = await world.user("ann")
    first = await world.accounts.update_info(ann, {"first_name": "Ann", "business_account": False})
    assert first.account_info == {"first_name": "Ann", "business_account": False}
    second = await world.accounts.update_info(ann, {"last_name": "Smith", "first_name": None})
    assert second.account_info == {"last_name": "Smith", "business_account": False}
    assert await world.users.get(ann.id) == second
    for bad in ({"x": "y" * 501}, {"x" * 501: "y"}, {"x": {"y": "z"}}, {"x": [1]}, {str(n): n for n in range(30)}):
        with pytest.raises(AccountInfoUnusable):
            await world.accounts.update_info(ann, bad)


async def test_a_new_name(world: World) -> None:
    ann, _ = await world.user("ann@example.com"), await world.user("bob@example.com")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    record = await world.ownership.claim(ann, device_id(1))
    assert (await world.devices.view(record)).owner_name == "ann@example.com"
    renamed = await world.accounts.rename(ann, " Ann.Smith@example.com", PASSWORD, None)
    assert renamed.username == "ann.smith@example.com"
    assert (await world.devices.view(record)).owner_name == "ann.smith@example.com", "no cache keeps the old one"
    assert await world.users.with_password("ann.smith@example.com", PASSWORD)
    assert await world.users.with_password("ann@example.com", PASSWORD) is None
    for name, password, error in [
        ("BOB@example.com", PASSWORD, UsernameTaken),
        ("", PASSWORD, CredentialsMissing),
        ("x\0", PASSWORD, UsernameUnusable),
        ("other@example.com", "wrong", CurrentPasswordWrong),
        ("other@example.com", "", CurrentPasswordWrong),
    ]:
        with pytest.raises(error):
            await world.accounts.rename(ann, name, password, None)
    assert (await world.users.get(ann.id)) == renamed


@pytest.mark.parametrize(
    ("asked", "lasting", "mine_lives", "other_lives"),
    [
        (None, True, True, True),
        ("false", True, True, True),
        ("true", True, False, False),
        ("others", True, True, False),
        (None, False, True, False),
        ("false", False, True, False),
        ("1", False, False, False),
    ],
)
async def test_21_a_new_password_ends_log_ins(
    make_world: Callable[..., World], asked: str | None, lasting: bool, mine_lives: bool, other_lives: bool
) -> None:
    world = make_world(lasting_tokens=lasting)
    await world.install_client("particle")
    ann, mine, other = await two_log_ins(world, await world.user("ann"))
    bobs = await world.issue(await world.user("bob"))
    told: list[frozenset[bytes]] = []
    world.bus.subscribe(tokens_module.TOKENS_REVOKED, told.append)
    assert await is_alive(world, mine.access_token)
    await world.accounts.set_password(ann, NEW, PASSWORD, asked)
    assert await is_alive(world, mine.access_token) is mine_lives
    assert await is_alive(world, other.access_token) is other_lives
    assert await is_alive(world, bobs.access_token)
    # Open streams hear of it.
    ended = {hash_secret(t.access_token) for t, lives in ((mine, mine_lives), (other, other_lives)) if not lives}
    assert frozenset().union(*told) == ended
    assert world.compat_uses["lasting_tokens"] == (mine_lives and other_lives)
    for pair, lives in ((mine, mine_lives), (other, other_lives)):
        form = {"grant_type": "refresh_token", "refresh_token": pair.refresh_token or ""}
        answer = (await asyncio.gather(world.endpoint.answer(form, CLI), return_exceptions=True))[0]
        assert isinstance(answer, Issued) is lives
    assert await world.users.with_password("ann", NEW)
    assert await world.users.with_password("ann", PASSWORD) is None


async def test_a_password_that_cannot_be(world: World) -> None:
    ann = await world.user("ann")
    for password, current, error in [
        (NEW, "wrong", CurrentPasswordWrong),
        ("", PASSWORD, CredentialsMissing),
        ("x" * 257, PASSWORD, PasswordUnusable),
    ]:
        with pytest.raises(error):
            await world.accounts.set_password(ann, password, current, None)
    assert await world.users.with_password("ann", PASSWORD)


async def test_only_a_person_changes_an_account(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    limited = User(ann.id, ann.client, Scopes.parse("account:get"))
    for requester in (kim, limited, ProductClient(ClientId("c-1"), thing.id), Anonymous()):
        for change in (
            world.accounts.update_info(requester, {}),
            world.accounts.rename(requester, "x", PASSWORD, None),
            world.accounts.set_password(requester, NEW, PASSWORD, None),
            world.accounts.delete(requester, PASSWORD),
        ):
            with pytest.raises(AccessRefused):
                await change


async def test_an_account_goes_with_all_that_is_its_own(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    lamp = await world.product(bob, "Lamp")
    await world.join(lamp, ann, "DEVELOPER")
    await world.import_(bob, lamp, 1)
    await world.ownership.claim(ann, device_id(1))
    await world.connect(2, key("two"))
    await world.ownership.claim(ann, device_id(2))
    code = await world.ownership.issue_code(ann)
    client, basic = await world.client(ann, None)
    mine = await world.issue(ann)
    bobs_by_anns_client = await world.issue(bob, client=client.id)
    bobs = await world.issue(bob)
    for issued in (mine, bobs_by_anns_client, bobs):
        assert await is_alive(world, issued.access_token)
    with pytest.raises(CurrentPasswordWrong):
        await world.accounts.delete(ann, "wrong")
    await world.accounts.delete(ann, PASSWORD)
    assert await world.users.find("ann") is None
    for issued, lives in ((mine, False), (bobs_by_anns_client, False), (bobs, True)):
        assert await is_alive(world, issued.access_token) is lives
    with pytest.raises(OAuthError):
        await world.endpoint.answer({"grant_type": "client_credentials"}, basic)
    for number, product in ((1, lamp.id), (2, None)):
        record = await world.record(number)
        assert (record.owner, record.product) == (None, product)
        assert await world.devices.get(record.id) == record, "no cache knows the old owner"
        change = (await world.custody.of_device(world.db, record.id))[-1]
        assert (change.change, change.actor) == (Change.UNCLAIMED, f"user:{ann.id}")
    rows = await world.db.fetch_all("SELECT hash FROM claim_codes WHERE hash = $1", hash_secret(code.code))
    assert rows == []
    assert (await world.users.create("ann", "somebody else", None)).id != ann.id


async def test_a_personal_organization_goes_with_its_person_and_any_other_keeps_the_account(world: World) -> None:
    ann = await world.user("ann")
    personal = await world.organizations.personal(ann.id)
    client, secret = await world.clients.create(
        ann, personal.resource(ann), name="server", type_="installed", redirect_uri=None, scope=None
    )
    issued = await world.endpoint.answer({"grant_type": "client_credentials"}, (client.id, secret))
    assert await is_alive(world, issued.access_token)
    other = await world.organizations.create(ann, name="Company", slug=None)
    with pytest.raises(OwnsProducts):
        await world.accounts.delete(ann, PASSWORD)
    assert await is_alive(world, issued.access_token)
    await world.organizations.remove(ann, other.slug)
    await world.accounts.delete(ann, PASSWORD)
    assert not await is_alive(world, issued.access_token)
    with pytest.raises(OrganizationNotFound):
        await world.organizations.find(personal.slug)


async def test_an_account_that_owns_products_stays(world: World) -> None:
    ann = await world.user("ann")
    lamp = await world.product(ann)
    mine = await world.issue(ann)
    await world.import_(ann, lamp, 1)
    await world.ownership.claim(ann, device_id(1))
    with pytest.raises(OwnsProducts) as refused:
        await world.accounts.delete(ann, PASSWORD)
    assert refused.value.status == 409
    assert await is_alive(world, mine.access_token)
    assert (await world.record(1)).owner is not None, "nothing of it happened"
