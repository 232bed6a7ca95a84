"""Statement 21 of the security checklist as far as it is about whole accounts: log-ins that end while another is under
way, and accounts that whoever runs the cloud switches off."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from cloudchamber.audit.store import AuditStore
from cloudchamber.identity.store import FactorStore, UserStore
from cloudchamber.messaging.errors import StreamEnded
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Principal, PrincipalKind
from cloudchamber.oauth.store import TokenStore
from cloudchamber.oauth.switching import AccountSwitch
from cloudchamber.oauth.web.sessions import BrowserSessions
from cloudchamber.oauth.web.store import SessionStore
from tests.processes import cloudchamber
from tests.world import CLI, PASSWORD, World

CC = {"grant_type": "client_credentials"}
WRONG = "User credentials are invalid"


def switch(world: World) -> AccountSwitch:
    return AccountSwitch(world.db, UserStore(), FactorStore(), TokenStore(), AuditStore(), world.clock)


async def test_21_a_log_in_that_began_before_all_ended_comes_too_late(world: World) -> None:
    ann = await world.user("ann")
    principal = Principal(PrincipalKind.USER, ann.id)
    client = await world.clients.find("particle")
    assert client is not None
    began = world.clock.now()
    world.clock.advance(50)
    await world.tokens.revoke_all(principal)
    with pytest.raises(OAuthError) as refused:
        await world.tokens.issue(client, principal, None, 60, began=began)
    assert (refused.value.error, refused.value.message) == ("invalid_grant", WRONG)
    sessions = BrowserSessions(world.db, SessionStore(), TokenStore(), world.clock)
    with pytest.raises(OAuthError):
        await sessions.begin(principal, began=began)
    assert await world.bearer((await world.tokens.issue(client, principal, None, 60)).access_token)
    assert await sessions.begin(principal)


async def test_21_an_old_password_is_of_no_use_to_who_shows_it_while_it_is_changed(world: World) -> None:
    """The log-in has seen that the password is right when the change commits."""
    ann = await world.user("ann")
    verify = world.passwords.verify
    seen, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(stored: str | None, password: str) -> bool:
        right = await verify(stored, password)
        if not seen.is_set():
            seen.set()
            await go_on.wait()
        return right

    world.users._passwords = type("Slow", (), {"verify": staticmethod(slowly), "hash": world.passwords.hash})()
    late = asyncio.create_task(world.log_in("ann"))
    await seen.wait()
    world.clock.advance(10)
    await world.accounts.set_password(ann, "another password", PASSWORD, "true")
    go_on.set()
    with pytest.raises(OAuthError) as refused:
        await late
    assert refused.value.message == WRONG


async def test_21_an_account_that_is_switched_off_has_no_way_in(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann, "Shop")
    _, basic = await world.client(ann, shop)
    _, own = await world.client(ann, None, name="own")
    mine, shops = await world.issue(ann), await world.endpoint.answer(CC, basic)
    await world.bearer(mine.access_token)
    world.clock.advance(10)
    assert await switch(world).disable(" ANN ") == "ann"
    assert await switch(world).disable("nobody") is None
    assert await world.tokens.follow() == 1
    assert world.tokens.cached(mine.access_token) is None
    for form, who in [
        ({"grant_type": "password", "username": "ann", "password": PASSWORD}, CLI),
        ({"grant_type": "refresh_token", "refresh_token": mine.refresh_token or ""}, CLI),
        (CC, own),
    ]:
        with pytest.raises(OAuthError) as refused:
            await world.endpoint.answer(form, who)
        assert refused.value.error == "invalid_grant"
    with pytest.raises(OAuthError):
        await world.bearer(mine.access_token)
    assert await world.users.with_password("ann", PASSWORD) is None
    assert await world.bearer(shops.access_token), "its product goes on"
    world.clock.advance(10)
    assert await switch(world).enable("ann") == "ann"
    assert await world.bearer(await world.log_in("ann"))
    with pytest.raises(OAuthError):
        await world.bearer(mine.access_token)


async def test_21_what_was_ended_elsewhere_is_followed_once_and_streams_hear_it(world: World) -> None:
    ann = await world.user("ann")
    token = (await world.issue(ann)).access_token
    listener = await world.events.listen_own(await world.bearer(token), "")
    await switch(world).log_out("ann")
    assert [await world.tokens.follow(), await world.tokens.follow()] == [1, 0]
    with pytest.raises(StreamEnded, match="revoked"):
        await listener.next(1)
    assert world.tokens.cached(token) is None
    world.clock.advance(30 * 24 * 3600 * 1000)
    await world.tokens.purge()
    rows = await world.db.fetch_all("SELECT 1 FROM ended_tokens UNION ALL SELECT 1 FROM account_states")
    assert rows == []


async def test_21_an_account_stays_switched_off_when_old_rows_go(world: World) -> None:
    await world.user("ann")
    await switch(world).disable("ann")
    world.clock.advance(30 * 24 * 3600 * 1000)
    await world.tokens.purge()
    assert await world.users.with_password("ann", PASSWORD) is None


def test_21_an_operator_shuts_a_user_out_of_a_cloud_that_runs(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with cloudchamber.serve(tmp_path) as cloud:
        who = ("user", "create", "ann@example.com", "--password-stdin", "--data", data)
        assert cloudchamber.run(*who, stdin="correct horse\n").returncode == 0
        form = {"grant_type": "password", "username": "ann@example.com", "password": "correct horse"}
        log_in = lambda: httpx.post(f"{cloud.url}/oauth/token", data=form, auth=("particle", "particle"))  # noqa: E731
        headers = {"Authorization": f"Bearer {log_in().json()['access_token']}"}
        me = lambda: httpx.get(f"{cloud.url}/v1/user", headers=headers).status_code  # noqa: E731
        assert me() == 200
        with httpx.stream("GET", f"{cloud.url}/v1/devices/events", headers=headers, timeout=10) as stream:
            assert cloudchamber.run("user", "disable", "ann@example.com", "--data", data).returncode == 0
            ended = time.monotonic() + 1.0
            while me() == 200 and time.monotonic() < ended:
                time.sleep(0.05)
            assert me() == 401
            for _ in stream.iter_raw():
                assert time.monotonic() < ended + 5, "the stream goes on"
        assert log_in().json()["error"] == "invalid_grant"
        assert cloudchamber.run("user", "enable", "ann@example.com", "--data", data).returncode == 0
        assert log_in().status_code == 200
        assert me() == 401
    unknown = cloudchamber.run("user", "disable", "bob@example.com", "--data", data)
    assert unknown.returncode == 1
    assert "There is no account bob@example.com." in unknown.stderr
