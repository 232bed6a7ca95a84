"""POST /oauth/token: each message, in the order in which the checks come; tokens listed, looked at and revoked."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cloudchamber.api.waiting import WATCH_AFTER_S
from cloudchamber.app import Cloud
from cloudchamber.identity.passwords import Passwords
from cloudchamber.ids import hash_secret
from tests.api.conftest import Api, Maker, bearer, log_in
from tests.api.test_edge import oauth_error

pytestmark = pytest.mark.asyncio(loop_scope="module")

WELL_KNOWN = ("particle", "particle")
GRANT = "Invalid or missing grant_type parameter"
CLIENT_ID = "Invalid or missing client_id parameter"
NO_SECRET = "Missing client_secret parameter"
FORM = "application/x-www-form-urlencoded"
METHOD = "Method must be POST with application/x-www-form-urlencoded encoding"


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("POST", {"json": {"grant_type": "password"}}),
        ("POST", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ("POST", {}),
        ("POST", {"data": {"grant_type": "password"}, "files": {"f": b""}}),
        ("GET", {"params": {"grant_type": "password"}}),
        ("PUT", {"data": {"grant_type": "password"}}),
    ],
)
async def test_only_a_posted_form_will_do(http: Api, method: str, sent: dict[str, Any]) -> None:
    answer = await http.request(method, "/oauth/token", **sent)
    assert oauth_error(answer) == (400, "invalid_request", METHOD)


@pytest.mark.parametrize(
    ("form", "client", "code", "message"),
    [
        ({"x": "y"}, None, "invalid_request", GRANT),
        ({"grant_type": ""}, None, "invalid_request", GRANT),
        ({"grant_type": "nonsense"}, None, "invalid_request", GRANT),
        ({"grant_type": ["password", "password"]}, None, "invalid_request", GRANT),
        ({"grant_type": "password"}, None, "invalid_client", CLIENT_ID),
        (
            {"grant_type": "password", "client_id": "a b"},
            None,
            "invalid_client",
            "Invalid or missing client_id parameter",
        ),
        (
            {"grant_type": "password", "client_id": "ab"},
            None,
            "invalid_client",
            "Invalid or missing client_id parameter",
        ),
        (
            {"grant_type": "password", "client_id": "particle"},
            None,
            "invalid_client",
            "Missing client_secret parameter",
        ),
        ({"grant_type": "password"}, ("particle", ""), "invalid_client", NO_SECRET),
        ({"grant_type": "password"}, ("particle", "no"), "invalid_client", "Client credentials are invalid"),
        ({"grant_type": "password"}, ("nobody", "no"), "invalid_client", "Client credentials are invalid"),
        (
            {"grant_type": "password"},
            WELL_KNOWN,
            "invalid_client",
            'Missing parameters. "username" and "password" are required',
        ),
        (
            {"grant_type": "password", "username": "nobody", "password": "x"},
            WELL_KNOWN,
            "invalid_grant",
            "User credentials are invalid",
        ),
        ({"grant_type": "client_credentials"}, WELL_KNOWN, "invalid_grant", "Client credentials are invalid"),
        ({"grant_type": "refresh_token"}, WELL_KNOWN, "invalid_request", 'No "refresh_token" parameter'),
        (
            {"grant_type": "refresh_token", "refresh_token": "x"},
            WELL_KNOWN,
            "invalid_grant",
            "Invalid refresh token",
        ),
        (
            {"grant_type": "password", "client_id": ["a", "b"]},
            None,
            "invalid_request",
            "A parameter was sent more than once",
        ),
        (
            {"grant_type": "password", "client_id": "other"},
            WELL_KNOWN,
            "invalid_request",
            "The client ids of header and body differ",
        ),
    ],
)
async def test_the_messages(
    http: Api, maker: Maker, form: dict[str, Any], client: tuple[str, str] | None, code: str, message: str
) -> None:
    status = 400
    if http.is_strict:
        # There are no public clients; the maker's own one stands for them. And there is no password grant.
        client = maker.client if client == WELL_KNOWN else client
        if code == "invalid_client":
            status = 401
        if client == maker.client and form["grant_type"] == "password" and "client_id" not in form:
            status, code, message = 400, "unauthorized_client", "The grant type is unauthorised for this client_id"
        elif client == maker.client and form["grant_type"] == "client_credentials":
            return
    answer = await http.post("/oauth/token", data=form, auth=client)
    assert oauth_error(answer) == (status, code, message)
    asks_for_basic = answer.headers.get("www-authenticate") == 'Basic realm="Service"'
    assert asks_for_basic == (code == "invalid_client")


def password_log_in(maker: Maker) -> dict[str, str]:
    return {"grant_type": "password", "username": maker.username, "password": maker.password}


async def refuses_password_log_ins(http: Api, maker: Maker) -> None:
    """The strict profile: no public clients, and no password grant for any other."""
    unknown = (401, "invalid_client", "Client credentials are invalid")
    assert oauth_error(await http.post("/oauth/token", data=password_log_in(maker), auth=WELL_KNOWN)) == unknown
    refused = (400, "unauthorized_client", "The grant type is unauthorised for this client_id")
    assert oauth_error(await http.post("/oauth/token", data=password_log_in(maker), auth=maker.client)) == refused


async def test_a_token(http: Api, maker: Maker) -> None:
    form, client = password_log_in(maker), WELL_KNOWN
    if http.is_strict:
        await refuses_password_log_ins(http, maker)
        form, client = {"grant_type": "client_credentials"}, maker.client
    answer = await http.post("/oauth/token", data=form, auth=client)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {"token_type", "access_token", "expires_in", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 7_776_000)
    endless = await http.post("/oauth/token", data={**form, "expires_in": "0"}, auth=client)
    if http.is_strict:
        expected = (400, "invalid_request", "This server gives no tokens without end: send expires_in in seconds")
        assert oauth_error(endless) == expected
        return
    never = endless.json()
    assert set(never) == {"token_type", "access_token", "expires_in"}
    assert never["expires_in"] == 0


@pytest.mark.parametrize("header", ["Bearer null", "Bearer " + "0" * 40, "nonsense"])
async def test_another_header_beside_credentials_in_the_body_is_ignored(http: Api, maker: Maker, header: str) -> None:
    """CLI and SDK send their old token along when they log in."""
    form = password_log_in(maker) | {"client_id": "particle", "client_secret": "particle"}
    if http.is_strict:
        client_id, secret = maker.client
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = await http.post("/oauth/token", data=form, headers={"Authorization": header})
    assert answer.status_code == 200


async def test_tokens_of_a_person_are_listed_and_revoked(http: Api, maker: Maker) -> None:
    token = await log_in(http, maker.username, maker.password)
    basic = (maker.username, maker.password)
    answer = await http.get("/v1/access_tokens", auth=basic)
    assert answer.headers["cache-control"] == "no-store"
    listed = answer.json()
    assert {"token", "expires_at", "client"} <= set(listed[0])
    (row,) = [row for row in listed if row["created_at"] == max(row["created_at"] for row in listed)]
    assert row["created_by"].startswith("user:")
    assert row["last_used_at"] is None
    assert row["refresh_expires_at"] > row["expires_at"]
    assert row["log_in_ends_at"] is not None
    digest = f"sha256:{hash_secret(token).hex()[:12]}"
    shown = digest if http.is_strict else token
    assert shown in [row["token"] for row in listed]
    current = (await http.get("/v1/access_tokens/current", headers=bearer(token))).json()
    assert current["client"] == current["client_id"]
    assert (current["client"] == "particle") is not http.is_strict
    assert current["scopes"] == []
    assert (await http.delete("/v1/access_tokens/current", headers=bearer(token))).json() == {"ok": True}
    assert (await http.get("/v1/user", headers=bearer(token))).status_code == 401
    assert shown not in [row["token"] for row in (await http.get("/v1/access_tokens", auth=basic)).json()]


async def test_revoking_everything_ends_everything(http: Api, stranger: Maker) -> None:
    token = await log_in(http, stranger.username, stranger.password)
    other = await log_in(http, stranger.username, stranger.password)
    assert (await http.delete("/v1/access_tokens", headers=bearer(token))).json() == {"ok": True}
    for ended in (token, other, stranger.token):
        assert (await http.get("/v1/user", headers=bearer(ended))).status_code == 401


@pytest.mark.parametrize(
    ("auth", "status", "message"),
    [
        (("maker@example.com", "no"), 401, "Bad password"),
        (("nobody", "no"), 400, "Unknown user"),
        (
            None,
            401,
            "Unauthorized. You must send username and password in HTTP Basic Auth to view your access tokens.",
        ),
    ],
)
async def test_who_may_list_tokens(
    http: Api, maker: Maker, auth: tuple[str, str] | None, status: int, message: str
) -> None:
    assert maker.username == "maker@example.com"
    answer = await http.get("/v1/access_tokens", auth=auth)
    if http.is_strict and message == "Unknown user":
        status, message = 401, "Bad password"
    assert (answer.status_code, answer.json()) == (status, {"ok": False, "errors": [message]})


async def test_knowing_a_token_is_enough_to_end_it_and_no_reason_to_tell_whether_it_was_one(
    http: Api, maker: Maker
) -> None:
    for header in ({}, bearer("0" * 40)):
        answer = await http.delete("/v1/access_tokens/" + "1" * 40, headers=header)
        if not http.is_strict:
            assert (answer.status_code, answer.json()) == (200, {"ok": True})
        else:
            assert answer.status_code == 401
            text = answer.json().get("error_description") or answer.json()["errors"][0]
            assert text.endswith("is invalid." if header else "to delete an access token.")
    wrong = await http.delete("/v1/access_tokens/" + "1" * 40, auth=(maker.username, "no"))
    assert (wrong.status_code, wrong.json()) == (401, {"ok": False, "errors": ["Bad password"]})


async def test_20_introspection(http: Api, maker: Maker, stranger: Maker) -> None:
    form = {"token": maker.product_token}
    seen = await http.post("/oauth/introspect", data=form, auth=maker.client)
    assert (seen.status_code, seen.headers["cache-control"]) == (200, "no-store")
    body = seen.json()
    assert (body["active"], body["client_id"], body["principal"]) == (True, maker.client[0], "product")
    assert body["exp"] - body["iat"] == 7_776_000
    in_body = {**form, "client_id": maker.client[0], "client_secret": maker.client[1]}
    assert (await http.post("/oauth/introspect", data=in_body, headers=bearer("stale"))).json() == body
    nothing = {"active": False}
    for token, client in (
        (maker.product_token, stranger.client),
        ("0" * 40, maker.client),
        (maker.token, maker.client),
    ):
        answer = await http.post("/oauth/introspect", data={"token": token}, auth=client)
        assert (answer.status_code, answer.json()) == (200, nothing)
    refused = await http.post("/oauth/introspect", data=form, auth=(maker.client[0], "no"))
    expected = (401 if http.is_strict else 400, "invalid_client", "Client credentials are invalid")
    assert oauth_error(refused) == expected
    assert refused.headers["www-authenticate"] == 'Basic realm="Service"'
    unformed = await http.post("/oauth/introspect", json=form, auth=maker.client)
    assert oauth_error(unformed) == (400, "invalid_request", METHOD)


async def test_19_revocation_by_its_rfc_ends_streams_within_a_second(http: Api, maker: Maker, stranger: Maker) -> None:
    form = {"grant_type": "client_credentials"}
    issued = (await http.post("/oauth/token", data=form, auth=maker.client)).json()
    token, opened = issued["access_token"], asyncio.Event()

    async def listen() -> None:
        path = f"/v1/products/{maker.product}/events"
        async with http.stream("GET", path, headers=bearer(token)) as stream:
            async for _ in stream.aiter_lines():
                opened.set()

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(opened.wait(), 5)
    for body, client in (({"token": token}, stranger.client), ({"token": "0" * 40}, maker.client)):
        answer = await http.post("/oauth/revoke", data=body, auth=client)
        assert (answer.status_code, answer.json()) == (200, {})
    assert not listening.done()
    hinted = {"token": issued["refresh_token"], "token_type_hint": "refresh_token"}
    assert (await http.post("/oauth/revoke", data=hinted, auth=maker.client)).status_code == 200
    await asyncio.wait_for(listening, 1)
    assert (await http.get(f"/v1/products/{maker.product}", headers=bearer(token))).status_code == 401
    missing = await http.post("/oauth/revoke", data={}, auth=maker.client)
    assert oauth_error(missing)[:2] == (400, "invalid_request")


async def test_22_the_tokens_of_a_product(http: Api, maker: Maker, stranger: Maker) -> None:
    path = f"/v1/products/{maker.product}/access_tokens"
    never = {"grant_type": "client_credentials", "expires_in": "0"}
    issued = await http.post("/oauth/token", data=never, auth=maker.client)
    assert issued.status_code == (400 if http.is_strict else 200)
    await http.get(f"/v1/products/{maker.product}", headers=bearer(maker.product_token))
    listed = (await http.get(path, headers=bearer(maker.token))).json()["access_tokens"]
    shown = f"sha256:{hash_secret(maker.product_token).hex()[:12]}"
    (row,) = [row for row in listed if row["token"] == shown]
    assert (row["created_by"], row["acts_for"]) == (f"client:{maker.client[0]}",) * 2
    assert (row["last_used_ip"], row["last_used_at"] is not None) == ("127.0.0.1", True)
    endless = (await http.get(path, params={"endless": "true"}, headers=bearer(maker.token))).json()["access_tokens"]
    assert len(endless) == (0 if http.is_strict else 1)
    others = await log_in(http, stranger.username, stranger.password)
    for token in (others, maker.product_token):
        assert (await http.get(path, headers=bearer(token))).status_code in {403, 404}
    for each in endless:
        gone = await http.delete(f"{path}/{each['token']}", headers=bearer(maker.token))
        assert (gone.status_code, gone.content) == (204, b"")
        used = await http.get(f"/v1/products/{maker.product}", headers=bearer(issued.json()["access_token"]))
        assert used.status_code == 401
        again = await http.delete(f"{path}/{each['token']}", headers=bearer(maker.token))
        assert (again.status_code, again.json()) == (
            404,
            {"ok": False, "error": "There is no such token in this product"},
        )


async def test_a_token_of_ones_own_is_ended_by_what_the_list_calls_it(http: Api, maker: Maker) -> None:
    token = await log_in(http, maker.username, maker.password)
    path = f"/v1/access_tokens/sha256:{hash_secret(token).hex()[:12]}"
    nobody = await http.delete(path)
    assert nobody.status_code == (401 if http.is_strict else 200)
    assert (await http.get("/v1/user", headers=bearer(token))).status_code == 200, "a name alone ends nothing"
    ended = await http.delete(path, auth=(maker.username, maker.password))
    assert (ended.status_code, ended.json()) == (200, {"ok": True})
    assert (await http.get("/v1/user", headers=bearer(token))).status_code == 401


async def test_log_ins_whose_clients_have_left_are_not_worked_off(
    migrated_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def verify(_self: Passwords, _stored: str | None, password: str) -> bool:
        tried.append(password)
        time.sleep(0.2)
        return False

    monkeypatch.setattr(Passwords, "_verify", verify)
    body = b"grant_type=password&client_id=particle&client_secret=particle&username=somebody&password=a+guess"
    request = (
        b"POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    async with migrated_cloud() as cloud:
        address = cloud.listening.http
        writers = [(await asyncio.open_connection(address.host, address.port))[1] for _ in range(20)]
        for writer in writers:
            writer.write(request)
        async with asyncio.timeout(10):
            while not tried:
                await asyncio.sleep(0.01)
        for writer in writers:
            writer.close()
        await asyncio.sleep(WATCH_AFTER_S + 0.5)
        assert len(tried) < 8
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            began = time.monotonic()
            answer = await client.post("/oauth/token", content=body, headers={"content-type": FORM})
            assert oauth_error(answer)[0] == 400
            assert time.monotonic() - began < 2.0
