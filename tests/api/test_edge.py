"""What holds for every route, over real sockets: tokens, shapes, headers, limits."""

import asyncio
import logging
import re
from typing import Any

import httpx
import pytest

from tests.api.conftest import Api, Maker, bearer, log_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UNKNOWN = "0" * 40


NOT_FOUND = "The access token was not found"
ONLY_HEADER = "This server does not take tokens in the {}: send an Authorization header."


def no_token(http: Api) -> tuple[int, str, str]:
    """The answer to a request without a token; RFC 6750 wants 401 for it."""
    return (401 if http.is_strict else 400, "invalid_request", NOT_FOUND)


def oauth_error(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    return answer.status_code, body["error"], body["error_description"]


# -- tokens ---------------------------------------------------------------------------------------------------------


async def test_no_token(http: Api) -> None:
    answer = await http.get("/v1/devices")
    assert oauth_error(answer) == no_token(http)
    # No error is named in the header: the client did not authenticate, and that is all (RFC 6750 3.1).
    assert answer.headers.get("www-authenticate") == ('Bearer realm="Service"' if http.is_strict else None)


@pytest.mark.parametrize("token", [UNKNOWN, "x", "Ü" * 40, "a" * 5000])
async def test_an_unknown_token(http: Api, token: str) -> None:
    expected = (401, "invalid_token", "The access token provided is invalid.")
    in_query = oauth_error(await http.get("/v1/devices", params={"access_token": token}))
    assert in_query == ((400, "invalid_request", ONLY_HEADER.format("query string")) if http.is_strict else expected)
    answer = await http.get("/v1/devices", headers={"Authorization": f"Bearer {token}".encode("latin-1")})
    assert oauth_error(answer) == expected
    assert answer.headers["www-authenticate"] == 'Bearer realm="Service", error="invalid_token"'


async def test_an_expired_token(http: Api, maker: Maker) -> None:
    token = await log_in(http, maker.username, maker.password, expires_in="1")
    assert (await http.get("/v1/devices", headers=bearer(token))).status_code == 200
    await asyncio.sleep(1.1)
    answer = await http.get("/v1/devices", headers=bearer(token))
    assert oauth_error(answer) == (401, "invalid_token", "The access token provided has expired.")


async def test_a_token_in_each_of_its_places(http: Api, maker: Maker) -> None:
    for sent in (
        {"headers": bearer(maker.token)},
        {"headers": {"Authorization": f"Authorization: Bearer {maker.token}"}},
    ):
        assert (await http.get("/v1/devices", **sent)).json() == []
    used = http.cloud.compat_uses.copy()
    for query in ({"access_token": maker.token}, {"access_token": maker.token, "nonce": "0.5"}):
        answer = await http.get("/v1/devices", params=query)
        if http.is_strict:
            assert oauth_error(answer) == (400, "invalid_request", ONLY_HEADER.format("query string"))
        else:
            assert answer.json() == []
    answer = await http.post("/v1/devices/events", data={"access_token": maker.token, "name": "in-a-body"})
    if http.is_strict:
        assert oauth_error(answer) == (400, "invalid_request", ONLY_HEADER.format("body"))
    else:
        assert answer.json() == {"ok": True}
        assert http.cloud.compat_uses - used == {"query_token": 2, "body_token": 1}


@pytest.mark.parametrize(
    ("method", "sent", "message"),
    [
        (
            "GET",
            {"headers": bearer(UNKNOWN), "params": {"access_token": UNKNOWN}},
            "Only one method may be used to authenticate at a time (Auth header,  GET or POST).",
        ),
        (
            "POST",
            {"headers": bearer(UNKNOWN), "data": {"access_token": UNKNOWN}},
            "Only one method may be used to authenticate at a time (Auth header,  GET or POST).",
        ),
        ("GET", {"headers": {"Authorization": "Basic eDp5"}}, "Malformed auth header"),
        ("GET", {"data": {"access_token": UNKNOWN}}, "Method cannot be GET When putting the token in the body."),
        (
            "POST",
            {"json": {"access_token": UNKNOWN}},
            "When putting the token in the body, content type must be application/x-www-form-urlencoded.",
        ),
        (
            "POST",
            {"data": {"access_token": UNKNOWN}, "files": {"file": b"x"}},
            "When putting the token in the body, content type must be application/x-www-form-urlencoded.",
        ),
        (
            "GET",
            {"params": [("access_token", UNKNOWN), ("access_token", UNKNOWN)]},
            "A parameter was sent more than once",
        ),
        ("GET", {"headers": [("Authorization", f"Bearer {UNKNOWN}")] * 2}, "Malformed auth header"),
    ],
)
async def test_tokens_in_wrong_places(http: Api, method: str, sent: dict[str, Any], message: str) -> None:
    answer = await http.request(method, "/v1/devices", **sent)
    if http.is_strict and "params" in sent and "headers" not in sent:
        message = ONLY_HEADER.format("query string")
    assert oauth_error(answer) == (400, "invalid_request", message)


async def test_the_strict_profile_takes_tokens_from_the_header_alone(strict_http: Api) -> None:
    for sent in ({"params": {"access_token": UNKNOWN}}, {"data": {"access_token": UNKNOWN}}):
        status, code, text = oauth_error(await strict_http.post("/v1/devices", **sent))
        assert (status, code) == (400, "invalid_request")
        assert "send an Authorization header" in text
    assert (await strict_http.get("/v1/devices", headers=bearer(UNKNOWN))).status_code == 401


async def test_the_token_is_no_data(http: Api, maker: Maker) -> None:
    """It would end up in what a webhook sends."""
    sent = {"access_token": maker.token, "event": "e", "url": "https://example.com"}
    answer = await http.post("/v1/webhooks", data=sent)
    if http.is_strict:
        assert oauth_error(answer) == (400, "invalid_request", ONLY_HEADER.format("body"))
        return
    made = answer.json()
    shown = await http.get(f"/v1/webhooks/{made['id']}", headers=bearer(maker.token))
    assert maker.token not in shown.text
    assert "access_token" not in shown.text


async def test_a_limited_token_is_told_which_scope_it_lacks(http: Api, maker: Maker) -> None:
    sent = {"name": "limited", "type": "installed", "scope": "customers:create"}
    path = f"/v1/products/{maker.product}/clients"
    client = (await http.post(path, json=sent, headers=bearer(maker.token))).json()["client"]
    issued = await http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client["id"], client["secret"])
    )
    answer = await http.get(f"/v1/products/{maker.product}/devices", headers=bearer(issued.json()["access_token"]))
    lacks = "Token does not have scope devices:list"
    if http.is_strict:
        assert oauth_error(answer) == (403, "insufficient_scope", lacks)
        assert answer.headers["www-authenticate"] == 'Bearer realm="Service", error="insufficient_scope"'
    else:
        assert oauth_error(answer) == (400, "invalid_scope", lacks)


# -- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/no-such-thing", "/v2/devices", "/v1/devices/a/b/c/d", "/%00", "/v1//devices", "/é/%ff"]
)
async def test_unknown_paths_answer_json(http: Api, path: str) -> None:
    answer = await http.get(path, headers=bearer(UNKNOWN))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {"ok": False, "error": "Not found"}


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/v1/devices"), ("PUT", "/v1/orgs"), ("PUT", "/version")])
async def test_wrong_methods_answer_json(http: Api, method: str, path: str) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == 405
    assert answer.json() == {"ok": False, "error": "Method not allowed"}
    assert "GET" in answer.headers["allow"]


OAUTH_PATHS = ["/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization", "/oauth/authorize", "/oauth/reset"]


@pytest.mark.parametrize("path", OAUTH_PATHS)
async def test_the_authorization_server_fails_in_its_own_shape(http: Api, path: str) -> None:
    """405, and 413 before and while the body is read: who speaks OAuth looks for `error_description`."""
    answer = await http.put(path)
    assert (answer.status_code, "POST" in answer.headers["allow"]) == (405, True)
    assert answer.json() == {"error": "invalid_request", "error_description": "Method not allowed"}
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    sent = {"content": b"x" * (1024 * 1024 + 1), "headers": {"content-type": "application/x-www-form-urlencoded"}}
    answer = await http.post(path, **sent)
    told = {"error": "invalid_request", "error_description": "The request body is larger than 1048576 bytes"}
    assert (answer.status_code, answer.json()) == (413, told)
    assert answer.headers["connection"] == "close"


async def test_a_page_beside_it_fails_as_a_resource_does(http: Api) -> None:
    for path in ("/setup", "/setup/token", "/device"):
        answer = await http.put(path)
        assert (answer.status_code, answer.json()) == (405, {"ok": False, "error": "Method not allowed"})
        sent = {"content": b"x" * (1024 * 1024 + 1), "headers": {"content-type": "application/x-www-form-urlencoded"}}
        answer = await http.post(path, **sent)
        told = {"ok": False, "error": "The request body is larger than 1048576 bytes"}
        assert (answer.status_code, answer.json()) == (413, told)


async def test_a_method_that_nobody_knows_answers_json(http: Api) -> None:
    answer = await http.request("PROPFIND", "/v1/devices")
    assert 400 <= answer.status_code < 500
    assert answer.json()["ok"] is False


async def test_a_slash_at_the_end_changes_nothing(http: Api, maker: Maker) -> None:
    assert (await http.get("/v1/devices/", headers=bearer(maker.token))).json() == []
    answers = [await http.post(path, json={}) for path in ("/v1/users", "/v1/users/")]
    assert answers[0].status_code == (403 if http.is_strict else 400)
    assert answers[0].json() == answers[1].json()


async def test_head_is_get_without_a_body(http: Api, maker: Maker) -> None:
    answer = await http.head("/v1/devices", headers=bearer(maker.token))
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await http.head("/v1/devices")).status_code == no_token(http)[0]


async def test_every_answer_has_an_id_of_its_own_and_is_open_to_other_origins(http: Api) -> None:
    answers = [await http.get("/v1/devices"), await http.get("/nowhere"), await http.get("/healthz")]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(UUID.fullmatch(id_) for id_ in ids)
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"*"}


@pytest.mark.parametrize("path", ["/oauth/token", "/v1/devices/events", "/v1/products/1/customers", "/no-such-path"])
async def test_preflights_need_no_credentials(http: Api, path: str) -> None:
    wanted = "authorization,x-particle-tool"
    answer = await http.options(
        path,
        headers={
            "Origin": "http://x.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": wanted,
        },
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert answer.headers["access-control-allow-headers"] == wanted
    assert answer.headers["access-control-max-age"] == "86400"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_that_asks_for_no_headers_is_told_the_usual_ones(http: Api) -> None:
    answer = await http.options("/v1/devices")
    assert "Authorization" in answer.headers["access-control-allow-headers"]


# -- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "The body is not valid JSON"),
        (b"[1]", "The JSON body must be an object"),
        (b"\xff", "The body is not valid JSON"),
    ],
)
async def test_a_broken_body_answers_in_the_vendors_shape(
    http: Api, maker: Maker, content: bytes, message: str
) -> None:
    headers = {**bearer(maker.token), "content-type": "application/json"}
    answer = await http.post("/v1/clients", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"ok": False, "error": message}


async def test_form_and_json_mean_the_same(http: Api, maker: Maker) -> None:
    nested = {"name": "n", "description": "d", "platform_id": 6}
    form = {f"product[{name}]": value for name, value in nested.items()}
    for sent in ({"json": {"product": nested}}, {"data": form}, {"json": nested}, {"data": nested}):
        made = (await http.post("/v1/user/products", headers=bearer(maker.token), **sent)).json()["product"]
        assert (made["name"], made["description"], made["platform_id"]) == ("n", "d", 6)


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 10 * 1024 * 1024])
async def test_a_body_that_says_it_is_too_large_is_refused_unread(http: Api, maker: Maker, size: int) -> None:
    answer = await http.post("/v1/clients", content=b"x" * size, headers=bearer(maker.token))
    assert answer.status_code == 413
    assert answer.json() == {"ok": False, "error": "The request body is larger than 1048576 bytes"}
    assert answer.headers["connection"] == "close"


async def test_a_body_that_turns_out_too_large_is_refused(http: Api, maker: Maker) -> None:
    async def endless() -> Any:
        while True:
            yield b"x" * 65536

    try:
        answer = await http.post("/v1/clients", content=endless(), headers=bearer(maker.token))
    except (httpx.WriteError, httpx.ReadError):
        return  # closed while we were still writing: just as good
    assert answer.status_code == 413


async def test_a_body_of_the_largest_size_is_read(http: Api, maker: Maker) -> None:
    sent = b"name=" + b"x" * (1024 * 1024 - 5)
    headers = {**bearer(maker.token), "content-type": "application/x-www-form-urlencoded"}
    answer = await http.post("/v1/clients", content=sent, headers=headers)
    assert answer.json() == {"ok": False, "error": "name is longer than 10000 characters"}


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_a_large_body_is_read_only_for_a_good_token_in_the_header(
    http: Api, maker: Maker, content_type: str
) -> None:
    path, body = f"/v1/products/{maker.product}/devices", b"x" * (2 * 1024 * 1024)

    async def status(headers: dict[str, str], query: str = "") -> int:
        answer = await http.post(path + query, content=body, headers={**headers, "content-type": content_type})
        return answer.status_code

    assert await status({}) == 413
    assert await status({}, f"?access_token={maker.token}") == 413
    assert await status(bearer(UNKNOWN)) == 401
    assert await status(bearer(maker.token)) in {200, 400}, "read, and found to be an import or not"


async def test_a_query_with_raw_bytes_is_read_or_refused_but_never_a_crash(http: Api) -> None:
    host, port = http.base_url.host, http.base_url.port
    for line in (b"GET /v1/devices?access_token=\xc3\xbc", b"GET /v1/devices?x=%ff", b"GET /v1/\xff"):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")), line
        assert b"application/json" in answer
        writer.close()
        await writer.wait_closed()


# -- errors of our own, logs -----------------------------------------------------------------------------------------


async def test_the_access_log_has_routes_but_neither_paths_nor_queries(
    strict_http: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await strict_http.get("/v1/devices", params={"access_token": UNKNOWN})
        await strict_http.delete(f"/v1/access_tokens/{UNKNOWN}")
        await strict_http.get(f"/nowhere/{UNKNOWN}")
    lines = [record.getMessage() for record in caplog.records if record.name == "cloudchamber.access_log"]
    assert len(lines) == 3
    assert "method=GET route=/v1/devices status=400" in lines[0]
    assert "route=/v1/access_tokens/{token} status=401" in lines[1]
    assert "route=- status=404" in lines[2]
    server = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not [line for line in server if UNKNOWN in line], "the test's own client may log what it likes"


async def test_preflights_are_answered_and_logged_where_requests_are(
    strict_http: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await strict_http.options("/v1/devices")
    assert (answer.status_code, answer.content) == (204, b"")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "cloudchamber.access_log"]
    assert line.startswith("method=OPTIONS ")
    assert f"request={answer.headers['x-request-id']}" in line


async def test_health(http: Api) -> None:
    assert (await http.get("/healthz")).json() == {"ok": True}
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["ok"]) == (200, True)
    assert set((await http.get("/version")).json()) == {"name", "version"}
