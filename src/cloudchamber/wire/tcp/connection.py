"""The cloud's end of a TCP connection: handshake, frames and session behind one surface. The device's: `device.py`.

    receive(data, now)   receive_eof(now)   events()   data_to_send(now)   next_deadline()   handle_deadline(now)

`now` is monotonic time in float seconds. `receive` raises nothing, whatever the peer sends: bad input ends in one
`Closed`. The cloud's end goes through five states:

    CIPHERTEXT --256 bytes--> DECRYPTING --handshake_decrypted--> IDENTIFYING --admit--> SESSION --> closed
                              (DecryptHandshake)                  (IdentifyDevice)

A failed decryption and a wrong nonce are one and the same to the peer: the stream ends without an answer.
"""

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cloudchamber.wire.errors import DecryptionError, FramingError
from cloudchamber.wire.events import CloseReason, DecryptHandshake, IdentifyDevice
from cloudchamber.wire.session.base import earliest
from cloudchamber.wire.session.cloud import CloudSession
from cloudchamber.wire.tcp.channel import Opener, Sealer
from cloudchamber.wire.tcp.handshake import (
    CIPHERTEXT_SIZE,
    NONCE_SIZE,
    REPLY_SIZE,
    read_identity,
    split_credentials,
)
from cloudchamber.wire.transport import Transport

if TYPE_CHECKING:
    from cloudchamber.wire.session.device import DeviceSession

CIPHERTEXT_TIMEOUT_S: Final = 10.0
"""A device answers the nonce as fast as it can encrypt (under 1 s); this bounds what an idle stranger costs."""

ANSWER_TIMEOUT_S: Final = 20.0
"""A device waits 20 s for our 384 bytes; whoever still decrypts or looks up a key then does so for nobody."""

MAX_EARLY_BYTES: Final = 1024
"""A device has nothing to say between its ciphertext and our answer."""

REST_AFTER_S: Final = 2.0
"""A session in which something goes on is seldom silent for so long."""


class _State(Enum):
    CIPHERTEXT = auto()
    DECRYPTING = auto()
    IDENTIFYING = auto()
    SESSION = auto()


class CloudConnection(CloudSession):
    """The server's end of one TCP connection. Commands and their outcomes: `CloudCommands`."""

    __slots__ = ("_buffer", "_nonce", "_opener", "_ready", "_sealer", "_state", "_step_deadline")

    def __init__(self, *, nonce: bytes, now: float, first_message_id: int = 0) -> None:
        """`nonce`: 40 random bytes, new for each connection; they are sent at once."""
        assert len(nonce) == NONCE_SIZE
        super().__init__(Transport.TCP, first_message_id, now)
        self._state = _State.CIPHERTEXT
        self._nonce = nonce
        self._buffer = bytearray()
        self._ready = bytearray(nonce)
        self._step_deadline: float | None = now + CIPHERTEXT_TIMEOUT_S
        self._opener: Opener | None = None
        self._sealer: Sealer | None = None

    def receive(self, data: bytes, now: float) -> None:
        if self._closed:
            return
        if self._opener is not None:
            self._opener.feed(data)
            receive_frames(self, self._opener, now)
            return
        if self._state is _State.CIPHERTEXT and len(self._buffer) + len(data) >= CIPHERTEXT_SIZE:
            if self._buffer or len(data) > CIPHERTEXT_SIZE:
                self._buffer += data
                data = bytes(self._buffer[:CIPHERTEXT_SIZE])
                del self._buffer[:CIPHERTEXT_SIZE]
            self._state = _State.DECRYPTING
            self._step_deadline = now + ANSWER_TIMEOUT_S
            self._emit(DecryptHandshake(data, self._nonce))
        else:
            self._buffer += data
        if self._state is not _State.CIPHERTEXT and len(self._buffer) > MAX_EARLY_BYTES:
            self._end(CloseReason.HANDSHAKE, "", now)

    def receive_eof(self, now: float) -> None:
        """The peer sends nothing any more. A device half-closes and waits for our end: it is over for both."""
        clean = self._opener.is_between_frames if self._opener is not None else not self._buffer
        in_session = self._state is _State.SESSION
        self._end(CloseReason.PEER if clean and in_session else CloseReason.TRUNCATED, "", now)

    def handshake_decrypted(self, plaintext: bytes | None, now: float) -> None:
        """The answer to DecryptHandshake; None when it could not be decrypted."""
        if self._closed or self._state is not _State.DECRYPTING:
            return
        identity = read_identity(plaintext, self._nonce)
        if identity is None:
            self._end(CloseReason.HANDSHAKE, "", now)
            return
        self._state = _State.IDENTIFYING
        self._emit(IdentifyDevice(*identity))

    def admit(self, reply: bytes, credentials: bytes, now: float) -> None:
        """The device is known and the key is its own. `reply` and `credentials`: see `seal_credentials`."""
        if self._closed or self._state is not _State.IDENTIFYING:
            return
        assert len(reply) == REPLY_SIZE
        secret = split_credentials(credentials)
        self._ready += reply
        self._sealer = Sealer(secret.key, secret.iv)
        self._opener = Opener(secret.key, secret.iv)
        self._state = _State.SESSION
        self._step_deadline = None
        self.open_session(now)
        early = bytes(self._buffer)
        self._buffer.clear()
        self._nonce = b""
        if early:
            self.receive(early, now)

    def refuse(self, now: float) -> None:
        """The device is not known, or the key is not its own: the stream ends without a word."""
        self._end(CloseReason.REFUSED, "", now)

    def data_to_send(self, now: float, *, has_room: bool = True) -> bytes:
        """What to write now; each byte is given once. `has_room`: there is room for an update's next chunks, too; ask
        again when there is."""
        if has_room and self._sender is not None:
            self._fill_update(now)
        return drain(self, self._ready, self._sealer)

    def next_deadline(self) -> float | None:
        if self._closed:
            return None
        if self._step_deadline is None:
            return self._session_deadline()
        return earliest(self._step_deadline, self._session_deadline())

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        if self._step_deadline is not None and now >= self._step_deadline:
            self._end(CloseReason.HANDSHAKE_TIMEOUT, self._state.name.lower(), now)
        self._handle_session_deadline(now)
        # Of a connection that is alive there is a deadline every 20 s, and few of them pass in a busy moment.
        if now >= self._heard_at + REST_AFTER_S and self._opener is not None and self._sealer is not None:
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


def drain(session: "CloudSession | DeviceSession", ready: bytearray, sealer: Sealer | None) -> bytes:
    if sealer is not None and session._outbox:
        messages = session._take_messages()
        if len(messages) == 1 and not ready:
            return sealer.seal(messages[0])
        for message in messages:
            ready += sealer.seal(message)
    if not ready:
        return b""
    data = bytes(ready)
    ready.clear()
    return data
