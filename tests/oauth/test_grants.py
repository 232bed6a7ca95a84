"""The token endpoint: every grant, and every failure with the text that clients compare."""

from dataclasses import replace

import pytest

from cloudchamber.access.model import Action, OwnThings
from cloudchamber.access.requester import Customer, ProductClient, User
from cloudchamber.access.rules import ALLOWED, decide
from cloudchamber.clock import DAY, iso
from cloudchamber.ids import hash_secret
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.grants.client_credentials import ClientCredentialsGrant
from tests.world import CLI, PASSWORD, World

CC = {"grant_type": "client_credentials"}


def password(name: str, secret: str = PASSWORD, **more: str) -> dict[str, str]:
    return {"grant_type": "password", "username": name, "password": secret, **more}


async def failure(world: World, form: dict[str, str], basic: tuple[str, str] | None = CLI) -> tuple[int, str, str]:
    with pytest.raises(OAuthError) as failed:
        await world.endpoint.answer(form, basic)
    return failed.value.http_status, failed.value.error, failed.value.message


async def test_a_user_logs_in(world: World) -> None:
    ann = await world.user("ann@example.com")
    in_body = {"client_id": CLI[0], "client_secret": CLI[1]}
    for more, basic in [({}, CLI), (in_body, None), (in_body, CLI)]:
        issued = await world.endpoint.answer(password(" Ann@Example.COM ") | more, basic)
        assert (issued.expires_in, issued.scope) == (7_776_000, None)
        assert len(issued.access_token) == len(issued.refresh_token or "") == 40
        assert await world.bearer(issued.access_token) == replace(ann, token=hash_secret(issued.access_token))


FAILURES = [
    ({}, CLI, (400, "invalid_request", "Invalid or missing grant_type parameter")),
    ({"grant_type": "magic"}, CLI, (400, "invalid_request", "Invalid or missing grant_type parameter")),
    (CC, None, (400, "invalid_client", "Invalid or missing client_id parameter")),
    (CC, ("a b", "x"), (400, "invalid_client", "Invalid or missing client_id parameter")),
    (CC | {"client_id": "ab"}, None, (400, "invalid_client", "Invalid or missing client_id parameter")),
    (CC | {"client_id": "particle"}, None, (400, "invalid_client", "Missing client_secret parameter")),
    (CC, ("particle", ""), (400, "invalid_client", "Missing client_secret parameter")),
    (CC | {"client_id": "other"}, CLI, (400, "invalid_request", "The client ids of header and body differ")),
    (CC, ("particle", "wrong"), (400, "invalid_client", "Client credentials are invalid")),
    (CC, ("unknown-1", "particle"), (400, "invalid_client", "Client credentials are invalid")),
    (CC, CLI, (400, "invalid_grant", "Client credentials are invalid")),
    (CC | {"scope": "customer=x"}, CLI, (400, "invalid_grant", "Client credentials are invalid")),
    ({"grant_type": "refresh_token"}, CLI, (400, "invalid_request", 'No "refresh_token" parameter')),
    (
        {"grant_type": "refresh_token", "refresh_token": "0" * 40},
        CLI,
        (400, "invalid_grant", "Invalid refresh token"),
    ),
    *(
        (
            {"grant_type": "password", **given},
            CLI,
            (400, "invalid_client", 'Missing parameters. "username" and "password" are required'),
        )
        for given in ({}, {"username": "x"}, {"password": "x"}, {"username": "", "password": "x"})
    ),
    (password("nobody@example.com"), CLI, (400, "invalid_grant", "User credentials are invalid")),
]


async def test_the_first_thing_that_is_wrong_is_said(world: World) -> None:
    for form, basic, expected in FAILURES:
        assert await failure(world, form, basic) == expected


async def test_unknown_client_and_wrong_secret_are_answered_alike(world: World) -> None:
    assert await failure(world, CC, ("unknown-1", "x")) == await failure(world, CC, ("particle", "x"))


async def test_a_wrong_password_and_an_account_without_one_are_answered_alike(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    _, basic = await world.client(ann, shop)
    await world.customer(ann, shop, "kim")
    expected = (400, "invalid_grant", "User credentials are invalid")
    assert await failure(world, password("ann", "wrong")) == expected
    assert await failure(world, password("kim"), basic) == expected  # a shadow customer
    assert await failure(world, password("ann"), basic) == expected  # a user is no customer
    assert await failure(world, password("kim")) == expected  # and a customer no user


async def test_a_switched_off_client_is_an_unknown_one(world: World) -> None:
    await world.user("ann")
    token = await world.log_in("ann")
    await world.clients.install_well_known(is_enabled=False)
    assert await failure(world, password("ann")) == (400, "invalid_client", "Client credentials are invalid")
    assert await world.clients.find("particle") is None
    with pytest.raises(OAuthError, match="invalid"):
        await world.other_tokens().check(token)
    await world.clients.install_well_known(is_enabled=True)
    assert await world.log_in("ann")


async def test_the_password_grant_can_be_switched_off(world: World) -> None:
    await world.user("ann")
    strict = world.endpoint_with(password=None)
    with pytest.raises(OAuthError) as failed:
        await strict.answer(password("ann"), CLI)
    assert (failed.value.error, failed.value.message) == (
        "invalid_client",
        "The grant type is unauthorised for this client_id",
    )


async def test_client_credentials_act_for_the_clients_owner(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    mine, basic = await world.client(ann, None)
    theirs, product_basic = await world.client(ann, shop)
    issued = await world.endpoint.answer(CC, basic)
    requester = await world.bearer(issued.access_token)
    assert isinstance(requester, User)
    assert (requester.id, requester.client, issued.scope) == (ann.id, mine.id, None)
    requester = await world.bearer((await world.endpoint.answer(CC, product_basic)).access_token)
    assert isinstance(requester, ProductClient)
    assert (requester.client, requester.product) == (theirs.id, shop.id)


async def test_two_legs_reach_the_products_own_customers_and_nobody_else(world: World) -> None:
    ann = await world.user("ann")
    shop, other = await world.product(ann, "Shop"), await world.product(ann, "Other")
    client, basic = await world.client(ann, shop)
    kim = await world.customer(ann, shop, "kim@example.com")
    await world.customer(ann, other, "lee@example.com")
    issued = await world.endpoint.answer(CC | {"scope": "customer=Kim@example.com", "expires_in": "0"}, basic)
    assert (issued.expires_in, issued.refresh_token, issued.scope) == (0, None, "customer=kim@example.com")
    requester = await world.bearer(issued.access_token)
    assert isinstance(requester, Customer)
    assert (requester.id, requester.product, requester.client) == (kim.id, shop.id, client.id)
    for name in ["lee@example.com", "ann", client.id, ann.id, kim.id, str(shop.id)]:
        assert await failure(world, CC | {"scope": f"customer={name}"}, basic) == (
            *(400, "invalid_scope"),
            "Customer not found",
        )
    assert (await failure(world, CC | {"scope": "devices:list"}, basic))[1] == "invalid_scope"
    _, of_user = await world.client(ann, None)
    assert await failure(world, CC | {"scope": "customer=kim@example.com"}, of_user) == (
        *(400, "invalid_scope"),
        "Customer not found",
    )


async def test_a_create_only_client_becomes_no_customer_and_does_one_thing(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    await world.customer(ann, shop, "kim")
    _, basic = await world.client(ann, shop, scope="create_customer")
    assert await failure(world, CC | {"scope": "customer=kim"}, basic) == (
        *(400, "invalid_scope"),
        "Client scope does not allow this",
    )
    requester = await world.bearer((await world.endpoint.answer(CC, basic)).access_token)
    resource = shop.resource(requester)
    assert {action for action in Action if decide(requester, action, resource) is ALLOWED} == {Action.CUSTOMERS_CREATE}
    assert not any(decide(requester, action, OwnThings()) is ALLOWED for action in Action)
    assert (await world.customers.create(requester, resource, "lee", None)).product == shop.id


async def test_a_customer_logs_in_through_the_products_client(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    _, basic = await world.client(ann, shop, scope="customers:create")
    account = await world.customers.create(ann, shop.resource(ann), "kim", PASSWORD)
    issued = await world.endpoint.answer(password("KIM", scope="ignored"), basic)
    assert issued.scope == "customer=kim"
    requester = await world.bearer(issued.access_token)
    assert isinstance(requester, Customer)
    assert requester.id == account.id
    assert decide(requester, Action.DEVICES_LIST, OwnThings()) is ALLOWED


async def test_lifetimes(world: World) -> None:
    await world.user("ann")
    short = await world.log_in("ann", expires_in="10")
    dated = await world.endpoint.answer(password("ann", expires_at=iso(world.clock.now() + 20_000)), CLI)
    never = await world.endpoint.answer(password("ann", expires_in="0"), CLI)
    assert (dated.expires_in, never.expires_in, never.refresh_token) == (20, 0, None)
    await world.bearer(short)
    world.clock.advance(10_000)
    for tokens in (world.tokens, world.other_tokens()):  # one has it cached, the other not
        with pytest.raises(OAuthError) as expired:
            await tokens.check(short)
        assert (expired.value.http_status, expired.value.error, expired.value.message) == (
            *(401, "invalid_token"),
            "The access token provided has expired.",
        )
    assert await world.bearer(dated.access_token)
    world.clock.advance(3_650 * DAY)
    assert await world.bearer(never.access_token)
    with pytest.raises(OAuthError) as unknown:
        await world.bearer("f" * 40)
    assert (unknown.value.http_status, unknown.value.message) == (401, "The access token provided is invalid.")


async def test_a_client_that_is_deleted_while_it_logs_in(world: World) -> None:
    ann = await world.user("ann")
    client, basic = await world.client(ann, None)
    endpoint = world.endpoint_with(client_credentials=_DeletingGrant(world, ann, client))
    with pytest.raises(OAuthError) as failed:
        await endpoint.answer(CC, basic)
    assert (failed.value.error, failed.value.message) == ("invalid_client", "Client credentials are invalid")


class _DeletingGrant(ClientCredentialsGrant):
    """Somebody else deletes the client between its authentication and the writing of its token."""

    def __init__(self, world: World, owner: User, client) -> None:
        super().__init__(world.customers)
        self._delete = lambda: world.clients.delete(owner, None, client.id)

    async def grant(self, client, form):
        granted = await super().grant(client, form)
        await self._delete()
        return granted
