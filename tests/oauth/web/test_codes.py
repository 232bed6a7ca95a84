"""Authorization codes over real databases: what happens between a code and its tokens."""

import pytest

from cloudchamber.access.requester import User
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.grants.authorization_code import AuthorizationCodeGrant
from cloudchamber.oauth.model import Client, Principal, PrincipalKind
from cloudchamber.oauth.store import TokenStore
from cloudchamber.oauth.web.authorization import Authorization
from cloudchamber.oauth.web.sessions import BrowserSessions
from cloudchamber.oauth.web.store import AuthorizationCodeStore, ConsentStore, SessionStore
from tests.world import World

REDIRECT = "https://app.example/back"


class Scene:
    def __init__(self, world: World, ann: User, client: Client, secret: tuple[str, str]) -> None:
        self.world, self.client, self.secret = world, client, secret
        self.principal = Principal(PrincipalKind.USER, ann.id)
        self.authorization = Authorization(
            *(world.db, AuthorizationCodeStore(), ConsentStore(), world.clients, world.tokens, world.clock),
            "https://cloud.example.com",
            allows_implicit=False,
            compat_uses=world.compat_uses,
        )
        self.grant = AuthorizationCodeGrant(self.authorization)
        self.sessions = BrowserSessions(world.db, SessionStore(), TokenStore(), world.clock)

    async def code(self) -> str:
        params = {"response_type": "code", "client_id": self.client.id, "redirect_uri": REDIRECT}
        _, session = await self.sessions.begin(self.principal)
        left = await self.authorization.approve(await self.authorization.check(params), session)
        return left.partition("code=")[2].partition("&")[0]

    def form(self, code: str) -> dict[str, str]:
        return {"code": code, "redirect_uri": REDIRECT}


@pytest.fixture
async def scene(world: World) -> Scene:
    ann = await world.user("ann")
    client, secret = await world.clients.create(ann, None, name="app", type_="web", redirect_uri=REDIRECT, scope=None)
    return Scene(world, ann, client, (client.id, secret))


async def test_27_a_code_that_is_shown_again_before_its_tokens_are_there_gives_none(scene: Scene) -> None:
    """A thief and the client race: whoever was first must not keep what the second use should have ended."""
    form = scene.form(await scene.code())
    granted = await scene.grant.grant(scene.client, form, has_secret=True)
    with pytest.raises(OAuthError):
        await scene.grant.grant(scene.client, form, has_secret=True)
    with pytest.raises(OAuthError) as refused:
        await scene.world.tokens.issue(scene.client, granted.principal, granted.scope, 60, family=granted.family)
    assert refused.value.error == "invalid_grant"
    rows = await scene.world.db.fetch_all("SELECT 1 FROM access_tokens")
    assert rows == []
    granted = await scene.grant.grant(scene.client, scene.form(await scene.code()), has_secret=True)
    issued = await scene.world.tokens.issue(scene.client, granted.principal, granted.scope, 60, family=granted.family)
    assert await scene.world.bearer(issued.access_token)


async def test_30_what_was_taken_back_is_not_fetched_a_moment_later(scene: Scene) -> None:
    code = await scene.code()
    await scene.authorization.take_back(scene.principal, scene.client.id)
    with pytest.raises(OAuthError) as refused:
        await scene.grant.grant(scene.client, scene.form(code), has_secret=True)
    assert (refused.value.error, refused.value.message) == ("invalid_grant", "Invalid code")


async def test_21_a_page_that_was_open_when_all_log_ins_ended_allows_nothing(scene: Scene) -> None:
    params = {"response_type": "code", "client_id": scene.client.id, "redirect_uri": REDIRECT}
    _, session = await scene.sessions.begin(scene.principal)
    scene.world.clock.advance(10)
    await scene.world.tokens.revoke_all(scene.principal)
    with pytest.raises(OAuthError) as refused:
        await scene.authorization.approve(await scene.authorization.check(params), session)
    assert refused.value.error == "invalid_grant"
