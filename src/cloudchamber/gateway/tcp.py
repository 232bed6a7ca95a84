"""The TCP listener for devices: sockets, and nothing of the protocol.

Strangers are kept apart from devices. A connection is a stranger until its device has proven its key; at most
`max_strangers` of them are held, so the RSA work that waits is bounded too (one operation each). While that many are
being served, nothing is accepted: newcomers wait in the kernel's backlog, where they cost nothing, and devices that are
online notice nothing. A stranger whose own move it is and who does not move for a while makes room for the next.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter
from dataclasses import dataclass
from typing import cast

from cloudchamber.gateway.tcp_session import TcpServices, TcpSession
from cloudchamber.wire.events import Closed, CloseReason
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.handshake import NONCE_SIZE

log = logging.getLogger(__name__)

BACKLOG = 4096
SEND_BUFFER = 32 * 1024
FULL = 16 * 1024
"""Beyond what the system holds: then an update sends no more chunks, and everything else goes on."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Bounds of one gateway. Times in seconds, sizes in bytes."""

    max_connections: int = 20_000
    max_strangers: int = 512
    """Two threads do about a thousand handshakes a second: half a second's work, where a device waits 20 s."""
    stranger_patience_s: float = 2.0
    """How long a stranger may hold a place that others wait for: a Core takes a second to encrypt 256 bytes."""
    max_unsent: int = 64 * 1024
    """A device takes messages of 1 KiB, one after the other; one that is behind by this much does not read any more."""
    linger_s: float = 5.0
    """How long a peer has to take the last bytes after the close."""


class TcpGateway:
    """All TCP listeners of a process, and their connections."""

    def __init__(self, services: TcpServices, limits: TcpLimits | None = None) -> None:
        self._services = services
        self._limits = limits or TcpLimits()
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._links: set[_Link] = set()
        self._strangers: dict[_Link, float] = {}  # oldest first, with the time of its arrival
        self._changed = asyncio.Event()
        self.closed: Counter[CloseReason] = Counter()
        """How often connections ended, by reason."""
        self.unread = 0
        """Connections that were dropped because the device did not read what it was sent."""

    @property
    def connections(self) -> int:
        return len(self._links)

    @property
    def strangers(self) -> int:
        """Connections whose device has not proven its key."""
        return len(self._strangers)

    # --- start and stop ---

    async def start(self, host: str, port: int) -> int:
        """Listens on every address of `host` (`::` takes IPv4 as well); gives the port, which port 0 leaves open.

        Raises OSError when an address cannot be had.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = _listen(family, (address[0], port, *address[2:]))
            port = listener.getsockname()[1]
            self._listeners.append(listener)
            self._accepting.append(loop.create_task(self._accept(listener)))
        return port

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Accepts no more, closes every session, and tells the inbox what remains to be told."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._accepting.clear()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self.close_all()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        await self._all_gone(deadline)
        for link in list(self._links):
            link.abort()
        await self._all_gone(deadline + 1.0)
        if not await self._services.mailboxes.drain(max(deadline - loop.time(), 1.0)):
            log.error("the gateway stopped before everything that devices said was handled")

    async def _all_gone(self, deadline: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._links:
                    self._changed.clear()
                    await self._changed.wait()

    def close_all(self) -> None:
        for link in list(self._links):
            link.session.close()

    # --- arrivals ---

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room()
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                # The peer went away again, or this process has no file descriptor left: others may come back.
                log.warning("cannot accept a device connection: %s", error)
                await asyncio.sleep(0.1)
                continue
            link = _Link(self, self._limits, _plain_ip(address[0]))
            try:
                await loop.connect_accepted_socket(lambda link=link: link, connection)  # type: ignore[misc]
            except OSError as error:
                log.info("connection from %s was gone before it began: %s", address[0], error)
                connection.close()

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        limits = self._limits
        while len(self._strangers) >= limits.max_strangers or len(self._links) >= limits.max_connections:
            if self._drop_idle_stranger(loop.time() - limits.stranger_patience_s):
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._changed.wait()

    def _drop_idle_stranger(self, since: float) -> bool:
        for link, arrived in self._strangers.items():
            if arrived > since:
                return False
            if link.session.waits_for_peer:
                link.abort()
                self.left(link)
                return True
        return False

    # --- told by the links ---

    def arrived(self, link: "_Link") -> TcpSession:
        loop = asyncio.get_running_loop()
        self._links.add(link)
        self._strangers[link] = loop.time()
        connection = CloudConnection(
            nonce=secrets.token_bytes(NONCE_SIZE), now=loop.time(), first_message_id=secrets.randbelow(0x10000)
        )
        return TcpSession(connection, link, self._services)

    def proven(self, link: "_Link") -> None:
        self._strangers.pop(link, None)
        self._changed.set()

    def left(self, link: "_Link") -> None:
        self._links.discard(link)
        self._strangers.pop(link, None)
        self._changed.set()


class _Link(asyncio.Protocol):
    """One socket: the `Peer` of its session."""

    __slots__ = ("__weakref__", "_gateway", "_has_room", "_ip", "_limits", "_linger", "_transport", "session")

    session: TcpSession
    _transport: asyncio.Transport

    def __init__(self, gateway: TcpGateway, limits: TcpLimits, ip: str) -> None:
        self._gateway = gateway
        self._limits = limits
        self._ip = ip
        self._linger: asyncio.TimerHandle | None = None
        self._has_room = True

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=FULL, low=FULL // 4)
        _tune(transport.get_extra_info("socket"))
        self.session = self._gateway.arrived(self)
        self.session.pump()

    def data_received(self, data: bytes) -> None:
        self.session.receive(data)

    def eof_received(self) -> bool:
        self.session.receive_eof()
        return True  # the session closes; until then what it has to say still goes out

    def pause_writing(self) -> None:
        self._has_room = False

    def resume_writing(self) -> None:
        self._has_room = True
        self.session.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self.session.lost()
        self._gateway.left(self)

    # --- Peer ---

    @property
    def ip(self) -> str:
        return self._ip

    @property
    def has_room(self) -> bool:
        return self._has_room

    def send(self, data: bytes) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._limits.max_unsent:
            log.info("device %s at %s does not read any more: dropped", self.session.device, self._ip)
            self._gateway.unread += 1
            transport.abort()

    def proven(self) -> None:
        self._gateway.proven(self)

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def finish(self, closed: Closed) -> None:
        self._gateway.closed[closed.reason] += 1
        log.debug("connection of %s ended: %s %s", self._ip, closed.reason.value, closed.detail)
        if not self._transport.is_closing():
            self._transport.close()
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(self._limits.linger_s, self._transport.abort)

    def abort(self) -> None:
        self._transport.abort()


def _plain_ip(text: str) -> str:
    """IPv4 peers of a listener for both families come as `::ffff:192.0.2.1`."""
    return text.removeprefix("::ffff:") if "." in text else text


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel would let its own buffer grow to megabytes for each device that does not read.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # A sleeping laptop's or a router's dead connection is found by the session's own silence rule; keep-alive is for
    # the address translation on the way, which forgets quiet connections.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
