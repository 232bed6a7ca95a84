"""A peer that speaks the protocol byte by byte, so that a test can bend any of them."""

import asyncio
import socket
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from cloudchamber.wire import coap
from cloudchamber.wire.messages import Hello, device_hello
from cloudchamber.wire.tcp.channel import Opener, Sealer
from cloudchamber.wire.tcp.handshake import open_credentials_untrusted, seal_identity, split_credentials


@dataclass
class Stranger:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, port: int) -> "Stranger":
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except OSError:
            connection.close()
            raise
        return cls(*await asyncio.open_connection(sock=connection))

    async def nonce(self) -> bytes:
        return await self.reader.readexactly(40)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def is_closed_without_a_word(self, timeout_s: float = 5) -> bool:
        """The server ends the stream, and sends nothing before."""
        return await self.rest(timeout_s) == b""

    async def rest(self, timeout_s: float = 5) -> bytes:
        """What comes until the server ends the stream; then this end is closed too."""
        async with asyncio.timeout(timeout_s):
            try:
                return await self.reader.read(-1)
            except ConnectionResetError:
                return b""
            finally:
                self.close()

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Insider(Stranger):
    """One that holds a device key and has said Hello."""

    sealer: Sealer
    opener: Opener

    @classmethod
    async def say_hello(
        cls, port: int, server_key: RSAPublicKey, device_key: RSAPrivateKey, device_id: str, *, hello: bool = True
    ) -> "Insider":
        stranger = await Stranger.connect(port)
        nonce = await stranger.nonce()
        stranger.write(seal_identity(server_key, nonce, bytes.fromhex(device_id), device_key.public_key()))
        reply = await stranger.reader.readexactly(384)
        secret = split_credentials(open_credentials_untrusted(device_key, server_key, reply))
        insider = cls(stranger.reader, stranger.writer, Sealer(secret.key, secret.iv), Opener(secret.key, secret.iv))
        if hello:
            insider.send_hello()
        return insider

    def send_hello(self) -> None:
        self.send(coap.encode(device_hello(1, Hello(6, 1, 0x36, 6), confirmable=False)))

    def send(self, message: bytes) -> None:
        self.write(self.sealer.seal(message))
