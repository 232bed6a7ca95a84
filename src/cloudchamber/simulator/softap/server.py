"""The sockets of a device in listening mode. HTTP and the plain TCP form share one port: a request line tells them
apart.

h11 reads the HTTP; the answers are a device's own: chunked, with CORS, one request a connection.
"""

import asyncio
import contextlib
from typing import Final

import h11

from cloudchamber.simulator.softap.listening import ListeningMode, UnknownCommand
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.softap import MAX_BODY_LENGTH, Request, RequestReader, encode_reply

_TIMEOUT_S: Final = 10.0
_READ_BYTES: Final = 4096
_MAX_CONNECTIONS: Final = 16
_HTTP_BEGINNINGS: Final = (b"GET ", b"POST", b"OPTI", b"HEAD", b"PUT ", b"DELE")
_LONGEST_BEGINNING: Final = 4

_CORS: Final = (("Access-Control-Allow-Origin", "*"),)
# Browsers ask before a page of the internet may reach an address of the local network.
_PREFLIGHT: Final = (
    *_CORS,
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Content-Type"),
    ("Access-Control-Allow-Private-Network", "true"),
    ("Access-Control-Max-Age", "86400"),
)


class SoftApServer:
    """Use as an async context manager; `finished` is set once the app has told the device to connect and has its
    answer."""

    def __init__(self, mode: ListeningMode, host: str, port: int) -> None:
        self._mode = mode
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.finished = asyncio.Event()

    @property
    def port(self) -> int:
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> "SoftApServer":
        """Raises OSError."""
        self._server = await asyncio.start_server(self._connected, self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "not started"
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(_TIMEOUT_S):
                    first = await self._beginning(reader)
                    if first.startswith(_HTTP_BEGINNINGS):
                        await self._serve_http(first, reader, writer)
                    elif first:
                        await self._serve_tcp(first, reader, writer)
                    with contextlib.suppress(ConnectionError):
                        writer.write_eof()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            if self._mode.is_done:
                self.finished.set()

    @staticmethod
    async def _beginning(reader: asyncio.StreamReader) -> bytes:
        first = b""
        while len(first) < _LONGEST_BEGINNING and b"\n" not in first:
            more = await reader.read(_READ_BYTES)
            if not more:
                break
            first += more
        return first

    async def _serve_tcp(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = RequestReader()
        try:
            while (request := received.receive_untrusted(data)) is None:
                data = await reader.read(_READ_BYTES)
                if not data:
                    return
            answer = self._mode.answer(request)
        except UnknownCommand:
            return
        except WireError:
            writer.write(encode_reply(b""))
        else:
            if answer is not None:
                writer.write(encode_reply(answer))
        await writer.drain()

    async def _serve_http(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
        try:
            connection.receive_data(data)
            request, body = await self._read_http(connection, reader)
            if request is None:
                return
            status, headers, content = self._http_answer(request, body)
        except h11.RemoteProtocolError as error:
            status, headers, content = error.error_status_hint, (), b""
        writer.write(_http_reply(status, headers, content))
        await writer.drain()

    async def _read_http(
        self, connection: h11.Connection, reader: asyncio.StreamReader
    ) -> tuple[h11.Request | None, bytes]:
        request: h11.Request | None = None
        body = bytearray()
        while True:
            match connection.next_event():
                case h11.Request() as request:
                    pass
                case h11.Data(data=data):
                    body += data
                    if len(body) > MAX_BODY_LENGTH:
                        raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
                case h11.EndOfMessage():
                    return request, bytes(body)
                case h11.NEED_DATA:
                    more = await reader.read(_READ_BYTES)
                    connection.receive_data(more)
                    if not more and connection.their_state in {h11.IDLE, h11.CLOSED}:
                        return None, b""
                case _:
                    return None, b""

    def _http_answer(self, request: h11.Request, body: bytes) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        path = request.target.decode("ascii", "replace").partition("?")[0]
        if request.method == b"OPTIONS":
            return 204, _PREFLIGHT, b""
        if path == "/index":
            return 301, (("Location", "/hello"),), b""
        if request.method not in {b"GET", b"POST"}:
            return 405, (), b""
        try:
            answer = self._mode.answer(Request(path.removeprefix("/"), body))
        except UnknownCommand:
            return 404, _CORS, b""
        except WireError:
            answer = b""
        return 200, (*_CORS, ("Content-Type", "application/json")), answer or b""


def _http_reply(status: int, headers: tuple[tuple[str, str], ...], content: bytes) -> bytes:
    head = f"HTTP/1.1 {status} {'OK' if status < 300 else 'No'}\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers)
    if status == 204:
        return f"{head}\r\n".encode()
    chunk = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk + b"0\r\n\r\n"
