"""Drives one connection's protocol machine: feeds it, answers its questions, tells the rest of the cloud.

Transports differ in how bytes move, and only in that: each is a `Peer` for this driver. The machine decides; this file
awaits. What the machine emits goes one of three ways:

* a question is answered from here: RSA work in a thread pool, who the device is by the inbox, the time by the clock;
* the end of a request resolves the future of whoever waits for it;
* what the rest of the cloud must know is told to the inbox through the device's mailbox, in order.

A connection becomes the device's session with its Hello, which is the first message that only the holder of the
device's key can have sent. What goes wrong in the inbox ends this one connection.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.clock import Clock, Millis
from cloudchamber.gateway.hub import Hub
from cloudchamber.gateway.mailboxes import Mailboxes
from cloudchamber.gateway.rules import is_wanted, reaches_beyond_owner
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import DeviceInbox, DeviceRefused, NotAdmitted
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import (
    Answered,
    ClaimCodePresented,
    Closed,
    CloudEvent,
    DecryptHandshake,
    Described,
    Disconnected,
    EventPublished,
    FactAsked,
    IdentifyDevice,
    Online,
    Outcome,
    SafeMode,
    SaidGoodbye,
    Subscribed,
    TimeAsked,
    UpdatesEnabled,
    UpdatesForced,
    Vitals,
)
from cloudchamber.wire.messages import DEFAULT_TTL_S, Hello, Subscription
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.handshake import CREDENTIALS_SIZE, open_handshake, seal_credentials

log = logging.getLogger(__name__)

# A device publishes four events at once and then one a second, so it fills this only when the inbox has come to a halt,
# or when it is none of ours. It is then not read from any more until half of that is told.
MAX_UNTOLD = 64

# An inbox that does not come back must not hold a device's mailbox for ever; a database that takes this long is down.
INBOX_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Services:
    """What all connections of a gateway share. `crypto` runs RSA operations of about 1 ms each."""

    inbox: DeviceInbox
    hub: Hub
    server_key: RSAPrivateKey
    crypto: Executor
    clock: Clock
    mailboxes: Mailboxes


class Peer(Protocol):
    """The transport's side."""

    @property
    def ip(self) -> str: ...

    def send(self, data: bytes) -> None: ...

    def proven(self) -> None:
        """The device has proven its key: this is no stranger any more."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def finish(self, closed: Closed) -> None:
        """Nothing more will be sent."""
        ...


class DeviceSession:
    """One connection. All methods run on the loop's thread."""

    __slots__ = (
        "__weakref__",
        "_connection",
        "_device",
        "_failed",
        "_heard_at",
        "_is_paused",
        "_loop",
        "_owes_offline",
        "_peer",
        "_public_key_der",
        "_said_hello",
        "_services",
        "_subscriptions",
        "_timer",
        "_timer_at",
        "_untold",
        "_waiting",
        "_work",
    )

    def __init__(self, connection: CloudConnection, peer: Peer, services: Services) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._peer = peer
        self._services = services
        self._device = DeviceId("")
        self._public_key_der = b""
        self._heard_at = self._loop.time()
        self._subscriptions: list[Subscription] = []
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._untold = 0
        self._is_paused = False
        self._said_hello = False
        self._owes_offline = False
        self._failed = False

    # --- LiveSession ---

    @property
    def device(self) -> DeviceId:
        """Empty before the handshake told it."""
        return self._device

    @property
    def public_key_der(self) -> bytes:
        return self._public_key_der

    @property
    def last_heard(self) -> Millis:
        # Monotonic time is kept, so that a step of the wall clock moves no device into the future.
        return Millis(self._services.clock.now() - int((self._loop.time() - self._heard_at) * 1000))

    async def call_function(self, name: str, argument: str, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.call_function(name, argument, self._loop.time(), timeout_s))

    async def read_variable(self, name: str, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.read_variable(name, self._loop.time(), timeout_s))

    async def ping(self, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.ping(self._loop.time(), timeout_s))

    async def signal(self, *, on: bool, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.signal(on, self._loop.time(), timeout_s))

    def send_event(
        self, name: str, data: bytes | None, *, ttl_s: int, is_private: bool, is_own: bool, source: DeviceId | None
    ) -> bool:
        if not is_wanted(self._subscriptions, name, is_own=is_own, is_private=is_private, source=source):
            return False
        is_sent = self._connection.send_event(name, data, ttl_s, is_private, self._loop.time())
        self.pump()
        return is_sent

    def replaced(self) -> None:
        self._owes_offline = False
        self.close()

    def close(self) -> None:
        self._connection.close(self._loop.time())
        self.pump()

    async def _ask(self, request: int) -> Outcome:
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting[request] = future
        try:
            self.pump()
            return await future
        finally:
            self._waiting.pop(request, None)

    # --- for the transport ---

    @property
    def waits_for_peer(self) -> bool:
        """True when the next step of the handshake is the peer's, not ours."""
        return self._work is None

    def receive(self, data: bytes) -> None:
        now = self._heard_at = self._loop.time()
        self._connection.receive(data, now)
        self.pump()

    def receive_eof(self) -> None:
        self._connection.receive_eof(self._loop.time())
        self.pump()

    def lost(self) -> None:
        """The transport is gone, in whatever way."""
        now = self._loop.time()
        self._connection.receive_eof(now)
        self._connection.close(now)
        self.pump()

    def pump(self) -> None:
        """Moves what the machine has to say. Called after everything that was done to it."""
        connection = self._connection
        while events := connection.events():
            for event in events:
                _HANDLERS[type(event)](self, event)
        data = connection.data_to_send(self._loop.time())
        if data:
            self._peer.send(data)
        self._set_timer(connection.next_deadline())

    def _set_timer(self, deadline: float | None) -> None:
        # Deadlines mostly move away with each message: the timer stays, and looks again when it rings.
        timer = self._timer
        if timer is not None:
            if deadline is not None and deadline >= self._timer_at:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._ring)
            self._timer_at = deadline

    def _ring(self) -> None:
        self._timer = None
        self._connection.handle_deadline(self._loop.time())
        self.pump()

    # --- questions ---

    def _on_decrypt(self, event: DecryptHandshake) -> None:
        self._start(self._decrypt(event))

    async def _decrypt(self, event: DecryptHandshake) -> None:
        services = self._services
        plaintext = await self._loop.run_in_executor(
            services.crypto, open_handshake, services.server_key, event.ciphertext
        )
        self._work = None
        self._connection.handshake_decrypted(plaintext, self._loop.time())
        self.pump()

    def _on_identify(self, event: IdentifyDevice) -> None:
        self._start(self._identify(event))

    async def _identify(self, event: IdentifyDevice) -> None:
        services = self._services
        device = DeviceId(event.device_id.hex())
        reply = credentials = b""
        try:
            async with asyncio.timeout(INBOX_TIMEOUT_S):
                admission = await services.inbox.admit(device, event.public_key_der)
            if isinstance(admission, NotAdmitted):
                log.info("device %s at %s not admitted: %s", device, self._peer.ip, admission.reason)
            else:
                credentials = secrets.token_bytes(CREDENTIALS_SIZE)
                reply = await self._loop.run_in_executor(
                    services.crypto, seal_credentials, services.server_key, admission.public_key_der, credentials
                )
                self._device = device
                self._public_key_der = admission.public_key_der
        except WireError as error:
            log.info("device %s at %s not admitted: %s", device, self._peer.ip, error)
        except Exception:
            log.exception("device %s at %s: cannot ask whether it may connect", device, self._peer.ip)
        self._work = None
        if reply:
            self._connection.admit(reply, credentials, self._loop.time())
        else:
            self._connection.refuse(self._loop.time())
        self.pump()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._work is None
        self._work = self._loop.create_task(work)

    def _on_time(self, event: TimeAsked) -> None:
        self._connection.tell_time(event, self._services.clock.now() // 1000, self._loop.time())

    # --- what the machine found ---

    def _on_answered(self, event: Answered) -> None:
        future = self._waiting.get(event.request)
        if future is not None and not future.done():
            future.set_result(event.outcome)

    def _on_subscribed(self, event: Subscribed) -> None:
        self._subscriptions.append(event.subscription)
        if reaches_beyond_owner(event.subscription):
            self._services.hub.listens_widely(self)

    def _on_online(self, event: Online) -> None:
        self._subscriptions.clear()
        # A second Hello on one connection only starts subscriptions anew: `online` and `offline` come in pairs.
        if not self._said_hello:
            self._said_hello = True
            self._peer.proven()
            self._tell(partial(self._tell_online, event.hello))

    def _on_described(self, event: Described) -> None:
        self._tell(partial(self._services.inbox.described, self._device, event.describe))

    def _on_published(self, event: EventPublished) -> None:
        published = self._services.inbox.published
        self._tell(
            partial(published, self._device, event.name, event.data, ttl_s=event.ttl_s, is_private=event.is_private)
        )

    def _on_claim_code(self, event: ClaimCodePresented) -> None:
        self._tell(partial(self._tell_claim_code, event.code))

    def _on_safe_mode(self, _event: SafeMode) -> None:
        self._tell(partial(self._services.inbox.safe_mode, self._device))

    def _on_updates_enabled(self, event: UpdatesEnabled) -> None:
        self._tell(partial(self._services.inbox.updates_enabled, self._device, enabled=event.enabled))

    def _on_updates_forced(self, event: UpdatesForced) -> None:
        self._tell(partial(self._services.inbox.updates_forced, self._device, forced=event.forced))

    def _on_fact(self, event: FactAsked) -> None:
        self._tell(partial(self._tell_fact, event))

    def _on_nothing(self, _event: Vitals | SaidGoodbye) -> None:
        """Nobody asks for these yet; the close that follows a Goodbye tells that the device is offline."""

    def _on_closed(self, event: Closed) -> None:
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self._services.hub.detach(self)
        for future in self._waiting.values():
            if not future.done():
                future.set_result(Disconnected())
        if self._said_hello:
            # Posted even when `online` has not been told yet: by then it is known whether it was.
            self._services.mailboxes.post(self._device, self._tell_offline)
        self._peer.send(self._connection.data_to_send(self._loop.time()))
        self._peer.finish(event)

    # --- the inbox, in order ---

    def _tell(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._untold += 1
        if self._untold >= MAX_UNTOLD and not self._is_paused:
            self._is_paused = True
            self._peer.pause()
        self._services.mailboxes.post(self._device, partial(self._tell_now, call))

    async def _tell_now(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        if not self._failed:
            try:
                async with asyncio.timeout(INBOX_TIMEOUT_S):
                    await call()
            except DeviceRefused as refused:
                log.warning("device %s at %s refused: %s", self._device, self._peer.ip, refused)
                self._fail()
            except Exception:
                log.exception("device %s: what it said could not be handled; closing its connection", self._device)
                self._fail()
        self._untold -= 1
        if self._is_paused and self._untold <= MAX_UNTOLD // 2:
            self._is_paused = False
            self._peer.resume()

    def _fail(self) -> None:
        self._failed = True
        self.close()

    async def _tell_online(self, hello: Hello) -> None:
        hub = self._services.hub
        older = hub.session(self._device)
        if older is None:
            hub.attach(self)
        await self._services.inbox.online(self._device, hello, self._peer.ip, self._public_key_der)
        if self._connection.is_closed:
            self._owes_offline = older is None
            return
        self._owes_offline = True
        if older is not None:
            # Only now: had the inbox refused this connection, the older one would not have been disturbed.
            hub.attach(self)
            older.replaced()

    async def _tell_offline(self) -> None:
        if not self._owes_offline:
            return
        self._owes_offline = False
        try:
            async with asyncio.timeout(INBOX_TIMEOUT_S):
                await self._services.inbox.offline(self._device, self.last_heard)
        except Exception:
            log.exception("device %s: could not be told to be offline", self._device)

    async def _tell_claim_code(self, code: str) -> None:
        if await self._services.inbox.claim_code(self._device, code):
            self._connection.confirm_claim(self._loop.time())
            self.pump()

    async def _tell_fact(self, event: FactAsked) -> None:
        answer = await self._services.inbox.fact(self._device, event.fact, self._peer.ip)
        self._connection.send_event(event.event_name, answer, DEFAULT_TTL_S, True, self._loop.time())
        self.pump()


_HANDLERS: dict[type[CloudEvent], Callable[[DeviceSession, Any], None]] = {
    Answered: DeviceSession._on_answered,
    ClaimCodePresented: DeviceSession._on_claim_code,
    Closed: DeviceSession._on_closed,
    DecryptHandshake: DeviceSession._on_decrypt,
    Described: DeviceSession._on_described,
    EventPublished: DeviceSession._on_published,
    FactAsked: DeviceSession._on_fact,
    IdentifyDevice: DeviceSession._on_identify,
    Online: DeviceSession._on_online,
    SafeMode: DeviceSession._on_safe_mode,
    SaidGoodbye: DeviceSession._on_nothing,
    Subscribed: DeviceSession._on_subscribed,
    TimeAsked: DeviceSession._on_time,
    UpdatesEnabled: DeviceSession._on_updates_enabled,
    UpdatesForced: DeviceSession._on_updates_forced,
    Vitals: DeviceSession._on_nothing,
}
