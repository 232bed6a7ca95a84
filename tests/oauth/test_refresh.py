"""Refreshing: rotation, replay, lost answers, and many at once."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.clock import DAY, SECOND
from cloudchamber.ids import hash_secret
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Client, Issued
from cloudchamber.oauth.refreshing import SALT_BYTES, pair_after
from cloudchamber.oauth.store import ClientStore, TokenStore
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.sealing import KEY_BYTES, key_for
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
        *(each.refresh(client, first.refresh_token or "") for each in tokens for _ in range(10))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await heads(world) == 1
    # So does a process that was started since.
    assert await world.other_tokens().refresh(client, first.refresh_token or "") == answers[0]
    assert await refresh(world, answers[0].refresh_token)


async def test_whoever_goes_away_while_refreshing_can_ask_again(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    client, token = await particle(world), first.refresh_token or ""
    asked = asyncio.create_task(world.tokens.refresh(client, token))
    other = asyncio.create_task(world.tokens.refresh(client, token))
    running = world.tokens._refreshing._running
    while hash_secret(token) not in running:
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    again = await world.tokens.refresh(client, token)
    assert await other == again
    assert await heads(world) == 1
    assert not running


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


# -- other processes --------------------------------------------------------------------------------------------------


async def salts(world: World) -> list[bytes | None]:
    return [row[0] for row in await world.db.fetch_all("SELECT salt FROM last_refreshes")]


async def test_a_use_in_one_process_ends_the_repetition_in_all(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    client = await particle(world)
    second = await refresh(world, first.refresh_token)
    assert await world.other_tokens().refresh(client, first.refresh_token or "") == second
    await world.other_tokens().check(second.access_token)
    assert await salts(world) == [None]
    for tokens in (world.tokens, world.other_tokens()):
        with pytest.raises(OAuthError, match="Invalid refresh token"):
            await tokens.refresh(client, first.refresh_token or "")
    assert not await is_alive(world, second.access_token)
    assert await heads(world) == 0


async def test_the_older_access_token_may_be_used_while_the_answer_is_lost(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    second = await refresh(world, first.refresh_token)
    await world.other_tokens().check(first.access_token)
    await world.bearer(first.access_token)
    assert await refresh(world, first.refresh_token) == second
    third = await refresh(world, second.refresh_token)
    await world.other_tokens().check(second.access_token)
    assert await world.other_tokens().refresh(await particle(world), second.refresh_token or "") == third


@pytest.mark.parametrize("why", ["another key", "an earlier version"])
async def test_a_pair_that_cannot_be_derived_is_refused_and_nothing_ends(world: World, why: str) -> None:
    first = await world.issue(await world.user("ann"))
    tokens = world.tokens
    second = await refresh(world, first.refresh_token)
    if why == "another key":
        key = key_for("refreshing", b"o" * KEY_BYTES)
        tokens = Tokens(world.db, TokenStore(), ClientStore(), world.bus, world.clock, None, GRACE_S, key)
    else:

        async def delete(tx) -> None:
            await tx.execute("DELETE FROM last_refreshes")

        await world.db.transaction(delete)
    with pytest.raises(OAuthError, match="Invalid refresh token") as failed:
        await tokens.refresh(await particle(world), first.refresh_token or "")
    assert "nobody here can tell" in str(failed.value.detail)
    assert await is_alive(world, second.access_token)
    third = await tokens.refresh(await particle(world), second.refresh_token or "")
    assert await tokens.refresh(await particle(world), second.refresh_token or "") == third


async def test_a_full_disk_hides_no_use(world: World, monkeypatch) -> None:
    first = await world.issue(await world.user("ann"))
    second = await refresh(world, first.refresh_token)

    async def busy(_body) -> None:
        raise StorageBusy("later")

    with monkeypatch.context() as patched:
        patched.setattr(world.db, "transaction", busy)
        assert await world.bearer(second.access_token)
    assert await refused(world, first.refresh_token) == "Invalid refresh token"
    assert not await is_alive(world, second.access_token)


async def test_the_database_does_not_tell_the_pair(world: World) -> None:
    first = await world.issue(await world.user("ann"))
    second = await refresh(world, first.refresh_token)
    assert second.refresh_token
    for table in ("access_tokens", "refresh_tokens", "log_ins", "last_refreshes"):
        rows = await world.db.fetch_all(f"SELECT * FROM {table}")  # noqa: S608
        for token in (first.refresh_token, second.access_token, second.refresh_token):
            assert token
            assert token not in str(rows)
            assert not any(
                bytes.fromhex(token) in bytes(cell) for row in rows for cell in row if isinstance(cell, bytes)
            )
    (salt,) = await salts(world)
    assert salt is not None
    assert second.access_token not in pair_after(b"x" * KEY_BYTES, salt, first.refresh_token or "")
    # Nothing is kept of what can no longer be repeated.
    third = await refresh(world, second.refresh_token)
    assert len(await salts(world)) == 1
    assert salt not in await salts(world)
    await world.bearer(third.access_token)
    assert await salts(world) == [None]


_SALTS = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)
_KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
_INPUTS = st.tuples(_KEYS, _SALTS, st.text(st.characters(codec="ascii"), max_size=80))


@given(_INPUTS, _INPUTS)
def test_pairs_look_as_all_tokens_do_and_follow_from_all_of_their_input(
    one: tuple[bytes, bytes, str], other: tuple[bytes, bytes, str]
) -> None:
    pair = pair_after(*one)
    assert pair == pair_after(*one)
    for token in pair:
        assert len(token) == 40
        assert token == bytes.fromhex(token).hex()
    assert len({*pair, one[2]}) == 3
    for number in range(3):
        mixed = tuple(other[at] if at == number else one[at] for at in range(3))
        if mixed != one:
            assert not {*pair_after(*mixed)} & {*pair}  # type: ignore[arg-type]


@dataclass
class Model:
    """One log-in as it has to be: its pairs in order, when each was refreshed, and whose access token was used."""

    pairs: list[Issued]
    refreshed_at: dict[int, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    has_ended: bool = False

    def expected(self, number: int, now: int) -> str:
        if self.has_ended:
            return "refused"
        if number not in self.refreshed_at:
            return "rotated"
        is_last = number == len(self.pairs) - 2
        is_repeatable = now - self.refreshed_at[number] <= GRACE_S * SECOND and is_last and number + 1 not in self.used
        return "repeated" if is_repeatable else "ended"


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_uses_in_any_process(world: World, seed: int) -> None:
    chance = random.Random(seed)
    ann, client = await world.user("ann"), await particle(world)
    for _ in range(8):
        model = Model([await world.issue(ann)])
        processes = [world.tokens, world.other_tokens(), world.other_tokens()]
        for _ in range(12):
            tokens = chance.choice(processes)
            number = chance.choice(
                [len(model.pairs) - 1, max(0, len(model.pairs) - 2), chance.randrange(len(model.pairs))]
            )
            match chance.choices(["refresh", "use", "wait", "restart"], [6, 3, 1, 1])[0]:
                case "refresh":
                    expected = model.expected(number, world.clock.now())
                    try:
                        issued = await tokens.refresh(client, model.pairs[number].refresh_token or "")
                    except OAuthError:
                        assert expected in {"refused", "ended"}
                        model.has_ended = True
                    else:
                        if expected == "rotated":
                            model.refreshed_at[number] = world.clock.now()
                            model.pairs.append(issued)
                        else:
                            assert expected == "repeated"
                            assert issued == model.pairs[number + 1]
                case "use":
                    # A process hears of what another revoked over the bus, so that all agree.
                    is_good = True
                    try:
                        await tokens.check(model.pairs[number].access_token)
                    except OAuthError:
                        is_good = False
                    assert is_good is not model.has_ended
                    model.used.add(number)
                case "wait":
                    world.clock.advance(chance.choice([1, GRACE_S]) * SECOND)
                case "restart":
                    processes[processes.index(tokens)] = world.other_tokens()
        assert len({issued.access_token for issued in model.pairs}) == len(model.pairs)
