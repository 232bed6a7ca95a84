"""What an ASGI server has to do, over raw sockets, whatever its application does."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloudchamber.api.http1 import MAX_PIPELINED, Server
from cloudchamber.api.server import make_server
from tests.api.conftest import ANY_PORT
from tests.api.connections import Talk, talking

DEFAULT = [(b"content-type", b"text/plain")]


class Application:
    """Does what a path says. `cut` counts requests whose client went away, `cancelled` those that the server ended."""

    def __init__(self) -> None:
        self.cut = self.cancelled = 0
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        start = {"type": "http.response.start", "status": 200, "headers": DEFAULT}
        if path == "/raises":
            raise ValueError("as tests do")
        if path == "/nothing":
            return
        if path == "/halfway":
            await send(start)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError("as tests do")
        if path == "/body-first":
            await send({"type": "http.response.body", "body": b"x"})
        if path == "/split":
            await send(start | {"headers": [(b"x", b"a\r\nset-cookie: b")]})
        if path == "/bad-name":
            await send(start | {"headers": [(b"x y", b"a")]})
        if path in {"/too-long", "/too-short"}:
            await send(start | {"headers": [(b"content-length", b"3")]})
            await send({"type": "http.response.body", "body": b"abcd" if path == "/too-long" else b"ab"})
        if path == "/waits":
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if path == "/listens":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.cut += 1
            return
        if path in {"/204", "/304"}:
            await send(start | {"status": int(path[1:])})
            await send({"type": "http.response.body"})
            return
        body = b""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body += event["body"]
            if not event["more_body"]:
                break
        if path == "/headers":
            body = b" ".join(name for name, _ in scope["headers"])
        await send(start)
        said = f"{scope['method']} {path} {scope['query_string'].decode()} ".encode() + body
        await send({"type": "http.response.body", "body": said[:3], "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": said[3:]})


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
async def served(application: Application) -> AsyncIterator[tuple[Server, int]]:
    listener = socket.socket()
    listener.bind((ANY_PORT.host, 0))
    server = make_server(application)
    await server.start(listener)
    yield server, listener.getsockname()[1]
    application.go_on.set()
    await server.stop(5)
    listener.close()


@pytest.fixture
async def talk(served: tuple[Server, int]) -> AsyncIterator[Talk]:
    async with talking(served[1]) as talk:
        yield talk


def get(path: str, *headers: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path.encode(), b"".join(line + b"\r\n" for line in headers))


CLOSE = b"Connection: close"


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        if size == b"0":
            assert body == b""
    return whole


async def test_an_answer_without_a_length_comes_in_chunks(talk: Talk) -> None:
    head, _, body = (await talk(get("/a%20b?c=%64", CLOSE))).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"\r\ndate: " in head
    assert unchunked(body) == b"GET /a b c=%64 "


async def test_to_http_1_0_the_connection_ends_with_the_answer(talk: Talk) -> None:
    got = await talk(b"GET / HTTP/1.0\r\n\r\n")
    assert b"connection: close" in got


@pytest.mark.parametrize("path", ["/204", "/304"])
async def test_what_has_no_body_has_no_chunks(talk: Talk, path: str) -> None:
    got = await talk(get(path) + get(path, CLOSE))
    assert got.count(b"HTTP/1.1 ") == 2
    assert b"chunked" not in got
    assert got.endswith(b"\r\n\r\n")


async def test_head_gets_no_body(talk: Talk) -> None:
    got = await talk(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n")


async def test_answers_leave_in_the_order_of_their_requests(talk: Talk, application: Application) -> None:
    asking = asyncio.create_task(talk(get("/waits") + get("/1"), get("/2"), get("/3", CLOSE)))
    await asyncio.sleep(0.1)
    assert not asking.done()
    application.go_on.set()
    got = await asking
    assert [got.index(path) for path in (b"/waits", b" /1", b" /2", b" /3")] == sorted(
        got.index(path) for path in (b"/waits", b" /1", b" /2", b" /3")
    )


async def test_a_body_is_asked_for_when_the_client_waits_for_that(talk: Talk) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    got = await talk(head, b"abc")
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert b"abc" in got


async def test_a_large_body_arrives_whole(talk: Talk) -> None:
    size = 300_000
    got = await talk(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size, b"a" * size
    )
    assert got.count(b"a") >= size


@pytest.mark.parametrize("path", ["/raises", "/nothing", "/body-first", "/split", "/bad-name"])
async def test_an_application_that_fails_before_its_answer(talk: Talk, path: str) -> None:
    got = await talk(get(path) + get("/"))
    assert got.startswith(b"HTTP/1.1 500 " if path not in {"/split", "/bad-name"} else b"")
    assert got.count(b"HTTP/1.1 ") <= 1, "and nothing behind it"
    assert b"set-cookie" not in got
    assert b"as tests do" not in got


@pytest.mark.parametrize("path", ["/halfway", "/too-long", "/too-short"])
async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(talk: Talk, path: str) -> None:
    got = await talk(get(path) + get("/"))
    assert not got.endswith(b"0\r\n\r\n")
    assert got.count(b"HTTP/1.1 ") == 1


async def test_who_wants_another_protocol_gets_an_answer_in_this_one(talk: Talk) -> None:
    got = await talk(get("/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"), get("/"))
    assert got.count(b"HTTP/1.1 200 OK") == 1
    assert b"connection: close" in got


async def test_an_application_hears_that_its_client_is_gone(
    served: tuple[Server, int], application: Application
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served[1])
    writer.write(get("/listens"))
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        while not application.cut:
            await asyncio.sleep(0.01)


async def test_an_application_hears_that_its_client_is_gone_with_further_requests_behind_it(
    served: tuple[Server, int], application: Application
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served[1])
    writer.write(get("/listens") + get("/1") + get("/2"))
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        while not application.cut:
            await asyncio.sleep(0.01)


GARBAGE = b"no request\r\n\r\n"
HALF = b"POST /half HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "behind",
    [
        (GARBAGE,),
        (HALF + b"no chunk\r\n",),
        (HALF, b"no chunk\r\n"),
        (
            HALF,
            b"1\r\na!",
        ),
    ],
)
async def test_what_is_no_request_is_not_answered_before_those_that_are(
    talk: Talk, application: Application, behind: tuple[bytes, ...]
) -> None:
    asking = asyncio.create_task(talk(get("/waits") + get("/1"), *behind, b"more"))
    await asyncio.sleep(0.15)
    assert not asking.done()
    application.go_on.set()
    got = await asking
    assert got.count(b"HTTP/1.1 200 OK") == got.count(b"HTTP/1.1 ") == 2
    assert got.index(b"/waits") < got.index(b" /1")
    assert got.count(b"connection: close") == 1
    assert got.endswith(b"0\r\n\r\n")


async def test_what_is_no_request_alone_is_refused(talk: Talk) -> None:
    for pieces in ((GARBAGE,), (get("/"), GARBAGE), (HALF, b"no chunk\r\n")):
        assert (await talk(*pieces)).count(b"HTTP/1.1 400 ") == 1


async def test_trailers_are_no_headers(talk: Talk) -> None:
    head = b"POST /headers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    got = await talk(head + b"1\r\na\r\n0\r\nAuthorization: Bearer a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
    assert b"host transfer-encoding connection" in got
    assert b"authorization" not in got
    assert b"x-forwarded-for" not in got


async def test_no_more_is_read_than_is_answered(served: tuple[Server, int], application: Application) -> None:
    """Each answer lets another piece in, which has more requests than one."""
    connections = served[0]._state.connections
    _, writer = await asyncio.open_connection("127.0.0.1", served[1])
    writer.transport.set_write_buffer_limits(high=1 << 25)
    body = b"a" * 1000
    some = b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    writer.write(get("/waits") + some * 10_000)
    await asyncio.sleep(0.1)
    application.go_on.set()
    most = 0
    for _ in range(300):
        await asyncio.sleep(0)
        most = max(most, *(len(connection.pipeline) for connection in connections), 0)
    writer.transport.abort()
    assert MAX_PIPELINED <= most < 500, "what one piece of input has"


async def test_at_the_end_answers_under_way_are_finished(
    served: tuple[Server, int], talk: Talk, application: Application
) -> None:
    asking = asyncio.create_task(talk(get("/waits")))
    idle = asyncio.create_task(talk())
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(served[0].stop(5))
    assert await idle == b""
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", served[1])
    application.go_on.set()
    got = await asking
    assert b"/waits" in got
    assert b"connection: close" in got
    await stopping


async def test_at_the_end_nobody_waits_for_ever(
    served: tuple[Server, int], talk: Talk, application: Application
) -> None:
    asking = asyncio.create_task(talk(get("/waits")))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(3):
        await served[0].stop(0.1)
        with contextlib.suppress(ConnectionError):
            assert await asking == b""
    assert application.cancelled == 1
