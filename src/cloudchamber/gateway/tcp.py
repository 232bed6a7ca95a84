"""The TCP listener for devices: sockets, and nothing of the protocol.

Strangers are kept apart from devices. A connection is a stranger until its device has proven its key; at most
`max_strangers` of them are served, so the RSA work that waits is bounded too (one operation each). Who comes while that
many are being served waits: accepted, in turns among the addresses (waiting.py), as the number of a file and nothing
more, so that devices that are online notice nothing. A stranger whose own move it is and who does not move for a while
makes room for the next. Who waits for long has its nonce meanwhile: a device's patience begins anew with each step.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter, deque
from dataclasses import dataclass

from msgspec import Struct

from cloudchamber.gateway.services import TcpServices
from cloudchamber.gateway.sockets import Socket, Watch, make_watch
from cloudchamber.gateway.stranger import StrangerSession
from cloudchamber.gateway.tcp_session import TcpSession
from cloudchamber.gateway.waiting import WaitingRoom, source_of
from cloudchamber.wire.events import Closed, CloseReason
from cloudchamber.wire.tcp.handshake import NONCE_SIZE

log = logging.getLogger(__name__)

BACKLOG = 4096
SEND_BUFFER = 32 * 1024
ACCEPTED_AT_ONCE = 64
BEGUN_AT_ONCE = 8
"""Then the loop does what else there is to do: to accept one takes 15 µs, to begin with it some 80."""
NONCE_AFTER_S = 14.0
"""A device waits 20 s for its nonce, and after its answer 20 s for the reply."""
NONCES_AT_ONCE = 32
LOOK_S = 0.1
"""While somebody waits: how often a stranger is looked for that has had its time."""
CHECK_S = 0.25
"""How late the end of a stranger's time may be seen; an alarm for each costs seven calls in each handshake."""
ENDED_AT_ONCE = 32
FULL = 16 * 1024
"""Beyond what the system holds: then an update sends no more chunks, and everything else goes on."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Bounds of one gateway. Times in seconds, sizes in bytes."""

    max_connections: int = 20_000
    """Those that wait among them."""
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
        self._watch: Watch | None = None
        self._listeners: list[socket.socket] = []
        self._is_full = False
        """Nothing is accepted until somebody leaves, or `_looking` looks again."""
        self._looking: asyncio.TimerHandle | None = None
        self._looks_soon = False
        self._accepts = 1
        """So many at a time: more and more, while there are more."""
        self._waiting: WaitingRoom[_Waiting] = WaitingRoom()
        self._without_nonce: deque[_Waiting] = deque()
        """The same, and some that are served, in the order in which they came."""
        self._links: set[_Link] = set()
        self._strangers: dict[_Link, float] = {}  # oldest first, with the time of its arrival or its admission
        self._checking: asyncio.TimerHandle | None = None
        self._changed: asyncio.Event | None = None
        """Somebody left; only while that is waited for."""
        self.closed: Counter[CloseReason] = Counter()
        """How often connections ended, by reason."""
        self.unread = 0
        """Connections that were dropped because the device did not read what it was sent."""

    @property
    def connections(self) -> int:
        return len(self._links)

    @property
    def waiting(self) -> int:
        """Connections that are accepted and not served yet."""
        return self._waiting.count

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
        if self._watch is None:
            self._watch = make_watch()
        for family, _, _, _, address in dict.fromkeys(found):
            listener = _listen(family, (address[0], port, *address[2:]))
            port = listener.getsockname()[1]
            self._listeners.append(listener)
            if not self._is_full:
                loop.add_reader(listener.fileno(), self._arrivals, listener)
        return port

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Accepts no more, closes every session, and tells the inbox what remains to be told."""
        loop = asyncio.get_running_loop()
        if self._looking is not None:
            self._looking.cancel()
        if self._checking is not None:
            self._checking.cancel()
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        while self._waiting.count:
            os.close(self._waiting.take().file)
        self._without_nonce.clear()
        self.close_all()
        deadline = loop.time() + timeout_s
        await self._all_gone(deadline)
        for link in list(self._links):
            link.abort()
        await self._all_gone(deadline + 1.0)
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if not await self._services.mailboxes.drain(max(deadline - loop.time(), 1.0)):
            log.error("the gateway stopped before everything that devices said was handled")

    async def _all_gone(self, deadline: float) -> None:
        self._changed = changed = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._links:
                    changed.clear()
                    await changed.wait()

    def close_all(self) -> None:
        for link in list(self._links):
            link.session.close()

    # --- arrivals ---

    def _arrivals(self, listener: socket.socket) -> None:
        if not self._accept(listener) and not self._is_full:
            self._is_full = True
            for each in self._listeners:
                asyncio.get_running_loop().remove_reader(each.fileno())
            self._look_within(LOOK_S)

    def _accept(self, listener: socket.socket) -> bool:
        """Those who come, as far as it goes on: mostly there is one, and to look for another costs half as much. False:
        there is no room for somebody who may have come."""
        accepted = begun = 0
        places = self._limits.max_connections - len(self._links) - self._waiting.count
        while accepted < self._accepts:
            if accepted >= places and not self._has_place():
                return False
            try:
                # Beneath `accept`, which makes an object of the connection and asks the system for its address anew.
                file, address = listener._accept()  # type: ignore[attr-defined]  # in all of CPython
            except BlockingIOError:
                self._accepts = 1
                return True
            except OSError as error:
                # The peer went away again, or this process has no file descriptor left: others may come back.
                log.warning("cannot accept a device connection: %s", error)
                return False
            os.set_blocking(file, False)
            ip: str = address[0]
            if "." in ip:  # IPv4 peers of a listener for both families come as `::ffff:192.0.2.1`
                ip = ip.removeprefix("::ffff:")
            accepted += 1
            if begun < BEGUN_AT_ONCE and not self._waiting.count and self._has_room():
                self._begin(file, ip, b"")
                begun += 1
            else:
                waiting = _Waiting(file, ip, asyncio.get_running_loop().time())
                self._waiting.put(source_of(ip), waiting)
                self._without_nonce.append(waiting)
                self._look_soon()
        self._accepts = min(2 * accepted, ACCEPTED_AT_ONCE)
        return True

    def _begin(self, file: int, ip: str, nonce: bytes) -> None:
        """`nonce` is empty where it was not sent."""
        if not nonce:
            nonce = _send_nonce(file)
        assert self._watch is not None
        _Link(self, self._watch, file, self._limits, ip, nonce)

    def _look_soon(self) -> None:
        """Once for all for whom this is called in one turn of the loop."""
        if not self._looks_soon:
            self._looks_soon = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look_within(self, seconds: float) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Who waits is served, as far as there is room, and then others are accepted again."""
        self._looks_soon = False
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if not self._listeners:
            return  # stopped
        self._serve_some()
        self._send_nonces()
        if not self._is_full:
            return
        for listener in self._listeners:
            if not self._accept(listener):
                self._look_within(LOOK_S)
                return
        self._is_full = False
        for listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._arrivals, listener)

    def _serve_some(self) -> None:
        for _ in range(BEGUN_AT_ONCE):
            if not self._waiting.count:
                return
            if not self._has_room():
                self._look_within(LOOK_S)
                return
            waiting = self._waiting.take()
            waiting.is_served = True
            self._begin(waiting.file, waiting.ip, waiting.nonce)
        if self._waiting.count:
            self._look_soon()

    def _send_nonces(self) -> None:
        """To those who wait for long."""
        line, since = self._without_nonce, asyncio.get_running_loop().time() - NONCE_AFTER_S
        if len(line) > 2 * self._limits.max_connections:  # many came and went behind one that waits
            self._without_nonce = line = deque(each for each in line if not each.is_served)
        for _ in range(NONCES_AT_ONCE):
            while line and line[0].is_served:
                line.popleft()
            if not line or line[0].since > since:
                return
            waiting = line.popleft()
            waiting.nonce = _send_nonce(waiting.file)

    def _has_room(self) -> bool:
        """For one more to be served."""
        return len(self._strangers) < self._limits.max_strangers or self._drop_idle_stranger()

    def _has_place(self) -> bool:
        """For one more to be accepted."""
        most = self._limits.max_connections
        if len(self._links) + self._waiting.count < most:
            return True
        return self._drop_idle_stranger() and len(self._links) + self._waiting.count < most

    def _room_is_there(self) -> None:
        if self._changed is not None:
            self._changed.set()
        if (self._is_full or self._waiting.count) and self._listeners:
            self._look_soon()

    def _drop_idle_stranger(self) -> bool:
        since = asyncio.get_running_loop().time() - self._limits.stranger_patience_s
        for link, arrived in self._strangers.items():
            if arrived > since:
                return False
            if link.session.waits_for_peer:
                link.abort()
                self.left(link)
                return True
        return False

    def _check(self) -> None:
        """Whose time is over leaves, some at a time."""
        loop = asyncio.get_running_loop()
        now, ended = loop.time(), 0
        for link in list(self._strangers):
            session = link.session
            # One that has said something has an alarm of its own.
            if isinstance(session, StrangerSession) and session.handle_deadline(now):
                ended += 1
                if ended == ENDED_AT_ONCE:
                    break
        self._checking = None
        if self._strangers and self._listeners:
            self._checking = loop.call_later(0.0 if ended == ENDED_AT_ONCE else CHECK_S, self._check)

    # --- told by the links ---

    def arrived(self, link: "_Link", nonce: bytes) -> StrangerSession:
        if self._checking is None:
            self._checking = asyncio.get_running_loop().call_later(CHECK_S, self._check)
        self._links.add(link)
        self._strangers[link] = asyncio.get_running_loop().time()
        return StrangerSession(link, self._services, nonce)

    def admitted(self, link: "_Link") -> None:
        """Its patience begins anew, once: in a storm it may have waited for our part of the handshake for long."""
        if self._strangers.pop(link, None) is not None:
            self._strangers[link] = asyncio.get_running_loop().time()

    def proven(self, link: "_Link") -> None:
        self._strangers.pop(link, None)
        self._room_is_there()

    def left(self, link: "_Link") -> None:
        self._links.discard(link)
        self._strangers.pop(link, None)
        if self._is_full or self._waiting.count or self._changed is not None:
            self._room_is_there()


class _Waiting(Struct, eq=False, gc=False):
    """`nonce` is empty as long as it was not sent."""

    file: int
    ip: str
    since: float
    nonce: bytes = b""
    is_served: bool = False


class _Link(Socket):
    """One connection: the peer of its session."""

    __slots__ = ("__weakref__", "_gateway", "_has_room", "_ip", "_is_finished", "_limits", "_linger", "session")

    def __init__(self, gateway: TcpGateway, watch: Watch, file: int, limits: TcpLimits, ip: str, nonce: bytes) -> None:
        super().__init__(watch, file)
        self._gateway = gateway
        self._limits = limits
        self._ip = ip
        self._linger: asyncio.TimerHandle | None = None
        self._has_room = True
        self._is_finished = False
        self.session: StrangerSession | TcpSession = gateway.arrived(self, nonce)

    # --- Socket ---

    def received(self, data: bytes) -> None:
        self.session.receive(data)

    def received_eof(self) -> None:
        """The session closes; until then what it has to say still goes out."""
        self.session.receive_eof()

    def has_sent(self, left: int) -> None:
        if not self._has_room and left <= FULL // 4:
            self._has_room = True
            self.session.writable()

    def gone(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        if not self._is_finished:
            self.session.lost()
        self._gateway.left(self)
        # A circle less, and all of this connection is freed at once: the garbage collector looks seldom (garbage.py).
        del self.session

    # --- Peer ---

    @property
    def ip(self) -> str:
        return self._ip

    @property
    def has_room(self) -> bool:
        return self._has_room

    def send(self, data: bytes) -> None:
        self.write(data)
        unsent = self.unsent
        if unsent > FULL:
            self._has_room = False
            if unsent > self._limits.max_unsent and not self.is_ending:
                log.info("device %s at %s does not read any more: dropped", self.session.device, self._ip)
                self._gateway.unread += 1
                self.abort()

    def admitted(self) -> None:
        self._gateway.admitted(self)

    def becomes(self, session: TcpSession) -> None:
        self.session = session

    def proven(self) -> None:
        self._gateway.proven(self)

    def pause(self) -> None:
        if not self.is_ending:
            self.read_on(reads=False)

    def resume(self) -> None:
        if not self.is_ending:
            self.read_on(reads=True)

    def finish(self, closed: Closed) -> None:
        self._is_finished = True
        self._gateway.closed[closed.reason] += 1
        if log.isEnabledFor(logging.DEBUG):
            log.debug("connection of %s ended: %s %s", self._ip, closed.reason.value, closed.detail)
        if not self._is_ending:
            self.end()
            if self._unsent:
                loop = asyncio.get_running_loop()
                self._linger = loop.call_later(self._limits.linger_s, self.abort)


def _send_nonce(file: int) -> bytes:
    """To a connection that was sent nothing yet, so that there is room for it."""
    nonce = os.urandom(NONCE_SIZE)
    try:  # noqa: SIM105 - three calls more in each handshake
        os.write(file, nonce)
    except OSError:
        pass  # whoever went away is found when it is read from
    return nonce


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        _tune(listener)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _tune(listener: socket.socket) -> None:
    """Connections have from their listener what is set here."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel would let its own buffer grow to megabytes for each device that does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # A sleeping laptop's or a router's dead connection is found by the session's own silence rule; keep-alive is for
    # the address translation on the way, which forgets quiet connections.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
