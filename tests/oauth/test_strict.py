"""The token endpoint of the strict profile: what current practice leaves of the grants (RFC 9700)."""

from collections.abc import Callable

import pytest

from cloudchamber.access.requester import Customer, ProductClient, User
from cloudchamber.oauth.errors import OAuthError
from tests.world import CLI, PASSWORD, World

CC = {"grant_type": "client_credentials"}


@pytest.fixture
async def strict(make_world: Callable[..., World]) -> World:
    world = make_world(profile="strict")
    await world.clients.install_well_known(is_enabled=False)
    return world


async def standard(world: World, form: dict[str, str], basic: tuple[str, str]) -> tuple[int, str] | None:
    """Status and code of the RFCs, for a request that is refused."""
    with pytest.raises(OAuthError) as refused:
        await world.endpoint.answer(form, basic)
    return refused.value.standard or (refused.value.http_status, refused.value.error)


async def test_nobody_logs_in_with_a_password(strict: World) -> None:
    ann = await strict.user("ann")
    shop = await strict.product(ann)
    _, anns = await strict.client(ann, None)
    _, shops = await strict.client(ann, shop)
    await strict.customers.create(ann, shop.resource(ann), "kim", PASSWORD)
    for name, basic in (("ann", anns), ("kim", shops)):
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        assert await standard(strict, form, basic) == (400, "unauthorized_client")
        # The refusal comes before the password is looked at: it tells nothing of it.
        assert await standard(strict, form | {"password": "wrong"}, basic) == (400, "unauthorized_client")
    form = {"grant_type": "password", "username": "ann", "password": PASSWORD}
    assert await standard(strict, form, CLI) == (401, "invalid_client"), "and there are no public clients"


async def test_clients_speak_for_themselves_and_for_customers(strict: World) -> None:
    ann = await strict.user("ann")
    shop = await strict.product(ann)
    _, anns = await strict.client(ann, None)
    _, shops = await strict.client(ann, shop)
    await strict.customer(ann, shop, "kim")
    for form, basic, kind in (
        (CC, anns, User),
        (CC, shops, ProductClient),
        (CC | {"scope": "customer=kim"}, shops, Customer),
    ):
        issued = await strict.endpoint.answer(form, basic)
        assert isinstance(await strict.bearer(issued.access_token), kind)
        refresh = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token or ""}
        again = await strict.endpoint.answer(refresh, basic)
        assert isinstance(await strict.bearer(again.access_token), kind)
        assert await standard(strict, form | {"expires_in": "0"}, basic) == (400, "invalid_request")
    assert not any(strict.compat_uses.values())


async def test_no_token_can_be_read_back(strict: World) -> None:
    ann = await strict.user("ann")
    _, basic = await strict.client(ann, None)
    issued = await strict.endpoint.answer(CC, basic)
    rows = await strict.db.fetch_all("SELECT sealed FROM access_tokens")
    assert rows == [(None,)]
    found = await strict.endpoint.introspect({"token": issued.access_token}, basic)
    assert found is not None
