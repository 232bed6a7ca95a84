"""The listeners for devices over datagrams: sockets around one DTLS endpoint, and the sessions behind it.

    datagram -> Endpoint -> Received -> UdpSession (udp_session.py) -> hub, inbox
                         -> SessionAsked -> the store -> restore

A session is in one of three places. Awake, while something goes on in it. As `Dozing` (dozing.py), half a kilobyte of
memory, when its device is online and said nothing for some seconds. In the store alone, when the device is offline: for
months, at no cost. A restart of the cloud is the third case for all of them at once; devices do not notice it.

What strangers can cost is bounded: nothing is kept before an address has returned its cookie (the endpoint's rule),
handshakes and sessions without a Hello crowd out their own kind, and look-ups of made-up sessions are one
indexed read each, so many at a time and no more.
"""

import asyncio
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from cloudchamber.gateway.alarm import Alarm
from cloudchamber.gateway.datagrams import Port, listen
from cloudchamber.gateway.dozing import Dormitory, Dozing
from cloudchamber.gateway.rules import offline_after_s
from cloudchamber.gateway.services import Services
from cloudchamber.gateway.session import INBOX_TIMEOUT_S
from cloudchamber.gateway.udp_session import UdpSession, address_text, to_be_saved
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Admitted
from cloudchamber.resumption.model import SavedSession
from cloudchamber.resumption.service import SavedSessions
from cloudchamber.wire.dtls.cookies import SECRET_SIZE
from cloudchamber.wire.dtls.endpoint import Counters, Endpoint
from cloudchamber.wire.dtls.events import (
    ByAddress,
    ByCid,
    ByDeviceId,
    Closed,
    Established,
    HandshakeFailed,
    Moved,
    Received,
    ReservationNeeded,
    SessionAsked,
    SessionKey,
)
from cloudchamber.wire.dtls.records import Address
from cloudchamber.wire.dtls.session import DtlsSession
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.session.memory import SessionMemory
from cloudchamber.wire.udp.connection import CloudDatagramSession

log = logging.getLogger(__name__)

SAVED_AT_ONCE: Final = 500
COOKIE_LIFETIME_S: Final = 300.0

MAX_LOOKED_AT: Final = 64
"""When memory is full: among so many sessions that were silent longest, one is expected to be idle."""

MAX_LAID_DOWN: Final = 8
"""At a time. When these are all busy, the next ones come next."""

SWEPT_AT_ONCE: Final = 8
"""Silent sessions in a turn of the loop: to pack one takes some 50 µs, and two thousand may be silent together."""

LOOKED_AT_IN_A_TURN: Final = 256
"""Dozing devices: 0.1 ms."""

MAX_GIVEN_UP: Final = 256
"""Dozing devices that are found to be gone in one sweep: each is woken for it, and may have to be stored."""


@dataclass(frozen=True, slots=True)
class UdpLimits:
    """Bounds of one gateway. Times in seconds, sizes in bytes."""

    max_sessions: int = 20_000
    """Awake and dozing. The one that was silent longest makes room."""
    max_strangers: int = 8_192
    """Sessions whose device has not said Hello: it does so at once, and has 90 s. Each cost a handshake, and holds some
    6 KB. When a whole fleet comes at once, thousands of Hellos wait in the socket behind the handshakes: 3,000 did."""
    max_lookups: int = 256
    """At once. What is dropped here, a device sends again."""
    max_unsent: int = 1024 * 1024
    """The kernel takes datagrams at once; where it does not, old ones are worth nothing."""
    awake_s: float = 5.0
    """Silent for so long, a session lies down. To pack one and to wake it takes half as long as to handle a message, so
    one that speaks every few seconds stays as it is."""
    max_awake: int = 2_048
    """When a whole fleet comes online or is asked for, those that were silent longest lie down earlier: what was awake
    at one time is memory that the process keeps. Each takes 5 KB."""
    sweep_s: float = 2.0


class UdpGateway:
    """All UDP listeners of a process, and the sessions of their devices."""

    def __init__(
        self, services: Services, saved: SavedSessions, key: EllipticCurvePrivateKey, limits: UdpLimits | None = None
    ) -> None:
        """`key`: P-256, whose public half devices hold."""
        self._loop = asyncio.get_running_loop()
        self._services = services
        self._saved = saved
        self._limits = limits or UdpLimits()
        self._draw = _draws().__next__
        self._endpoint = Endpoint(key=key, cookie_secret=os.urandom(SECRET_SIZE), entropy=os.urandom)
        self._alarm = Alarm(services.alarms, self._ring)
        self._sweeper: asyncio.Handle | None = None
        self._may_give_up = 0
        self._cookies_rotate_at = self._loop.time() + COOKIE_LIFETIME_S
        self._ports: dict[int, Port] = {}
        # Those heard last come last.
        self._sessions: dict[bytes, UdpSession] = {}
        self._strangers: dict[bytes, UdpSession] = {}
        self._dozing = Dormitory()
        # Dozing ones that a datagram named, until it is known whether it came from their device.
        self._called: dict[bytes, tuple[DtlsSession, Dozing]] = {}
        # In memory for one datagram: their device was refused when they were looked up.
        self._unwelcome: dict[bytes, SavedSession] = {}
        # Of sessions that had to make room while they were being stored.
        self._writers: dict[bytes, asyncio.Task[None]] = {}
        self._lookups = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_pumping = False
        self._transmits_soon = False
        self._is_stopping = False
        self.datagrams_in = 0
        self.datagrams_out = 0
        self.datagrams_unsent = 0
        """Dropped because the system did not take more."""
        self.lookups_dropped = 0

    # --- figures ---

    @property
    def counters(self) -> Counters:
        return self._endpoint.counters

    @property
    def sessions(self) -> int:
        """Awake."""
        return len(self._sessions)

    @property
    def strangers(self) -> int:
        return len(self._strangers)

    @property
    def dozing(self) -> int:
        return len(self._dozing)

    def datagrams(self) -> dict[str, int]:
        """Since the start, by what became of them."""
        counters = self._endpoint.counters
        return {
            "received": self.datagrams_in,
            "sent": self.datagrams_out,
            "unsent": self.datagrams_unsent,
            "dropped": counters.dropped,
            "forged": counters.forged,
            "lookup_dropped": self.lookups_dropped,
        }

    def handshakes(self) -> dict[str, int]:
        counters = self._endpoint.counters
        return {
            "cookie": counters.hello_verify_requests,
            "started": counters.handshakes_started,
            "done": counters.handshakes_done,
            "failed": counters.handshakes_failed,
        }

    # --- start and stop ---

    async def start(self, host: str, port: int) -> int:
        """Listens on `host`, for a name with addresses of both families on one of each (`::` takes IPv4 as well);
        gives the port, which port 0 leaves open.

        Raises OSError when an address cannot be had.
        """
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        # An answer must come from the address that the device spoke to: so there is one socket for each family.
        for family, address in {family: address for family, _, _, _, address in reversed(found)}.items():
            listener = listen(family, (address[0], port, *address[2:]))
            port = listener.getsockname()[1]
            _, protocol = await self._loop.create_datagram_endpoint(partial(Port, self._received), sock=listener)
            self._ports[family] = protocol
            if address[0] == "::":
                self._ports.setdefault(socket.AF_INET, protocol)
        self._sweeper = self._loop.call_later(self._limits.sweep_s, self._sweep)
        return port

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Takes nothing in any more, stores every session, and tells the inbox what remains to be told. Devices hear
        nothing of it."""
        self._is_stopping = True
        self._alarm.set(None)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        sessions = list(self._sessions.values())
        for session in sessions:
            await session.leave()
        for writer in self._writers.values():
            writer.cancel()
        await asyncio.gather(*self._writers.values(), return_exceptions=True)
        known = [session.saved() for session in sessions if session.has_unsaved]
        for dozing in self._dozing:
            dozing.leave()
            known += self._unsaved(dozing)
        try:
            for first in range(0, len(known), SAVED_AT_ONCE):
                await self._saved.save_all(known[first : first + SAVED_AT_ONCE])
        except Exception:
            log.exception("not all sessions could be stored: devices may take a minute or two to come back")
        self._transmit()
        for port in set(self._ports.values()):
            await port.close()
        self._ports.clear()
        self._sessions.clear()
        self._strangers.clear()
        self._dozing.clear()
        if not await self._services.mailboxes.drain(timeout_s):
            log.error("the gateway stopped before everything that devices said was handled")

    def close_all(self) -> None:
        """Each device makes a new session at once."""
        for session in list(self._sessions.values()):
            session.close()
        for dozing in list(self._dozing):
            dozing.close()

    # --- the endpoint ---

    def _received(self, data: bytes, address: Address) -> None:
        self.datagrams_in += 1
        if not self._is_stopping:
            self._endpoint.receive_datagram(data, address, self._loop.time())
            self._pump()
            # Here and nowhere else, because no session is in the middle of anything.
            if len(self._sessions) > self._limits.max_awake:
                self._lay_down()

    def _ring(self) -> None:
        self._endpoint.handle_deadline(self._loop.time())
        self._pump()

    def _pump(self) -> None:
        """Moves what the endpoint has to say. Whatever that leads to comes round in the same loop."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while events := self._endpoint.events():
                for event in events:
                    _HANDLERS[type(event)](self, event)
            if self._called:
                self._let_lie()
        finally:
            self._is_pumping = False
        if not self._transmits_soon and self._endpoint.has_datagrams:
            # With all that this turn of the loop leads to: whoever receives it is woken once.
            self._transmits_soon = True
            self._loop.call_soon(self._transmit)
        self._alarm.set(self._endpoint.next_deadline())

    def _transmit(self) -> None:
        self._transmits_soon = False
        for data, address in self._endpoint.datagrams_to_send(self._loop.time()):
            port = self._ports.get(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            if port is not None and port.send(data, address, self._limits.max_unsent):
                self.datagrams_out += 1
            else:
                self.datagrams_unsent += 1

    # --- what the endpoint found ---

    def _on_established(self, event: Established) -> None:
        dtls = event.session
        connection = CloudDatagramSession(draw=self._draw, now=self._loop.time())
        session = UdpSession(connection, dtls, self, self._services)
        self._strangers[dtls.id] = session
        self._remember(session)
        if len(self._strangers) > self._limits.max_strangers:
            next(iter(self._strangers.values())).give_up()

    def _remember(self, session: UdpSession) -> None:
        # First it is known, for making room moves events on, which may be its own.
        self._sessions[session.dtls.id] = session
        if len(self._sessions) + len(self._dozing) > self._limits.max_sessions:
            self._make_room(session)
        session.pump()

    def _make_room(self, newcomer: UdpSession) -> None:
        dozing = next(iter(self._dozing), None)
        if dozing is not None:
            self.wake(dozing).give_up()
            return
        oldest = list(islice(self._sessions.values(), MAX_LOOKED_AT))
        for session in oldest:
            if session is not newcomer and not session.is_online and session.is_idle and self._unload(session):
                return
        oldest[0].give_up()

    def _on_received(self, event: Received) -> None:
        key = event.session.id
        session = self._session_of(event.session) if self._called else self._sessions.get(key)
        if session is not None:
            self._sessions[key] = self._sessions.pop(key)
            session.receive(event.payload)
        elif key in self._unwelcome:
            self._spawn(self._turn_away(event.session, self._unwelcome.pop(key)))

    def _on_moved(self, event: Moved) -> None:
        session = self._session_of(event.session)
        if session is not None:
            session.store()

    def _on_reservation(self, event: ReservationNeeded) -> None:
        session = self._sessions.get(event.session.id)
        if session is not None:
            session.needs_numbers()

    def _on_closed(self, event: Closed) -> None:
        session = self._session_of(event.session)
        if session is not None:
            session.ended()

    def _on_failed(self, event: HandshakeFailed) -> None:
        log.debug("handshake with %s failed: %s %s", event.address, event.reason.value, event.detail)

    # --- sessions that doze ---

    def _call(self, dozing: Dozing, ticket: int) -> None:
        """A datagram named it. Only one that authenticates wakes it, by the event that comes of it."""
        dtls = self._endpoint.unpack(dozing.channel)
        self._called[dtls.id] = (dtls, dozing)
        self._endpoint.found(ticket, self._loop.time())

    def _session_of(self, dtls: DtlsSession) -> UdpSession | None:
        called = self._called.pop(dtls.id, None)
        return self._sessions.get(dtls.id) if called is None else self._rise(*called)

    def _let_lie(self) -> None:
        for dtls, dozing in self._called.values():
            dozing.channel = self._endpoint.pack(dtls)
        self._called.clear()

    def _rise(self, dtls: DtlsSession, dozing: Dozing) -> UdpSession:
        self._dozing.remove(dozing)
        connection = CloudDatagramSession.unpack(dozing.session, draw=self._draw, now=self._loop.time())
        session = UdpSession(connection, dtls, self, self._services)
        session.goes_on(dozing.device)
        session.rise(dozing.heard_at)
        self._sessions[dtls.id] = session
        return session

    def _lie_down(self, session: UdpSession) -> None:
        del self._sessions[session.dtls.id]
        dozing = session.doze(self, self._endpoint.pack(session.dtls))
        self._dozing.add(dozing)
        dozing.lie_down()

    def _lay_down(self) -> None:
        for session in list(islice(self._sessions.values(), MAX_LAID_DOWN)):
            if session.may_doze:
                self._lie_down(session)
            else:
                self._sessions[session.dtls.id] = self._sessions.pop(session.dtls.id)

    def _unsaved(self, dozing: Dozing) -> list[SavedSession]:
        """What the store lacks of it, which is the end of the replay window at most."""
        dtls = self._endpoint.unpack(dozing.channel)
        found = []
        if dtls.unsaved_records:
            found.append(to_be_saved(dtls, dozing.device, None))
        self._endpoint.unload(dtls)
        return found

    # --- sessions out of the store ---

    def _on_asked(self, event: SessionAsked) -> None:
        dozing = self._dozing.find(event.key)
        if dozing is not None:
            self._call(dozing, event.ticket)
            return
        if self._lookups >= self._limits.max_lookups:
            self.lookups_dropped += 1
            self._endpoint.drop(event.ticket)
            return
        self._lookups += 1
        self._spawn(self._look_up(event))

    async def _look_up(self, asked: SessionAsked) -> None:
        saved = state = memory = None
        is_admitted = False
        try:
            while (saved := await self._find(asked.key)) is not None and saved.id in self._writers:
                await asyncio.wait((self._writers[saved.id],))
            if saved is not None and saved.device is not None:
                state = SessionState.from_bytes_untrusted(saved.state)
                is_admitted = await self._admits(DeviceId(saved.device), state.peer_spki)
                memory = SessionMemory.from_bytes_untrusted(saved.memory or b"")
        except WireError as error:
            log.warning("a stored session cannot be read (%s): its device starts anew", error)
        except Exception:
            log.exception("a stored session could not be looked up")
            state = None
        finally:
            self._lookups -= 1
        if saved is not None and saved.device is not None:
            dozing = self._dozing.find(ByDeviceId(bytes.fromhex(saved.device)))
            if dozing is not None:  # it came another way while we looked
                self._call(dozing, asked.ticket)
                self._pump()
                return
        dtls = self._endpoint.restore(asked.ticket, state, self._loop.time())
        if dtls is not None and saved is not None and dtls.id not in self._sessions:
            if is_admitted and memory is not None:
                session = self._resume(dtls, saved, memory)
                self._pump()
                if session.is_untouched:
                    self._unload(session)  # whoever named it had no record of it
                return
            self._unwelcome[dtls.id] = saved
            self._pump()
            if self._unwelcome.pop(dtls.id, None) is not None:
                self._endpoint.unload(dtls)
        self._pump()

    async def _find(self, key: SessionKey) -> SavedSession | None:
        match key:
            case ByCid(cid):
                return await self._saved.by_cid(cid)
            case ByDeviceId(device_id):
                return await self._saved.by_device(device_id.hex())
            case ByAddress(address):
                return await self._saved.by_address(address_text(address))

    async def _admits(self, device: DeviceId, public_key_der: bytes) -> bool:
        """Its key may have changed since the session was stored."""
        async with asyncio.timeout(INBOX_TIMEOUT_S):
            admission = await self._services.inbox.admit(device, public_key_der)
        return admission == Admitted(public_key_der)

    def _resume(self, dtls: DtlsSession, saved: SavedSession, memory: SessionMemory) -> UdpSession:
        assert saved.device is not None
        connection = CloudDatagramSession.resume(memory, draw=self._draw, now=self._loop.time())
        session = UdpSession(connection, dtls, self, self._services)
        session.goes_on(DeviceId(saved.device))
        self._remember(session)
        return session

    async def _turn_away(self, dtls: DtlsSession, saved: SavedSession) -> None:
        """The device itself is here, but its key is not its key any more: close_notify makes it start anew, which then
        shows what it holds. The record number for that has to be reserved as any other."""
        state = dtls.state()
        await self._saved.save_all(
            [SavedSession(saved.id, saved.cid, saved.device, saved.address, state.to_bytes(), None)]
        )
        dtls.reserved(state.next_number)
        self._endpoint.close(dtls, self._loop.time())
        self._pump()
        await self._saved.forget(saved.id)

    # --- Carrier ---

    def transmit(self) -> None:
        self._pump()

    async def save(self, session: SavedSession) -> None:
        await self._saved.save(session)

    def said_hello(self, session: UdpSession) -> None:
        self._strangers.pop(session.dtls.id, None)

    def proven(self, session: UdpSession) -> None:
        self._endpoint.identify(session.dtls, bytes.fromhex(session.device))
        self._pump()

    def left(self, session: UdpSession, *, notify: bool) -> None:
        dtls = session.dtls
        # Its device may have come back out of the store meanwhile, to another object of the same id.
        for sessions in (self._sessions, self._strangers):
            if sessions.get(dtls.id) is session:
                del sessions[dtls.id]
        if not dtls.is_closed:
            if notify:
                self._endpoint.close(dtls, self._loop.time())
            else:
                self._endpoint.unload(dtls)
        if session.is_confirmed and not session.stays_stored:
            self._spawn(self._saved.forget(dtls.id))
        self._pump()

    def left_early(self, session: UdpSession, writer: "asyncio.Task[None]") -> None:
        key = session.dtls.id
        self._writers[key] = writer
        writer.add_done_callback(lambda _: self._writers.pop(key, None))
        self.left(session, notify=False)

    # --- Bed ---

    @property
    def services(self) -> Services:
        return self._services

    def wake(self, dozing: Dozing) -> UdpSession:
        return self._rise(self._endpoint.unpack(dozing.channel), dozing)

    def risen(self, dozing: Dozing) -> None:
        self._dozing.remove(dozing)

    # --- housekeeping ---

    def _sweep(self) -> None:
        now = self._loop.time()
        if now >= self._cookies_rotate_at:
            self._cookies_rotate_at = now + COOKIE_LIFETIME_S
            self._endpoint.rotate_cookie_secret(os.urandom(SECRET_SIZE))
        silent = deque(takewhile(partial(self._is_silent, now), self._sessions.values()))
        self._may_give_up = MAX_GIVEN_UP
        self._sweep_some(silent, deque(self._dozing))

    def _is_silent(self, now: float, session: UdpSession) -> bool:
        return now - session.heard_at >= self._limits.awake_s

    def _sweep_some(self, silent: deque[UdpSession], dozing: deque[Dozing]) -> None:
        """A few in each turn of the loop. Meanwhile each may have been heard, or have left."""
        now, left, looks = self._loop.time(), SWEPT_AT_ONCE, LOOKED_AT_IN_A_TURN
        while silent and left:
            left -= 1
            session = silent.popleft()
            if self._sessions.get(session.dtls.id) is session and self._is_silent(now, session):
                self._let_rest(session, now)
        while dozing and left and looks and self._may_give_up:
            looks -= 1
            each = dozing.popleft()
            if now - each.heard_at >= offline_after_s(each.platform_id) and each in self._dozing:
                left -= 1
                self._may_give_up -= 1
                woken = self.wake(each)
                woken.go_offline()
                woken.pump()
        if silent or (dozing and self._may_give_up):
            self._sweeper = self._loop.call_soon(self._sweep_some, silent, dozing)
        else:
            self._sweeper = self._loop.call_later(self._limits.sweep_s, self._sweep)

    def _let_rest(self, session: UdpSession, now: float) -> None:
        if session.is_online and now - session.heard_at >= offline_after_s(session.platform_id):
            session.go_offline()
        if session.may_doze:
            self._lie_down(session)
        elif not session.is_online and session.is_confirmed and session.is_idle:
            self._unload(session)

    def _unload(self, session: UdpSession) -> bool:
        """The store holds all of it but the end of its replay window: that goes there first, and the answer is no."""
        if session.dtls.unsaved_records:
            session.store()
            return False
        del self._sessions[session.dtls.id]
        session.unload()
        self._endpoint.unload(session.dtls)
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a session could not be kept in order", exc_info=task.exception())


def _draws() -> Iterator[float]:
    """From 0 up to 1. Many at a time, because to ask the system takes as long as to seal a record."""
    while True:
        yield from (drawn / 0x1_0000_0000 for drawn in struct.unpack("64I", os.urandom(256)))


_HANDLERS: Final[dict[type[Any], Callable[[UdpGateway, Any], None]]] = {
    Closed: UdpGateway._on_closed,
    Established: UdpGateway._on_established,
    HandshakeFailed: UdpGateway._on_failed,
    Moved: UdpGateway._on_moved,
    Received: UdpGateway._on_received,
    ReservationNeeded: UdpGateway._on_reservation,
    SessionAsked: UdpGateway._on_asked,
}
