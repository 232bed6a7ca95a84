"""Server-sent events, framed for the parsers that the vendor's clients really have.

- `:ok` and an empty line go out at once: clients wait for headers 15 s at most.
- Lines end with LF alone: a CR LF pair that is split over two chunks breaks the SDK's parser.
- One chunk for each event, and everything beyond ASCII escaped: the SDK decodes each chunk by itself, and half a
  character would be damaged.
- A lone LF after 9 s of silence: the older SDK reconnects after 13 s without a byte.

An event is encoded once and its bytes are shared by every stream that carries it. Where the server has a way for it
(`Connection`), they go from the subscription to the connection without waking the stream's task.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

import falcon.asgi

from cloudchamber.api.call import EdgeRequest
from cloudchamber.clock import iso
from cloudchamber.messaging.errors import StreamEnded
from cloudchamber.messaging.model import Event
from cloudchamber.messaging.streams import Subscription

OPENING: Final = b":ok\n\n"
KEEP_ALIVE: Final = b"\n"
KEEP_ALIVE_S: Final = 9.0

CONNECTION: Final = "cloudchamber.connection"
"""What the ASGI scope calls the Connection of a request."""

_encode_json = json.JSONEncoder(separators=(",", ":")).encode

# The listeners of one event take it within moments of each other; what is older is not asked for again.
_MAX_ENCODED: Final = 256


def encode_event(event: Event, *, detailed: bool) -> bytes:
    """One frame. `detailed` adds what only a product's own team may see of its devices."""
    body: dict[str, Any] = {
        "data": event.data,
        "ttl": event.ttl_s,
        "published_at": iso(event.published_at),
        "coreid": event.source,
    }
    if detailed:
        # Absent where there is none: the SDK declares them as strings and numbers that may be missing, never null.
        if event.user_id is not None:
            body["userid"] = event.user_id
        if event.version is not None:
            body["fw_version"] = event.version
        body["public"] = event.is_public
        if event.product_id is not None:
            body["productID"] = event.product_id
    # The standard library's encoder escapes everything beyond ASCII; line ends in the data are escaped by any.
    text = _encode_json(body)
    name = event.name.replace("\r", " ").replace("\n", " ")
    return f"event: {name}\ndata: {text}\n\n".encode()


class Follower(Protocol):
    """Who writes to a connection while its answer has begun and not ended."""

    def writable(self) -> None:
        """What was written is taken."""

    def lost(self) -> None:
        """The client is gone."""


class Connection(Protocol):
    """The server's side of a request whose answer is a stream in chunks."""

    @property
    def is_full(self) -> bool:
        """The client does not take what was written."""
        ...

    def follow(self, follower: Follower | None) -> None: ...

    def write_chunks(self, chunks: bytes) -> None:
        """In the transfer coding of HTTP/1.1, in order with what the answer's body says by itself."""


class Encoded:
    """The frames of recent events, by the event object itself: equal events of different moments stay different."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[int, bool], tuple[Event, bytes]] = OrderedDict()
        self._chunks: dict[bool, tuple[tuple[Event, ...], bytes]] = {}

    def frame(self, event: Event, *, detailed: bool) -> bytes:
        key = (id(event), detailed)
        known = self._frames.get(key)
        # The entry holds the event, so its id cannot be another's while it is here.
        if known is not None and known[0] is event:
            return known[1]
        frame = encode_event(event, detailed=detailed)
        self._frames[key] = (event, frame)
        if len(self._frames) > _MAX_ENCODED:
            self._frames.popitem(last=False)
        return frame

    def chunks(self, events: tuple[Event, ...], *, detailed: bool) -> bytes:
        """Of events that go to many listeners one right after the other, as the same object."""
        known = self._chunks.get(detailed)
        if known is not None and known[0] is events:
            return known[1]
        frames = (self.frame(event, detailed=detailed) for event in events)
        chunks = b"".join([b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames])
        self._chunks[detailed] = (events, chunks)
        return chunks


class EventStream:
    """The answer of a handler that opened a subscription: its frames, until it ends or the client is gone."""

    def __init__(
        self, subscription: Subscription, encoded: Encoded, *, detailed: bool, keep_alive_s: float = KEEP_ALIVE_S
    ) -> None:
        self._subscription = subscription
        self._encoded = encoded
        self._detailed = detailed
        self._keep_alive_s = keep_alive_s
        self._is_open = False
        self._watcher: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._is_attached = False
        self._written_at = 0.0
        self.on_close: Callable[[], None] | None = None

    def start(self, req: EdgeRequest, resp: falcon.asgi.Response) -> None:
        """Makes this the body of the response."""
        resp.set_header("content-type", "text/event-stream")
        resp.set_header("cache-control", "no-cache")
        # Proxies that buffer would keep events back.
        resp.set_header("x-accel-buffering", "no")
        if req.method == "HEAD":
            self._subscription.close()
            return
        resp.stream = self
        self._connection = self._connection_of(req)
        if self._connection is None:
            self._watcher = asyncio.create_task(self._until_disconnected(req))
        else:
            self._connection.follow(self)

    def _connection_of(self, req: EdgeRequest) -> Connection | None:
        """To write to it directly."""
        connection: Connection | None = req.scope.get(CONNECTION)
        return connection

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        if not self._is_open:
            self._is_open = True
            return OPENING
        try:
            if self._connection is not None:
                await self._until_silent()
                return KEEP_ALIVE
            event = await self._subscription.next(self._keep_alive_s)
        except StreamEnded:
            raise StopAsyncIteration from None
        return KEEP_ALIVE if event is None else self._encoded.frame(event, detailed=self._detailed)

    async def _until_silent(self) -> None:
        """Until there was nothing to write for a while. Raises StreamEnded."""
        time = asyncio.get_running_loop().time
        silent_since = time()
        if not self._is_attached:
            # Only now: what the stream begins with is written.
            self._is_attached = True
            self._subscription.attach(self)
        while (left_s := max(silent_since, self._written_at) + self._keep_alive_s - time()) > 0:
            await self._subscription.until_ended(left_s)

    # What the subscription and the connection tell, without a task in between.

    def write(self, events: tuple[Event, ...]) -> bool:
        connection = self._connection
        assert connection is not None
        if connection.is_full:
            return False
        connection.write_chunks(self._encoded.chunks(events, detailed=self._detailed))
        self._written_at = asyncio.get_running_loop().time()
        return True

    def writable(self) -> None:
        self._subscription.resume()

    def lost(self) -> None:
        # `end`, not `close`: it wakes the task that waits for the stream's end.
        self._subscription.end("the reader went away")

    async def close(self) -> None:
        """Called by the framework at the end of the stream, whatever ended it."""
        self._subscription.close()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._connection is not None:
            self._connection.follow(None)
        if self.on_close is not None:
            self.on_close()

    async def _until_disconnected(self, req: EdgeRequest) -> None:
        # Nothing else tells that a silent client is gone: the server takes what is sent to it without a word.
        while (await req.receive())["type"] != "http.disconnect":
            pass
        self.lost()
