"""The cloud's end of a TCP connection until its device says something behind the handshake.

Whoever reaches the listener is a stranger, and most that ever knock may get no further. So a stranger is a nonce, some
bytes and a time; what a session needs is made with the first bytes that come behind the reply, see `into_connection`.

    CIPHERTEXT --256 bytes--> DECRYPTING --decrypted--> IDENTIFYING --admit--> ADMITTED --bytes--> CloudConnection
                              (DecryptHandshake)        (IdentifyDevice)                  (Spoke)

What a call finds it gives back: a question, `Closed`, or None. Whatever the peer sends, nothing is raised. `now` is
monotonic time in float seconds.

A failed decryption and a wrong nonce are one and the same to the peer: the stream ends without an answer.
"""

from typing import Final

from cloudchamber.wire.events import Closed, CloseReason, DecryptHandshake, IdentifyDevice, Spoke
from cloudchamber.wire.session.cloud import HELLO_TIMEOUT_S
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.handshake import CIPHERTEXT_SIZE, NONCE_SIZE, read_identity

CIPHERTEXT_TIMEOUT_S: Final = 10.0
"""A device answers the nonce as fast as it can encrypt (under 1 s); this bounds what an idle stranger costs."""

ANSWER_TIMEOUT_S: Final = 20.0
"""A device waits 20 s for our 384 bytes; whoever still decrypts or looks up a key then does so for nobody."""

MAX_EARLY_BYTES: Final = 1024
"""A device has nothing to say between its ciphertext and our answer."""

# Steps, by the words for the log.
_CIPHERTEXT: Final = "ciphertext"
_DECRYPTING: Final = "decrypting"
_IDENTIFYING: Final = "identifying"
_ADMITTED: Final = "no Hello"
_OVER: Final = "over"

_SPOKE: Final = Spoke()

Found = DecryptHandshake | IdentifyDevice | Spoke | Closed


class Stranger:
    """The shell sends `nonce` at once, and the 384 bytes of the reply when `admit` says so."""

    __slots__ = ("_buffer", "_credentials", "_step", "_until", "nonce")

    def __init__(self, nonce: bytes, now: float) -> None:
        """`nonce`: 40 random bytes, new for each connection."""
        assert len(nonce) == NONCE_SIZE
        self.nonce = nonce
        self._buffer = b""
        self._credentials = b""
        self._step = _CIPHERTEXT
        self._until = now + CIPHERTEXT_TIMEOUT_S

    @property
    def is_closed(self) -> bool:
        return self._step == _OVER

    @property
    def has_spoken(self) -> bool:
        """It is admitted, and there are bytes for its session."""
        return self._step == _ADMITTED and bool(self._buffer)

    def receive(self, data: bytes, now: float) -> DecryptHandshake | Spoke | Closed | None:
        if self._step == _OVER:
            return None
        if self._buffer:
            data = self._buffer + data
        asked = None
        if self._step == _CIPHERTEXT and len(data) >= CIPHERTEXT_SIZE:
            asked = DecryptHandshake(data[:CIPHERTEXT_SIZE], self.nonce)
            data = data[CIPHERTEXT_SIZE:]
            self._step = _DECRYPTING
            self._until = now + ANSWER_TIMEOUT_S
        self._buffer = data
        if self._step == _ADMITTED:
            return _SPOKE if data else None
        if len(data) > MAX_EARLY_BYTES:
            return self._end(CloseReason.HANDSHAKE)
        return asked

    def receive_eof(self) -> Closed | None:
        """The peer sends nothing any more. A device half-closes and waits for our end: it is over for both."""
        is_clean = self._step == _ADMITTED and not self._buffer
        return self._end(CloseReason.PEER if is_clean else CloseReason.TRUNCATED)

    def decrypted(self, plaintext: bytes | None) -> IdentifyDevice | Closed | None:
        """The answer to DecryptHandshake; None when it could not be decrypted."""
        if self._step != _DECRYPTING:
            return None
        identity = read_identity(plaintext, self.nonce)
        if identity is None:
            return self._end(CloseReason.HANDSHAKE)
        self._step = _IDENTIFYING
        return IdentifyDevice(*identity)

    def admit(self, credentials: bytes, now: float) -> bool:
        """The device is known and the key is its own. True: the reply is to be sent, see `seal_to_device`, and then
        it may be that the device `has_spoken`. False: it came too late."""
        if self._step != _IDENTIFYING:
            return False
        self._credentials = credentials
        self._step = _ADMITTED
        self._until = now + HELLO_TIMEOUT_S
        return True

    def refuse(self) -> Closed | None:
        """The device is not known, or the key is not its own: the stream ends without a word."""
        return self._end(CloseReason.REFUSED)

    def close(self) -> Closed | None:
        """Ends the connection from our side."""
        return self._end(CloseReason.LOCAL)

    def next_deadline(self) -> float | None:
        return None if self._step == _OVER else self._until

    def handle_deadline(self, now: float) -> Closed | None:
        """Calling early does nothing."""
        return self._end(CloseReason.HANDSHAKE_TIMEOUT, self._step) if now >= self._until else None

    def into_connection(self, first_message_id: int, now: float) -> CloudConnection:
        """Once, after Spoke: the session, which has received what is there of it."""
        assert self._step == _ADMITTED
        connection = CloudConnection(
            self._credentials, hello_until=self._until, now=now, first_message_id=first_message_id
        )
        connection.receive(self._buffer, now)
        self._step, self._buffer, self._credentials = _OVER, b"", b""
        return connection

    def _end(self, reason: CloseReason, detail: str = "") -> Closed | None:
        """Once only."""
        if self._step == _OVER:
            return None
        self._step, self._buffer, self._credentials = _OVER, b"", b""
        return Closed(reason, detail)
