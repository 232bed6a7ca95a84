"""The server's own limits, byte by byte over raw sockets."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloudchamber.api import server as server_module
from cloudchamber.api.http1 import RequestResponseCycle
from cloudchamber.api.server import MAX_HEADER_BYTES, MAX_HEADERS, EdgeProtocol, make_server
from tests.api.conftest import ANY_PORT
from tests.api.connections import Talk, talking
from tests.circles import no_collector


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the length of the body; `/early` without reading it, `/large` with 64 MB, `/slow` late."""
    size = 0
    headers = [(b"content-type", b"text/plain")]
    while scope["path"] != "/early":
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event["body"])
        if not event["more_body"]:
            break
    if scope["path"] == "/early":
        headers.append((b"connection", b"close"))
    if scope["path"] == "/slow":
        await asyncio.sleep(0.7)
    body = b"x" * 64_000_000 if scope["path"] == "/large" else str(size).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = socket.socket()
    listener.bind((ANY_PORT.host, 0))
    server = make_server(echo)
    await server.start(listener)
    yield listener.getsockname()[1]
    await server.stop(5)
    listener.close()


@pytest.fixture
async def talk(port: int) -> AsyncIterator[Talk]:
    async with talking(port) as talk:
        yield talk


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def test_an_honest_request_in_one_piece_and_byte_by_byte(talk: Talk) -> None:
    whole = POST + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc"
    assert (await talk(whole)).endswith(b"\r\n\r\n3")
    pieces = [whole[i : i + 1] for i in range(len(whole))]
    assert (await talk(*pieces, pause_s=0)).endswith(b"\r\n\r\n3")


async def test_two_requests_in_one_piece_get_two_answers(talk: Talk) -> None:
    got = await talk(GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200 OK") == 2


async def test_head_and_body_of_an_answer_leave_in_one_piece(port: int) -> None:
    def answers() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            pieces = []
            for _ in range(50):
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                pieces.append(client.recv(65536))
                if not pieces[-1].endswith(b"\r\n\r\n0"):
                    break
            return pieces

    # In a thread of its own: on the server's loop it would only ever look when all has been sent.
    pieces = await asyncio.to_thread(answers)
    assert len(pieces) == 50
    assert pieces[-1].endswith(b"\r\n\r\n0")


async def test_a_head_without_body_is_not_held_back(talk: Talk) -> None:
    answer = await talk(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


async def test_an_answer_does_not_wait_for_an_acknowledgement(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = asyncio.get_running_loop().time()
    for _ in range(50):
        writer.write(GET + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"0"
    writer.close()
    await writer.wait_closed()
    assert asyncio.get_running_loop().time() - started < 1, "40 ms each without TCP_NODELAY"


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Content-Length: -3\r\n\r\nabc",
        POST + b"Content-Length: 3x\r\n\r\nabc",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\nX: y\n\n",
        GET + b"A: b\nC: d\r\n\r\n",
        GET + b"A: b\rC: d\r\n\r\n",
        GET + b"A: b\x00\r\n\r\n",
        GET + b"A : b\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,
        GET + b"Host: x\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"GET /\r\n\r\n",
    ],
)
async def test_what_smuggling_needs_is_refused_and_closes_the_connection(talk: Talk, request_bytes: bytes) -> None:
    got = await talk(request_bytes + GET + b"\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request"), got
    assert b"connection: close" in head
    assert json.loads(body)["ok"] is False, "one answer, and nothing behind it"


async def test_headers_without_end_are_cut_off(talk: Talk) -> None:
    got = await talk(GET, *[b"X-A: " + b"y" * 8192 + b"\r\n"] * (MAX_HEADER_BYTES // 8192 + 2))
    assert got.startswith(b"HTTP/1.1 400")
    assert b"headers are too large" in got


async def test_requests_that_come_many_in_a_piece_are_no_long_headers(port: int) -> None:
    def asks() -> bytes:
        whole = (GET + b"X: " + b"a" * 200 + b"\r\n\r\n") * 1_000
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(whole[:-30])
            client.sendall(whole[-30:])
            got = b""
            while got.count(b"HTTP/1.1 ") < 1_000 and (piece := client.recv(1 << 20)):
                got += piece
            return got

    assert (await asyncio.to_thread(asks)).count(b"HTTP/1.1 200 OK") == 1_000


@pytest.mark.parametrize(
    "pieces", [(b"GET / HT",), (GET,), (POST + b"Content-Length: 10\r\n\r\nab",), (GET, b"A: b\r\n", b"C: d\r\n")]
)
async def test_a_request_that_never_ends_is_cut_off(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_TIMEOUT_S", 0.1)
    started = asyncio.get_running_loop().time()
    assert await talk(*pieces) == b""
    assert asyncio.get_running_loop().time() - started < 5


async def test_an_idle_connection_is_not_a_slow_request(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_TIMEOUT_S", 0.05)
    got = await talk(GET + b"\r\n", b"", GET + b"Connection: close\r\n\r\n", pause_s=0.2)
    assert got.count(b"HTTP/1.1 200 OK") == 2


async def test_a_connection_that_asks_nothing_is_closed(port: int, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first request, and 75 s after its last; not while an answer is under way or between requests."""
    monkeypatch.setattr(server_module.EdgeProtocol, "idle_s", 0.3)
    loop = asyncio.get_running_loop()
    for pieces, answers in (((), 0), ((GET + b"\r\n",), 1), ((GET + b"\r\n", GET + b"\r\n", GET + b"\r\n"), 3)):
        started = loop.time()
        got = await talk(*pieces, pause_s=0.2)
        assert got.count(b"HTTP/1.1 200 OK") == answers
        assert 0.2 < loop.time() - started < 5
    got = await talk(GET.replace(b"GET / ", b"GET /slow ", 1) + b"Connection: close\r\n\r\n")
    assert got.endswith(b"0")


async def test_a_client_that_is_still_sending_gets_its_refusal(talk: Talk) -> None:
    head = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"
    got = await talk(head, *[b"x" * 1_000_000] * 8, pause_s=0)
    assert got.startswith(b"HTTP/1.1 200")


async def test_a_client_that_never_stops_sending_is_cut_off(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LINGER_BYTES", 1_000_000)
    head = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 800000000\r\n\r\n"
    started = asyncio.get_running_loop().time()
    await talk(head, *[b"x" * 1_000_000] * 30, pause_s=0)
    monkeypatch.setattr(server_module, "LINGER_S", 0.1)
    await talk(head, b"x", pause_s=0)
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_a_client_that_does_not_read_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "WRITE_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.8)
    got = 0
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1_000_000):
            got += len(piece)
    assert got < 64_000_000
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_nothing_is_left_of_a_connection(port: int) -> None:
    async def ask(request: bytes, *, answer: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        assert answer in await reader.read(65536) if answer else True
        await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()

    with no_collector() as left:
        await ask(GET + b"\r\n", answer=b"200 OK")
        await ask((POST + b"Content-Length: 3\r\n\r\nabc") * 2, answer=b"200 OK")
        await ask(b"no request\r\n\r\n", answer=b"400 Bad Request")
        await ask(POST + b"Content-Length: 3\r\n\r\na", answer=b"")  # gone in the midst of its request
        await ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", answer=b"")  # and while it is answered
        await asyncio.sleep(1.0)
        assert left(EdgeProtocol, RequestResponseCycle) == []
