"""A device session over one TCP connection: the handshake's questions, and a stream of bytes."""

import logging
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway.crypto import Crypto
from cloudchamber.gateway.session import DeviceSession, Services
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Admission
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Closed, CloseReason, DecryptHandshake, IdentifyDevice
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.handshake import CREDENTIALS_SIZE, open_handshake, seal_credentials

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TcpServices(Services):
    server_key: RSAPrivateKey
    crypto: Crypto


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
    __slots__ = ("_is_computing", "_peer", "_tcp")

    def __init__(self, connection: CloudConnection, peer: Peer, services: TcpServices) -> None:
        super().__init__(connection, services)
        self._peer = peer
        self._tcp = services
        self._is_computing = False

    # --- for the socket ---

    @property
    def ip(self) -> str:
        return self._peer.ip

    @property
    def waits_for_peer(self) -> bool:
        """True when the next step of the handshake is the peer's, not ours."""
        return self._work is None and not self._is_computing

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
        if self._connection.is_closed:
            return
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
        self._is_computing = True
        tcp = self._tcp
        tcp.crypto.submit(self._decrypted, open_handshake, tcp.server_key, event.ciphertext)

    def _decrypted(self, plaintext: bytes | None) -> None:
        self._is_computing = False
        self._connection.handshake_decrypted(plaintext, self._loop.time())
        self.pump()

    def _on_identify(self, event: IdentifyDevice) -> None:
        self._start(self._identify(event))

    async def _ask_admission(self, device: DeviceId, public_key_der: bytes | None) -> Admission:
        """The machine gives the device up before `INBOX_TIMEOUT_S`, and so cancels this: one timer less."""
        return await self._services.inbox.admit(device, public_key_der)

    async def _identify(self, event: IdentifyDevice) -> None:
        device = DeviceId(event.device_id.hex())
        key = await self._admitted(device, event.public_key_der)
        self._work = None
        if key is None:
            self._connection.refuse(self._loop.time())
            self.pump()
            return
        self._is_computing = True
        tcp = self._tcp
        sealed = partial(self._sealed, device, key)
        tcp.crypto.submit(sealed, _seal, tcp.server_key, key, secrets.token_bytes(CREDENTIALS_SIZE))

    def _sealed(self, device: DeviceId, key: bytes, sealed: "tuple[bytes, bytes] | WireError") -> None:
        self._is_computing = False
        if self._connection.is_closed:
            return
        if isinstance(sealed, WireError):
            log.info("device %s at %s not admitted: %s", device, self.ip, sealed)
            self._connection.refuse(self._loop.time())
        else:
            self._device, self._public_key_der = device, key
            self._connection.admit(*sealed, self._loop.time())
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


def _seal(server_key: RSAPrivateKey, device_key: bytes, credentials: bytes) -> tuple[bytes, bytes] | WireError:
    """For `CloudConnection.admit`, or why not."""
    try:
        return seal_credentials(server_key, device_key, credentials), credentials
    except WireError as error:
        return error
