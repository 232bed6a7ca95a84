"""A device session over one TCP connection: the handshake's questions, and a stream of bytes."""

import logging
import secrets
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway.session import DeviceSession, Services
from cloudchamber.ids import DeviceId
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Closed, CloseReason, DecryptHandshake, IdentifyDevice
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.handshake import CREDENTIALS_SIZE, open_handshake, seal_credentials

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TcpServices(Services):
    """`crypto` runs RSA operations of about 1 ms each."""

    server_key: RSAPrivateKey
    crypto: Executor


class Peer(Protocol):
    """The socket's side."""

    @property
    def ip(self) -> str: ...

    @property
    def has_room(self) -> bool:
        """The device reads what it is sent; when it does again, `writable` is called."""
        ...

    def send(self, data: bytes) -> None: ...

    def proven(self) -> None:
        """The device has proven its key: this is no stranger any more."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def finish(self, closed: Closed) -> None:
        """Nothing more will be sent."""
        ...


class TcpSession(DeviceSession[CloudConnection]):
    __slots__ = ("_peer", "_tcp")

    def __init__(self, connection: CloudConnection, peer: Peer, services: TcpServices) -> None:
        super().__init__(connection, services)
        self._peer = peer
        self._tcp = services

    # --- for the socket ---

    @property
    def ip(self) -> str:
        return self._peer.ip

    @property
    def waits_for_peer(self) -> bool:
        """True when the next step of the handshake is the peer's, not ours."""
        return self._work is None

    def receive(self, data: bytes) -> None:
        now = self._heard_at = self._loop.time()
        self._connection.receive(data, now)
        self.pump()

    def receive_eof(self) -> None:
        self._connection.receive_eof(self._loop.time())
        self.pump()

    def writable(self) -> None:
        """The peer has room again."""
        self.pump()

    def lost(self) -> None:
        """The socket is gone, in whatever way."""
        now = self._loop.time()
        self._connection.receive_eof(now)
        self._connection.close(now)
        self.pump()

    # --- DeviceSession ---

    def _send(self) -> None:
        data = self._connection.data_to_send(self._loop.time(), has_room=self._peer.has_room)
        if data:
            self._peer.send(data)

    def _finish(self, closed: Closed) -> None:
        self._peer.finish(closed)

    def _pause(self) -> None:
        self._peer.pause()

    def _resume(self) -> None:
        self._peer.resume()

    def _come_online(self, hello: Hello) -> None:
        self._peer.proven()
        super()._come_online(hello)

    # --- questions ---

    def _on_decrypt(self, event: DecryptHandshake) -> None:
        self._start(self._decrypt(event))

    async def _decrypt(self, event: DecryptHandshake) -> None:
        tcp = self._tcp
        plaintext = await self._loop.run_in_executor(tcp.crypto, open_handshake, tcp.server_key, event.ciphertext)
        self._work = None
        self._connection.handshake_decrypted(plaintext, self._loop.time())
        self.pump()

    def _on_identify(self, event: IdentifyDevice) -> None:
        self._start(self._identify(event))

    async def _identify(self, event: IdentifyDevice) -> None:
        device = DeviceId(event.device_id.hex())
        key = await self._admitted(device, event.public_key_der)
        reply = credentials = b""
        if key is not None:
            credentials = secrets.token_bytes(CREDENTIALS_SIZE)
            tcp = self._tcp
            try:
                reply = await self._loop.run_in_executor(tcp.crypto, seal_credentials, tcp.server_key, key, credentials)
                self._device, self._public_key_der = device, key
            except WireError as error:
                log.info("device %s at %s not admitted: %s", device, self.ip, error)
        self._work = None
        if reply:
            self._connection.admit(reply, credentials, self._loop.time())
        else:
            self._connection.refuse(self._loop.time())
        self.pump()

    # --- what the machine found ---

    def _on_closed(self, event: Closed) -> None:
        is_unproven = self._device and not self._is_online and event.reason is not CloseReason.LOCAL
        super()._on_closed(event)
        if is_unproven:
            self._tell(partial(self._services.inbox.unproven, self._device))

    handlers = {  # noqa: RUF012
        **DeviceSession.handlers,
        Closed: _on_closed,
        DecryptHandshake: _on_decrypt,
        IdentifyDevice: _on_identify,
    }
