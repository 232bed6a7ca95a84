"""POST /oauth/token: each message, in the order in which the checks come."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Maker, bearer, log_in
from tests.api.test_edge import oauth_error

pytestmark = pytest.mark.asyncio(loop_scope="module")

WELL_KNOWN = ("particle", "particle")
GRANT = "Invalid or missing grant_type parameter"
CLIENT_ID = "Invalid or missing client_id parameter"
NO_SECRET = "Missing client_secret parameter"
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
async def test_only_a_posted_form_will_do(http: httpx.AsyncClient, method: str, sent: dict[str, Any]) -> None:
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
    http: httpx.AsyncClient, form: dict[str, Any], client: tuple[str, str] | None, code: str, message: str
) -> None:
    answer = await http.post("/oauth/token", data=form, auth=client)
    assert oauth_error(answer) == (400, code, message)
    asks_for_basic = answer.headers.get("www-authenticate") == 'Basic realm="Service"'
    assert asks_for_basic == (code == "invalid_client")


async def test_a_token(http: httpx.AsyncClient, maker: Maker) -> None:
    form = {"grant_type": "password", "username": maker.username, "password": maker.password}
    answer = await http.post("/oauth/token", data=form, auth=WELL_KNOWN)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {"token_type", "access_token", "expires_in", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 7_776_000)
    never = (await http.post("/oauth/token", data={**form, "expires_in": "0"}, auth=WELL_KNOWN)).json()
    assert set(never) == {"token_type", "access_token", "expires_in"}
    assert never["expires_in"] == 0


@pytest.mark.parametrize("header", ["Bearer null", "Bearer " + "0" * 40, "nonsense"])
async def test_another_header_beside_credentials_in_the_body_is_ignored(
    http: httpx.AsyncClient, maker: Maker, header: str
) -> None:
    """CLI and SDK send their old token along when they log in."""
    form = {
        "grant_type": "password",
        "username": maker.username,
        "password": maker.password,
        "client_id": "particle",
        "client_secret": "particle",
    }
    answer = await http.post("/oauth/token", data=form, headers={"Authorization": header})
    assert answer.status_code == 200


async def test_tokens_of_a_person_are_listed_and_revoked(http: httpx.AsyncClient, maker: Maker) -> None:
    token = await log_in(http, maker.username, maker.password)
    basic = (maker.username, maker.password)
    answer = await http.get("/v1/access_tokens", auth=basic)
    assert answer.headers["cache-control"] == "no-store"
    listed = answer.json()
    assert {"token", "expires_at", "client"} == set(listed[0])
    assert token in [row["token"] for row in listed]
    current = (await http.get("/v1/access_tokens/current", headers=bearer(token))).json()
    assert (current["client"], current["client_id"], current["scopes"]) == ("particle", "particle", [])
    assert (await http.delete("/v1/access_tokens/current", headers=bearer(token))).json() == {"ok": True}
    assert (await http.get("/v1/user", headers=bearer(token))).status_code == 401
    assert token not in [row["token"] for row in (await http.get("/v1/access_tokens", auth=basic)).json()]


async def test_revoking_everything_ends_everything(http: httpx.AsyncClient, stranger: Maker) -> None:
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
    http: httpx.AsyncClient, maker: Maker, auth: tuple[str, str] | None, status: int, message: str
) -> None:
    assert maker.username == "maker@example.com"
    answer = await http.get("/v1/access_tokens", auth=auth)
    assert (answer.status_code, answer.json()) == (status, {"ok": False, "errors": [message]})


async def test_knowing_a_token_is_enough_to_end_it_and_no_reason_to_tell_whether_it_was_one(
    http: httpx.AsyncClient, strict_http: httpx.AsyncClient, maker: Maker
) -> None:
    for header in ({}, bearer("0" * 40)):
        answer = await http.delete("/v1/access_tokens/" + "1" * 40, headers=header)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
    wrong = await http.delete("/v1/access_tokens/" + "1" * 40, auth=(maker.username, "no"))
    assert (wrong.status_code, wrong.json()) == (401, {"ok": False, "errors": ["Bad password"]})
    strict = await strict_http.delete("/v1/access_tokens/" + "1" * 40)
    assert strict.status_code == 401
    assert strict.json()["errors"][0].endswith("to delete an access token.")
