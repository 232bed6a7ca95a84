"""The HTTP server: what bounds a connection (http1.py) in time and size, and answers that need no ASGI.

httptools refuses what request smuggling needs (Content-Length beside Transfer-Encoding, two lengths, bare LF). What it
does not bound, a client can use to hold memory or a connection for nothing; each limit here ends one such attack.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable
from functools import partial
from typing import Any, ClassVar, Final, cast

from msgspec import Struct

from cloudchamber.access.errors import AccessRefused
from cloudchamber.api.direct import Answer, Asked, DirectAnswers, Form, Posted, Read
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.http1 import (
    Application,
    Headers,
    HttpProtocol,
    RequestResponseCycle,
    Scope,
    Server,
    ServerState,
    status_line,
)
from cloudchamber.api.reply import JSON, request_id
from cloudchamber.api.soon import Cancel, Soon
from cloudchamber.api.sse import CONNECTION, Follower
from cloudchamber.errors import CloudError

_log = logging.getLogger(__name__)

# Tokens in a query, cookies of a proxy: honest headers have a few kilobytes.
MAX_HEADER_BYTES: Final = 64 * 1024
# Repeated headers are joined one by one, which is quadratic: bound their number, too.
MAX_HEADERS: Final = 100
# The parser takes a bare `GET /` for HTTP 0.9, in which there are neither headers nor a status to answer with.
_VERSIONS: Final = frozenset({"1.0", "1.1"})
# From the first byte of a request to its last. A megabyte over a bad phone line takes 10 s.
REQUEST_TIMEOUT_S: Final = 60.0
# How long a client may refuse to take what we have for it (a stopped stream reader) before it is cut off.
WRITE_TIMEOUT_S: Final = 30.0
# A client that is still sending when it is refused would lose the answer if we closed at once: its system throws away
# what it has not read yet. So what it sends is taken and forgotten, for this long and this much.
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 16 * 1024 * 1024
# Longer than the SDKs' and most proxies' pauses between requests, so that theirs ends first.
KEEP_ALIVE_S: Final = 75

# How many requests of one piece of input are answered while it is parsed: who sends thousands at once must not hold up
# everybody else. What is beyond takes turns with the rest.
MAX_DIRECT: Final = 16

# The longest request that a connection keeps to know it again. Programs that ask the same time and again send a few
# hundred bytes.
MAX_KNOWN: Final = 1024

# What every direct answer says besides its date, its number and its length; as the long way has it (app.py).
_DIRECT: Final = (
    b"%bx-request-id: %b\r\naccess-control-allow-origin: *\r\ncontent-length: %d\r\ncontent-type: "
    + JSON.encode()
    + b"\r\n%b\r\n%b"
)
# As the error handlers have it (faults.py): the type before what is peculiar to an error.
_DIRECT_ERROR: Final = (
    b"%bx-request-id: %b\r\naccess-control-allow-origin: *\r\ncontent-type: "
    + JSON.encode()
    + b"\r\n%bcontent-length: %d\r\n\r\n%b"
)
_DIRECT_SECRET: Final = (
    b"%bx-request-id: %b\r\naccess-control-allow-origin: *\r\n"
    + b"".join(f"{name}: {value}\r\n".encode() for name, value in NO_STORE)
    + b"content-length: %d\r\ncontent-type: "
    + JSON.encode()
    + b"\r\n%b\r\n%b"
)
_STATUS_LINE: Final = b"HTTP/1.1 "
_GET: Final = b"GET "
_POST: Final = b"POST "
_END_OF_HEAD: Final = b"\r\n\r\n"
# Copying more than this costs more than sending twice.
_MAX_JOINED: Final = 64 * 1024


class _RequestRefused(Exception):
    """Raised inside a parser callback; the parser hands it back as its own error."""


class _EdgeTransport:
    """The connection's transport, but for two things: `close` asks the protocol first, and an answer's head waits for
    its body, so that both leave in one piece. They are written one by one, and sending a piece costs the system as
    much as all the rest of a small request costs us."""

    def __init__(self, transport: asyncio.Transport, protocol: "EdgeProtocol") -> None:
        self._transport = transport
        self._protocol: EdgeProtocol | None = protocol
        self._head = b""

    def lost(self) -> None:
        """The connection is gone. Whoever still answers holds this, and must not hold the connection."""
        self._protocol = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._protocol is None or self._protocol.is_lingering:
            return
        if self._head:
            if len(data) <= _MAX_JOINED:
                data = self._head + data
            else:
                self._transport.write(self._head)
            self._head = b""
        elif data.startswith(_STATUS_LINE):
            self._head = data
            # A stream's first event can be long in coming, and an answer to HEAD has no body at all.
            self._protocol.loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            if not self._transport.is_closing():
                self._transport.write(head)

    def is_closing(self) -> bool:
        return self._protocol is None or self._protocol.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        self._flush()
        if self._protocol is None or not self._protocol.linger(self._transport):
            self._transport.close()


class _Pending:
    """A request that is being answered directly, in the place of a cycle, as far as that is asked."""

    response_complete = False
    disconnected = False
    keep_alive = True
    more_body = False
    is_started = False

    @property
    def message_event(self) -> "_Pending":
        return self

    def set(self) -> None:
        """Nobody waits for the rest of the body, or for the connection's end."""


class _PendingForm(_Pending):
    def __init__(self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.target = target
        self.headers = headers
        self.body = body


class _PendingSoon(_Pending):
    def __init__(self, asked: Asked, soon: Soon) -> None:
        self.asked = asked
        self.soon = soon
        self.cancel: Cancel | None = None


class _KnownPost(Struct, frozen=True):
    """A POST that was read and answered. `rest` is what its head has behind the path, `length` that of its body."""

    form: Form | Posted
    path: bytes
    rest: bytes
    length: int
    headers: Headers


def _known_post(data: bytes, path: bytes, headers: Headers, form: Form | Posted, body: bytes) -> _KnownPost | None:
    """None where the parser found its parts elsewhere than where they are looked for the next time."""
    start, end = len(_POST) + len(path), len(data) - len(body)
    is_plain = data.startswith(_POST) and data.startswith(path, len(_POST)) and data.endswith(body)
    if not is_plain or data.find(_END_OF_HEAD) != end - len(_END_OF_HEAD):
        return None
    return _KnownPost(form, path, data[start:end], len(body), headers)


class EdgeProtocol(HttpProtocol):
    """One connection."""

    # Of more than thirty attributes an object's dictionary has a table of its own, 1.3 kB for each connection.
    __slots__ = (
        "_answered",
        "_asked",
        "_begun",
        "_date",
        "_direct",
        "_follower",
        "_form",
        "_form_body",
        "_head",
        "_head_of",
        "_header_bytes",
        "_idle_since",
        "_in_request",
        "_keep_alive_timer",
        "_known",
        "_known_data",
        "_known_post",
        "_known_rest",
        "_lingered_bytes",
        "_lingering",
        "_peer",
        "_posted",
        "_read",
        "_request_timer",
        "_soon",
        "_stream",
        "_was_direct",
        "_write_timer",
    )

    idle_s: ClassVar[float] = KEEP_ALIVE_S

    def __init__(self, app: Application, state: ServerState) -> None:
        super().__init__(app, state)
        self._direct: DirectAnswers | None = getattr(app, "direct", None)
        self._begun = self._answered = 0
        self._asked: Asked | None = None
        self._read: Read | None = None
        self._known_data = self._known_rest = b""
        self._known: Asked | None = None
        self._known_post: _KnownPost | None = None
        self._posted: tuple[Form | Posted, bytes] | None = None
        self._was_direct = False
        self._form: Form | Posted | None = None
        self._form_body = b""
        self._soon: _PendingSoon | None = None
        self._idle_since = 0.0
        self._head_of: Headers | None = None
        self._head = self._date = b""
        self._in_request = False
        self._header_bytes = 0
        self._request_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._lingered_bytes = 0
        self._follower: Follower | None = None
        self._keep_alive_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transports are none of asyncio's classes.
        stream = cast("asyncio.Transport", transport)
        # asyncio does this only for sockets made with an explicit protocol number, which listeners seldom are; without
        # it each further piece of an answer waits 40 ms for the client to acknowledge the last one.
        connection = stream.get_extra_info("socket")
        if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(cast("asyncio.Transport", _EdgeTransport(stream, self)))
        self._stream = stream
        self._peer = self.client[0] if self.client else ""
        self._idle_since = self.loop.time()
        self._keep_alive_for(self.idle_s)

    def data_received(self, data: bytes) -> None:
        known, direct = self._known, self._direct
        if direct is not None and not self._in_request:
            # Every check is made again, whatever is known of a request.
            if known is not None:
                if data == self._known_data:
                    if self._answers_asked(direct, known):
                        return
                elif data.endswith(self._known_rest) and self._answers_another(direct, data, known):
                    return
            elif self._known_post is not None and self._answers_post(direct, data, self._known_post):
                return
        if self._lingering is not None:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES:
                self.transport.abort()
            return
        is_new = not self._in_request
        self._begun = self._answered = 0
        HttpProtocol.data_received(self, data)  # `super()` is an object more for each request
        posted, self._posted = self._posted, None  # a secret may stand in its body
        if not self._in_request:
            # The usual case: the whole request came in one piece, and no timer was ever set.
            if self._request_timer is not None:
                self._request_timer.cancel()
                self._request_timer = None
            if is_new and self._answered == self._begun == 1 and len(data) <= MAX_KNOWN:
                self._know(data, posted)
            return
        if self._request_timer is None:
            self._request_timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._too_slow)
        # Of a piece in which other requests ended nobody knows how much is this one's.
        if self.in_headers and (not self._begun or (is_new and self._begun == 1)):
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large")

    def on_message_begin(self) -> None:
        self._begun += 1
        if self._request_timer is not None:
            # Another one's, that ended in this very piece of input.
            self._request_timer.cancel()
            self._request_timer = None
        self._in_request = self.in_headers = True
        self._header_bytes = 0
        self.url, self.headers = b"", []

    def on_headers_complete(self) -> None:
        self.in_headers = False
        version = self.parser.get_http_version()
        if len(self.headers) > MAX_HEADERS or version not in _VERSIONS:
            raise _RequestRefused
        if self._direct is not None and version == "1.1" and self._answers(self._direct):
            self._was_direct = True
            return
        if self._direct is not None and version == "1.1" and self._takes_form(self._direct):
            return
        super().on_headers_complete()

    def scope_of(self, *args: Any, **kwargs: Any) -> Scope:
        scope = super().scope_of(*args, **kwargs)
        scope[CONNECTION] = self
        return scope

    def on_body(self, body: bytes) -> None:
        if self._form is not None:
            self._form_body += body
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        if self._was_direct:
            self._was_direct = False
            return
        if self._form is not None and self._direct is not None:
            form, body = self._form, self._form_body
            self._form, self._form_body = None, b""
            if self._answers_form(self._direct, form, body, self.url, self.headers):
                self._posted = form, body
                return
            super().on_headers_complete()
            super().on_body(body)
        super().on_message_complete()

    def _answers(self, direct: DirectAnswers) -> bool:
        """True when the request is answered. False: it goes the long way, and nothing has happened."""
        parser = self.parser
        if parser.get_method() != b"GET" or not parser.should_keep_alive():
            return False
        read = direct.read(self.url, self.headers, self._peer, self._read)
        if read is None or self._answered >= MAX_DIRECT or not self._answers_asked(direct, read.asked):
            return False
        self._read, self._asked = read, read.asked
        self._answered += 1
        return True

    def _know(self, data: bytes, posted: tuple[Form | Posted, bytes] | None) -> None:
        """`data` was one whole request, which was answered. What it asks is known of the next one as well, if that is
        the same, byte for byte and at the same place: the parser could only find the same in it."""
        self._known = self._asked
        self._known_post = None if posted is None else _known_post(data, self.url, self.headers, *posted)
        if self._known is None:
            return
        url = self.url
        if data.startswith(_GET) and data.startswith(url, len(_GET)):
            self._known_data, self._known_rest = data, data[len(_GET) + len(url) :]
        else:
            # Something stands before it.
            self._known = None

    def _answers_another(self, direct: DirectAnswers, data: bytes, known: Asked) -> bool:
        """Answers a request that differs from the one before it in its path alone. As with one that came byte for byte
        the same, the parser's state is that of before either of them, and what is asked is known without it: a path
        that `another` takes has nothing but letters, digits, `_`, `-` and `/`, and behind it stand the bytes that the
        parser has seen there, so it could find no other end of the path, and nothing else in what follows."""
        if len(data) > MAX_KNOWN or not data.startswith(_GET):
            return False
        asked = direct.another(data[len(_GET) : -len(self._known_rest)], known)
        if asked is None or not self._answers_asked(direct, asked):
            return False
        self._known_data, self._known = data, asked
        return True

    def _answers_post(self, direct: DirectAnswers, data: bytes, known: _KnownPost) -> bool:
        """The same, of a POST whose body is as long as that of the one before it, and may be another one."""
        end = len(data) - known.length
        start = end - len(known.rest)
        if start <= len(_POST) or len(data) > MAX_KNOWN:
            return False
        if not data.startswith(_POST) or not data.startswith(known.rest, start):
            return False
        path, form = data[len(_POST) : start], known.form
        if path != known.path:
            if not isinstance(form, Posted):
                return False
            posted = direct.another_post(path, form)
            if posted is None:
                return False
            form = posted
        if not self._answers_form(direct, form, data[end:], path, known.headers):
            return False
        if path != known.path:
            self._known_post = _KnownPost(form, path, known.rest, known.length, known.headers)
        return True

    def _answers_asked(self, direct: DirectAnswers, asked: Asked) -> bool:
        # Answers leave in the order of their requests; and nothing leaves a connection that is being closed, or to a
        # reader who does not read.
        if self._is_answering() or self.flow.write_paused or self._lingering is not None or self._stream.is_closing():
            return False
        return self._answers_with(direct, asked, direct.answer(asked))

    def _answers_with(self, direct: DirectAnswers, asked: Asked, answer: bytes | Soon | AccessRefused | None) -> bool:
        if answer is None:
            return False
        if isinstance(answer, Soon):
            self._begin(direct, asked, answer)
            return True
        number = request_id()
        if isinstance(answer, AccessRefused):
            self._write_answer(direct.refused(asked, answer, number), number, b"")
        else:
            self._stream.write(_DIRECT % (self._status_and_date(), number.encode(), len(answer), b"", answer))
        self._is_answered()
        return True

    # What is answered when a device has been asked.

    def _begin(self, direct: DirectAnswers, asked: Asked, soon: Soon) -> None:
        # From here on further requests of this connection wait for the answer, as for any other.
        self._soon = pending = _PendingSoon(asked, soon)
        self.cycle = self.running = cast("RequestResponseCycle", pending)
        try:
            cancel = soon.begin(partial(self._told, direct, pending))
        except Exception as error:
            # Our own bug. The parser would take it for the client's.
            self._told(direct, pending, error)
            return
        if not pending.response_complete:
            pending.cancel = cancel

    def _told(self, direct: DirectAnswers, pending: _PendingSoon, told: Any) -> None:
        if pending.response_complete or pending.disconnected:
            return
        self._soon = None
        number = request_id()
        answer = direct.said(pending.asked, pending.soon, told, number)
        pending.response_complete, pending.cancel = True, None
        if self._lingering is not None or self._stream.is_closing():
            return
        self._write_answer(answer, number, b"" if pending.keep_alive else b"connection: close\r\n")
        if not pending.keep_alive:
            self.transport.close()
        if self.pipeline:
            self.on_response_complete()
        else:
            self._is_answered()

    def _write_answer(self, answer: Answer, number: str, more: bytes) -> None:
        head, body = self._status_and_date(answer.status), answer.body
        if answer.status == 200:
            self._stream.write(_DIRECT % (head, number.encode(), len(body), more, body))
        else:
            more = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in answer.headers) + more
            self._stream.write(_DIRECT_ERROR % (head, number.encode(), more, len(body), body))

    def _is_answered(self) -> None:
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()

    def _nobody_listens(self) -> None:
        pending, self._soon = self._soon, None
        if pending is None or pending.response_complete:
            return
        pending.disconnected = True
        if pending.cancel is not None:
            pending.cancel()
        if self._direct is not None:
            self._direct.unheard(pending.asked, pending.soon, request_id())

    # Forms: they wait for their bodies, and may wait for the disk. Whatever cannot be answered goes the long way then.

    def _takes_form(self, direct: DirectAnswers) -> bool:
        parser = self.parser
        if parser.get_method() != b"POST" or not parser.should_keep_alive() or self._answered >= MAX_DIRECT:
            return False
        self._form = direct.read_post(self.url, self.headers, self._peer)
        return self._form is not None

    def _answers_form(
        self, direct: DirectAnswers, form: Form | Posted, body: bytes, target: bytes, headers: Headers
    ) -> bool:
        if self._is_answering() or self.flow.write_paused or self._lingering is not None or self._stream.is_closing():
            return False
        if isinstance(form, Posted):
            if not self._answers_with(direct, form.asked, direct.answer_post(form, body)):
                return False
            self._answered += 1
            self._asked = None
            return True
        answer = direct.answer_form(form, body)
        if answer is None:
            return False
        self._answered += 1
        self._asked = None
        if isinstance(answer, bytes):
            self._write_secret(answer, b"")
            self._is_answered()
            return True
        # From here on further requests of this connection wait for the answer, as for any other.
        pending = _PendingForm(target, headers, body)
        self.cycle = self.running = cast("RequestResponseCycle", pending)
        task = self.loop.create_task(self._answer_later(pending, answer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return True

    async def _answer_later(self, pending: _PendingForm, answer: Awaitable[bytes | None]) -> None:
        try:
            body = await answer
        except CloudError:
            # Nothing was changed; the long way says it.
            body = None
        except Exception:
            # Nothing was changed here either, and the long way may not have it.
            _log.exception("%s could not be answered directly", pending.target.decode("ascii"))
            body = None
        if body is None:
            self._ask_again(pending)
            return
        pending.response_complete = True
        if self.transport.is_closing():
            return
        self._write_secret(body, b"" if pending.keep_alive else b"connection: close\r\n")
        if not pending.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write_secret(self, body: bytes, more: bytes) -> None:
        head = self._status_and_date()
        self._stream.write(_DIRECT_SECRET % (head, request_id().encode(), len(body), more, body))

    def _ask_again(self, pending: _PendingForm) -> None:
        """The long way, from the request's beginning. The parser may be at the next one already."""
        scope = self.scope_of("POST", pending.target.decode("ascii"), pending.target, b"", pending.headers)
        cycle = self.cycle_of(scope, expect_100_continue=False, keep_alive=pending.keep_alive)
        cycle.body += pending.body
        cycle.more_body = False
        cycle.disconnected = pending.disconnected
        cycle.message_event.set()
        if cast("object", self.cycle) is pending:
            self.cycle = cycle
        pending.response_complete = True
        self.start(cycle)

    def _status_and_date(self, status: int = 200) -> bytes:
        # The list is another once a second.
        headers = self.server_state.default_headers
        if headers is not self._head_of:
            self._head_of = headers
            self._date = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._head = status_line(200) + self._date
        return self._head if status == 200 else status_line(status) + self._date

    # Keep-alive. A timer for each answer, cancelled with the next request, would cost a tenth of a small request. So a
    # connection has one from its beginning; when it fires, it looks how long there was nothing.

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _idle_for_long(self) -> None:
        is_busy = self._in_request or self._is_answering()
        left = self.idle_s if is_busy else self._idle_since + self.idle_s - self.loop.time()
        if left > 0:
            self._keep_alive_for(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def _is_answering(self) -> bool:
        """Is there a request, sent whole or in part, whose answer is not complete?"""
        return self.cycle is not None and not self.cycle.response_complete

    def _keep_alive_for(self, seconds: float) -> None:
        self._keep_alive_timer = self.loop.call_later(seconds, self._idle_for_long)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            # close() would wait for the very reader who does not read.
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if self._follower is not None:
            self._follower.writable()

    # Streams (sse.Connection): no task is woken for a piece.

    @property
    def is_full(self) -> bool:
        return bool(self.flow.write_paused)

    def follow(self, follower: Follower | None) -> None:
        self._follower = follower
        if follower is not None and self._stream.is_closing():
            follower.lost()

    def write_chunks(self, chunks: bytes) -> None:
        self._stream.write(chunks)

    @property
    def is_lingering(self) -> bool:
        return self._lingering is not None

    def linger(self, transport: asyncio.Transport) -> bool:
        """True when closing has to wait, because the client is still sending; then it happens by itself."""
        if not self._in_request or self._lingering is not None or transport.is_closing():
            return False
        self._lingering = self.loop.call_later(LINGER_S, transport.close)
        if self._request_timer is not None:
            self._request_timer.cancel()
        transport.resume_reading()
        # The client sees the end at once, and usually closes before the timer does.
        transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._request_timer, self._write_timer, self._lingering, self._keep_alive_timer):
            if timer is not None:
                timer.cancel()
        self._request_timer = self._write_timer = None
        if self._follower is not None:
            self._follower.lost()
        self._nobody_listens()
        super().connection_lost(exc)
        # Otherwise only the garbage collector could tell that nobody needs this any more, and it looks seldom
        # (garbage.py). A request that is still being answered has a task, which holds what it needs.
        self.scope, self.cycle, self.running = {}, None, None
        cast("_EdgeTransport", self.transport).lost()

    def _too_slow(self) -> None:
        self._request_timer = None
        if self._in_request and not self.transport.is_closing():
            self.transport.abort()


def make_server(app: Application) -> Server:
    """To be run inside of the caller's loop, next to everything else in it."""
    return Server(app, EdgeProtocol)
