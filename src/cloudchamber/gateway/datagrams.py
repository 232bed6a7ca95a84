"""One socket for datagrams, of one family or of both."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from cloudchamber.wire.dtls.records import Address

log = logging.getLogger(__name__)

RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""What comes in while the loop is busy: two seconds' datagrams of 10,000 devices. The kernel may give less."""

_MAPPED: Final = "::ffff:"


class _Transport(Protocol):
    def sendto(self, data: bytes, address: Address) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def close(self) -> None: ...


class Port(asyncio.DatagramProtocol):
    """Addresses are (host, port); IPv4 peers of a socket for both families appear as what they are."""

    _transport: _Transport
    _closed: "asyncio.Future[None]"

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received
        self._is_dual = False
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("_Transport", transport)
        self._is_dual = transport.get_extra_info("sockname")[0] == "::"

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        host: str = address[0]
        if self._is_dual and host.startswith(_MAPPED):
            host = host.removeprefix(_MAPPED)
        self._received(data, (host, address[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)

    def error_received(self, exc: Exception) -> None:
        log.debug("a datagram was not delivered: %s", exc)  # its receiver is gone, which says nothing about its session

    def send(self, data: bytes, address: Address, max_unsent: int) -> bool:
        """False when more than `max_unsent` bytes wait for the system already."""
        if self._transport.get_write_buffer_size() > max_unsent:
            return False
        if self._is_dual and ":" not in address[0]:
            address = (_MAPPED + address[0], address[1])
        self._transport.sendto(data, address)
        return True

    async def close(self) -> None:
        """The address is free when it returns."""
        self._transport.close()
        await self._closed


def listen(family: int, address: tuple[Any, ...]) -> socket.socket:
    """Raises OSError."""
    listener = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listener.setblocking(False)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener
