"""Refreshing: rotation, replay, lost answers, and many at once."""

import asyncio

import pytest

from cloudchamber.clock import DAY, SECOND
from cloudchamber.ids import hash_secret
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Client, Issued
from cloudchamber.storage.errors import StorageBusy
from tests.world import CLI, GRACE_S, World


async def refresh(world: World, token: str | None, basic: tuple[str, str] = CLI) -> Issued:
    return await world.endpoint.answer({"grant_type": "refresh_token", "refresh_token": token or ""}, basic)


async def refused(world: World, token: str | None, basic: tuple[str, str] = CLI) -> str:
    with pytest.raises(OAuthError) as failed:
        await refresh(world, token, basic)
    assert (failed.value.http_status, failed.value.error) == (400, "invalid_grant")
    return failed.value.message


async def particle(world: World) -> Client:
    found = await world.clients.find("particle")
    assert found is not None
    return found


async def heads(world: World) -> int:
    """Refresh tokens that could still be used."""
    row = await world.db.fetch_one("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL")
    return row[0] if row else 0


async def is_alive(world: World, token: str) -> bool:
    try:
        await world.other_tokens().check(token)
    except OAuthError:
        return False
    return True


async def test_a_refresh_gives_a_new_pair_of_the_same_kind(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    _, basic = await world.client(ann, shop)
    kim = await world.customer(ann, shop, "kim")
    first = await world.endpoint.answer(
        {"grant_type": "client_credentials", "scope": "customer=kim", "expires_in": "100"}, basic
    )
    second = await refresh(world, first.refresh_token, basic)
    assert (second.expires_in, second.scope) == (100, "customer=kim")
    assert len({first.access_token, first.refresh_token, second.access_token, second.refresh_token}) == 4
    assert (await world.bearer(second.access_token)).id == kim.id
    assert await is_alive(world, first.access_token)  # until its own end
    assert await refresh(world, second.refresh_token, basic)


async def test_the_answer_that_got_lost_is_given_again(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    second = await refresh(world, first.refresh_token)
    world.clock.advance(GRACE_S * SECOND)
    assert await refresh(world, first.refresh_token) == second
    assert await heads(world) == 1
    world.clock.advance(1)
    assert await refused(world, first.refresh_token) == "Invalid refresh token"
    assert not await is_alive(world, second.access_token)


@pytest.mark.parametrize("used", ["access token", "refresh token", "time"])
async def test_a_replay_after_the_child_was_used_ends_the_family(world: World, used: str) -> None:
    ann = await world.user("ann")
    first, stranger = await world.issue(ann), await world.issue(ann)
    second = await refresh(world, first.refresh_token)
    newest = second
    if used == "access token":
        await world.bearer(second.access_token)
    elif used == "refresh token":
        newest = await refresh(world, second.refresh_token)
    else:
        world.clock.advance(GRACE_S * SECOND + 1)
    assert await refused(world, first.refresh_token) == "Invalid refresh token"
    for token in [first.access_token, second.access_token, newest.access_token]:
        assert not await is_alive(world, token)
        assert world.tokens.cached(token) is None
    assert await refused(world, newest.refresh_token) == "Invalid refresh token"
    assert await is_alive(world, stranger.access_token)  # another log-in of the same person
    assert await heads(world) == 1


async def test_another_clients_refresh_token_is_refused_and_keeps_working(world: World) -> None:
    ann = await world.user("ann")
    _, basic = await world.client(ann, None)
    first = await world.issue(ann)
    assert await refused(world, first.refresh_token, basic) == "Invalid refresh token"
    stolen, mine = await asyncio.gather(
        refresh(world, first.refresh_token, basic), refresh(world, first.refresh_token), return_exceptions=True
    )
    assert isinstance(stolen, OAuthError)
    assert isinstance(mine, Issued)


async def test_a_refresh_token_lives_fourteen_days_longer(world: World) -> None:
    ann = await world.user("ann")
    first, late = await world.issue(ann, 100), await world.issue(ann, 100)
    world.clock.advance(100 * SECOND + 14 * DAY - 1)
    assert await refresh(world, first.refresh_token)
    world.clock.advance(1)
    assert await refused(world, late.refresh_token) == "Refresh token has expired"


async def test_a_hundred_at_once_get_one_pair(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    answers = await asyncio.gather(*(refresh(world, first.refresh_token) for _ in range(100)))
    assert len({answer.refresh_token for answer in answers}) == 1
    assert await heads(world) == 1
    assert await refresh(world, answers[0].refresh_token)


async def test_two_processes_make_one_pair(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    client = await particle(world)
    tokens = [world.tokens, world.other_tokens()]
    answers = await asyncio.gather(
        *(each.refresh(client, first.refresh_token or "") for each in tokens for _ in range(10)), return_exceptions=True
    )
    issued = {answer.refresh_token for answer in answers if isinstance(answer, Issued)}
    assert all(isinstance(answer, Issued | OAuthError) for answer in answers)
    assert len(issued) == await heads(world) == 1
    # A process that was started since cannot give the pair again, and takes nothing away.
    with pytest.raises(OAuthError, match="Invalid refresh token"):
        await world.other_tokens().refresh(client, first.refresh_token or "")
    assert await refresh(world, issued.pop())


async def test_whoever_goes_away_while_refreshing_can_ask_again(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    client, token = await particle(world), first.refresh_token or ""
    asked = asyncio.create_task(world.tokens.refresh(client, token))
    other = asyncio.create_task(world.tokens.refresh(client, token))
    while hash_secret(token) not in world.tokens._refreshing:
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    again = await world.tokens.refresh(client, token)
    assert await other == again
    assert await heads(world) == 1
    assert not world.tokens._refreshing


async def test_a_database_that_is_busy_is_no_reason_to_log_out(world: World, monkeypatch) -> None:
    first = await world.issue(await world.user("ann"))

    async def busy(_body) -> None:
        await asyncio.sleep(0.01)
        raise StorageBusy("later")

    with monkeypatch.context() as patched:
        patched.setattr(world.db, "transaction", busy)
        answers = await asyncio.gather(*(refresh(world, first.refresh_token) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageBusy] * 5
    assert await refresh(world, first.refresh_token)


async def test_no_refresh_for_what_was_revoked(world: World) -> None:
    ann = await world.user("ann")
    _, basic = await world.client(ann, None)
    first = await world.issue(ann)
    await world.tokens.revoke(first.access_token)
    assert await refused(world, first.refresh_token) == "Invalid refresh token"
    mine = await world.endpoint.answer({"grant_type": "client_credentials"}, basic)
    world.clock.advance(1)
    assert await refresh(world, mine.refresh_token, basic)
