"""Tokens in use: cached, listed, revoked; what the database keeps of them; what their client may do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cloudchamber.access.model import Action
from cloudchamber.access.requester import ProductClient, User
from cloudchamber.access.rules import ALLOWED, decide
from cloudchamber.clock import DAY
from cloudchamber.ids import hash_secret
from cloudchamber.oauth import tokens as tokens_module
from cloudchamber.oauth.errors import InvalidToken
from cloudchamber.oauth.model import Principal, PrincipalKind
from cloudchamber.sealing import KEY_BYTES, Sealer
from tests.world import PASSWORD, World

CC = {"grant_type": "client_credentials"}


def principal(user: User) -> Principal:
    return Principal(PrincipalKind.USER, user.id)


async def refused(world: World, token: str) -> str:
    """How a token fails, both for who knows it and for who has to look."""
    with pytest.raises(InvalidToken) as failed:
        await world.tokens.check(token)
    with pytest.raises(InvalidToken):
        await world.other_tokens().check(token)
    return failed.value.message


async def test_a_token_in_use_is_one_look_up(world: World, monkeypatch) -> None:
    ann = await world.user("ann")
    token = (await world.issue(ann)).access_token
    assert world.tokens.cached(token) is None
    loaded = await world.tokens.load(token)
    monkeypatch.setattr(world.tokens, "_db", None)
    assert world.tokens.cached(token) is loaded
    assert await world.tokens.check(token) is loaded
    assert loaded.token == hash_secret(token)


async def test_the_cache_is_bounded_and_keeps_what_is_used(world: World, monkeypatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_CACHED", 2)
    ann = await world.user("ann")
    one, two, three = [(await world.issue(ann)).access_token for _ in range(3)]
    await world.tokens.load(one)
    await world.tokens.load(two)
    assert world.tokens.cached(one)
    await world.tokens.load(three)
    assert (world.tokens.cached(two), len(world.tokens._live)) == (None, 2)
    assert world.tokens.cached(one)


async def test_revoking(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    one, two = await world.issue(ann), await world.issue(ann)
    others = await world.issue(bob)
    told: list[frozenset[bytes]] = []
    world.bus.subscribe(tokens_module.TOKENS_REVOKED, told.append)
    for issued in (one, two, others):
        await world.bearer(issued.access_token)
    await world.tokens.revoke(one.access_token)
    assert told == [{hash_secret(one.access_token)}]
    assert await refused(world, one.access_token) == "The access token provided is invalid."
    assert world.tokens.cached(two.access_token)
    await world.tokens.revoke(one.access_token)  # again, and one that never was: no error
    await world.tokens.revoke("never")
    await world.tokens.revoke_all(principal(ann))
    assert await refused(world, two.access_token)
    assert await world.bearer(others.access_token)
    assert await world.tokens.of_principal(principal(ann)) == []


async def test_a_log_in_ends_whole(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    client = await world.clients.find("particle")
    second = await world.tokens.refresh(client, first.refresh_token)
    await world.bearer(first.access_token)
    await world.tokens.revoke(second.access_token)
    assert await refused(world, first.access_token)
    assert await world.db.fetch_all("SELECT hash FROM refresh_tokens") == []


class Paused:
    """The database, whose next single read, having read, waits to be let go: what a slow connection does."""

    def __init__(self, db) -> None:
        self._db = db
        self.has_read = asyncio.Event()
        self.may_go = asyncio.Event()

    async def fetch_one(self, sql: str, *args):
        row = await self._db.fetch_one(sql, *args)
        self.has_read.set()
        await self.may_go.wait()
        return row

    def __getattr__(self, name: str):
        return getattr(self._db, name)


@pytest.fixture
async def paused(world: World) -> AsyncIterator[Callable[..., object]]:
    async def during(asked, change):
        """The answer to `asked`, while whose reading `change` happens."""
        paused = world.tokens._db = Paused(world.db)
        task = asyncio.create_task(asked)
        await paused.has_read.wait()
        world.tokens._db = world.db
        await change
        paused.may_go.set()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    yield during
    world.tokens._db = world.db


async def test_a_revocation_during_a_load_leaves_nothing_in_the_cache(world: World, paused) -> None:
    token = (await world.issue(await world.user("ann"))).access_token
    await paused(world.tokens.load(token), world.tokens.revoke(token))
    assert world.tokens.cached(token) is None
    assert await refused(world, token)


async def test_a_scope_that_shrinks_during_a_load_is_not_cached_wide(world: World, paused) -> None:
    ann = await world.user("ann")
    client, basic = await world.client(ann, None)
    token = (await world.endpoint.answer(CC, basic)).access_token
    await paused(world.tokens.load(token), world.clients.update(ann, None, client.id, name=None, scope="devices:list"))
    assert (await world.bearer(token)).scopes.names == {"devices:list"}


async def test_no_stream_opens_for_a_token_that_was_revoked_while_it_opened(world: World, paused) -> None:
    token = (await world.issue(await world.user("ann"))).access_token
    answer = await paused(world.tokens.expires_at(hash_secret(token)), world.tokens.revoke(token))
    assert isinstance(answer, InvalidToken)


async def test_a_clients_scope_shrinks_under_its_tokens(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    client, basic = await world.client(ann, shop)
    issued = await world.endpoint.answer(CC, basic)
    requester = await world.bearer(issued.access_token)
    assert decide(requester, Action.DEVICES_IMPORT, shop.resource(requester)) is ALLOWED
    await world.clients.update(ann, shop.resource(ann), client.id, name=None, scope="devices:list")
    assert world.tokens.cached(issued.access_token) is None
    refreshed = await world.endpoint.answer(
        {"grant_type": "refresh_token", "refresh_token": issued.refresh_token or ""}, basic
    )
    for token in (issued.access_token, refreshed.access_token):
        requester = await world.bearer(token)
        assert isinstance(requester, ProductClient)
        assert requester.scopes.names == {"devices:list"}
    await world.clients.update(ann, shop.resource(ann), client.id, name=None, scope="none")
    assert (await world.bearer(issued.access_token)).scopes.names is None


async def test_listing(world: World) -> None:
    await world.install_client("spark")
    ann, bob = await world.user("ann"), await world.user("bob")
    short, never = await world.issue(ann, 10), await world.issue(ann, 0, "spark")
    await world.issue(bob)
    listed = {
        (token.token, token.client, token.expires_at) for token in await world.tokens.of_principal(principal(ann))
    }
    ends = world.clock.now() + 10_000
    assert listed == {(short.access_token, "particle", ends), (never.access_token, "spark", None)}
    world.clock.advance(10_000)
    assert [token.token for token in await world.tokens.of_principal(principal(ann))] == [never.access_token]
    # Without the key, or with another one, only the hash's first digits.
    for sealer in (None, Sealer(b"x" * KEY_BYTES)):
        (shown,) = await world.other_tokens(sealer).of_principal(principal(ann))
        assert shown.token == f"sha256:{hash_secret(never.access_token).hex()[:12]}"


def test_a_sealed_token_opens_in_its_own_row_only() -> None:
    sealer = Sealer(b"k" * KEY_BYTES)
    sealed = sealer.seal(b"secret", b"row")
    assert sealer.open(sealed, b"row") == b"secret"
    assert sealer.open(sealed, b"other row") is None
    assert sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"row") is None
    assert sealer.open(b"", b"row") is None
    assert sealer.seal(b"secret", b"row") != sealed


async def test_what_ended_over_a_week_ago_is_purged(world: World) -> None:
    ann = await world.user("ann")
    await world.issue(ann, 10)
    never = await world.issue(ann, 0)
    world.clock.advance(7 * DAY + 10_000)
    assert await world.tokens.purge() == 0
    world.clock.advance(1)
    assert await world.tokens.purge() == 1  # its refresh token lives for another week
    world.clock.advance(14 * DAY)
    assert await world.tokens.purge() == 1
    assert await world.bearer(never.access_token)


async def test_the_database_holds_no_usable_secret(
    world: World, database_kind: str, tmp_path: Path, postgres_dump
) -> None:
    """A database file, its log and a dump tell nobody what would let them in."""
    ann = await world.user("ann")
    shop = await world.product(ann)
    client, basic = await world.client(ann, shop)
    issued = await world.endpoint.answer(
        {"grant_type": "password", "username": "ann", "password": PASSWORD}, ("particle", "particle")
    )
    again = await world.tokens.refresh(await world.clients.find("particle"), issued.refresh_token)
    await world.customers.create(ann, shop.resource(ann), "kim", "kim's own secret")
    owners = await world.endpoint.answer(CC, basic)
    kims = await world.endpoint.answer(CC | {"scope": "customer=kim"}, basic)
    code = (await world.ownership.issue_code(await world.bearer(kims.access_token))).code
    secrets = [basic[1], PASSWORD, "kim's own secret", code]
    for pair in (issued, again, owners, kims):
        secrets += [pair.access_token, pair.refresh_token]
    assert all(secrets)
    if database_kind == "sqlite":
        files = list(tmp_path.glob("cloud.db*"))
        assert {file.name for file in files} >= {"cloud.db", "cloud.db-wal"}
        kept = b"".join(file.read_bytes() for file in files)
    else:
        kept = await postgres_dump()
    assert b"kim" in kept  # it is the right place to look
    assert client.id.encode() in kept
    for secret in secrets:
        for form in (secret.encode(), secret.encode().hex().encode(), _raw(secret)):
            assert form not in kept


def _raw(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        return secret.encode()


@pytest.fixture
def postgres_dump(world: World) -> Callable[..., object]:
    async def dump() -> bytes:
        names = await world.db.fetch_all("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        kept = []
        for (name,) in names:
            kept += [row[0] for row in await world.db.fetch_all(f"SELECT t::text FROM {name} t")]  # noqa: S608
        return "\n".join(kept).encode()

    return dump
