"""What goes through a device, and what is published, answered without an ASGI request: as the long way answers."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from types import FrameType
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from cloudchamber import testing
from cloudchamber.access.errors import AccessRefused
from cloudchamber.api.direct import DirectAnswers
from cloudchamber.api.limits import ANY_ROUTE
from cloudchamber.api.server import EdgeProtocol
from cloudchamber.app import Cloud
from cloudchamber.gateway.session import DeviceSession
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.model import Event
from cloudchamber.messaging.streams import Streams
from cloudchamber.storage.errors import StorageBusy
from cloudchamber.tally import Figure, Tally
from cloudchamber.webhooks.deliveries import Deliveries
from cloudchamber.wire.update.module import build_module
from tests.api.conftest import Api, Maker, bearer, make_maker
from tests.api.connections import connected, read, talk
from tests.circles import no_collector
from tests.gateway.cloud import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEVICES: dict[Literal["tcp", "udp"], str] = {"tcp": "e1" * 12, "udp": "e2" * 12}
DEVICE = DEVICES["tcp"]
AWAY = "e3" * 12
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(profile: str) -> AsyncIterator[testing.Cloud]:
    async with testing.Cloud(profile=profile, function_timeout_s=1.0) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(running: testing.Cloud) -> Cloud:
    return running.cloud


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def customer(running: testing.Cloud, http: Api, maker: Maker) -> str:
    """The token of a customer who has two devices that are online, and one that is not."""
    token = await maker.customer("owner@example.com")
    for device in (*DEVICES.values(), AWAY):
        path = f"/v1/products/{maker.product}/devices"
        assert (await http.post(path, data={"id": device}, headers=bearer(maker.token))).is_success
        assert (await http.post("/v1/devices", data={"id": device}, headers=bearer(token))).is_success
    for protocol, device in DEVICES.items():
        await running.start_device(device, protocol=protocol, product_id=maker.product)
        async with asyncio.timeout(10):
            while not (await http.get(f"/v1/devices/{device}", headers=bearer(token))).json()["functions"]:
                await asyncio.sleep(0.02)
        # What it takes is in memory from here on.
        for path in (f"/v1/devices/{device}/motd", f"/v1/products/{maker.product}/devices/{device}/motd"):
            asked = token if "products" not in path else maker.token
            assert (await http.get(path, headers=bearer(asked))).is_success
    assert (await http.put(f"/v1/devices/{AWAY}", data={"name": "away"}, headers=bearer(token))).is_success
    for asked in (maker.token, maker.product_token):
        assert (await http.get(f"/v1/products/{maker.slug}", headers=bearer(asked))).is_success
    return token


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rows by which requests were answered directly."""
    found: list[str] = []
    real = DirectAnswers._answer

    def answer(direct: DirectAnswers, asked: Any, data: Any) -> Any:
        answer = real(direct, asked, data)
        if answer is not None:
            found.append(f"{asked.way.method} {asked.way.template}")
        return answer

    monkeypatch.setattr(DirectAnswers, "_answer", answer)
    return found


def request(method: str, path: str, token: str | None, body: bytes | None = None, more: str = "") -> bytes:
    if token is not None:
        more += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        more += f"Content-Length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode() + (body or b"")


def post(path: str, token: str | None, body: bytes | dict[str, str] = b"", kind: str | None = FORM) -> bytes:
    sent = urlencode(body).encode() if isinstance(body, dict) else body
    return request("POST", path, token, sent, "" if kind is None else f"Content-Type: {kind}\r\n")


async def the_long_way(cloud: Cloud, sent: bytes) -> tuple[bytes, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read", "read_post"):
            patch.setattr(DirectAnswers, name, lambda *_: None)
        [found] = await talk(cloud, sent)
    return found


def without_chance(answer: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    head, body = answer
    head = re.sub(rb"(x-request-id|date): [^\r]+", rb"\1: -", head)
    return head, re.sub(rb"\d{4}-\d\d-\d\dT[0-9:.]+Z|(?<=number: )[-0-9a-f]+", b"-", body)


async def both(cloud: Cloud, sent: bytes, answered: list[str]) -> tuple[tuple[bytes, bytes], bool]:
    """The answer that both ways give, and whether the first was direct."""
    answered.clear()
    [found] = await talk(cloud, sent)
    was_direct = bool(answered)
    answered.clear()
    long = await the_long_way(cloud, sent)
    assert not answered
    assert without_chance(found) == without_chance(long), sent
    return found, was_direct


async def test_variables_both_ways(
    cloud: Cloud, http: Api, customer: str, maker: Maker, stranger: Maker, answered: list[str]
) -> None:
    other = await maker.customer("another@example.com")
    own, below = f"/v1/devices/{DEVICE}", f"/v1/products/{maker.product}/devices/{DEVICE}"
    for token in (other, stranger.token, maker.product_token):
        await http.get("/v1/devices", headers=bearer(token))
    for path, token, status, is_direct in (
        (f"{own}/motd", customer, 200, True),
        (f"{own}/MOTD", customer, 200, True),
        (f"{own}/flag", customer, 200, True),
        (f"/v1/devices/{DEVICE.upper()}/motd", customer, 200, True),
        (f"/v1/devices/{DEVICES['udp']}/motd", customer, 200, True),
        (f"{below}/motd", maker.token, 200, True),
        (f"{below}/motd", maker.product_token, 200, True),
        (f"{below}/motd", customer, 403, True),
        (f"{below}/motd", other, 403, True),
        (f"{below}/motd", stranger.token, 404, True),
        (f"/v1/products/{maker.slug}/devices/{DEVICE}/motd", maker.token, 200, None),
        (f"/v1/products/{maker.product}9/devices/{DEVICE}/motd", maker.token, 404, False),
        (f"/v1/products/{stranger.product}/devices/{DEVICE}/motd", stranger.token, 404, False),
        (f"/v1/products/{maker.product}/devices/{'ab' * 12}/motd", maker.token, 404, False),
        (f"{own}/motd", other, 403, True),
        (f"{own}/motd", stranger.token, 403, True),
        (f"{own}/motd", maker.product_token, 403, True),
        (f"{own}/motd", "0" * 40, 401, False),
        (f"{own}/motd", None, None, False),
        (f"{own}/nothing", customer, 404, False),
        (f"{own}/nothing", other, 403, True),
        (f"{own}/my_variable", customer, 404, False),
        (f"{own}/my-variable", customer, 404, False),
        (f"{own}/ping", customer, 404, False),
        (f"{own}/network", customer, 404, False),
        (f"{own}/m%6ftd", customer, 200, False),
        (f"{own}/motd/", customer, 200, False),
        (f"{own}//motd", customer, 404, False),
        (f"{own}/motd?format=raw", customer, 200, False),
        (f"{own}/motd?x=1", customer, 200, False),
        (f"{own}/{'m' * 300}", customer, 404, False),
        (f"/v1/devices/{'ab' * 12}/motd", customer, 403, False),
        ("/v1/devices/away/motd", customer, 408, False),
        (f"/v1/devices/{AWAY}/motd", customer, 408, False),
    ):
        (head, body), was_direct = await both(cloud, request("GET", path, token), answered)
        assert status is None or int(head[9:12]) == status, (path, head, body)
        assert is_direct is None or was_direct is is_direct, path
    (head, body), _ = await both(cloud, request("HEAD", f"{own}/motd", customer), answered)
    assert (head[9:12], body) == (b"200", b"")
    for sent in (
        request("GET", f"{own}/motd", customer, b""),
        request("GET", f"{own}/motd", customer, b"x=1", "Content-Type: text/plain\r\n"),
        request("GET", f"{own}/motd", customer, None, "Connection: close\r\n"),
        request("GET", f"{own}/motd", customer, None, "Authorization: Bearer x\r\n"),
        request("GET", f"{own}/motd", customer).replace(b"HTTP/1.1", b"HTTP/1.0"),
        request("GET", f"{own}/motd", customer).replace(b"Bearer", b"Basic"),
        request("OPTIONS", f"{own}/motd", customer),
        request("DELETE", f"{own}/motd", customer),
    ):
        _, was_direct = await both(cloud, sent, answered)
        assert not was_direct, sent
    (_, body), was_direct = await both(
        cloud, request("GET", f"{own}/motd", customer).replace(b"Bearer", b"authorization: bearer"), answered
    )
    assert was_direct
    assert json.loads(body)["result"] == "hello from a virtual device"


async def test_functions_both_ways(
    cloud: Cloud, customer: str, maker: Maker, stranger: Maker, answered: list[str]
) -> None:
    own, below = f"/v1/devices/{DEVICE}", f"/v1/products/{maker.product}/devices/{DEVICE}"
    brew, long = f"{own}/brew", "7" * 5_000
    part = b'--b\r\nContent-Disposition: form-data; name="arg"%b\r\n\r\n7\r\n--b--\r\n'
    for sent, status, is_direct in (
        (post(brew, customer, {"arg": "7"}), 200, True),
        (post(f"/v1/devices/{DEVICES['udp']}/brew", customer, {"arg": "7"}), 200, True),
        (post(f"{below}/BREW", maker.token, {"arg": "7"}), 200, True),
        (post(f"{below}/brew", maker.product_token, {"arg": "7"}), 200, True),
        (post(f"{below}/brew", stranger.token, {"arg": "7"}), 404, True),
        (post(brew, stranger.token, {"arg": "7"}), 403, True),
        (post(brew, customer, {"args": "7"}), 200, True),
        (post(brew, customer, {"params": "7"}), 200, True),
        (post(brew, customer, {"anything": "7"}), 200, True),
        (post(brew, customer, {"arg": "é +"}), 200, True),
        (post(brew, customer), 200, True),
        (post(brew, customer, b"", None), 200, True),
        (post(brew, customer, b"arg=7&arg=8"), None, None),
        (post(brew, customer, b"arg[x]=7"), None, None),
        (post(brew, customer, b"arg=%ff"), 400, False),
        (post(brew, stranger.token, b"arg=%ff"), 403, False),
        (post(brew, customer, b'{"arg": 7}', JSON), 200, True),
        (post(brew, customer, b'{"arg": [7, {}]}', f"{JSON}; charset=utf-8"), 200, True),
        (post(brew, customer, b'{"arg": 7', JSON), 400, False),
        (post(brew, customer, b"[7]", JSON), 400, False),
        (post(brew, customer, b"7", "text/plain"), 200, True),
        (post(brew, customer, part % b"", "multipart/form-data; boundary=b"), 200, True),
        (post(brew, customer, part % b'; filename="x"', "multipart/form-data; boundary=b"), 200, False),
        (post(brew, customer, {"arg": "7", "format": "raw"}), 200, False),
        (post(f"{brew}?format=raw", customer, {"arg": "7"}), 200, False),
        (post(brew, customer, {"arg": "7", "access_token": customer}), None, False),
        (post(brew, None, {"arg": "7", "access_token": customer}), None, False),
        (post(brew, customer, {"arg": long}), 400, False),  # the body is too long for this way
        (post(brew, customer, {"arg": long[:3_000]}), 400, True),  # the argument is for the device
        (post(brew, customer, {"arg": "7"}).replace(b"Content-Type", b"Content-Type: x\r\nContent-Type"), None, False),
        (post(brew, customer, {"arg": "7"}).replace(b"Content-Type", b"Connection: close\r\nContent-Type"), 200, False),
        (
            request("POST", brew, customer, None, "Transfer-Encoding: chunked\r\n") + b"5\r\narg=7\r\n0\r\n\r\n",
            200,
            False,
        ),
        (request("POST", brew, customer), 200, False),
        (post(f"{own}/fail", customer, {"arg": "7"}), 200, True),
        (post(f"{own}/nothing", customer, {"arg": "7"}), 404, False),
        (post(f"{own}/events", customer, {"arg": "7"}), 404, False),
        (post(f"{own}/ping", customer, {"arg": "7"}), 404, False),
        (post(f"/v1/devices/{AWAY}/brew", customer, {"arg": "7"}), None, False),
    ):
        (head, body), was_direct = await both(cloud, sent, answered)
        assert status is None or int(head[9:12]) == status, (sent, head, body)
        assert is_direct is None or was_direct is is_direct, sent
    [(_, body)] = await talk(cloud, post(brew, customer, {"arg": "7"}))
    assert json.loads(body)["return_value"] == 7


async def test_events_both_ways(
    cloud: Cloud, customer: str, maker: Maker, stranger: Maker, answered: list[str]
) -> None:
    path = "/v1/devices/events"
    for sent, status, is_direct in (
        (post(path, customer, {"name": "temp", "data": "7", "ttl": "60", "private": "true"}), 200, True),
        (post(path, maker.token, {"name": "temp"}), 200, True),
        (post(path, customer, b'{"name": "temp", "data": {"x": 1}, "private": false}', JSON), 200, True),
        (post(path, customer, {"name": "temp", "access_token": customer}), None, False),
        (post(path, customer, {"data": "7"}), 400, False),
        (post(path, customer), 400, False),
        (post(path, customer, {"name": "spark/status"}), 400, False),
        (post(path, customer, {"name": "x" * 300}), 400, False),
        (post(path, customer, {"name": "temp", "ttl": "x"}), 400, False),
        (post(path, customer, {"name": "temp", "private": "x"}), 400, False),
        (post(path, customer, {"name": "temp", "data": "x" * 2_000}), None, None),
        (post(path, maker.product_token, {"name": "temp"}), 403, True),
        (post(path, "0" * 40, {"name": "temp"}), 401, False),
        (post(f"{path}/more", customer, {"name": "temp"}), 405, False),
    ):
        (head, body), was_direct = await both(cloud, sent, answered)
        assert status is None or int(head[9:12]) == status, (sent, head, body)
        assert is_direct is None or was_direct is is_direct, sent


async def test_an_event_is_heard_once(cloud: Cloud, http: Api, customer: str, answered: list[str]) -> None:
    async with http.stream("GET", "/v1/devices/events/heard", headers=bearer(customer)) as stream:
        lines = stream.aiter_lines()
        assert (await http.post("/v1/devices/events", data={"name": "heard"}, headers=bearer(customer))).is_success
        assert (await http.post("/v1/devices/events", data={"name": "heard-end"}, headers=bearer(customer))).is_success
        heard = []
        async with asyncio.timeout(10):
            async for line in lines:
                heard += [line] if line.startswith("event: ") else []
                if line == "event: heard-end":
                    break
    assert heard == ["event: heard", "event: heard-end"]
    assert len(answered) == 2


@pytest.mark.parametrize("is_kept", [True, False])
async def test_an_event_that_a_webhook_waits_for(
    cloud: Cloud, http: Api, customer: str, answered: list[str], monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """It is answered when it is on record, and heard by nobody where it cannot be."""
    go = asyncio.Event()

    async def recording() -> None:
        await go.wait()
        if not is_kept:
            raise StorageBusy("full")

    offered: list[str] = []
    heard: list[str] = []

    def offer(_sink: object, event: Event) -> Any:
        offered.append(event.name)
        return recording()

    monkeypatch.setattr(Deliveries, "offer", offer)
    monkeypatch.setattr(Streams, "dispatch", lambda _streams, event: heard.append(event.name))
    async with connected(cloud) as (reader, writer):
        writer.write(post("/v1/devices/events", customer, {"name": "kept"}))
        await until(lambda: offered == ["kept"])
        assert not heard
        assert not reader._buffer  # type: ignore[attr-defined]
        go.set()
        head, body = await read(reader)
    assert answered == ["POST /v1/devices/events"]
    assert head[9:12] == (b"200" if is_kept else b"503"), body
    assert (b"retry-after: 1\r\n" in head) is not is_kept
    assert heard == (["kept"] if is_kept else [])
    assert offered == ["kept"]


def session(cloud: Cloud, device: str = DEVICE) -> DeviceSession[Any]:
    assert cloud._udp is not None
    found = cloud._udp._services.hub.session(DeviceId(device))  # one hub for both gateways
    assert isinstance(found, DeviceSession)
    return found


async def test_answers_leave_in_the_order_of_their_requests(cloud: Cloud, customer: str, answered: list[str]) -> None:
    own = f"/v1/devices/{DEVICE}"
    motd, one = request("GET", f"{own}/motd", customer), request("GET", own, customer)
    brew, missing = post(f"{own}/brew", customer, {"arg": "7"}), request("GET", f"{own}/nothing", customer)
    begins = {motd: b'{"cmd":"VarReturn"', one: b'{"id"', brew: b'{"id":"e1', missing: b'{"ok":false'}
    for order in ((motd, one, motd), (one, brew, motd, missing, one), (brew, brew, brew), (missing, motd, one)):
        for pieces in ((b"".join(order),), order):
            got = await talk(cloud, *pieces, answers=len(order))
            for sent, (_, body) in zip(order, got, strict=True):
                assert body.startswith(begins[sent]), (body, begins[sent])
    request_ = b"".join((motd, brew, one))
    got = await talk(cloud, *(request_[at : at + 1] for at in range(len(request_))), answers=3)
    assert [body[:7] for _, body in got] == [each[:7] for each in (begins[motd], begins[brew], b'{"id":"e1')]
    assert answered


async def test_a_read_that_is_repeated_asks_the_device_again(
    cloud: Cloud, http: Api, customer: str, answered: list[str]
) -> None:
    flag = request("GET", f"/v1/devices/{DEVICES['udp']}/flag", customer)
    async with connected(cloud) as (reader, writer):
        values = []
        for number in range(6):
            if number == 3:
                on = f"/v1/devices/{DEVICES['udp']}/lightsOn"
                assert (await http.post(on, data={"arg": "hall"}, headers=bearer(customer))).is_success
            writer.write(flag)
            values.append(json.loads((await read(reader))[1])["result"])
    assert values == [False] * 3 + [True] * 3
    assert len([each for each in answered if each.startswith("GET")]) == 6


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
async def test_clients_that_go_away_free_the_device_at_once(
    cloud: Cloud, customer: str, answered: list[str], device: str
) -> None:
    requests = session(cloud, device)._connection._requests
    slow = post(f"/v1/devices/{device}/slow", customer, {"arg": "0.3"})
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(30):
            _, writer = await stack.enter_async_context(connected(cloud))
            writer.write(slow + request("GET", f"/v1/devices/{device}", customer))
        await until(lambda: len(requests.all()) == 30)
    await until(lambda: not requests.all())
    assert not session(cloud, device)._waiting
    assert len(answered) == 30
    await until(lambda: not requests._resting)  # the late answers gave the tokens back
    [(_, body)] = await talk(cloud, post(f"/v1/devices/{device}/brew", customer, {"arg": "7"}))
    assert json.loads(body)["return_value"] == 7


async def test_a_device_that_goes_meanwhile(
    running: testing.Cloud, cloud: Cloud, http: Api, customer: str, maker: Maker, answered: list[str]
) -> None:
    device = "e4" * 12
    path = f"/v1/products/{maker.product}/devices"
    assert (await http.post(path, data={"id": device}, headers=bearer(maker.token))).is_success
    assert (await http.post("/v1/devices", data={"id": device}, headers=bearer(customer))).is_success
    devices = await running.start_device(device, product_id=maker.product)
    async with asyncio.timeout(10):
        while not (await http.get(f"/v1/devices/{device}", headers=bearer(customer))).json()["functions"]:
            await asyncio.sleep(0.02)
    answered.clear()
    async with connected(cloud) as (reader, writer):
        writer.write(post(f"/v1/devices/{device}/slow", customer, {"arg": "5"}))
        await until(lambda: bool(session(cloud, device)._waiting))
        session(cloud, device).close()
        head, body = await read(reader)
    assert (head[9:12], json.loads(body)["error"]) == (b"400", "Timed out.")
    assert answered[0].startswith("POST")
    await devices.stop()


async def test_a_busy_device(cloud: Cloud, customer: str, answered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It can tell so many requests apart, and is asked for no more."""
    monkeypatch.setattr("cloudchamber.wire.session.requests.TOKENS", 8)
    own, device = f"/v1/devices/{DEVICE}", session(cloud)
    await until(lambda: not device._connection._requests._resting)
    async with contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(8):
            reader, writer = await stack.enter_async_context(connected(cloud))
            writer.write(post(f"{own}/slow", customer, {"arg": "0.7"}))
            readers.append(reader)
        await until(lambda: len(device._connection._requests.all()) == 8)
        (head, body), was_direct = await both(cloud, request("GET", f"{own}/motd", customer), answered)
        assert was_direct
        assert head[9:12] == b"503", body
        assert b"retry-after: 1\r\n" in head
        assert [(await read(reader))[0][9:12] for reader in readers] == [b"200"] * 8
    assert not device._waiting


async def test_our_own_bug_ends_one_request(
    cloud: Cloud,
    customer: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answered: list[str],
    contract: list[str],
) -> None:
    def fails(*_args: object, **_named: object) -> None:
        raise ValueError("bug")

    motd = request("GET", f"/v1/devices/{DEVICE}/motd", customer)
    with monkeypatch.context() as patch:
        patch.setattr(Calls, "_value", fails)
        (head, body), was_direct = await both(cloud, motd, answered)
    assert was_direct
    assert head[9:12] == b"500", body
    assert len([each for each in caplog.records if each.levelname == "ERROR" and "failed" in each.message]) == 2
    contract.clear()  # the table does not declare our bugs
    assert (await talk(cloud, motd))[0][0][9:12] == b"200"  # the device is still there
    caplog.clear()


async def test_our_own_bug_at_a_request_s_beginning_ends_one_request(
    cloud: Cloud,
    customer: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answered: list[str],
    contract: list[str],
) -> None:
    def fails(*_args: object, **_named: object) -> None:
        raise ValueError("bug")

    # What has begun is told as it is; what is only looked at can still go the long way.
    publish = post("/v1/devices/events", customer, {"name": "a"})
    with monkeypatch.context() as patch:
        patch.setattr(Streams, "dispatch", fails)
        (head, body), was_direct = await both(cloud, publish, answered)
    assert was_direct
    assert head[9:12] == b"500", body
    assert len([each for each in caplog.records if each.levelname == "ERROR" and "failed" in each.message]) == 2
    contract.clear()
    motd = request("GET", f"/v1/devices/{DEVICE}/motd", customer)
    with monkeypatch.context() as patch:
        patch.setattr(Calls, "read_soon", fails)
        (head, body), was_direct = await both(cloud, motd, answered)
    assert not was_direct
    assert head[9:12] == b"200", body
    assert [each.levelname for each in caplog.records if "direct" in each.message] == ["ERROR"]
    assert [(await talk(cloud, publish, motd, answers=2))[n][0][9:12] for n in (0, 1)] == [b"200"] * 2
    caplog.clear()


async def test_what_is_refused_late_is_told_as_the_long_way_does(
    cloud: Cloud, customer: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answered: list[str]
) -> None:
    caplog.set_level("INFO", "cloudchamber.api")
    sent = post(f"/v1/devices/{DEVICE}/slow", customer, {"arg": "3"})
    _, was_direct = await both(cloud, sent, answered)
    assert was_direct
    lines = [re.sub(r"request [-0-9a-f]+", "request -", line) for line in caplog.messages if "timed_out" in line]
    assert len(lines) == 2
    assert lines[0] == lines[1]


async def test_a_refusal_is_told_as_the_long_way_does(
    cloud: Cloud, customer: str, maker: Maker, stranger: Maker, caplog: pytest.LogCaptureFixture, answered: list[str]
) -> None:
    caplog.set_level("INFO", "cloudchamber.api")
    own, below = f"/v1/devices/{DEVICE}", f"/v1/products/{maker.product}/devices/{DEVICE}"
    for path, token in ((own, stranger.token), (own, maker.product_token), (below, stranger.token), (below, customer)):
        for sent in (request("GET", path, token), request("GET", f"{path}/motd", token), post(f"{path}/brew", token)):
            await the_long_way(cloud, sent)
            caplog.clear()
            _, was_direct = await both(cloud, sent, answered)
            assert was_direct, sent
            first, second = [re.sub(r"request [-0-9a-f]+", "request -", line) for line in caplog.messages]
            assert first == second, sent
            assert "access_refused" in first


async def test_refusals_leave_nothing_to_the_collector(
    cloud: Cloud, customer: str, maker: Maker, answered: list[str]
) -> None:
    sent = request("GET", f"/v1/products/{maker.product}/devices/{DEVICE}", customer)
    await talk(cloud, sent)
    with no_collector() as left:
        for _ in range(10):
            await talk(cloud, sent)
        await until(lambda: not left(EdgeProtocol))
        assert left(AccessRefused, FrameType) == []
    assert len(answered) == 11


async def test_a_server_that_stops_answers_first_and_closes(
    cloud: Cloud, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[EdgeProtocol] = []
    real = EdgeProtocol.connection_made

    def connection_made(protocol: EdgeProtocol, transport: asyncio.BaseTransport) -> None:
        made.append(protocol)
        real(protocol, transport)

    monkeypatch.setattr(EdgeProtocol, "connection_made", connection_made)
    async with connected(cloud) as (reader, writer):
        writer.write(post(f"/v1/devices/{DEVICE}/slow", customer, {"arg": "0.3"}))
        await until(lambda: bool(session(cloud)._waiting))
        for protocol in made:
            protocol.shutdown()
        head, body = await read(reader)
        assert b"\r\nconnection: close\r\n" in head
        assert json.loads(body)["return_value"] == 300
        assert await reader.read() == b""


async def test_a_cloud_that_stops_does_not_wait_for_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudchamber.app._HTTP_STOP_S", 1)
    async with testing.Cloud(function_timeout_s=60.0) as running, Api(running.cloud) as http:
        maker = await make_maker(http, "stopping@example.com")
        assert (await http.post("/v1/devices", data={"id": DEVICE}, headers=bearer(maker.token))).status_code == 404
        await running.start_device(DEVICE)
        assert (await http.post("/v1/devices", data={"id": DEVICE}, headers=bearer(maker.token))).is_success
        async with asyncio.timeout(10):
            while not (await http.get(f"/v1/devices/{DEVICE}", headers=bearer(maker.token))).json()["functions"]:
                await asyncio.sleep(0.02)
        async with connected(running.cloud) as (reader, writer):
            writer.write(post(f"/v1/devices/{DEVICE}/slow", maker.token, {"arg": "50"}))
            await until(lambda: bool(session(running.cloud)._waiting))
            async with asyncio.timeout(10):
                await running.__aexit__(None, None, None)
                assert (await reader.read())[9:12] in {b"400", b""}


async def test_what_is_counted(cloud: Cloud, customer: str, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same figures of the product, whichever way a request takes."""
    own = f"/v1/devices/{DEVICE}"
    counted: list[tuple[ProductId | None, int]] = []
    real = Tally.note

    def note(tally: Tally, product: ProductId | None, figure: int) -> None:
        counted.append((product, figure))
        real(tally, product, figure)

    monkeypatch.setattr(Tally, "note", note)
    for sent in (
        request("GET", f"{own}/motd", customer),
        post(f"{own}/brew", customer, {"arg": "7"}),
        post(f"{own}/brew", customer, {"arg": "7" * 3_000}),
        post("/v1/devices/events", customer, {"name": "temp"}),
        request("GET", f"{own}/nothing", customer),
        request("GET", f"/v1/products/{maker.product}/devices/{DEVICE}", customer),
    ):
        await talk(cloud, sent)
        direct = list(counted)
        counted.clear()
        await the_long_way(cloud, sent)
        assert sorted(direct) == sorted(counted), sent
        assert (maker.product, Figure.TOKENS) in direct
        counted.clear()


async def test_limits_count_before_a_device_is_asked(
    migrated_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, contract: list[str]
) -> None:
    """Who has asked too often is refused, and no device hears of it."""
    asked: list[str] = []

    def begin(_calls: Calls, _device: object, _variable: str, _kind: object, told: Callable[[Any], None]) -> Any:
        asked.append("read")
        told(("motd", "x"))
        return lambda: None

    monkeypatch.setattr(Calls, "_begin_read", begin)
    monkeypatch.setattr(Calls, "_is_described_here", lambda *_: True)
    monkeypatch.setattr("cloudchamber.api.limits.ANY_ROUTE", type(ANY_ROUTE)(30, 1_000_000))
    async with migrated_cloud(rate_limits="on") as cloud, Api(cloud) as http:
        maker = await make_maker(http, "hasty@example.com")
        path = f"/v1/products/{maker.product}/devices"
        assert (await http.post(path, data={"id": DEVICE}, headers=bearer(maker.token))).is_success
        path += f"/{DEVICE}"
        assert (await http.get(path, headers=bearer(maker.token))).is_success
        statuses = [(await http.get(f"{path}/motd", headers=bearer(maker.token))).status_code for _ in range(40)]
    contract.clear()  # who is refused by address never gets to a row of the table
    assert set(statuses) == {200, 429}
    assert statuses == sorted(statuses)
    assert len(asked) == statuses.count(200)


@pytest.mark.parametrize("is_direct", [True, False])
async def test_limits_count_refusals(
    migrated_cloud: Callable[..., Cloud],
    monkeypatch: pytest.MonkeyPatch,
    answered: list[str],
    contract: list[str],
    is_direct: bool,
) -> None:
    monkeypatch.setattr("cloudchamber.api.limits.ANY_ROUTE", type(ANY_ROUTE)(30, 1_000_000))
    async with migrated_cloud(rate_limits="on") as cloud, Api(cloud) as http:
        maker = await make_maker(http, "strict@example.com")
        path = f"/v1/products/{maker.product}/devices/{DEVICE}"
        customer = await maker.customer("a-customer@example.com")
        more = {} if is_direct else {"Content-Length": "0"}
        statuses = [(await http.get(path, headers=bearer(customer) | more)).status_code for _ in range(40)]
    contract.clear()  # who is refused by address never gets to a row of the table
    assert statuses == sorted(statuses)
    # Six requests went before, and the product is read from the database first.
    assert statuses.count(403) == 30 - 6
    assert len(answered) == (23 if is_direct else 0)


async def make_member(http: Api, maker: Maker, role: str) -> str:
    """The token of somebody in the product's team."""
    name = f"{role.lower()}-{maker.product}@example.com"
    member = await make_maker(http, name)
    sent = {"username": name, "role": role}
    added = await http.post(f"/v1/products/{maker.product}/team", json=sent, headers=bearer(maker.token))
    assert added.is_success, added.text
    return member.token


async def make_robot(http: Api, maker: Maker, *scopes: str) -> str:
    """The token of an API user of the product."""
    sent = {"friendly_name": "robot", "scopes": scopes}
    made = await http.post(f"/v1/products/{maker.product}/team", json=sent, headers=bearer(maker.token))
    return str(made.json()["created"]["tokens"][0]["token"])


async def make_limited(http: Api, maker: Maker, scope: str) -> str:
    """A token of a client of the product that may do no more than this."""
    sent = {"name": scope, "type": "installed", "scope": scope}
    path = f"/v1/products/{maker.product}/clients"
    client = (await http.post(path, data=sent, headers=bearer(maker.token))).json()["client"]
    credentials = (client["id"], client["secret"])
    issued = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=credentials)
    return str(issued.json()["access_token"])


async def test_devices_of_a_product_both_ways(
    cloud: Cloud, http: Api, customer: str, maker: Maker, stranger: Maker, answered: list[str]
) -> None:
    devices = f"/v1/products/{maker.product}/devices"
    one, by_slug = f"{devices}/{DEVICE}", f"/v1/products/{maker.slug}/devices/{DEVICE}"
    assert "-" in maker.slug
    mine = bearer(maker.token)
    group = await http.post(f"/v1/products/{maker.product}/groups", json={"name": "beta"}, headers=mine)
    assert group.is_success, group.text
    more = {"e5" * 12: {"groups": ["beta"]}, "e6" * 12: {"quarantined": True}, "e7" * 12: {"denied": True}}
    for device, changes in more.items():
        assert (await http.post(devices, data={"id": device}, headers=mine)).is_success
        changed = await http.put(f"{devices}/{device}", json=changes, headers=mine)
        assert changed.is_success, changed.text
    grouped, quarantined, denied = (f"{devices}/{device}" for device in more)
    members = [await make_member(http, maker, role) for role in ("Administrator", "Developer", "Support", "View-only")]
    robot, other_robot = [await make_robot(http, maker, scope) for scope in ("devices:get", "devices:list")]
    limited, other_limited = [await make_limited(http, maker, scope) for scope in ("devices:get", "customers:create")]
    other = await maker.customer("a-third@example.com")
    asked: list[tuple[str, str | None, int, bool]] = [
        (one, maker.token, 200, True),
        (one, maker.product_token, 200, True),
        *((one, token, 200, True) for token in (*members, robot, limited)),
        (one, customer, 403, True),  # it is the customer's own, but below its product it is the team's
        (one, other, 403, True),
        (one, stranger.token, 404, True),
        (one, stranger.product_token, 404, True),
        (one, other_robot, 403 if http.is_strict else 400, False),
        (one, other_limited, 403 if http.is_strict else 400, False),
        (one, "0" * 40, 401, False),
        (one, "x", 401, False),
        (one, None, 401 if http.is_strict else 400, False),
        *((path, maker.token, 200, True) for path in (by_slug, grouped, quarantined, denied)),
        *((path, maker.product_token, 200, True) for path in (by_slug, grouped, quarantined, denied)),
        *((path, members[-1], 200, True) for path in (quarantined, denied)),
        (quarantined, customer, 403, True),
        (by_slug, stranger.token, 404, True),
        (f"{devices}/{'ab' * 12}", stranger.token, 404, True),  # nobody outside is told which devices there are
        (f"{devices}/{'ab' * 12}", customer, 403, True),
        (f"{devices}/away", stranger.product_token, 404, True),
        (f"{quarantined}/motd", members[2], 403, True),
        (f"{denied}/motd", maker.product_token, 403, True),
        (f"{denied}/motd", stranger.token, 404, True),
        (f"{devices}/{DEVICE.upper()}", maker.token, 200, True),
        (f"{devices}/{AWAY}", maker.token, 200, True),
        (f"{devices}/away", maker.token, 404, False),  # a name is its owner's
        (f"{devices}/{'ab' * 12}", maker.token, 404, False),
        (f"{devices}/{DEVICE}0", maker.token, 404, False),
        (f"{devices}/count", maker.token, 404, False),
        (f"{devices}/", maker.token, 200, False),
        (f"{one}/", maker.token, 200, False),
        (f"{one}?x=1", maker.token, 200, False),
        (f"{devices}/%65{DEVICE[1:]}", maker.token, 200, False),
        (f"/v1/products/{stranger.product}/devices/{DEVICE}", stranger.token, 404, False),
        (f"/v1/products/{stranger.product}/devices/{DEVICE}", maker.token, 404, True),
        (f"/v1/products/{stranger.slug}/devices/{DEVICE}", stranger.product_token, 404, False),
        (f"/v1/products/{maker.product}9/devices/{DEVICE}", maker.token, 404, False),
        (f"/v1/products/00{maker.product}/devices/{DEVICE}", maker.token, 404, False),
        (f"/v1/products/{maker.slug.upper()}/devices/{DEVICE}", maker.token, 404, False),
        (f"/v1/products/x/devices/{DEVICE}", maker.token, 404, False),
    ]
    for path, token, status, is_direct in asked:
        sent = request("GET", path, token)
        await the_long_way(cloud, sent)  # what it takes is in memory from here on
        (head, body), was_direct = await both(cloud, sent, answered)
        assert int(head[9:12]) == status, (path, head, body)
        assert was_direct is is_direct, (path, head, body)
        if was_direct and status == 200:
            assert json.loads(body)["id"] in path.lower()
    for organization in (maker.product, "x"):
        sent = request("GET", f"/v1/orgs/{organization}/devices/{DEVICE}", maker.token)
        _, was_direct = await both(cloud, sent, answered)
        assert not was_direct
    for method in ("HEAD", "OPTIONS", "DELETE"):
        _, was_direct = await both(cloud, request(method, f"{devices}/{'ab' * 12}", maker.token), answered)
        assert not was_direct
    (head, body), _ = await both(cloud, request("HEAD", one, maker.token), answered)
    assert (head[9:12], body) == (b"200", b"")
    for told in ((grouped, "groups", ["beta"]), (quarantined, "quarantined", True), (denied, "denied", True)):
        [(_, body)] = await talk(cloud, request("GET", told[0], maker.token))
        assert json.loads(body)[told[1]] == told[2]


async def test_a_change_of_a_product_s_device_is_seen_at_once(
    running: testing.Cloud, http: Api, stranger: Maker, answered: list[str]
) -> None:
    maker, device = stranger, "e8" * 12
    customer = await maker.customer("owner@stranger.example")
    product = f"/v1/products/{maker.product}"
    path, mine = f"{product}/devices/{device}", bearer(maker.token)
    assert (await http.post(f"{product}/devices", data={"id": device}, headers=mine)).is_success

    async def is_seen(**fields: object) -> None:
        for count in range(3):
            answered.clear()
            detail = (await http.get(path, headers=mine)).json()
            assert {name: detail.get(name) for name in fields} == fields
            assert bool(answered) or not count, "from memory, once it was asked for"

    await is_seen(name=None, owner=None, customer_id=None, targeted_firmware_release_version=None, online=False)
    assert (await http.post("/v1/devices", data={"id": device}, headers=bearer(customer))).is_success
    await is_seen(owner="owner@stranger.example")
    assert (await http.put(f"/v1/devices/{device}", data={"name": "mine"}, headers=bearer(customer))).is_success
    await is_seen(name="mine")
    for version in (1, 2):
        data = build_module(b"a program", platform_id=6, product_id=maker.product, product_version=version)
        file = {"binary": ("a.bin", data)}
        made = await http.post(f"{product}/firmware", data={"version": str(version)}, files=file, headers=mine)
        assert made.is_success, made.text
        runs_it = f"f{version}" * 12
        assert (await http.post(f"{product}/devices", data={"id": runs_it}, headers=mine)).is_success
        await running.start_device(runs_it, product_id=maker.product, product_version=version)
        released = {"version": version, "product_default": True}
        async with asyncio.timeout(10):
            while not (await http.put(f"{product}/firmware/release", json=released, headers=mine)).is_success:
                await asyncio.sleep(0.05)
        await is_seen(targeted_firmware_release_version=version)
    assert (await http.post(f"{product}/groups", json={"name": "early"}, headers=mine)).is_success
    assert (await http.put(path, json={"groups": ["early"]}, headers=mine)).is_success
    await is_seen(groups=["early"], targeted_firmware_release_version=2)
    of_group = {"version": 1, "groups": ["early"]}
    released_to_group = await http.put(f"{product}/firmware/release", json=of_group, headers=mine)
    assert released_to_group.is_success, released_to_group.text
    await is_seen(targeted_firmware_release_version=1)
    assert (await http.put(f"{product}/groups/early", json={"name": "late"}, headers=mine)).is_success
    await is_seen(groups=["late"], targeted_firmware_release_version=1)
    assert (await http.delete(f"{product}/groups/late", headers=mine)).is_success
    await is_seen(groups=[], targeted_firmware_release_version=2)
    await running.start_device(device, product_id=maker.product)
    async with asyncio.timeout(10):
        while not (await http.get(path, headers=mine)).json()["functions"]:
            await asyncio.sleep(0.02)
    await is_seen(online=True)
    assert (await http.delete(f"{path}/owner", headers=mine)).is_success
    await is_seen(owner=None, customer_id=None)
    member = await make_member(http, maker, "View-only")
    for _ in range(2):
        answered.clear()
        assert (await http.get(path, headers=bearer(member))).is_success
    assert answered
    leaves = f"{product}/team/view-only-{maker.product}@example.com"
    assert (await http.delete(leaves, headers=mine)).is_success
    assert (await http.get(path, headers=bearer(member))).status_code == 404
    assert (await http.delete(path, headers=mine)).is_success
    assert (await http.get(path, headers=mine)).status_code == 404
