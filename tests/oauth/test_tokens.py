"""Tokens in use: cached, listed, revoked; what the database keeps of them; what their client may do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action
from cloudchamber.access.requester import ProductClient, User
from cloudchamber.access.rules import ALLOWED, decide
from cloudchamber.clock import DAY
from cloudchamber.ids import ClientId, hash_secret, new_ordered_id
from cloudchamber.oauth import tokens as tokens_module
from cloudchamber.oauth.errors import InvalidToken, OAuthError, TokenNotFound
from cloudchamber.oauth.model import Issued, LogIn, Principal, PrincipalKind
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


async def test_tokens_that_are_issued_at_once_share_a_transaction(world: World, monkeypatch) -> None:
    ann = await world.user("ann")
    client = await world.clients.find("particle")
    assert client is not None
    issue = partial(world.tokens.issue, client, principal(ann), None, 60)
    calls = 0
    transaction = world.db.transaction

    async def counted(body):
        nonlocal calls
        calls += 1
        return await transaction(body)

    monkeypatch.setattr(world.db, "transaction", counted)
    issued = await asyncio.gather(*(issue() for _ in range(40)))
    assert calls == 1
    assert len({each.access_token for each in issued} | {each.refresh_token for each in issued}) == 80
    for each in issued:
        assert (await world.bearer(each.access_token)).id == ann.id
    listed = await world.tokens.of_principal(principal(ann))
    assert len(listed) == 40
    assert len({each.known.token.family for each in listed}) == 40
    # Those who no longer wait lose nothing, and take nothing from the others.
    waiting = [asyncio.ensure_future(issue()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[0], waiting[2])
    assert len(await world.tokens.of_principal(principal(ann))) in {42, 43}


async def test_a_client_that_is_gone_costs_nobody_elses_token(world: World) -> None:
    ann = await world.user("ann")
    client, _ = await world.client(ann, None)
    gone = replace(client, id=ClientId("gone-1"))
    issues = [world.tokens.issue(each, principal(ann), None, 60) for each in (client, gone, client)]
    one, refused, other = await asyncio.gather(*issues, return_exceptions=True)
    assert isinstance(one, Issued)
    assert isinstance(other, Issued)
    assert isinstance(refused, OAuthError)
    assert refused.error == "invalid_client"
    for each in (one, other):
        assert (await world.bearer(each.access_token)).id == ann.id


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
        (row.shown, row.known.token.client, row.known.token.expires_at)
        for row in await world.tokens.of_principal(principal(ann))
    }
    ends = world.clock.now() + 10_000
    assert listed == {(short.access_token, "particle", ends), (never.access_token, "spark", None)}
    world.clock.advance(10_000)
    assert [row.shown for row in await world.tokens.of_principal(principal(ann))] == [never.access_token]
    # Without the key, or with another one, only the hash's first digits.
    for sealer in (None, Sealer(b"x" * KEY_BYTES)):
        (row,) = await world.other_tokens(sealer).of_principal(principal(ann))
        assert row.shown == f"sha256:{hash_secret(never.access_token).hex()[:12]}"


async def test_18_a_list_tells_where_a_token_comes_from_and_until_when_it_is_refreshed(world: World) -> None:
    ann = await world.user("ann")
    world.tokens = world.other_tokens(world.sealer, refresh_idle_s=100, refresh_max_age_s=250)
    began = world.clock.now()
    first = await world.issue(ann, 50)
    (row,) = await world.tokens.of_principal(principal(ann))
    assert row.known.log_in == LogIn(row.known.token.family, f"user:{ann.id}", began, began + 250_000)
    assert row.known.refresh_expires_at == began + 150_000
    assert row.known.last_use is None
    client = await world.clients.find("particle")
    world.clock.advance(140_000)
    second = await world.tokens.refresh(client, first.refresh_token)
    (row,) = await world.tokens.of_principal(principal(ann))
    assert (row.shown, row.known.log_in.created_at) == (second.access_token, began)
    # Idle would be 290 s after the beginning; the log-in's own end comes first.
    assert row.known.refresh_expires_at == began + 250_000


async def test_18_a_refresh_token_ends_when_it_lies_idle_and_with_its_log_in(world: World) -> None:
    ann = await world.user("ann")
    tokens = world.tokens = world.other_tokens(world.sealer, refresh_idle_s=100, refresh_max_age_s=250)
    client = await world.clients.find("particle")

    async def refresh(token: str | None) -> Issued:
        return await tokens.refresh(client, token or "")

    idle, busy = await world.issue(ann, 50), await world.issue(ann, 50)
    world.clock.advance(149_999)
    busy = await refresh(busy.refresh_token)
    world.clock.advance(1)
    with pytest.raises(OAuthError, match=r"^Refresh token has expired$"):
        await refresh(idle.refresh_token)
    world.clock.advance(99_999)
    busy = await refresh(busy.refresh_token)
    world.clock.advance(1)
    with pytest.raises(OAuthError, match=r"^Refresh token has expired$"):
        await refresh(busy.refresh_token)
    assert await tokens.check(busy.access_token), "what was given goes on to its own end"


async def test_log_ins_from_before_they_were_written_down(world: World) -> None:
    ann = await world.user("ann")
    tokens = world.tokens = world.other_tokens(world.sealer, refresh_idle_s=10**6, refresh_max_age_s=250)
    old = await world.issue(ann, 50)

    async def forget(tx) -> None:
        await tx.execute("DELETE FROM log_ins")

    await world.db.transaction(forget)
    (row,) = await tokens.of_principal(principal(ann))
    assert row.known.log_in is None
    began = world.clock.now()
    world.clock.advance(10_000)
    new = await tokens.refresh(await world.clients.find("particle"), old.refresh_token)
    rows = {row.shown: row.known for row in await tokens.of_principal(principal(ann))}
    log_in = rows[new.access_token].log_in
    assert (log_in.created_by, log_in.created_at, log_in.ends_at) == (f"user:{ann.id}", began, began + 250_000)


async def test_last_uses_are_noted_in_memory_and_written_together(world: World, monkeypatch) -> None:
    ann = await world.user("ann")
    one, two, unused = [await world.issue(ann) for _ in range(3)]
    for _ in range(3):
        world.clock.advance(1000)
        await world.tokens.check(one.access_token, "192.0.2.1")
    await world.tokens.check(two.access_token, "192.0.2.2")
    at = world.clock.now()

    async def uses(tokens) -> dict[str, tuple[int, str] | None]:
        rows = await tokens.of_principal(principal(ann))
        return {
            row.shown: (row.known.last_use.at, row.known.last_use.ip) if row.known.last_use else None for row in rows
        }

    expected = {
        one.access_token: (at, "192.0.2.1"),
        two.access_token: (at, "192.0.2.2"),
        unused.access_token: None,
    }
    assert await uses(world.tokens) == expected, "this process knows"
    other = world.other_tokens(world.sealer)
    assert set((await uses(other)).values()) == {None}, "nothing was written on the way of a request"
    monkeypatch.setattr(tokens_module, "_USES_AT_ONCE", 1)
    assert await world.tokens.write_uses() == 2
    assert await uses(other) == expected
    assert await world.tokens.write_uses() == 0, "nothing new"
    world.clock.advance(1000)
    await world.tokens.check(one.access_token, "192.0.2.3")
    await world.tokens.check(two.access_token, "192.0.2.3")
    await world.tokens.revoke(two.access_token)
    assert await world.tokens.write_uses() == 1
    assert (await uses(other))[one.access_token] == (at + 1000, "192.0.2.3")


async def test_22_a_products_tokens_are_listed_with_their_creator_and_ended(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve")
    shop, other = await world.product(ann, "Shop"), await world.product(eve, "Other")
    shop = await world.join(shop, bob, "DEVELOPER")
    client, basic = await world.client(ann, shop)
    kim = await world.customer(ann, shop, "kim")
    _, others_basic = await world.client(eve, other)
    await world.endpoint.answer(CC, others_basic)
    never = await world.endpoint.answer(CC | {"scope": "customer=kim", "expires_in": "0"}, basic)
    world.clock.advance(1)
    short = await world.endpoint.answer(CC, basic)
    await world.tokens.check(never.access_token, "192.0.2.9")

    async def listed(**how):
        how = {"only_endless": False, "page": 1, "per_page": 10} | how
        rows, total = await world.tokens.of_product(ann, shop.resource(ann), **how)
        return [(row.shown, row.known.token.principal.id, row.known.log_in.created_by) for row in rows], total

    digest = f"sha256:{hash_secret(never.access_token).hex()[:12]}"
    by = f"client:{client.id}"
    assert await listed(only_endless=True) == ([(digest, kim.id, by)], 1)
    assert await listed() == ([(digest, kim.id, by), (shown(short), client.id, by)], 2)
    assert (await listed(per_page=1, page=2))[0] == [(shown(short), client.id, by)]
    for stranger in (bob, eve, kim, await world.bearer(short.access_token)):
        resource = shop.resource(stranger)
        with pytest.raises(AccessRefused):
            await world.tokens.of_product(stranger, resource, only_endless=True, page=1, per_page=1)
        with pytest.raises(AccessRefused):
            await world.tokens.revoke_of_product(stranger, resource, digest)
    for unknown in ("sha256:000000000000", "sha256:", digest + "0", never.access_token, "%"):
        with pytest.raises(TokenNotFound):
            await world.tokens.revoke_of_product(ann, shop.resource(ann), unknown)
    with pytest.raises(TokenNotFound):
        await world.tokens.revoke_of_product(eve, other.resource(eve), digest)
    await world.tokens.revoke_of_product(ann, shop.resource(ann), digest)
    assert await refused(world, never.access_token)
    assert await world.bearer(short.access_token)


def shown(issued: Issued) -> str:
    return tokens_module.shown(hash_secret(issued.access_token))


async def test_22_a_product_caps_its_tokens(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.products.create(
        ann,
        name="Shop",
        description="",
        platform_id=6,
        settings={"tokens": {"max_lifetime_s": 60, "endless": False}},
    )
    _, basic = await world.client(ann, shop)
    _, free = await world.client(ann, await world.product(ann, "Free"))
    assert (await world.endpoint.answer(CC, basic)).expires_in == 60
    with pytest.raises(OAuthError, match="no tokens without end"):
        await world.endpoint.answer(CC | {"expires_in": "0"}, basic)
    assert (await world.endpoint.answer(CC | {"expires_in": "0"}, free)).expires_in == 0


async def test_a_listed_token_is_ended_by_what_the_list_calls_it(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    token = (await world.issue(ann)).access_token
    name = tokens_module.shown(hash_secret(token))
    await world.tokens.revoke_listed(principal(eve), name)
    assert await world.bearer(token)
    await world.tokens.revoke_listed(principal(ann), name)
    assert await refused(world, token)


async def test_what_log_ins_leave_behind_is_purged(world: World) -> None:
    ann = await world.user("ann")
    await world.issue(ann, 10)
    never = await world.issue(ann, 0)
    world.clock.advance(30 * DAY)
    await world.tokens.purge()
    rows = await world.db.fetch_all("SELECT created_by FROM log_ins")
    assert rows == [(f"user:{ann.id}",)]
    assert await world.bearer(never.access_token)


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


def test_ids_that_sort_by_their_time() -> None:
    ids = [new_ordered_id(1_600_000_000_000 + at) for at in range(1_000) for _ in range(3)]
    assert [id_[:11] for id_ in ids] == sorted(id_[:11] for id_ in ids)
    assert len(set(ids)) == 3_000
    assert {len(id_) for id_ in ids} == {24}
