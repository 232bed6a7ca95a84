"""Statements 1 to 22 of the security checklist, as far as no other test holds them (tests/guards knows where)."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise

import httpx
import pytest

from cloudchamber.api.routes import ROUTES, Bearer, BearerOrClient, BearerOrPassword, enabled
from cloudchamber.ids import new_claim_code, new_id, new_token
from cloudchamber.settings import Compat
from tests.api.conftest import Api, Maker, bearer
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT, LONG = 100_000, 1_000_000


def check_draws(draw: Callable[[], str], count: int, length: int, alphabet: int) -> None:
    """No two alike, none like its neighbours, and every place takes every character about equally often."""
    drawn = [draw() for _ in range(count)]
    assert len(set(drawn)) == count
    assert {len(each) for each in drawn} == {length}
    # Neighbours share a few characters by chance; a clock or counter in front would make all of them share many.
    assert not [one for one, next_ in pairwise(drawn) if one[:12] == next_[:12]]
    for place in (0, length // 2, length - 1):
        seen = {each[place] for each in drawn[:20_000]}
        assert len(seen) == alphabet


async def test_01_a_hundred_thousand_tokens_share_nothing() -> None:
    """Access and refresh tokens and client secrets: 160 bits; claim codes: 378."""
    check_draws(new_token, SHORT, 40, 16)
    check_draws(new_claim_code, SHORT // 4, 63, 64)
    check_draws(new_id, SHORT // 4, 24, 16)


@pytest.mark.soak
async def test_01_a_million_tokens_share_nothing() -> None:
    check_draws(new_token, LONG, 40, 16)
    check_draws(new_claim_code, LONG, 63, 64)


async def median_ms(ask: Callable[[], Awaitable[object]], times: int) -> float:
    taken = []
    for _ in range(times):
        before = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - before) * 1000)
    return statistics.median(taken)


async def test_04_an_unknown_client_and_a_wrong_secret_take_the_same_time_and_body(http: Api, maker: Maker) -> None:
    async def ask(client: str) -> httpx.Response:
        return await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=(client, "0" * 40))

    known, unknown = await ask(maker.client[0]), await ask("nobody-1234")
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert known.status_code == (401 if http.is_strict else 400)
    for answer in (known, unknown):
        assert answer.headers["www-authenticate"] == 'Basic realm="Service"'
    # A slow hash on one side alone would be a factor of ten and more.
    one, other = await median_ms(lambda: ask(maker.client[0]), 30), await median_ms(lambda: ask("nobody-1234"), 30)
    assert max(one, other) < 3 * min(one, other) + 2


async def test_10_a_clients_token_is_never_a_person(http: Api, maker: Maker) -> None:
    """Not even when a customer is named as the client is called: the kind of a principal is part of its token."""
    customer = await maker.customer(maker.client[0])
    assert (await http.get("/v1/user/identify", headers=bearer(customer))).json()["email"] == maker.client[0].lower()
    mine = (await http.get("/v1/devices", headers=bearer(maker.product_token))).json()
    assert mine == []
    for path in ("/v1/user", "/v1/clients"):
        assert (await http.get(path, headers=bearer(maker.product_token))).status_code == 403
    claim = await http.post(f"/v1/products/{maker.product}/device_claims", headers=bearer(maker.product_token))
    assert claim.status_code == 403


async def test_12_a_create_only_client_does_one_thing(http: Api, maker: Maker) -> None:
    sent = {"name": "sign-ups", "type": "installed", "scope": "customers:create"}
    path = f"/v1/products/{maker.product}/clients"
    client = (await http.post(path, json=sent, headers=bearer(maker.token))).json()["client"]
    form = {"grant_type": "client_credentials"}
    issued = await http.post("/oauth/token", data=form, auth=(client["id"], client["secret"]))
    token = issued.json()["access_token"]
    tried = 0
    for row in enabled(ROUTES, Compat.of("strict" if http.is_strict else "vendor")):
        if not isinstance(row.access, Bearer | BearerOrClient | BearerOrPassword):
            continue
        if row.access.action.value == "customers:create":
            continue
        for path in row.paths:
            url = path.replace("{product}", str(maker.product)).replace(":path}", "}")
            url = url.replace("{", "").replace("}", "")
            answer = await http.request(row.method, url, headers=bearer(token))
            assert answer.status_code == (403 if http.is_strict else 400), (row.method, path, answer.text)
            if row.method != "HEAD":
                assert answer.json()["error"] in {"insufficient_scope", "invalid_scope"}, (row.method, path)
            tried += 1
    assert tried > 100
    made = {"email": "one.thing@example.com", "no_password": "true"}
    answer = await http.post(f"/v1/products/{maker.product}/customers", data=made, headers=bearer(token))
    assert answer.status_code == 201


async def issued_pair(http: Api, maker: Maker) -> dict[str, str]:
    answer = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=maker.client)
    pair: dict[str, str] = answer.json()
    return pair


async def test_16_a_hundred_refreshes_at_once_give_one_pair(http: Api, maker: Maker) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": (await issued_pair(http, maker))["refresh_token"]}
    async with httpx.AsyncClient(base_url=http.base_url, timeout=30, limits=httpx.Limits(max_connections=100)) as many:
        answers = await asyncio.gather(*(many.post("/oauth/token", data=form, auth=maker.client) for _ in range(100)))
    assert {answer.status_code for answer in answers} <= {200, 400}
    pairs = {answer.json()["refresh_token"]: answer.json() for answer in answers if answer.status_code == 200}
    assert len(pairs) == 1
    (pair,) = pairs.values()
    seen = await http.get(f"/v1/products/{maker.product}", headers=bearer(pair["access_token"]))
    assert seen.status_code == 200
    again = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    assert (await http.post("/oauth/token", data=again, auth=maker.client)).status_code == 200


async def test_17_a_client_that_dies_before_the_answer_gets_it_again(http: Api, maker: Maker) -> None:
    """The connection is reset once the request is out, as a killed process leaves it."""
    refresh_token = (await issued_pair(http, maker))["refresh_token"]
    client, secret = maker.client
    body = f"grant_type=refresh_token&refresh_token={refresh_token}&client_id={client}&client_secret={secret}"
    _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write(
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body.encode())
    )
    await writer.drain()
    writer.transport.abort()
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    first = await http.post("/oauth/token", data=form, auth=maker.client)
    second = await http.post("/oauth/token", data=form, auth=maker.client)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    seen = await http.get(f"/v1/products/{maker.product}", headers=bearer(first.json()["access_token"]))
    assert seen.status_code == 200


async def test_19_a_revoked_token_is_refused_on_every_route(http: Api, maker: Maker) -> None:
    token = (await issued_pair(http, maker))["access_token"]
    assert (await http.get(f"/v1/products/{maker.product}", headers=bearer(token))).status_code == 200
    assert (await http.post("/oauth/revoke", data={"token": token}, auth=maker.client)).status_code == 200
    for row in enabled(ROUTES, Compat.of(http.profile)):
        if isinstance(row.access, Bearer | BearerOrClient | BearerOrPassword):
            url = row.paths[0].replace(":path}", "}").replace("{product}", str(maker.product))
            answer = await http.request(row.method, url.replace("{", "").replace("}", ""), headers=bearer(token))
            assert answer.status_code == 401, (row.method, row.paths[0])
            assert answer.headers["www-authenticate"] == 'Bearer realm="Service", error="invalid_token"'


@pytest.mark.asyncio(loop_scope="function")
async def test_13_a_token_never_exceeds_its_client(world: World) -> None:
    """Neither by a refresh, nor by a scope in the request."""
    ann = await world.user("ann")
    shop = await world.product(ann)
    _, basic = await world.client(ann, shop, scope="devices:list")
    issued = await world.endpoint.answer({"grant_type": "client_credentials"}, basic)
    for more in ({}, {"scope": "*:*"}, {"scope": "devices:list customers:create"}):
        form = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token or "", **more}
        issued = await world.endpoint.answer(form, basic)
        assert (await world.bearer(issued.access_token)).scopes.names == {"devices:list"}
