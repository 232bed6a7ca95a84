"""A device session over one TCP connection: the handshake's questions, and a stream of bytes."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from cloudchamber.gateway.crypto import Crypto
from cloudchamber.gateway.session import DeviceSession, Services
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Admission
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Closed, CloseReason, DecryptHandshake, IdentifyDevice
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.handshake import CREDENTIALS_SIZE, KEY_AT, NONCE_SIZE, open_handshake, seal_credentials

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

    def admitted(self) -> None:
        """The next step is the device's: its Hello."""
        ...

    def proven(self) -> None:
        """The device has proven its key: this is no stranger any more."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def finish(self, closed: Closed) -> None:
        """Nothing more will be sent."""
        ...


class TcpSession(DeviceSession[CloudConnection]):
    __slots__ = ("_is_computing", "_peer", "_prepared", "_tcp")

    def __init__(self, connection: CloudConnection, peer: Peer, services: TcpServices) -> None:
        super().__init__(connection, services)
        self._peer = peer
        self._tcp = services
        self._is_computing = False
        self._prepared: _Prepared | None = None

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
        tcp.crypto.submit(self._decrypted, _open, tcp.server_key, event.ciphertext, event.nonce, tcp.inbox.goes_by)

    def _decrypted(self, opened: "tuple[bytes | None, _Prepared | None]") -> None:
        self._is_computing = False
        plaintext, self._prepared = opened
        self._connection.handshake_decrypted(plaintext, self._loop.time())
        self.pump()

    def _on_identify(self, event: IdentifyDevice) -> None:
        device, prepared = DeviceId(event.device_id.hex()), self._prepared
        self._prepared = None
        key = self._tcp.inbox.admit_now(device, event.public_key_der)
        if key is None:
            self._start(self._identify(device, event.public_key_der, prepared))
        else:
            self._seal(device, key, prepared)

    async def _ask_admission(self, device: DeviceId, public_key_der: bytes | None) -> Admission:
        """The machine gives the device up before `INBOX_TIMEOUT_S`, and so cancels this: one timer less."""
        return await self._services.inbox.admit(device, public_key_der)

    async def _identify(self, device: DeviceId, public_key_der: bytes | None, prepared: "_Prepared | None") -> None:
        key = await self._admitted(device, public_key_der)
        self._work = None
        if key is None:
            self._connection.refuse(self._loop.time())
        else:
            self._seal(device, key, prepared)
        self.pump()

    def _seal(self, device: DeviceId, key: bytes, prepared: "_Prepared | None") -> None:
        if prepared is not None and prepared.device_key == key:
            self._sealed(device, key, prepared)
            return
        self._is_computing = True
        tcp = self._tcp
        tcp.crypto.submit(partial(self._came, device, key), _prepare, tcp.server_key, key)

    def _came(self, device: DeviceId, key: bytes, prepared: "_Prepared | WireError") -> None:
        self._is_computing = False
        if not self._connection.is_closed:
            self._sealed(device, key, prepared)
            self.pump()

    def _sealed(self, device: DeviceId, key: bytes, prepared: "_Prepared | WireError") -> None:
        if isinstance(prepared, WireError):
            log.info("device %s at %s not admitted: %s", device, self.ip, prepared)
            self._connection.refuse(self._loop.time())
        else:
            self._device, self._public_key_der = device, key
            self._connection.admit(prepared.reply, prepared.credentials, self._loop.time())
            self._peer.admitted()

    # --- what the machine found ---

    def _on_closed(self, event: Closed) -> None:
        is_unproven = self._device and not self._is_online and event.reason is not CloseReason.LOCAL
        super()._on_closed(event)
        if is_unproven:
            rest = self._services.inbox.unproven(self._device)
            if rest is not None:
                self._tell(rest)

    handlers = {  # noqa: RUF012
        **DeviceSession.handlers,
        Closed: _on_closed,
        DecryptHandshake: _on_decrypt,
        IdentifyDevice: _on_identify,
    }


class _Prepared(Struct, frozen=True, gc=False):
    """What a device is admitted with, see `CloudConnection.admit`, by the key for which it was made."""

    device_key: bytes
    reply: bytes
    credentials: bytes


def _open(
    server_key: RSAPrivateKey, ciphertext: bytes, nonce: bytes, goes_by: Callable[[DeviceId, bytes], bool]
) -> tuple[bytes | None, _Prepared | None]:
    """The plaintext. Of a device that will hardly be refused also what it is admitted with: a turn of the loop less and
    a way between threads."""
    plaintext = open_handshake(server_key, ciphertext)
    # Not `read_identity`, which decides, a moment later: whatever is wrong here only costs this device a turn.
    if plaintext is None or not plaintext.startswith(nonce):
        return plaintext, None
    device, key = plaintext[NONCE_SIZE:KEY_AT], plaintext[KEY_AT:]
    if not goes_by(DeviceId(device.hex()), key):
        return plaintext, None
    prepared = _prepare(server_key, key)
    return plaintext, None if isinstance(prepared, WireError) else prepared


def _prepare(server_key: RSAPrivateKey, device_key: bytes) -> _Prepared | WireError:
    credentials = secrets.token_bytes(CREDENTIALS_SIZE)
    try:
        return _Prepared(device_key, seal_credentials(server_key, device_key, credentials), credentials)
    except WireError as error:
        return error
