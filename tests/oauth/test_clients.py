"""Clients: who may make, see, change and remove them, and what they may be."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import ProductClient, Scopes
from cloudchamber.ids import hash_secret
from cloudchamber.oauth.clients import WELL_KNOWN, Clients
from cloudchamber.oauth.errors import ClientInvalid, ClientNotFound, OAuthError
from cloudchamber.oauth.rules import client_id_is_well_formed
from cloudchamber.oauth.store import ClientStore
from tests.world import PASSWORD, World

CC = {"grant_type": "client_credentials"}


async def test_the_well_known_clients_exist_after_the_first_start(world: World) -> None:
    await world.clients.install_well_known(is_enabled=True)  # and the second changes nothing
    for name, secret in WELL_KNOWN.items():
        client = await world.clients.authenticate(name, secret)
        assert (client.user, client.product, client.scope, client.is_builtin) == (None, None, None, True)


async def test_a_client_is_made_listed_and_removed(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    shop = await world.product(ann)
    client, (_, secret) = await world.client(ann, None, name="Test 1")
    assert client.id.startswith("test-1-")
    assert client_id_is_well_formed(client.id)
    assert (len(secret), client.secret_hash) == (40, hash_secret(secret))
    of_product, basic = await world.client(ann, shop)
    assert await world.clients.of_user(ann) == [client]
    assert await world.clients.of(ann, shop.resource(ann)) == [of_product]
    assert await world.clients.of_user(bob) == []
    for refused in (
        world.clients.of(bob, shop.resource(bob)),
        world.clients.delete(bob, shop.resource(bob), of_product.id),
        world.clients.update(bob, shop.resource(bob), of_product.id, name="x", scope=None),
    ):
        with pytest.raises(AccessRefused):
            await refused
    token = (await world.endpoint.answer(CC, basic)).access_token
    await world.bearer(token)
    await world.clients.delete(ann, shop.resource(ann), of_product.id)
    with pytest.raises(OAuthError, match="The access token provided is invalid"):
        await world.bearer(token)
    with pytest.raises(OAuthError, match="Client credentials are invalid"):
        await world.endpoint.answer(CC, basic)


async def test_a_client_is_found_only_where_it_belongs(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    shop, other = await world.product(ann, "Shop"), await world.product(bob, "Other")
    anns, _ = await world.client(ann, None)
    shops, _ = await world.client(ann, shop)
    for requester, product, client in [
        (bob, None, anns.id),
        (bob, other, shops.id),
        (bob, None, shops.id),
        (ann, None, shops.id),  # on the product's path alone
        (ann, shop, anns.id),
        (ann, None, "particle"),
        (ann, None, "unknown-1"),
    ]:
        resource = product.resource(requester) if product else None
        with pytest.raises(ClientNotFound, match="Client not found"):
            await world.clients.delete(requester, resource, client)
        with pytest.raises(ClientNotFound, match="Client not found"):
            await world.clients.update(requester, resource, client, name="mine", scope=None)
    assert await world.clients.find(anns.id) == anns


async def test_what_a_client_cannot_be(world: World) -> None:
    ann = await world.user("ann")
    for fields, message in [
        ({"name": ""}, "name is required"),
        ({"name": "x" * 101}, "name is longer than 100 characters"),
        ({"type_": "native"}, "type must be installed or web"),
        ({"type_": "web"}, "redirect_uri is required for clients of type web"),
        ({"type_": "web", "redirect_uri": "javascript:alert(1)"}, "redirect_uri must be"),
    ]:
        wanted = {"name": "shop", "type_": "installed", "redirect_uri": None, "scope": None} | fields
        with pytest.raises(ClientInvalid, match=message):
            await world.clients.create(ann, None, **wanted)
    assert await world.clients.of_user(ann) == []


async def test_25_codes_and_tokens_go_over_tls_or_stay_on_the_machine(world: World) -> None:
    ann = await world.user("ann")
    wanted = {"name": "shop", "scope": None}
    for type_ in ("web", "installed"):
        for bad in (
            "http://app.example/back",
            "http://app.example:443/back",
            "http://10.0.0.1/back",
            "http://127.0.0.1.evil.example/back",
            "http://127.0.0.1@evil.example/back",
            "http://localhost.evil.example/back",
            "HTTP://app.example/back",
            "//app.example/back",
            "ftp://app.example/back",
            "data:text/html,x",
            "javascript:alert(1)",
        ):
            with pytest.raises(ClientInvalid, match="https URL, or http on this machine's loopback"):
                await world.clients.create(ann, None, type_=type_, redirect_uri=bad, **wanted)
        for good in ("https://app.example/back", "http://127.0.0.1:8000/back", "http://[::1]/back"):
            made, _ = await world.clients.create(ann, None, type_=type_, redirect_uri=good, **wanted)
            assert made.redirect_uri == good


async def test_changing(world: World) -> None:
    ann = await world.user("ann")
    client, _ = await world.client(ann, None, scope="devices:list")
    assert await world.clients.update(ann, None, client.id, name="new", scope=None) == replace(client, name="new")
    cleared = await world.clients.update(ann, None, client.id, name=None, scope="none")
    assert (cleared.name, cleared.scope) == ("new", None)
    assert await world.clients.find(client.id) == cleared
    with pytest.raises(ClientInvalid):
        await world.clients.update(ann, None, client.id, name="x" * 101, scope=None)


async def test_a_limited_token_cannot_make_itself_a_wider_client(world: World) -> None:
    ann = await world.user("ann")
    shop = await world.product(ann)
    own, _ = await world.client(ann, shop, scope="clients:create clients:update devices:list")
    limited = ProductClient(own.id, shop.id, Scopes.parse(own.scope))
    resource = shop.resource(limited)
    for scope in (None, "", " ", "*:*", "devices:list *:*", "devices:list devices:remove", "create_customer"):
        with pytest.raises(ClientInvalid, match="within its own"):
            await world.clients.create(
                limited, resource, name="wide", type_="installed", redirect_uri=None, scope=scope
            )
        if scope:
            with pytest.raises(ClientInvalid, match="within its own"):
                await world.clients.update(limited, resource, own.id, name=None, scope=scope)
    with pytest.raises(ClientInvalid, match="within its own"):
        await world.clients.update(limited, resource, own.id, name=None, scope="none")
    made, _ = await world.clients.create(
        limited, resource, name="narrow", type_="installed", redirect_uri=None, scope="devices:list"
    )
    assert made.scopes.names == {"devices:list"}


async def test_8_a_client_that_is_not_for_passwords_takes_none(world: World) -> None:
    ann = await world.user("ann")
    made = {"name": "app", "type_": "installed", "redirect_uri": None, "scope": None}
    client, secret = await world.clients.create(ann, None, **made, takes_passwords=False)
    basic = (client.id, secret)
    password = {"grant_type": "password", "username": "ann", "password": PASSWORD}
    second = {"mfa_token": "0" * 40, "otp": "123456", "recovery_code": "x"}
    for form in (password, *({"grant_type": f"urn:custom:{kind}", **second} for kind in ("mfa-otp", "recovery-code"))):
        with pytest.raises(OAuthError) as refused:
            await world.endpoint.answer(form, basic)
        assert refused.value.message == "The grant type is unauthorised for this client_id"
    assert await world.endpoint.answer({"grant_type": "client_credentials"}, basic)
    assert not (await world.clients.update(ann, None, client.id, name="b", scope=None)).takes_passwords
    changed = await world.clients.update(ann, None, client.id, name=None, scope=None, takes_passwords=True)
    assert changed == await world.clients.find(client.id)
    assert await world.endpoint.answer(password, basic)


async def test_8_new_clients_take_passwords_where_the_switch_is_on(world: World) -> None:
    ann = await world.user("ann")
    made = {"name": "app", "type_": "installed", "redirect_uri": None, "scope": None}
    for on in (True, False):
        uses = Counter[str]()
        clients = Clients(
            world.db, ClientStore(), world.tokens, world.bus, world.clock, takes_passwords=on, compat_uses=uses
        )
        assert (await clients.create(ann, None, **made))[0].takes_passwords is on
        assert (await clients.create(ann, None, **made, takes_passwords=True))[0].takes_passwords
        assert uses["password_clients"] == on


async def test_a_new_name_does_not_bring_back_a_scope_that_was_just_narrowed(world: World) -> None:
    ann = await world.user("ann")
    client, _ = await world.client(ann, None, scope="devices:list devices:get")
    await asyncio.gather(
        world.clients.update(ann, None, client.id, name=None, scope="devices:list"),
        world.clients.update(ann, None, client.id, name="new", scope=None),
    )
    found = await world.clients.find(client.id)
    assert found is not None
    assert (found.name, found.scope) == ("new", "devices:list")
