"""HTTP/1.1 for ASGI applications, on llhttp's parser (httptools): connections, their requests and answers, a listener.

`HttpProtocol` is one connection. The parser calls its `on_...` methods; each request becomes a `RequestResponseCycle`,
which is the application's `receive` and `send`, in a task of its own. Requests that come before the last answer is
complete wait in `pipeline`, so that answers leave in the order of their requests (RFC 9112 9.3.2). What bounds a
connection in time and size is the subclass's, in server.py.

There are servers for this that do more (TLS, WebSockets, worker processes, reloading, logging of their own). What they
load for it is 3 MB that this server would never use.
"""

import asyncio
import logging
import re
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from email.utils import formatdate
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import httptools

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# The body of a request that its handler does not read yet.
_MAX_UNREAD: Final = 64 * 1024

# Requests that wait for their turn. With so many nothing more is read, not even for a handler that listens whether its
# client is still there; what one piece of input had beyond waits, too.
MAX_PIPELINED: Final = 16

# RFC 9110 5.1 and 5.5. An application's value with a line end in it would begin a header, or an answer, of its own.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_FAILED: Final = b'{"ok":false,"error":"Internal error"}'

_log = logging.getLogger(__name__)


@cache
def status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


class ServerState:
    """What the connections of a listener share. `default_headers` is replaced once a second, and never changed."""

    def __init__(self) -> None:
        self.connections: set[HttpProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.total_requests = 0
        self.default_headers: Headers = []


class FlowControl:
    """Whether a connection takes what is written to it, and whether it is read from."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._writable = asyncio.Event()
        self._writable.set()
        self.read_paused = False
        self.write_paused = False
        self.is_full = False
        """Nothing is read, whoever asks for it."""

    async def drain(self) -> None:
        await self._writable.wait()

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused and not self.is_full:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self.write_paused = False
        self._writable.set()


class RequestResponseCycle:
    """One request and its answer."""

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: Headers,
        *,
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.keep_alive = keep_alive
        self.disconnected = False
        self.body = bytearray()
        self.more_body = True
        self.message_event = asyncio.Event()
        """Set when there is something to receive: a part of the body, its end, or the client's."""
        self.response_complete = False
        self._default_headers = default_headers
        self._expects_100_continue = expect_100_continue
        self._on_response = on_response
        self.is_started = False
        self._is_chunked: bool | None = None
        self._left = 0
        """Bytes of the answer's body that are still to come, where it has a length."""

    async def run(self, app: Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.transport.close()
            raise
        except Exception:
            _log.exception("an application failed")
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                _log.error("an application returned without a whole answer")
                await self._fail()

    async def _fail(self) -> None:
        if self.is_started or self.disconnected:
            self.transport.close()
            return
        headers = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", str(len(_FAILED)).encode()),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": _FAILED})

    # --- the application's side (ASGI, HTTP 2.3) ----------------------------------------------------------------------

    async def receive(self) -> Message:
        if self._expects_100_continue and not self.transport.is_closing():
            self._expects_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.is_started:
            if kind != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not with {kind}")
            self.is_started = True
            self._expects_100_continue = False
            self._send_head(message["status"], message.get("headers", ()))
            return
        if self.response_complete or kind != "http.response.body":
            raise RuntimeError(f"{kind} has no place here in an answer")
        self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))

    def _send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        says_close = False
        pieces = [status_line(status)]
        for name, value in (*self._default_headers, *headers):
            if _NAME.fullmatch(name) is None or _NOT_IN_VALUE.search(value) is not None:
                raise RuntimeError("a header's name or value has bytes that it cannot have")
            name = name.lower()
            if name == b"content-length" and self._is_chunked is None:
                self._left = int(value)
                self._is_chunked = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self._left = 0
                self._is_chunked = True
            elif name == b"connection" and b"close" in {token.strip() for token in value.lower().split(b",")}:
                self.keep_alive = False
                says_close = True
            pieces += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not says_close:
            pieces.append(b"connection: close\r\n")
        if self._is_chunked is None and self.scope["method"] != "HEAD" and status not in {204, 304}:
            self._is_chunked = True
            pieces.append(b"transfer-encoding: chunked\r\n")
        pieces.append(b"\r\n")
        self.transport.write(b"".join(pieces))

    def _send_body(self, body: bytes, *, is_last: bool) -> None:
        if self.scope["method"] == "HEAD":
            self._left = 0
            # The head leaves now, before whatever else is answered.
            self.transport.write(b"")
        elif self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(chunk + b"0\r\n\r\n" if is_last else chunk)
        else:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("an answer is longer than its content-length")
            self.transport.write(body)
        if not is_last:
            return
        if self._left:
            raise RuntimeError("an answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        # The connection holds this object; it lets go of the connection.
        on_response, self._on_response = self._on_response, _nothing
        on_response()


def _nothing() -> None:
    pass


class HttpProtocol(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "app",
        "client",
        "cycle",
        "flow",
        "headers",
        "in_headers",
        "is_refused",
        "loop",
        "parser",
        "pipeline",
        "running",
        "scope",
        "server",
        "server_state",
        "tasks",
        "transport",
        "url",
    )

    def __init__(self, app: Application, state: ServerState) -> None:
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        # What a client sends after a request with `Connection: close` must not keep it from the answer to that request.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.server_state = state
        self.tasks = state.tasks
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until there is a connection
        self.flow: FlowControl = None  # type: ignore[assignment]
        self.server: tuple[str, int] | None = None
        self.client: tuple[str, int] | None = None
        self.pipeline: deque[RequestResponseCycle] = deque()
        """Whole or half requests whose turn is not yet, the oldest first."""
        self.cycle: RequestResponseCycle | None = None
        """The newest request."""
        self.running: RequestResponseCycle | None = None
        """The request that is being answered, or was answered last."""
        self.in_headers = False
        self.is_refused = False
        """What comes is not for the parser any more."""
        self.url = b""
        self.headers: Headers = []
        self.scope: Scope = {}

    # --- the transport's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream: Any = transport  # uvloop's transports are none of asyncio's classes
        self.transport = stream
        self.flow = FlowControl(stream)
        self.server = _address(stream.get_extra_info("sockname"))
        self.client = _address(stream.get_extra_info("peername"))
        self.server_state.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.is_refused:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            # The request is answered as if it had not asked (RFC 9110 7.8). The parser reads nothing behind it.
            self.shutdown()

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        # Whoever is asked may be waiting, and not be the newest.
        for cycle in (self.running, *self.pipeline):
            if cycle is not None:
                if not cycle.response_complete:
                    cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        # It holds this object, and this one it.
        self.parser = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        """What is being answered is answered."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    # --- the parser's side --------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_headers = True
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are no headers (RFC 9110 6.5.1): who looks at a request on its way to us may not look at those.
        if self.in_headers:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.in_headers = False
        url = httptools.parse_url(self.url)
        version = self.parser.get_http_version()
        path = url.path.decode("ascii")
        self.scope = self.scope_of(
            self.parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            url.path,
            url.query or b"",
            self.headers,
            version=version,
        )
        wanted = [value.lower() for name, value in self.headers if name == b"expect"]
        cycle = self.cycle_of(
            self.scope,
            expect_100_continue=b"100-continue" in wanted,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
        )
        is_first = self.cycle is None or self.cycle.response_complete
        self.cycle = cycle
        if is_first:
            self.start(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.append(cycle)
            self.flow.is_full = len(self.pipeline) >= MAX_PIPELINED

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > _MAX_UNREAD:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.more_body = False
        cycle.message_event.set()

    # --- requests and answers -----------------------------------------------------------------------------------------

    def scope_of(
        self, method: str, path: str, raw_path: bytes, query: bytes, headers: Headers, *, version: str = "1.1"
    ) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": "http",
            "root_path": "",
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }

    def cycle_of(self, scope: Scope, *, expect_100_continue: bool, keep_alive: bool) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope,
            self.transport,
            self.flow,
            self.server_state.default_headers,
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def start(self, cycle: RequestResponseCycle) -> None:
        self.running = cycle
        task = self.loop.create_task(cycle.run(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.start(self.pipeline.popleft())
        self.flow.is_full = len(self.pipeline) >= MAX_PIPELINED
        self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """In the API's shape, for requests that never become one. Where others are being answered, the connection ends
        with the last of them instead: nobody may take this for the answer to an earlier request, or for a part of it.
        """
        self.is_refused = True
        newest = self.cycle
        if newest is not None and not newest.response_complete:
            if newest.more_body and newest is not self.running:
                self.pipeline.pop()
                newest = self.pipeline[-1] if self.pipeline else self.running
                self.cycle = newest
            if newest is not None and not newest.more_body:
                newest.keep_alive = False
                return
            if newest is not None and newest.is_started:
                self.transport.close()
                return
        body = b'{"ok":false,"error":"' + msg.encode("ascii", "replace") + b'"}'
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()


def _address(found: Any) -> tuple[str, int] | None:
    """Of IPv4 or IPv6; a socket of this machine's file system has none."""
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None


class Server:
    """An application on a listener, inside of the caller's loop."""

    def __init__(self, app: Application, protocol: Callable[[Application, ServerState], HttpProtocol]) -> None:
        self._app = app
        self._protocol = protocol
        self._state = ServerState()
        self._listening: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket) -> None:
        """`listener` is bound, and this one's from now on."""
        self._tick()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: self._protocol(self._app, self._state), sock=listener, backlog=_BACKLOG
        )

    def _tick(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
        self._ticking = asyncio.get_running_loop().call_later(1.0, self._tick)

    async def stop(self, within_s: float) -> None:
        """No new connections and requests; what is being answered has this long to end."""
        if self._listening is None:
            return
        self._listening.close()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + within_s
        while self._is_busy() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - two sets that empty
            await asyncio.sleep(_POLL_S)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        if self._ticking is not None:
            self._ticking.cancel()

    def _is_busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks)


_BACKLOG: Final = 2048
_POLL_S: Final = 0.01
