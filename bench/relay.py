"""The least that a cloud could do of a request to a device: `python -m bench.relay serve`, and `... device HOST:PORT`.

The one hands every request on to its one device as it comes, without a look at it, and the device's answer back as a
fixed document; the other answers. So what a request takes here is the way of its bytes through three processes, whose
cores go to sleep and are woken, and nothing else.
"""

import asyncio
import socket
import sys
from collections import deque
from typing import Final, cast

import uvloop

_MESSAGE: Final = bytes(34)
"""As long as what the cloud sends to a Photon for a variable, and the Photon's answer."""
_ANSWER: Final = bytes(52)
_DOCUMENT: Final = bytes(250)
_RESPONSE: Final = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(_DOCUMENT), _DOCUMENT)


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = cast("asyncio.Transport", transport)


class _Device(_Connection):
    def __init__(self, waiting: deque[asyncio.Transport]) -> None:
        self._waiting = waiting

    def data_received(self, data: bytes) -> None:
        for _ in range(len(data) // len(_ANSWER)):
            self._waiting.popleft().write(_RESPONSE)


class _Client(_Connection):
    def __init__(self, devices: list[_Device], waiting: deque[asyncio.Transport]) -> None:
        self._devices = devices
        self._waiting = waiting

    def data_received(self, _data: bytes) -> None:
        self._waiting.append(self.transport)
        self._devices[-1].transport.write(_MESSAGE)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    waiting, devices = deque[asyncio.Transport](), list[_Device]()

    def device() -> _Device:
        devices.append(_Device(waiting))
        return devices[-1]

    tcp = await loop.create_server(device, "127.0.0.1", 0)
    http = await loop.create_server(lambda: _Client(devices, waiting), "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (http, tcp)]
    print(f"ready http=http://127.0.0.1:{ports[0]} tcp=127.0.0.1:{ports[1]}", flush=True)
    await asyncio.Event().wait()


def device(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"ready tcp={address}", flush=True)
        while data := connection.recv(4096):
            connection.sendall(_ANSWER * (len(data) // len(_MESSAGE)))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        uvloop.run(serve())
    else:
        device(sys.argv[2])
