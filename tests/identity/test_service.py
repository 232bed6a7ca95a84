"""Accounts, their passwords, and resetting them."""

import asyncio
import logging
import re
import stat
from pathlib import Path

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import Anonymous, ProductClient, Scopes, User
from cloudchamber.clock import MINUTE
from cloudchamber.identity import passwords as passwords_module
from cloudchamber.identity.errors import (
    CredentialsMissing,
    CustomerExists,
    PasswordsBusy,
    PasswordUnusable,
    RegistrationClosed,
    ResetTokenInvalid,
    UsernameTaken,
)
from cloudchamber.identity.outbox import Outbox
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.identity.rules import PasswordPolicy
from cloudchamber.identity.service import Users
from cloudchamber.identity.store import FactorStore, ResetStore, UserStore
from cloudchamber.ids import ClientId
from cloudchamber.oauth.errors import InvalidToken
from tests.world import PASSWORD, World


async def test_an_account_is_made_and_found(world: World) -> None:
    made = await world.users.register(Anonymous(), " Ann@Example.com ", "s3cret", {"first_name": "Ann"})
    assert made.username == "ann@example.com"
    assert made.account_info == {"first_name": "Ann"}
    assert await world.users.find("ANN@example.com") == await world.users.get(made.id) == made
    assert await world.users.profile(User(made.id, ClientId("particle"))) == made
    assert await world.users.with_password("ann@example.com ", "s3cret") == made
    assert await world.users.with_password("ann@example.com", "S3cret") is None
    assert await world.users.with_password("nobody", "s3cret") is None
    assert "s3cret" not in (made.password_hash or "")
    with pytest.raises(UsernameTaken, match=r"^user with the username already exists$") as taken:
        await world.users.create("ANN@EXAMPLE.COM", "x")
    assert taken.value.status == 400
    for name, password, error in [
        ("", "x", CredentialsMissing),
        ("x", "", CredentialsMissing),
        ("x", "x" * 257, PasswordUnusable),
    ]:
        with pytest.raises(error):
            await world.users.register(Anonymous(), name, password, {})


async def test_of_many_with_one_name_one_gets_it(world: World) -> None:
    answers = await asyncio.gather(*(world.users.create("ann", "x") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, UsernameTaken) for answer in answers) == 3


async def test_registration_can_be_closed(world: World) -> None:
    closed = Users(world.db, UserStore(), world.passwords, world.clock, is_open=False, policy=PasswordPolicy())
    with pytest.raises(RegistrationClosed):
        await closed.register(Anonymous(), "ann", "x", {})
    assert await world.users.find("ann") is None


async def test_only_a_user_has_a_profile(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    kim = await world.customer(ann, thing, "kim")
    limited = User(ann.id, ann.client, Scopes.parse("devices:list"))
    for requester in (kim, limited, ProductClient(ClientId("c-1"), thing.id), Anonymous()):
        with pytest.raises(AccessRefused):
            await world.users.profile(requester)


async def test_customers(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    thing, other = await world.product(ann, "Thing"), await world.product(ann, "Other")
    kim = await world.customers.create(ann, thing.resource(ann), " Kim ", None)
    twin = await world.customers.create(ann, other.resource(ann), "kim", None)
    assert kim.username == twin.username == "kim"
    assert kim.id != twin.id
    assert await world.customers.find(thing.id, "KIM") == await world.customers.get(kim.id) == kim
    assert await world.customers.find(other.id, "kim") == twin
    assert await world.customers.with_password(thing.id, "kim", "") is None
    assert await world.customers.with_password(thing.id, "kim", "nobody has this password") is None
    with pytest.raises(CustomerExists, match=r"^Customer already exists$") as exists:
        await world.customers.create(ann, thing.resource(ann), "KIM", None)
    assert exists.value.status == 400
    answers = await asyncio.gather(
        *(world.customers.create(ann, thing.resource(ann), "lee", None) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, CustomerExists) for answer in answers) == 4
    for requester in (eve, Anonymous(), ProductClient(ClientId("c-1"), other.id)):
        with pytest.raises(AccessRefused):
            await world.customers.create(requester, thing.resource(requester), "x", None)
        with pytest.raises(AccessRefused):
            await world.customers.of(requester, thing.resource(requester), page=1, per_page=10)


async def test_customers_are_listed_in_pages_once_they_own_a_device(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    people = []
    for number in range(3):
        people.append(await world.customer(ann, thing, f"customer {number}"))
        world.clock.advance(1)
    await world.import_(ann, thing, 1)
    await world.ownership.claim(people[1], f"{1:024x}")
    resource = thing.resource(ann)
    shown, total = await world.customers.of(ann, resource, page=1, per_page=10)
    assert ([one.id for one in shown], total) == ([people[1].id], 1)
    for text, expected in (("%", []), ("MER 1", [people[1].id]), ("customer", [one.id for one in people])):
        named, count = await world.customers.of(ann, resource, page=1, per_page=10, everybody=True, text=text)
        assert ([one.id for one in named], count) == (expected, len(expected))
    pages = [await world.customers.of(ann, resource, page=page, per_page=2, everybody=True) for page in (1, 2, 3)]
    assert [[one.id for one in found] for found, _ in pages] == [[people[0].id, people[1].id], [people[2].id], []]
    assert {total for _, total in pages} == {3}


async def test_passwords_are_checked_off_the_loop_by_few_at_a_time(monkeypatch) -> None:
    passwords = Passwords(1)
    try:
        stored = await passwords.hash("x")
        assert stored != await passwords.hash("x")
        assert await passwords.verify(stored, "x")
        assert not await passwords.verify("no hash", "x")
        assert not await passwords.verify(None, "nobody has this password")
        monkeypatch.setattr(passwords_module, "_MAX_WAITING", 2)
        answers = await asyncio.gather(*(passwords.verify(stored, "x") for _ in range(4)), return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["PasswordsBusy", "PasswordsBusy", "bool", "bool"]
        assert await passwords.verify(stored, "x")
        assert PasswordsBusy.status == 503
    finally:
        passwords.close()


class Post:
    """Password resets over a world, and the mail that they wrote."""

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.resets = PasswordResets(
            *(world.db, ResetStore(), UserStore(), FactorStore(), world.passwords, Outbox(folder), world.tokens),
            *(world.clock, "https://cloud.example", PasswordPolicy()),
        )

    async def token(self, username: str) -> str | None:
        """The one in the mail that this request brought, if it brought one."""
        before = set(self.folder.glob("*"))
        await self.resets.request(username)
        await self.resets.close()
        new = set(self.folder.glob("*")) - before
        if not new:
            return None
        (path,) = new
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found = re.search(r"token=3?D?([0-9a-f]{40})", path.read_text().replace("=\n", ""))
        assert found
        return found[1]


async def test_a_reset_works_once_for_an_hour(world: World, tmp_path: Path, caplog) -> None:
    ann = await world.user("ann@example.com")
    post = Post(world, tmp_path / "mail")
    with caplog.at_level(logging.DEBUG):
        assert await post.token("nobody@example.com") is None
        token, older, late = [await post.token(" Ann@Example.com") for _ in range(3)]
    assert token
    assert not any(each in caplog.text for each in (token, older, late))
    with pytest.raises(CredentialsMissing):
        await post.resets.complete(token, "")
    log_in = await world.issue(ann)
    assert await world.tokens.check(log_in.access_token)
    answers = await asyncio.gather(*(post.resets.complete(token, "new") for _ in range(3)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["ResetTokenInvalid", "ResetTokenInvalid", "str"]
    # Whoever was logged in with the old password is not any more.
    with pytest.raises(InvalidToken):
        await world.tokens.check(log_in.access_token)
    assert await world.users.with_password("ann@example.com", "new")
    assert await world.users.with_password("ann@example.com", PASSWORD) is None
    # The other mails open nothing any more.
    for each in (older, late, "0" * 40, ""):
        with pytest.raises(ResetTokenInvalid):
            await post.resets.complete(each, "thief's")
    expired = await post.token("ann@example.com")
    world.clock.advance(60 * MINUTE)
    with pytest.raises(ResetTokenInvalid):
        await post.resets.complete(expired, "too late")
    assert await world.users.with_password("ann@example.com", "new")


async def test_a_mail_that_cannot_be_written_is_told_to_the_log(world: World, tmp_path: Path, caplog) -> None:
    await world.user("ann")
    (tmp_path / "mail").write_text("a file where the folder should be")
    post = Post(world, tmp_path / "mail")
    await post.resets.request("ann")
    await post.resets.close()
    assert "could not be written" in caplog.text
