"""A device's end of a TCP connection, with the surface of the cloud's (`connection.py`). A cloud does not load it."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import CloseReason
from cloudchamber.wire.session.base import earliest
from cloudchamber.wire.session.device import DeviceSession
from cloudchamber.wire.session.profile import DeviceSetup
from cloudchamber.wire.tcp.channel import Opener, Sealer, ciphertext_limit
from cloudchamber.wire.tcp.connection import receive_frames, seal_messages
from cloudchamber.wire.tcp.handshake import (
    NONCE_SIZE,
    REPLY_SIZE,
    open_credentials_untrusted,
    seal_identity,
    split_credentials,
)
from cloudchamber.wire.transport import Transport

DEVICE_STEP_TIMEOUT_S: Final = 20.0
"""Firmware's blocking read: for the nonce, and for the 384 bytes."""


class DeviceConnection(DeviceSession):
    """A device's end of one TCP connection. Its RSA work (about 0.3 ms) is done in place."""

    __slots__ = (
        "_buffer",
        "_device_key",
        "_has_nonce",
        "_opener",
        "_ready",
        "_sealer",
        "_server_key",
        "_step_deadline",
    )

    def __init__(
        self,
        *,
        setup: DeviceSetup,
        device_key: RSAPrivateKey,
        server_key: RSAPublicKey,
        now: float,
        first_token: int = 0,
    ) -> None:
        """`device_key` RSA-1024, `server_key` RSA-2048. `first_token`: random in a device, counted up from there."""
        super().__init__(Transport.TCP, setup, first_token, now)
        self._device_key: RSAPrivateKey | None = device_key
        self._server_key = server_key
        self._buffer = bytearray()
        self._has_nonce = False
        self._ready = bytearray()
        self._opener: Opener | None = None
        self._sealer: Sealer | None = None
        self._step_deadline: float | None = now + DEVICE_STEP_TIMEOUT_S

    def receive(self, data: bytes, now: float) -> None:
        if self._closed:
            return
        if self._opener is not None:
            self._opener.feed(data)
            receive_frames(self, self._opener, now)
            return
        self._buffer += data
        if not self._has_nonce and len(self._buffer) >= NONCE_SIZE:
            self._answer_nonce(now)
        if self._has_nonce and len(self._buffer) >= REPLY_SIZE:
            self._accept_credentials(now)

    def _answer_nonce(self, now: float) -> None:
        assert self._device_key is not None
        nonce = bytes(self._buffer[:NONCE_SIZE])
        del self._buffer[:NONCE_SIZE]
        self._has_nonce = True
        self._step_deadline = now + DEVICE_STEP_TIMEOUT_S
        public_key = self._device_key.public_key()
        self._ready += seal_identity(self._server_key, nonce, self.setup.device_id, public_key)

    def _accept_credentials(self, now: float) -> None:
        assert self._device_key is not None
        reply, early = bytes(self._buffer[:REPLY_SIZE]), bytes(self._buffer[REPLY_SIZE:])
        self._buffer = bytearray()
        try:
            credentials = open_credentials_untrusted(self._device_key, self._server_key, reply)
        except WireError as error:
            self._end(CloseReason.HANDSHAKE, str(error), now)
            return
        secret = split_credentials(credentials)
        self._device_key = None
        self._step_deadline = None
        self._sealer = Sealer(secret.key, secret.iv)
        self._opener = Opener(secret.key, secret.iv, ciphertext_limit(self.setup.profile.buffer_size))
        self.open_session(secret.salt, now)
        if early:
            self.receive(early, now)

    def receive_eof(self, now: float) -> None:
        clean = self._opener is not None and self._opener.is_between_frames
        self._end(CloseReason.PEER if clean else CloseReason.TRUNCATED, "", now)

    def data_to_send(self, now: float) -> bytes:
        """What to write now; each byte is given once."""
        if self._sealer is not None and self._outbox:
            self._ready += seal_messages(self, self._sealer)
        if not self._ready:
            return b""
        data = bytes(self._ready)
        self._ready.clear()
        return data

    def next_deadline(self) -> float | None:
        if self._closed:
            return None
        return earliest(self._step_deadline, self._session_deadline())

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        if self._step_deadline is not None and now >= self._step_deadline:
            self._end(CloseReason.HANDSHAKE_TIMEOUT, "", now)
        self._handle_session_deadline(now)
