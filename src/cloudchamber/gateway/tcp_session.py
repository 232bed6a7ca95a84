"""A device session over one TCP connection, from the first that the device says behind the handshake (stranger.py): a
stream of bytes."""

from typing import Final, Protocol

from cloudchamber.gateway.services import Services
from cloudchamber.gateway.session import HANDLERS, DeviceSession, Handlers
from cloudchamber.ids import DeviceId
from cloudchamber.wire.events import Closed, CloseReason
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.tcp.connection import CloudConnection


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
    __slots__ = ("_peer",)

    def __init__(
        self, connection: CloudConnection, peer: Peer, services: Services, device: DeviceId, public_key_der: bytes
    ) -> None:
        """The device was admitted with this key, and has not proven it before it is online."""
        super().__init__(connection, services)
        self._peer = peer
        self._device, self._public_key_der = device, public_key_der

    # --- for the socket ---

    @property
    def ip(self) -> str:
        return self._peer.ip

    @property
    def waits_for_peer(self) -> bool:
        """All that there was to do for it before its Hello is done."""
        return True

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

    # --- what the machine found ---

    def _on_closed(self, event: Closed) -> None:
        is_unproven = not self._is_online and event.reason is not CloseReason.LOCAL
        super()._on_closed(event)
        if is_unproven:
            rest = self._services.inbox.unproven(self._device)
            if rest is not None:
                self._tell(rest)

    @property
    def handlers(self) -> Handlers:
        return _HANDLERS


_HANDLERS: Final[Handlers] = {**HANDLERS, Closed: TcpSession._on_closed}
