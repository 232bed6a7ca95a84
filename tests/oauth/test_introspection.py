"""Revocation (RFC 7009) and introspection (RFC 7662): who may, what they learn, and what nobody learns."""

import pytest

from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Introspection, Principal, PrincipalKind
from tests.world import CLI, World

CC = {"grant_type": "client_credentials"}


async def look(world: World, token: str | None, basic: tuple[str, str]) -> Introspection | None:
    return await world.endpoint.introspect({"token": token or ""}, basic)


async def test_20_only_an_authenticated_client_asks(world: World) -> None:
    token = (await world.issue(await world.user("ann"))).access_token
    for ask in (world.endpoint.introspect, world.endpoint.revoke):
        for basic, text in [
            (None, "Invalid or missing client_id parameter"),
            (("particle", ""), "Missing client_secret parameter"),
            (("particle", "wrong"), "Client credentials are invalid"),
            (("nobody-1", "wrong"), "Client credentials are invalid"),
        ]:
            with pytest.raises(OAuthError) as refused:
                await ask({"token": token}, basic)
            assert (refused.value.error, refused.value.message) == ("invalid_client", text)
        with pytest.raises(OAuthError) as refused:
            await ask({}, CLI)
        assert (refused.value.error, refused.value.message) == ("invalid_request", 'No "token" parameter')
    assert await world.bearer(token)


async def test_20_a_client_sees_its_own_tokens_and_those_of_its_product(world: World) -> None:
    ann = await world.user("ann")
    shop, other = await world.product(ann, "Shop"), await world.product(ann, "Other")
    client, basic = await world.client(ann, shop)
    _, sibling = await world.client(ann, shop, scope="devices:list", name="sibling")
    _, stranger = await world.client(ann, other)
    _, anns = await world.client(ann, None)
    kim = await world.customer(ann, shop, "kim")
    kims = await world.endpoint.answer(CC | {"scope": "customer=kim", "expires_in": "60"}, basic)
    now = world.clock.now()
    principal = Principal(PrincipalKind.CUSTOMER, kim.id, shop.id)
    expected = Introspection(client.id, principal, "access_token", "customer=kim", now, now + 60_000)
    for asks in (basic, sibling):
        assert await look(world, kims.access_token, asks) == expected
    refresh = await look(world, kims.refresh_token, basic)
    assert (refresh.kind, refresh.principal) == ("refresh_token", expected.principal)
    limited = await world.endpoint.answer(CC, sibling)
    assert (await look(world, limited.access_token, basic)).scope == "devices:list"
    for asks in (stranger, anns, CLI):
        assert await look(world, kims.access_token, asks) is None
        assert await look(world, kims.refresh_token, asks) is None
    mine = await world.issue(ann)
    assert (await look(world, mine.access_token, CLI)).principal.id == ann.id
    assert await look(world, mine.access_token, basic) is None, "a product's client learns nothing of its team's people"


async def test_20_nothing_that_is_not_good_is_told_apart(world: World) -> None:
    ann = await world.user("ann")
    short, revoked, refreshed = await world.issue(ann, 10), await world.issue(ann), await world.issue(ann)
    await world.tokens.revoke(revoked.access_token)
    client = await world.clients.find("particle")
    await world.tokens.refresh(client, refreshed.refresh_token)
    world.clock.advance(10_000)
    for token in (
        short.access_token,
        revoked.access_token,
        revoked.refresh_token,
        refreshed.refresh_token,
        "x",
        "0" * 40,
    ):
        assert await look(world, token, CLI) is None
    assert await look(world, short.refresh_token, CLI), "it lives longer"
    await world.clients.install_well_known(is_enabled=False)
    _, basic = await world.client(ann, None)
    assert await look(world, refreshed.access_token, basic) is None


@pytest.mark.parametrize("kind", ["access", "refresh"])
async def test_19_a_client_ends_its_own_tokens_with_their_log_in(world: World, kind: str) -> None:
    await world.install_client("spark")
    ann = await world.user("ann")
    issued, other = await world.issue(ann), await world.issue(ann)
    token = issued.access_token if kind == "access" else issued.refresh_token
    await world.bearer(issued.access_token)
    for unknown in ("x", "0" * 40):
        await world.endpoint.revoke({"token": unknown}, CLI)
    await world.endpoint.revoke({"token": token or ""}, ("spark", "spark"))
    assert await world.bearer(issued.access_token), "another client's: nothing happens, and the answer is the same"
    await world.endpoint.revoke({"token": token or "", "token_type_hint": "nonsense"}, CLI)
    assert world.tokens.cached(issued.access_token) is None
    with pytest.raises(OAuthError):
        await world.other_tokens().check(issued.access_token)
    refresh = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token or ""}
    with pytest.raises(OAuthError):
        await world.endpoint.answer(refresh, CLI)
    assert await world.bearer(other.access_token)


async def test_14_a_refresh_token_at_another_client_is_refused_and_written_down(world: World, caplog) -> None:
    await world.install_client("spark")
    issued = await world.issue(await world.user("ann"))
    form = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token or ""}
    with pytest.raises(OAuthError) as refused:
        await world.endpoint.answer(form, ("spark", "spark"))
    assert (refused.value.error, refused.value.message) == ("invalid_grant", "Invalid refresh token")
    assert refused.value.detail == "client spark showed a refresh token of client particle"
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == "client spark showed a refresh token of client particle"
    assert await world.endpoint.answer(form, CLI)
