"""Events as they happen, as pieces of HTML, for a browser whose session is still good."""

from collections.abc import Awaitable, Callable
from typing import Final

from cloudchamber.api.call import EdgeRequest
from cloudchamber.api.sse import KEEP_ALIVE, OPENING, Encoded, EventStream
from cloudchamber.clock import SECOND, Clock, Millis
from cloudchamber.messaging.errors import StreamEnded
from cloudchamber.messaging.model import Event
from cloudchamber.messaging.streams import Subscription
from cloudchamber.oauth.model import Principal
from cloudchamber.oauth.web.model import BrowserSession
from cloudchamber.oauth.web.sessions import BrowserSessions

# A session may end in another process, or with its account: after this long its streams have ended, too.
_CHECK_MS: Final = 1 * SECOND


class LiveSessions:
    """The streams that are open, by whose they are: signing out ends them at once."""

    def __init__(self, sessions: BrowserSessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._open: dict[LiveEvents, BrowserSession] = {}

    def stream(
        self, session: BrowserSession, secret: str, subscription: Subscription, render: Callable[[Event], str]
    ) -> "LiveEvents":
        async def still() -> bool:
            return await self._sessions.find(secret) is not None

        stream = LiveEvents(subscription, render, still, self._clock, self._closed)
        self._open[stream] = session
        return stream

    def ended(self, session: BrowserSession) -> None:
        self._end(lambda each: each.hash == session.hash)

    def ended_all(self, principal: Principal) -> None:
        self._end(lambda each: each.principal == principal)

    def _end(self, is_meant: Callable[[BrowserSession], bool]) -> None:
        for stream, session in tuple(self._open.items()):
            if is_meant(session):
                stream.end()

    def _closed(self, stream: "LiveEvents") -> None:
        self._open.pop(stream, None)


class LiveEvents(EventStream):
    def __init__(
        self,
        subscription: Subscription,
        render: Callable[[Event], str],
        still: Callable[[], Awaitable[bool]],
        clock: Clock,
        closed: Callable[["LiveEvents"], None],
    ) -> None:
        super().__init__(subscription, Encoded(), detailed=True, keep_alive_s=_CHECK_MS / 1000)
        self._render = render
        self._still = still
        self._clock = clock
        self._closed = closed
        self._checked_at = clock.now()

    def end(self) -> None:
        self._subscription.end("signed out")

    def _connection_of(self, _req: EdgeRequest) -> None:
        """None: each event asks first whether the session is still good."""

    async def __anext__(self) -> bytes:
        if not self._is_open:
            self._is_open = True
            return OPENING
        try:
            event = await self._subscription.next(self._keep_alive_s)
        except StreamEnded:
            raise StopAsyncIteration from None
        now = self._clock.now()
        if now - self._checked_at >= _CHECK_MS:
            self._checked_at = Millis(now)
            if not await self._still():
                raise StopAsyncIteration
        return KEEP_ALIVE if event is None else frame(self._render(event))

    async def close(self) -> None:
        self._closed(self)
        await super().close()


def frame(html: str) -> bytes:
    """A piece of HTML as one message; its lines are joined again by the browser."""
    lines = html.strip().splitlines()
    return ("".join(f"data: {line}\n" for line in lines) + "\n").encode()
