"""The cloud's end of a TCP connection behind its handshake (`stranger.py`): frames and session behind one surface. The
device's: `device.py`.

    receive(data, now)   receive_eof(now)   events()   data_to_send(now)   next_deadline()   handle_deadline(now)

`now` is monotonic time in float seconds. `receive` raises nothing, whatever the peer sends: bad input ends in one
`Closed`.
"""

from typing import TYPE_CHECKING, Final

from cloudchamber.wire.errors import DecryptionError, FramingError
from cloudchamber.wire.events import CloseReason
from cloudchamber.wire.session.cloud import CloudSession
from cloudchamber.wire.tcp.channel import Opener, Sealer
from cloudchamber.wire.tcp.handshake import split_credentials
from cloudchamber.wire.transport import Transport

if TYPE_CHECKING:
    from cloudchamber.wire.session.device import DeviceSession

REST_AFTER_S: Final = 2.0
"""A session in which something goes on is seldom silent for so long."""


class CloudConnection(CloudSession):
    """The server's end of one TCP connection. Commands and their outcomes: `CloudCommands`."""

    __slots__ = ("_opener", "_sealer")

    def __init__(self, credentials: bytes, *, hello_until: float, now: float, first_message_id: int = 0) -> None:
        """`credentials`: the 40 bytes that the device was admitted with. Hello must come until `hello_until`."""
        super().__init__(Transport.TCP, first_message_id, now)
        self._hello_deadline = hello_until
        secret = split_credentials(credentials)
        self._sealer = Sealer(secret.key, secret.iv)
        self._opener = Opener(secret.key, secret.iv)

    def receive(self, data: bytes, now: float) -> None:
        if not self._closed:
            self._opener.feed(data)
            receive_frames(self, self._opener, now)

    def receive_eof(self, now: float) -> None:
        """The peer sends nothing any more. A device half-closes and waits for our end: it is over for both."""
        self._end(CloseReason.PEER if self._opener.is_between_frames else CloseReason.TRUNCATED, "", now)

    def data_to_send(self, now: float, *, has_room: bool = True) -> bytes:
        """What to write now; each byte is given once. `has_room`: there is room for an update's next chunks, too; ask
        again when there is."""
        if has_room and self._sender is not None:
            self._fill_update(now)
        return seal_messages(self, self._sealer) if self._outbox else b""

    def next_deadline(self) -> float | None:
        return self._session_deadline()

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        self._handle_session_deadline(now)
        # Of a connection that is alive there is a deadline every 20 s, and few of them pass in a busy moment.
        if now >= self._heard_at + REST_AFTER_S:
            self._opener.rest()
            self._sealer.rest()


def receive_frames(session: "CloudSession | DeviceSession", opener: Opener, now: float) -> None:
    try:
        while not session.is_closed:
            message = opener.next_message_untrusted()
            if message is None:
                return
            session.message_received(message, now)
    except FramingError as error:
        session._end(CloseReason.FRAMING, str(error), now)
    except DecryptionError as error:
        session._end(CloseReason.DECRYPTION, str(error), now)


def seal_messages(session: "CloudSession | DeviceSession", sealer: Sealer) -> bytes:
    messages = session._take_messages()
    if len(messages) == 1:
        return sealer.seal(messages[0])
    return b"".join([sealer.seal(message) for message in messages])
