"""POST /oauth/token: each message, in the order in which the checks come."""

from typing import Any

import pytest

from cloudchamber.ids import hash_secret
from tests.api.conftest import Api, Maker, bearer, log_in
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
    assert {"token", "expires_at", "client"} == set(listed[0])
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
