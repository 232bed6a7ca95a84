"""Forms that are answered without an ASGI request get what the long way gives, and whatever is not plain takes that."""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from cloudchamber.api.direct import DirectAnswers, Form
from cloudchamber.api.server import EdgeProtocol, _PendingForm
from cloudchamber.app import Cloud
from cloudchamber.oauth.errors import log_in_ended
from cloudchamber.oauth.issuing import Issuing
from cloudchamber.oauth.model import NewLogIn
from cloudchamber.storage.errors import StorageBusy
from tests.api.conftest import Api, Maker, bearer, make_maker
from tests.api.connections import connected, read, talk
from tests.circles import no_collector

pytestmark = pytest.mark.asyncio(loop_scope="module")

CC = {"grant_type": "client_credentials"}
FORM = "application/x-www-form-urlencoded"
# The same to whoever reads it, and a reason to take the long way.
LONG_WAY = f"{FORM}; x=1"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The routes of the forms that were answered directly."""
    found: list[str] = []
    real = DirectAnswers.answer_form

    def answer_form(direct: DirectAnswers, form: Form, body: bytes) -> bytes | Awaitable[bytes | None] | None:
        answer = real(direct, form, body)
        if answer is not None:
            found.append(form.way.template)
        return answer

    monkeypatch.setattr(DirectAnswers, "answer_form", answer_form)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def customer(maker: Maker) -> str:
    await maker.customer("kim@example.com")
    return "kim@example.com"


def post(path: str, client: tuple[str, str] | None, form: dict[str, str], kind: str = FORM, more: str = "") -> bytes:
    body = urlencode(form)
    if client is not None:
        more += f"Authorization: Basic {base64.b64encode(':'.join(client).encode()).decode()}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def get(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def without_chance(answer: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    head, body = answer
    return re.sub(rb"(x-request-id|date): [^\r]+", rb"\1: -", head), re.sub(rb"[0-9a-f]{40}", b"-", body)


async def test_both_ways_give_the_same_bytes(cloud: Cloud, maker: Maker, customer: str, answered: list[str]) -> None:
    token = {"token": maker.product_token}
    for path, form in (
        ("/oauth/introspect", token),
        ("/oauth/token", CC),
        ("/oauth/token", CC | {"scope": f"customer={customer}"}),
        ("/oauth/token", CC | {"expires_in": "60"}),
    ):
        [long] = await talk(cloud, post(path, maker.client, form, LONG_WAY))
        assert long[0].startswith(b"HTTP/1.1 200 OK\r\n")
        assert not answered
        for kind in (FORM, f"{FORM}; charset=UTF-8"):
            [found] = await talk(cloud, post(path, maker.client, form, kind))
            assert answered == [path]
            answered.clear()
            assert without_chance(found) == without_chance(long)
        in_body = {**form, "client_id": maker.client[0], "client_secret": maker.client[1]}
        [found] = await talk(cloud, post(path, None, in_body))
        assert answered == [path]
        answered.clear()
        assert without_chance(found) == without_chance(long)


async def test_byte_by_byte(cloud: Cloud, maker: Maker, answered: list[str]) -> None:
    request = post("/oauth/token", maker.client, CC)
    [(head, body)] = await talk(cloud, *(request[at : at + 1] for at in range(len(request))))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"access_token":"' in body
    assert answered


async def test_a_token_is_good_at_once(cloud: Cloud, http: Api, maker: Maker, answered: list[str]) -> None:
    issued = await http.post("/oauth/token", data=CC, auth=maker.client)
    assert answered == ["/oauth/token"]
    path = f"/v1/products/{maker.product}"
    assert (await http.get(path, headers=bearer(issued.json()["access_token"]))).is_success


async def test_what_fails_goes_the_long_way(
    cloud: Cloud, http: Api, maker: Maker, customer: str, answered: list[str]
) -> None:
    await talk(cloud, post("/oauth/introspect", maker.client, {"token": maker.product_token}))
    wrong = (maker.client[0], "wrong")
    refused = 401 if http.is_strict else 400
    for path, client, form, status in (
        ("/oauth/token", wrong, CC, refused),
        ("/oauth/token", None, CC, refused),
        ("/oauth/token", maker.client, {}, 400),
        ("/oauth/token", maker.client, CC | {"scope": "customer=nobody@example.com"}, 400),
        ("/oauth/token", maker.client, CC | {"expires_in": "never"}, 400),
        ("/oauth/token", maker.client, CC | {"client_id": "another"}, 400),
        ("/oauth/token", maker.client, {"grant_type": "password"}, 400),
        ("/oauth/introspect", wrong, {"token": maker.product_token}, refused),
        ("/oauth/introspect", None, {"token": maker.product_token}, refused),
        ("/oauth/introspect", maker.client, {}, 400),
        ("/oauth/introspect", maker.client, {"token": "0" * 40}, 200),
    ):
        [found] = await talk(cloud, post(path, client, form))
        [long] = await talk(cloud, post(path, client, form, LONG_WAY))
        assert without_chance(found) == without_chance(long)
        assert int(found[0][9:12]) == status, found


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("application/json", ""),
        (FORM, "Content-Type: text/plain\r\n"),
        (FORM, "Authorization: Basic eDp5\r\n"),
        (FORM, "Connection: close\r\n"),
        (FORM, "X-Long: " + "x" * 5_000 + "\r\nExpect: 100-continue\r\n"),
    ],
)
async def test_what_is_not_plain_goes_the_long_way(
    cloud: Cloud, maker: Maker, answered: list[str], kind: str, more: str
) -> None:
    async with connected(cloud) as (reader, writer):
        writer.write(post("/oauth/introspect", maker.client, {"token": maker.product_token}, kind, more))
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert not answered


async def test_a_form_too_large_or_in_chunks_goes_the_long_way(cloud: Cloud, maker: Maker, answered: list[str]) -> None:
    large = {"token": maker.product_token, "more": "x" * 5_000}
    [(_, body)] = await talk(cloud, post("/oauth/introspect", maker.client, large))
    assert b'"active":true' in body
    whole = post("/oauth/introspect", maker.client, {"token": maker.product_token})
    head, _, form = whole.partition(b"\r\n\r\n")
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
    [(_, body)] = await talk(cloud, b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(form), form))
    assert b'"active":true' in body
    assert not answered


async def test_answers_leave_in_the_order_of_their_requests(
    cloud: Cloud, maker: Maker, customer: str, answered: list[str]
) -> None:
    token = await maker.customer("orderly@example.com")
    for path in ("/v1/devices", f"/v1/products/{maker.product}"):
        await talk(cloud, get(path, token))
    issue = post("/oauth/token", maker.client, CC)
    fails = post("/oauth/token", maker.client, CC | {"scope": "customer=nobody@example.com"})
    look = post("/oauth/introspect", maker.client, {"token": maker.product_token})
    every = get("/v1/devices", token)
    begins = {issue: b'{"token_type"', fails: b'{"error":', look: b'{"active":true', every: b"[]"}
    await talk(cloud, look)
    for order in (
        (issue, every, look),
        (look, issue, every, issue, look),
        (every, look, fails, every, issue),
        (fails, fails, look, every),
        (issue, issue, issue),
    ):
        got = await talk(cloud, b"".join(order), answers=len(order))
        for request, (_, body) in zip(order, got, strict=True):
            assert body.startswith(begins[request]), (body, begins[request])
        got = await talk(cloud, *(b"".join(order)[at : at + 100] for at in range(0, 2_000, 100)), answers=len(order))
        assert len(got) == len(order)


async def test_the_same_bytes_twice_are_two_requests(cloud: Cloud, maker: Maker, customer: str) -> None:
    """What a GET asked before must not be taken for what a form asks, and no token is given twice."""
    token = await maker.customer("again@example.com")
    issue, every = post("/oauth/token", maker.client, CC), get("/v1/devices", token)
    async with connected(cloud) as (reader, writer):
        seen = set()
        for request in (every, every, issue, issue, every, issue, every):
            writer.write(request)
            _, body = await read(reader)
            assert (body == b"[]") == (request is every)
            if request is issue:
                seen.add(body)
        assert len(seen) == 3


Gate = tuple[asyncio.Event, asyncio.Event]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Set when a token waits to be written down; to be set to let it be."""
    waits, go = asyncio.Event(), asyncio.Event()
    real = Issuing.put

    async def put(issuing: Issuing, new: NewLogIn) -> None:
        waits.set()
        await go.wait()
        await real(issuing, new)

    monkeypatch.setattr(Issuing, "put", put)
    return waits, go


async def test_nothing_is_answered_before_it_is_written_down(cloud: Cloud, maker: Maker, gate: Gate) -> None:
    waits, go = gate
    async with connected(cloud) as (reader, writer):
        writer.write(post("/oauth/token", maker.client, CC) + get("/v1/devices", maker.token))
        await waits.wait()
        await asyncio.sleep(0.1)
        assert not reader._buffer  # type: ignore[attr-defined]
        go.set()
        assert b'"access_token"' in (await read(reader))[1]
        assert (await read(reader))[1] == b"[]"


async def test_a_client_that_goes_meanwhile_harms_nobody(cloud: Cloud, http: Api, maker: Maker, gate: Gate) -> None:
    waits, go = gate
    async with connected(cloud) as (_, writer):
        writer.write(post("/oauth/token", maker.client, CC))
        await waits.wait()
    await asyncio.sleep(0.05)
    go.set()
    assert (await http.post("/oauth/token", data=CC, auth=maker.client)).is_success


async def test_a_server_that_stops_answers_first_and_closes(
    cloud: Cloud, maker: Maker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, go = gate
    made: list[EdgeProtocol] = []
    real = EdgeProtocol.connection_made

    def connection_made(protocol: EdgeProtocol, transport: asyncio.BaseTransport) -> None:
        made.append(protocol)
        real(protocol, transport)

    monkeypatch.setattr(EdgeProtocol, "connection_made", connection_made)
    async with connected(cloud) as (reader, writer):
        writer.write(post("/oauth/token", maker.client, CC))
        await waits.wait()
        for protocol in made:
            protocol.shutdown()
        go.set()
        head, body = await read(reader)
        assert b"\r\nconnection: close\r\n" in head
        assert b'"access_token"' in body
        assert await reader.read() == b""


# What makes the errors, and not the errors: these would hold the frames that they passed, and the cloud with them, to
# the end of all tests.
@pytest.mark.parametrize(
    ("failing", "status"),
    [(log_in_ended, 400), (lambda: StorageBusy("full"), 503), (lambda: OSError("bug"), 200)],
    ids=["ended", "busy", "bug"],
)
async def test_what_fails_late_is_asked_again_the_long_way(
    cloud: Cloud,
    maker: Maker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answered: list[str],
    failing: Callable[[], Exception],
    status: int,
) -> None:
    real, failures = Issuing.put, [failing()] if status == 200 else [failing(), failing()]

    async def put(issuing: Issuing, new: NewLogIn) -> None:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop()
        await real(issuing, new)

    monkeypatch.setattr(Issuing, "put", put)
    requests = post("/oauth/token", maker.client, CC) + get("/v1/devices", maker.token)
    [(head, _), (_, after)] = await talk(cloud, requests, answers=2)
    assert int(head[9:12]) == status
    assert after == b"[]"
    assert answered == ["/oauth/token"]
    assert not failures
    # Only what nobody expects: the long way did not fail with it.
    unexpected = [each for each in caplog.records if "could not be answered directly" in each.message]
    assert len(unexpected) == (status == 200)
    caplog.clear()


async def test_refusals_are_in_the_audit_log_once(cloud: Cloud, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    monkeypatch.setattr("cloudchamber.api.auditing._note", lambda *line: noted.append(line))
    await talk(cloud, post("/oauth/token", (maker.client[0], "wrong"), CC))
    assert len(noted) == 1


async def test_where_requests_are_limited_each_takes_the_long_way(
    migrated_cloud: Callable[..., Cloud], answered: list[str]
) -> None:
    async with migrated_cloud(rate_limits="on") as cloud, Api(cloud) as http:
        maker = await make_maker(http, "limited@example.com")
        statuses = {(await http.post("/oauth/token", data=CC, auth=maker.client)).status_code for _ in range(110)}
        assert statuses == {200, 429}
    assert not answered


async def test_nothing_is_left_of_a_connection(cloud: Cloud, maker: Maker) -> None:
    await asyncio.sleep(0.05)
    with no_collector() as left:
        await talk(cloud, post("/oauth/token", maker.client, CC), get("/v1/user", maker.token), answers=2)
        async with connected(cloud) as (_, writer):
            writer.write(post("/oauth/token", maker.client, CC))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.3)
        assert left(EdgeProtocol, _PendingForm) == []
