"""A device's connection over TCP."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from cloudchamber.simulator.line import Line
from cloudchamber.wire.tcp.device import DeviceConnection

if TYPE_CHECKING:
    from cloudchamber.simulator.device import VirtualDevice


_PIECE: Final = 2048


@dataclass(frozen=True, slots=True)
class TcpNetwork:
    """`server_key` RSA-2048, `key` RSA-1024."""

    host: str
    port: int
    server_key: RSAPublicKey
    key: RSAPrivateKey

    async def connect(self, device: "VirtualDevice") -> Line:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        connection = DeviceConnection(
            setup=device.setup,
            device_key=self.key,
            server_key=self.server_key,
            now=loop.time(),
            first_token=device.random.randrange(256),
        )
        _, line = await loop.create_connection(lambda: TcpLine(device, connection), self.host, self.port)
        return line


class TcpLine(Line, asyncio.Protocol):
    def __init__(self, device: "VirtualDevice", connection: DeviceConnection) -> None:
        super().__init__(device)
        self._connection = connection
        self._transport: asyncio.Transport | None = None

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pump()

    def data_received(self, data: bytes) -> None:
        # In pieces, so that a network that is pulled in the middle of an update takes what comes after with it.
        for at in range(0, len(data), _PIECE):
            if self._transport is None or self._transport.is_closing():
                return
            self._connection.receive(data[at : at + _PIECE], self._loop.time())
            self._pump()

    def eof_received(self) -> bool:
        self._connection.receive_eof(self._loop.time())
        self._pump()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connection.receive_eof(self._loop.time())
        self._connection.close(self._loop.time())
        self._pump()

    # --- Line ---

    @property
    def session(self) -> DeviceConnection:
        return self._connection

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _deadline_passed(self, now: float) -> None:
        self._connection.handle_deadline(now)

    def _pump(self) -> None:
        connection = self._connection
        while events := connection.events():
            for event in events:
                self._handle(connection, event)
        if self._transport is not None:
            data = connection.data_to_send(self._loop.time())
            if data:
                self._transport.write(data)
            if connection.is_closed:
                self._transport.close()
        self._set_timer(connection.next_deadline())
