"""Event streams: the exact frames, and that nothing of a stream outlives its reader."""

import asyncio
import contextlib
import gc
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByUser
from cloudchamber.access.requester import User
from cloudchamber.api.sse import KEEP_ALIVE, OPENING, Encoded, EventStream, encode_event
from cloudchamber.app import Cloud
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import FixedClock, Millis
from cloudchamber.ids import ClientId, ProductId, UserId
from cloudchamber.messaging.model import Event, OwnEvents
from cloudchamber.messaging.streams import Streams
from tests.api.conftest import Api, Maker, bearer, log_in

OWNER = OwnedByUser(UserId("a" * 24))


def event(name: str = "temp", data: str | None = "25.34") -> Event:
    return Event(name, data, 60, Millis(1_524_072_010_880), "b" * 24, True, OWNER, ProductId(1319), 3)


# -- frames: pure ---------------------------------------------------------------------------------------------------


def test_a_frame_is_exactly_what_the_parsers_want() -> None:
    assert encode_event(event(), detailed=False) == (
        b"event: temp\n"
        b'data: {"data":"25.34","ttl":60,"published_at":"2018-04-18T17:20:10.880Z","coreid":"' + b"b" * 24 + b'"}\n'
        b"\n"
    )


def test_a_product_team_sees_more() -> None:
    frame = encode_event(event(data=None), detailed=True)
    body = json.loads(frame.split(b"data: ", 1)[1])
    assert body == {
        "data": None,
        "ttl": 60,
        "published_at": "2018-04-18T17:20:10.880Z",
        "coreid": "b" * 24,
        "userid": "a" * 24,
        "fw_version": 3,
        "public": True,
        "productID": 1319,
    }


@given(st.text(), st.none() | st.text(), st.booleans())
def test_no_event_breaks_out_of_its_frame(name: str, data: str | None, detailed: bool) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        name = "half a pair of surrogates never gets here: names are stored text"
    frame = encode_event(event(name, data), detailed=detailed)
    assert b"\r" not in frame
    first, second, *rest = frame.split(b"\n")
    assert rest == [b"", b""]
    assert first.startswith(b"event: ")
    assert second.isascii(), "a character that is split over two chunks would be damaged"
    assert json.loads(second.removeprefix(b"data: "))["data"] == data


def test_an_event_is_encoded_once_for_all_its_listeners() -> None:
    encoded, one = Encoded(), event()
    assert encoded.frame(one, detailed=False) is encoded.frame(one, detailed=False)
    assert encoded.frame(one, detailed=True) != encoded.frame(one, detailed=False)
    for _ in range(1000):
        encoded.frame(event(), detailed=False)
    assert len(encoded._frames) <= 256


# -- one stream: no sockets -------------------------------------------------------------------------------------------


def opened(keep_alive_s: float = 5) -> tuple[Streams, EventStream]:
    streams = Streams(InProcessBus(), FixedClock(), limit=10)
    subscription = streams.open(User(OWNER.id, ClientId("c")), OwnEvents(OWNER), "", None)
    return streams, EventStream(subscription, Encoded(), detailed=False, keep_alive_s=keep_alive_s)


async def test_a_stream_begins_at_once_and_keeps_a_silent_line_alive() -> None:
    streams, stream = opened(keep_alive_s=0.01)
    assert await anext(stream) == OPENING == b":ok\n\n"
    assert await anext(stream) == KEEP_ALIVE == b"\n"
    streams.dispatch(event())
    assert await anext(stream) == encode_event(event(), detailed=False)
    await stream.close()
    assert len(streams) == 0


async def test_a_stream_ends_with_its_subscription() -> None:
    streams, stream = opened()
    await anext(stream)
    waiting = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0)
    streams.close()
    assert await waiting is None


async def test_a_reader_that_is_too_slow_is_dropped() -> None:
    streams, stream = opened()
    await anext(stream)
    for _ in range(10_000):
        streams.dispatch(event())
    assert len(streams) == 0
    assert await anext(stream, None) is None


# -- over the wire ----------------------------------------------------------------------------------------------------

wire = pytest.mark.asyncio(loop_scope="module")


class Reader:
    """An open stream; `until` reads on until something is there."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.got = b""
        self._chunks = answer.aiter_raw()

    async def until(self, wanted: bytes, timeout_s: float = 5) -> bytes:
        async with asyncio.timeout(timeout_s):
            while wanted not in self.got:
                self.got += await anext(self._chunks)
        return self.got

    async def to_the_end(self, timeout_s: float) -> bytes:
        async with asyncio.timeout(timeout_s):
            async for chunk in self._chunks:
                self.got += chunk
        return self.got


@contextlib.asynccontextmanager
async def listening(http: Api, path: str, token: str) -> AsyncIterator[Reader]:
    async with http.stream("GET", path, headers=bearer(token)) as answer:
        assert answer.status_code == 200
        reader = Reader(answer)
        await reader.until(OPENING)
        yield reader


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streams(cloud: Cloud) -> Streams:
    """The cloud's own, to count what is open."""
    assert cloud.listening
    gc.collect()
    (found,) = (each for each in gc.get_objects() if isinstance(each, Streams))
    return found


@wire
async def test_the_first_bytes_and_headers(http: Api, maker: Maker) -> None:
    async with listening(http, "/v1/devices/events/x?nonce=0.123", maker.token) as reader:
        assert reader.got == b":ok\n\n"
        headers = reader.answer.headers
        assert headers["content-type"] == "text/event-stream"
        assert headers["cache-control"] == "no-cache"
        assert headers["x-accel-buffering"] == "no"
        assert headers["access-control-allow-origin"] == "*"
        assert "content-encoding" not in headers


@wire
async def test_own_events_arrive_whole_and_in_order(http: Api, maker: Maker, stranger: Maker) -> None:
    async with listening(http, "/v1/devices/events/seq%2F", maker.token) as reader:
        for number in range(50):
            for who in (maker, stranger):
                sent = {"name": "seq/x", "data": f"{who.username} naïve ☕ {number}", "private": True}
                assert (await http.post("/v1/devices/events", json=sent, headers=bearer(who.token))).is_success
        await http.post("/v1/devices/events", json={"name": "other"}, headers=bearer(maker.token))
        await http.post("/v1/devices/events", json={"name": "seq/end"}, headers=bearer(maker.token))
        got = await reader.until(b"event: seq/end")
        frames = [json.loads(line.removeprefix(b"data: ")) for line in got.split(b"\n") if line.startswith(b"data: ")]
        assert [frame["data"] for frame in frames][:50] == [f"{maker.username} naïve ☕ {n}" for n in range(50)]
        assert {frame["coreid"] for frame in frames} == {"001"}
        assert stranger.username.encode() not in got
        assert b"event: other" not in got


@wire
async def test_a_revoked_token_ends_its_stream_within_a_second(http: Api, maker: Maker) -> None:
    token = await log_in(http, maker.username, maker.password)
    async with listening(http, "/v1/devices/events", token) as reader:
        who = bearer(token) if http.is_strict else {}
        assert (await http.delete(f"/v1/access_tokens/{token}", headers=who)).json() == {"ok": True}
        assert await reader.to_the_end(timeout_s=1) == OPENING


@wire
async def test_a_reader_that_goes_away_leaves_nothing_behind(http: Api, streams: Streams, maker: Maker) -> None:
    before = len(streams)
    for _ in range(5):
        async with listening(http, "/v1/devices/events", maker.token):
            assert len(streams) == before + 1
    async with asyncio.timeout(2):
        while len(streams) != before:
            await asyncio.sleep(0.01)
    names = {repr(task.get_coro()) for task in asyncio.all_tasks()}  # not every one has a name
    assert not [name for name in names if "_until_disconnected" in name]


@wire
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v1/events", 400, {"ok": False, "error": "event prefix filter is required"}),
        ("/v1/events/", 400, {"ok": False, "error": "event prefix filter is required"}),
        ("/v1/products/999999/events", 404, {"ok": False, "error": "Product not found."}),
    ],
)
async def test_refusals_come_before_the_stream(
    http: Api, maker: Maker, path: str, status: int, body: dict[str, Any]
) -> None:
    answer = await http.get(path, headers=bearer(maker.token))
    assert (answer.status_code, answer.json()) == (status, body)


@wire
async def test_who_may_listen_to_a_product(http: Api, maker: Maker, stranger: Maker) -> None:
    path = f"/v1/products/{maker.product}/events"
    assert (await http.get(path, headers=bearer(stranger.token))).status_code == 404
    assert (await http.get(path, headers=bearer(await maker.customer("ear@example.com")))).status_code == 403
    for token in (maker.token, maker.product_token):
        async with listening(http, path, token) as reader:
            sent = {"name": "news", "data": "d", "private": "true"}
            assert (await http.post(path, data=sent, headers=bearer(maker.product_token))).json() == {"ok": True}
            body = json.loads((await reader.until(b'"productID"')).split(b"data: ")[1])
            assert body["productID"] == maker.product
    assert (await http.get("/v1/devices/events", headers=bearer(maker.product_token))).status_code == 403


@wire
async def test_head_of_a_stream_opens_none(http: Api, streams: Streams, maker: Maker) -> None:
    before = len(streams)
    answer = await http.head("/v1/devices/events", headers=bearer(maker.token))
    assert answer.status_code == 200
    assert len(streams) == before


@wire
async def test_a_client_that_does_not_read_is_dropped_and_the_others_have_everything(
    http: Api, streams: Streams, maker: Maker
) -> None:
    before, address = len(streams), ("127.0.0.1", http.base_url.port)
    get = f"GET /v1/devices/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {maker.token}\r\n\r\n".encode()
    mute = socket.socket()
    mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mute.connect(address)
    mute.sendall(get)
    reader, writer = await asyncio.open_connection(*address, limit=2**20)
    writer.write(get)
    sent = heard = 0
    async with asyncio.timeout(20):
        while len(streams) != before + 2:
            await asyncio.sleep(0.01)
        (owner,) = {each.listening.owner for each in streams._open if isinstance(each.listening, OwnEvents)}
        while len(streams) == before + 2:
            for _ in range(100):
                streams.dispatch(Event(f"big-{sent}", "x" * 1000, 60, Millis(0), "001", False, owner, None))
                sent += 1
            while heard < sent:
                chunk = await reader.readuntil(b"\n\n\r\n")
                if heard or b"event: " in chunk:
                    assert b"event: big-%d\n" % heard in chunk
                    heard += 1
        assert sent < 20_000, "what nobody reads must not pile up"
    mute.close()
    writer.close()
