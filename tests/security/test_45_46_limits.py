"""Statements 45 and 46 of the security checklist, over real sockets, and the other limits of the edge.

45: the 11th wrong password in a row from one address is answered 429 with Retry-After, while another address and the
same account's good token go on. 46: limits count by principal and by address behind a trusted proxy; a forged header
changes nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from cloudchamber.access.requester import Customer, ProductClient, User
from cloudchamber.api.call import EdgeRequest
from cloudchamber.api.limits import ANY_ROUTE, MAX_FAILURES, MAX_OPEN_STREAMS, Limits
from cloudchamber.api.routes import ROUTES
from cloudchamber.clock import FixedClock
from cloudchamber.errors import TooManyRequests
from cloudchamber.ids import ClientId, CustomerId, ProductId, UserId
from tests.api.conftest import Maker, bearer, make_maker

PARTICLE = ("particle", "particle")
HERE, ELSEWHERE = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}


@contextlib.asynccontextmanager
async def served(migrated_cloud, **settings) -> AsyncIterator[tuple[httpx.AsyncClient, Maker]]:
    async with migrated_cloud(rate_limits="on", **settings) as cloud:
        async with httpx.AsyncClient(base_url=f"http://{cloud.listening.http}", timeout=20) as http:
            yield http, await make_maker(http, "maker@example.com")


@pytest.fixture
async def proxied(migrated_cloud) -> AsyncIterator[tuple[httpx.AsyncClient, Maker]]:
    """A cloud behind a proxy: the test, which says whom it speaks for."""
    async with served(migrated_cloud, trusted_proxies="127.0.0.1") as made:
        yield made


async def log_in(http: httpx.AsyncClient, maker: Maker, where: dict[str, str], password: str | None = None):
    form = {"grant_type": "password", "username": maker.username, "password": password or maker.password}
    return await http.post("/oauth/token", data=form, auth=PARTICLE, headers=where)


def check_refused(answer: httpx.Response) -> int:
    """The shape of every 429; how many seconds to wait."""
    assert answer.status_code == 429
    assert answer.json() == {"error": "rate_limit_exceeded", "error_description": "Rate limit exceeded."}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return int(answer.headers["retry-after"])


@pytest.mark.parametrize(
    "what", ["a user's password", "a client's secret", "a password by Basic", "a secret where customers are made"]
)
async def test_45_the_eleventh_failure_in_a_row_locks_an_address_out(
    proxied: tuple[httpx.AsyncClient, Maker], what: str
) -> None:
    http, maker = proxied

    async def fail() -> httpx.Response:
        match what:
            case "a user's password":
                return await log_in(http, maker, HERE, "wrong")
            case "a client's secret":
                form = {"grant_type": "client_credentials"}
                return await http.post("/oauth/token", data=form, auth=(maker.client[0], "no"), headers=HERE)
            case "a secret where customers are made":
                path, new = f"/v1/products/{maker.product}/customers", {"email": "kim", "no_password": "true"}
                return await http.post(path, data=new, auth=(maker.client[0], "no"), headers=HERE)
        return await http.get("/v1/access_tokens", auth=(maker.username, "no"), headers=HERE)

    for _ in range(MAX_FAILURES):
        assert (await fail()).status_code in {400, 401}
    assert 1700 < check_refused(await fail()) <= 1800
    assert check_refused(await log_in(http, maker, HERE)) > 1700, "the right password does not help"
    check_refused(await http.get("/v1/access_tokens", auth=(maker.username, maker.password), headers=HERE))
    assert (await log_in(http, maker, ELSEWHERE)).status_code == 200
    assert (await http.get("/v1/devices", headers={**bearer(maker.token), **HERE})).status_code == 200
    listed = await http.get("/v1/access_tokens", headers={**bearer(maker.token), **HERE})
    assert listed.status_code == 200, "a good token is no guess"


async def test_45_a_success_in_between_starts_the_count_again(proxied: tuple[httpx.AsyncClient, Maker]) -> None:
    http, maker = proxied
    for _ in range(2):
        for _ in range(MAX_FAILURES - 1):
            assert (await log_in(http, maker, HERE, "wrong")).status_code == 400
        assert (await log_in(http, maker, HERE)).status_code == 200


async def test_45_what_is_no_guess_locks_nobody_out(proxied: tuple[httpx.AsyncClient, Maker]) -> None:
    """A fleet behind one address whose refresh tokens have ended is not to lose its log-in as well."""
    http, maker = proxied
    for _ in range(2 * MAX_FAILURES):
        form = {"grant_type": "refresh_token", "refresh_token": "0" * 40}
        assert (await http.post("/oauth/token", data=form, auth=PARTICLE, headers=HERE)).status_code == 400
    assert (await log_in(http, maker, HERE)).status_code == 200


async def test_46_a_forged_header_changes_nothing(migrated_cloud) -> None:
    async with served(migrated_cloud) as (http, maker):
        for number in range(MAX_FAILURES):
            assert (await log_in(http, maker, {"X-Forwarded-For": f"203.0.113.{number}"}, "wrong")).status_code == 400
        check_refused(await log_in(http, maker, {"X-Forwarded-For": "198.51.100.1"}))


async def test_46_what_the_client_wrote_before_the_proxy_changes_nothing(
    proxied: tuple[httpx.AsyncClient, Maker],
) -> None:
    http, maker = proxied
    for number in range(MAX_FAILURES):
        where = {"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.1"}
        assert (await log_in(http, maker, where, "wrong")).status_code == 400
    check_refused(await log_in(http, maker, HERE))


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/oauth/token", {"data": {"grant_type": "nonsense"}}),
        ("GET", "/v1/access_tokens", {}),
        ("DELETE", "/v1/access_tokens/x", {}),
        ("POST", "/v1/users", {}),
        ("POST", "/v1/user/password-reset", {"json": {"username": "nobody"}}),
        ("PUT", "/v1/user/password-reset", {}),
        ("GET", "/v1/devices/events", {}),
    ],
)
async def test_46_each_class_counts_by_address(
    proxied: tuple[httpx.AsyncClient, Maker], method: str, path: str, sent: dict
) -> None:
    http, maker = proxied
    statuses = [(await http.request(method, path, headers=HERE, **sent)).status_code for _ in range(100)]
    assert 429 not in statuses
    assert 1 <= check_refused(await http.request(method, path, headers=HERE, **sent)) <= 3
    assert (await http.request(method, path, headers=ELSEWHERE, **sent)).status_code == statuses[0]
    other = await http.get("/v1/devices", headers={**bearer(maker.token), **HERE})
    assert other.status_code == 200, "other routes go on"


async def test_streams_open_at_once(proxied: tuple[httpx.AsyncClient, Maker], monkeypatch) -> None:
    http, maker = proxied
    monkeypatch.setattr("cloudchamber.api.limits.MAX_OPEN_STREAMS", 3)
    assert MAX_OPEN_STREAMS == 100
    path = "/v1/devices/events"
    async with contextlib.AsyncExitStack() as streams:
        for _ in range(3):
            opened = http.stream("GET", path, headers={**bearer(maker.token), **HERE})
            assert (await streams.enter_async_context(opened)).status_code == 200
        check_refused(await http.get(path, headers={**bearer(maker.token), **HERE}))
        async with http.stream("GET", path, headers={**bearer(maker.token), **ELSEWHERE}) as other:
            assert other.status_code == 200
    for refused in ({}, bearer("0" * 40)):
        assert (await http.get(path, headers={**refused, **HERE})).status_code in {400, 401}
    assert (await http.head(path, headers={**bearer(maker.token), **HERE})).status_code == 200
    # All of them have ended, and none of what opened no stream is counted.
    for _ in range(3):
        async with asyncio.timeout(5):
            while True:
                async with http.stream("GET", path, headers={**bearer(maker.token), **HERE}) as stream:
                    if stream.status_code == 200:
                        break
                await asyncio.sleep(0.02)


async def test_without_limits_nothing_is_counted(migrated_cloud) -> None:
    """The default while only this machine reaches the API: no demo or test suite runs into a limit."""
    async with migrated_cloud() as cloud:
        async with httpx.AsyncClient(base_url=f"http://{cloud.listening.http}") as http:
            maker = await make_maker(http, "maker@example.com")
            for _ in range(MAX_FAILURES + 5):
                assert (await log_in(http, maker, {}, "wrong")).status_code == 400
            for _ in range(120):
                assert (await http.post("/oauth/token", data={"grant_type": "x"})).status_code == 400
            assert (await log_in(http, maker, {})).status_code == 200


# -- the counts themselves, on a clock that stands -----------------------------------------------------------------


def request_from(address: str) -> EdgeRequest:
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}
    return EdgeRequest({**scope, "client": (address, 1)}, None)


def test_46_any_route_by_address_and_by_principal() -> None:
    limits = Limits(FixedClock())
    here, neighbour = request_from("2001:db8::1"), request_from("2001:db8::2")
    for _ in range(ANY_ROUTE.times):
        limits.any_route(here)
    for req in (here, neighbour):
        with pytest.raises(TooManyRequests):
            limits.any_route(req)
    limits.any_route(request_from("2001:db8:1::1"))
    phone, laptop = User(UserId("ann"), ClientId("a-1")), User(UserId("ann"), ClientId("b-2"))
    for _ in range(ANY_ROUTE.times // 2):
        limits.principal(phone)
        limits.principal(laptop)
    with pytest.raises(TooManyRequests):
        limits.principal(phone)
    limits.principal(Customer(CustomerId("kim"), ProductId(1), ClientId("a-1")))
    limits.principal(ProductClient(ClientId("a-1"), ProductId(1)))
    assert limits.refused == {"any": 2, "principal": 1}


def test_serial_numbers_are_looked_up_fifty_times_an_hour_by_each_person() -> None:
    limits = Limits(FixedClock())
    check_address, check_principal = limits.of_route("serial_number")
    assert check_address is None
    for _ in range(50):
        check_principal(User(UserId("ann"), ClientId("a-1")))
    with pytest.raises(TooManyRequests) as refused:
        check_principal(User(UserId("ann"), ClientId("b-2")))
    assert refused.value.retry_after_s == 72
    check_principal(User(UserId("bob"), ClientId("a-1")))


def test_every_class_that_a_route_names_exists() -> None:
    limits = Limits(FixedClock())
    for route in ROUTES:
        limits.of_route(route.limit)
    limited = {f"{route.method} {path}" for route in ROUTES if route.limit for path in route.paths}
    assert limited >= {
        "POST /oauth/token",
        "GET /v1/access_tokens",
        "DELETE /v1/access_tokens/{token}",
        "POST /v1/users",
        "POST /v1/user/password-reset",
        "PUT /v1/user/password-reset",
        "GET /v1/devices/events",
    }
    streams = [route for route in ROUTES if route.handler.startswith("events.stream")]
    assert {route.limit for route in streams} == {"stream"}


async def test_45_wrong_passwords_from_many_addresses_are_bounded_for_one_name(migrated_cloud, monkeypatch) -> None:
    """Each address has its ten; all of them together have a hundred an hour for one name, whether or not it exists."""
    monkeypatch.setattr("cloudchamber.app.GUESSES", 3)
    async with served(migrated_cloud, trusted_proxies="127.0.0.1") as (http, maker):
        for name in (maker.username, "nobody@example.com"):
            form = {"grant_type": "password", "username": name, "password": "wrong"}
            for number in range(3):
                where = {"X-Forwarded-For": f"203.0.113.{number}"}
                answer = await http.post("/oauth/token", data=form, auth=PARTICLE, headers=where)
                assert answer.status_code == 400
            last = {"X-Forwarded-For": "198.51.100.1"}
            assert 1100 < check_refused(await http.post("/oauth/token", data=form, auth=PARTICLE, headers=last)) <= 1200
        assert (await http.get("/v1/user", headers=bearer(maker.token))).status_code == 200
        sent = {"current_password": "wrong", "password": "another horse"}
        check_refused(await http.put("/v1/user", json=sent, headers=bearer(maker.token)))
