"""What is answered while a request is parsed is what the long way answers, and only to those whom it would answer."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from cloudchamber.access.requester import User
from cloudchamber.api import limits
from cloudchamber.api import server as api_server
from cloudchamber.api.direct import Asked, DirectAnswers, Read
from cloudchamber.app import Cloud
from cloudchamber.clock import FixedClock
from cloudchamber.ids import ClientId, UserId
from tests.api.conftest import Api, Maker, bearer, make_maker
from tests.api.connections import connected, read, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEVICE = "d1" * 12
OTHER = "d2" * 12
# What a request without a body never says, and what makes it take the long way.
LONG_WAY = b"Content-Length: 0\r\n"
PLAIN = b"GET /v1/devices/%(device)b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def customer(maker: Maker) -> str:
    """The token of a customer who has two devices."""
    token = await maker.customer("owner@example.com")
    for device in (DEVICE, OTHER):
        path = f"/v1/products/{maker.product}/devices"
        assert (await maker.http.post(path, data={"id": device}, headers=bearer(maker.token))).is_success
        assert (await maker.http.post("/v1/devices", data={"id": device}, headers=bearer(token))).is_success
    return token


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The routes of the requests that were answered directly."""
    found: list[str] = []
    real = DirectAnswers.answer

    def answer(direct: DirectAnswers, asked: Asked) -> bytes | None:
        body = real(direct, asked)
        if body is not None:
            found.append(asked.way.template)
        return body

    monkeypatch.setattr(DirectAnswers, "answer", answer)
    return found


def get(path: str, token: str, more: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%b\r\n" % (path.encode(), token.encode(), more)


def without_chance(head: bytes) -> bytes:
    return re.sub(rb"(x-request-id|date): [^\r]+", rb"\1: -", head)


@pytest.mark.parametrize("path", ["/v1/devices", f"/v1/devices/{DEVICE}", f"/v1/devices/{DEVICE.upper()}"])
async def test_both_ways_give_the_same_bytes(cloud: Cloud, customer: str, answered: list[str], path: str) -> None:
    await talk(cloud, get(path, customer, LONG_WAY))  # what it takes is in memory from here on
    assert not answered
    [(long_head, long_body)] = await talk(cloud, get(path, customer, LONG_WAY))
    assert not answered
    [(head, body)] = await talk(cloud, get(path, customer))
    assert len(answered) == 1
    assert (without_chance(head), body) == (without_chance(long_head), long_body)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    request_id = re.search(rb"x-request-id: (\S+)", head)
    assert request_id is not None
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", request_id[1])


async def test_byte_by_byte(cloud: Cloud, customer: str, answered: list[str]) -> None:
    request = get(f"/v1/devices/{DEVICE}", customer)
    [(_, body)] = await talk(cloud, *(request[at : at + 1] for at in range(len(request))))
    assert DEVICE.encode() in body
    assert answered


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /v1/devices/%(device)b?x=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n\r\n", 200),
        (b"GET /v1/devices/%(device)b/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n\r\n", 200),
        (b"GET /v1/devices/%%64%(rest)b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n\r\n", 200),
        (b"GET /v1/devices/%(device)b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v1/devices/%(device)b?access_token=%(token)b HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (b"GET /v1/devices/%(device)b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(wrong)b\r\n\r\n", 401),
        (b"GET /v1/devices/%(device)b HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %(token)b\r\n\r\n", 400),
        (b"GET /v1/devices/%(unknown)b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n\r\n", 403),
        (b"GET /v1/devices/%(device)b HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n\r\n", 200),
        (PLAIN + b"Connection: close\r\n\r\n", 200),
        (PLAIN + b"Authorization: Bearer %(token)b\r\n\r\n", 400),
        (PLAIN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
        (b"POST /v1/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %(token)b\r\n\r\n", 400),
    ],
)
async def test_what_is_not_plain_goes_the_long_way(
    cloud: Cloud, profile: str, customer: str, answered: list[str], request_bytes: bytes, status: int | None
) -> None:
    await talk(cloud, get(f"/v1/devices/{DEVICE}", customer))
    answered.clear()
    filled = request_bytes % {
        b"device": DEVICE.encode(),
        b"rest": DEVICE[1:].encode(),
        b"unknown": b"ee" * 12,
        b"token": customer.encode(),
        b"wrong": b"0" * 40,
    }
    [(head, body)] = await talk(cloud, filled)
    assert not answered
    if status is not None and not (profile == "strict" and status == 400 and b"Authorization" not in request_bytes):
        assert int(head[9:12]) == status, body


async def test_nobody_elses(cloud: Cloud, http: Api, customer: str, maker: Maker, answered: list[str]) -> None:
    other = await maker.customer("another@example.com")
    for token in (other, maker.product_token):
        for _ in range(2):
            refused = await http.get(f"/v1/devices/{DEVICE}", headers=bearer(token))
            assert refused.status_code == 403, refused.text
    assert len(answered) >= 2, "a refusal needs no more than an answer"


async def test_a_limited_token(http: Api, customer: str, maker: Maker, answered: list[str]) -> None:
    assert (await http.get(f"/v1/devices/{DEVICE}", headers=bearer(customer))).is_success
    answered.clear()
    path = f"/v1/products/{maker.product}/clients"
    sent = {"name": "limited", "type": "installed", "scope": "customers:create"}
    client = (await http.post(path, data=sent, headers=bearer(maker.token))).json()["client"]
    issued = await http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client["id"], client["secret"])
    )
    for _ in range(2):
        assert (await http.get("/v1/devices", headers=bearer(issued.json()["access_token"]))).status_code in {400, 403}
    assert not answered


async def test_a_revoked_token_ends_at_once(http: Api, maker: Maker, answered: list[str]) -> None:
    token = await maker.customer("leaving@example.com")
    for _ in range(2):
        assert (await http.get("/v1/devices", headers=bearer(token))).json() == []
    assert answered
    assert (await http.delete("/v1/access_tokens/current", headers=bearer(token))).is_success
    assert (await http.get("/v1/devices", headers=bearer(token))).status_code == 401


async def test_a_change_is_seen_at_once(http: Api, maker: Maker, customer: str, answered: list[str]) -> None:
    for name in ("first", "second"):
        assert (await http.put(f"/v1/devices/{OTHER}", data={"name": name}, headers=bearer(customer))).is_success
        for _ in range(2):
            assert (await http.get(f"/v1/devices/{OTHER}", headers=bearer(customer))).json()["name"] == name
            listed = (await http.get("/v1/devices", headers=bearer(customer))).json()
            assert {each["name"] for each in listed if each["id"] == OTHER} == {name}
    assert len(answered) >= 4
    assert (await http.delete(f"/v1/devices/{OTHER}", headers=bearer(customer))).is_success
    assert (await http.get(f"/v1/devices/{OTHER}", headers=bearer(customer))).status_code == 403
    assert OTHER not in (await http.get("/v1/devices", headers=bearer(customer))).text


async def test_pipelined_requests_are_answered_in_their_order(cloud: Cloud, customer: str, answered: list[str]) -> None:
    """Those after a slow one wait for it; of many in one piece only the first few are answered while it is parsed."""
    one, every = get(f"/v1/devices/{DEVICE}", customer), get("/v1/devices", customer)
    await talk(cloud, one + every, answers=2)
    answered.clear()
    slow = get("/v1/user?x=1", customer)
    got = await talk(cloud, slow + one + every, answers=3)
    assert [body[:1] for _, body in got] == [b"{", b"{", b"["]
    assert b'"id"' not in got[0][1]
    many = 3 * api_server.MAX_DIRECT
    answered.clear()
    got = await talk(cloud, (one + every) * (many // 2), answers=many)
    assert [body[:1] for _, body in got] == [b"{", b"["] * (many // 2)
    assert len(answered) == api_server.MAX_DIRECT


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The targets of the requests that the parser was asked about."""
    found: list[bytes] = []
    real = DirectAnswers.read

    def read(direct: DirectAnswers, target: bytes, *args: Any) -> Read | None:
        found.append(target)
        return real(direct, target, *args)

    monkeypatch.setattr(DirectAnswers, "read", read)
    return found


async def test_a_request_that_is_repeated_is_not_parsed_again(
    cloud: Cloud, customer: str, answered: list[str], parsed: list[bytes]
) -> None:
    one, every = get(f"/v1/devices/{DEVICE}", customer), get("/v1/devices", customer)
    long = get(f"/v1/devices/{DEVICE}", customer, b"X-Long: %b\r\n" % (b"x" * api_server.MAX_KNOWN))
    await talk(cloud, one + every, answers=2)
    for pieces, parsed_of_them, begins in (
        ((one, one, one), 1, b"{{{"),
        ((one, every, one), 1, b"{[{"),
        ((one, one + one), 3, b"{{{"),
        ((one + one, one), 3, b"{{{"),
        ((one, one[:40], one[40:], one), 2, b"{{{"),
        ((one, b"\r\n", one), 1, b"{{"),
        ((long, long), 2, b"{{"),
    ):
        answered.clear()
        parsed.clear()
        got = await talk(cloud, *pieces, answers=len(begins), pause_s=0.05)
        assert b"".join(body[:1] for _, body in got) == begins
        assert len(parsed) == parsed_of_them, pieces
        assert len(answered) == len(begins)
        assert len({head for head, _ in got}) == len(got)  # each has a number of its own


async def test_what_looks_like_a_request_that_is_known_may_be_a_body(
    cloud: Cloud, customer: str, answered: list[str]
) -> None:
    request = get(f"/v1/devices/{DEVICE}", customer)
    post = b"POST /v1/devices?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(request)
    await talk(cloud, request)
    answered.clear()
    got = await talk(cloud, request, post, request, request, answers=3, pause_s=0.05)
    assert [head[9:12] for head, _ in got] == [b"200", got[1][0][9:12], b"200"]
    assert got[1][0][9:10] == b"4"
    assert len(answered) == 2


async def test_a_request_that_is_repeated_is_checked_again(cloud: Cloud, http: Api, maker: Maker) -> None:
    """A connection that asks the same time and again sees each change, and the end of its token."""
    token, device = await maker.customer("patient@example.com"), "d3" * 12
    path = f"/v1/products/{maker.product}/devices"
    assert (await http.post(path, data={"id": device}, headers=bearer(maker.token))).is_success
    assert (await http.post("/v1/devices", data={"id": device}, headers=bearer(token))).is_success
    request = get(f"/v1/devices/{device}", token)
    async with connected(cloud) as (reader, writer):

        async def ask() -> tuple[int, bytes]:
            writer.write(request)
            head, body = await read(reader)
            return int(head[9:12]), body

        for _ in range(3):
            assert (await ask())[0] == 200
        assert (await http.put(f"/v1/devices/{device}", data={"name": "renamed"}, headers=bearer(token))).is_success
        for _ in range(2):
            status, body = await ask()
            assert status == 200
            assert b'"name":"renamed"' in body
        assert (await http.delete(f"/v1/devices/{device}", headers=bearer(token))).is_success
        assert (await ask())[0] == 403
        assert (await http.post("/v1/devices", data={"id": device}, headers=bearer(token))).is_success
        for _ in range(2):
            assert (await ask())[0] == 200
        assert (await http.delete("/v1/access_tokens/current", headers=bearer(token))).is_success
        assert (await ask())[0] == 401


async def test_the_access_log_sees_every_request(
    migrated_cloud: Callable[..., Cloud], answered: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cloudchamber.access_log")
    async with migrated_cloud(access_log=True) as cloud, Api(cloud) as http:
        maker = await make_maker(http, "logged@example.com")
        token = await maker.customer("seen@example.com")
        caplog.clear()
        for _ in range(3):
            assert (await http.get("/v1/devices", headers=bearer(token))).json() == []
    assert not answered
    assert len([line for line in caplog.messages if "route=/v1/devices" in line]) == 3


async def test_limits_count_what_is_answered(
    migrated_cloud: Callable[..., Cloud],
    monkeypatch: pytest.MonkeyPatch,
    answered: list[str],
    contract: list[str],
) -> None:
    monkeypatch.setattr(limits, "ANY_ROUTE", limits.Rate(30, 1_000_000))
    async with migrated_cloud(rate_limits="on") as cloud, Api(cloud) as http:
        maker = await make_maker(http, "hasty@example.com")
        token = await maker.customer("hasty-customer@example.com")
        statuses = [(await http.get("/v1/devices", headers=bearer(token))).status_code for _ in range(40)]
    contract.clear()  # who is refused by address never gets to a row of the table
    assert set(statuses) == {200, 429}
    assert statuses == sorted(statuses)
    assert answered


async def test_a_request_counts_for_both_or_for_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANY_ROUTE", limits.Rate(30, 1_000_000))
    found = limits.Limits(FixedClock())
    somebody, another = (User(UserId(name), ClientId("c")) for name in ("somebody", "another"))
    assert [found.both("192.0.2.1", somebody) for _ in range(31)] == [True] * 30 + [False]
    # Another address loses nothing to somebody who may not, nor somebody to an address that may not.
    assert not found.both("192.0.2.2", somebody)
    assert not found.both("192.0.2.1", another)
    assert [found.both("192.0.2.2", another) for _ in range(31)] == [True] * 30 + [False]


async def test_whose_address_is_counted_behind_a_proxy(
    migrated_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, answered: list[str]
) -> None:
    seen: list[str] = []
    both = limits.Limits.both

    def spy(self: limits.Limits, address: str, requester: Any) -> bool:
        seen.append(address)
        return both(self, address, requester)

    monkeypatch.setattr(limits.Limits, "both", spy)
    async with migrated_cloud(rate_limits="on", trusted_proxies="127.0.0.1") as cloud, Api(cloud) as http:
        maker = await make_maker(http, "proxied@example.com")
        token = await maker.customer("proxied-customer@example.com")
        for forwarded in ("192.0.2.7, 198.51.100.9", "", None):
            for _ in range(2):
                more = {} if forwarded is None else {"X-Forwarded-For": forwarded}
                assert (await http.get("/v1/devices", headers=bearer(token) | more)).is_success
    assert set(seen) == {"198.51.100.9", "127.0.0.1"}
    assert answered
