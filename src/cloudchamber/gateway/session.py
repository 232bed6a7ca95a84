"""Drives one device's protocol machine, whatever carries it: answers its questions, tells the rest of the cloud.

How bytes move is the subclass's matter (tcp_session.py, udp_session.py). The machine decides; this file awaits. What
the machine emits goes one of three ways:

* a question is answered from here: who the device is by the inbox, the time by the clock;
* the end of a request is told to whoever waits for it;
* what the rest of the cloud must know is told to the inbox through the device's mailbox, in order.

A connection becomes the device's session with its Hello, which is the first message that only the holder of the
device's key can have sent. What goes wrong in the inbox ends this one connection.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

from cloudchamber.clock import Clock, Millis
from cloudchamber.gateway.alarm import Timed
from cloudchamber.gateway.rules import is_wanted, reaches_beyond_owner
from cloudchamber.gateway.services import Services
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Admission, Cancel, DeviceRefused, Done, NotAdmitted
from cloudchamber.messaging.recording import Kept
from cloudchamber.wire.describe import Part
from cloudchamber.wire.events import (
    Answered,
    Busy,
    ClaimCodePresented,
    Closed,
    CloudEvent,
    Described,
    Disconnected,
    EventPublished,
    FactAsked,
    Online,
    Outcome,
    SafeMode,
    SaidGoodbye,
    Subscribed,
    TimeAsked,
    UpdatesEnabled,
    UpdatesForced,
    UpdateStarted,
    Vitals,
)
from cloudchamber.wire.messages import DEFAULT_TTL_S, Hello, Subscription
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.udp.connection import CloudDatagramSession
from cloudchamber.wire.update.sending import Image

log = logging.getLogger(__name__)

# A device publishes four events at once and then one a second, so it fills this only when the inbox has come to a halt,
# or when it is none of ours. It is then not read from any more until half of that is told.
MAX_UNTOLD = 64

# An inbox that does not come back must not hold a device's mailbox for ever; a database that takes this long is down.
INBOX_TIMEOUT_S = 30.0


Handlers = Mapping[type[CloudEvent], Callable[[Any, Any], None]]

ConnectionT = TypeVar("ConnectionT", bound=CloudConnection | CloudDatagramSession)


class DeviceSession(Timed, Generic[ConnectionT]):
    """One connection. All methods run on the loop's thread."""

    __slots__ = (
        "__weakref__",
        "_connection",
        "_device",
        "_failed",
        "_heard_at",
        "_is_online",
        "_is_paused",
        "_loop",
        "_owes_offline",
        "_public_key_der",
        "_pumps_soon",
        "_recording",
        "_services",
        "_started",
        "_untold",
        "_waiting",
    )

    def __init__(self, connection: ConnectionT, services: Services) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._services = services
        self._device = DeviceId("")
        self._public_key_der = b""
        self._heard_at = self._loop.time()
        self._waiting: dict[int, Done] = {}
        self._started: Callable[[int], None] | None = None
        self._untold = 0
        self._recording = 0
        self._pumps_soon = False
        self._is_paused = False
        self._is_online = False
        self._owes_offline = False
        self._failed = False

    # --- what the transport does ---

    @property
    def ip(self) -> str:
        raise NotImplementedError

    def _send(self) -> None:
        """Moves what the machine wants to send."""
        raise NotImplementedError

    def _finish(self, closed: Closed) -> None:
        """Nothing more will be sent."""
        raise NotImplementedError

    def _pause(self) -> None:
        """Take nothing from the device for a while."""
        raise NotImplementedError

    def _resume(self) -> None:
        raise NotImplementedError

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
        return last_heard(self._services.clock, self._loop.time() - self._heard_at)

    async def call_function(self, name: str, argument: str, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.call_function(name, argument, self._loop.time(), timeout_s))

    async def read_variable(self, name: str, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.read_variable(name, self._loop.time(), timeout_s))

    def begin_function(self, name: str, argument: str, timeout_s: float, done: Done) -> Cancel:
        return self._begin(self._connection.call_function(name, argument, self._loop.time(), timeout_s), done)

    def begin_variable(self, name: str, timeout_s: float, done: Done) -> Cancel:
        return self._begin(self._connection.read_variable(name, self._loop.time(), timeout_s), done)

    async def ping(self, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.ping(self._loop.time(), timeout_s))

    async def read_vitals(self, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.ask_describe(Part.METRICS, self._loop.time(), timeout_s))

    async def signal(self, *, on: bool, timeout_s: float) -> Outcome:
        return await self._ask(self._connection.signal(on, self._loop.time(), timeout_s))

    async def update(self, image: Image, started: Callable[[int], None]) -> Outcome:
        if self._started is not None:
            return Busy()
        self._started = started
        try:
            return await self._ask(self._connection.start_update(image, self._loop.time()))
        finally:
            self._started = None

    def send_system_event(self, name: str, data: bytes | None) -> bool:
        is_sent = self._connection.send_system_event(name, data, self._loop.time())
        self.pump()
        return is_sent

    def send_event(
        self, name: str, data: bytes | None, *, ttl_s: int, is_private: bool, is_own: bool, source: DeviceId | None
    ) -> bool:
        wanted = self._connection.subscriptions
        if not is_wanted(wanted, name, is_own=is_own, is_private=is_private, source=source):
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
        """Cancelled, it ends the request as well: what nobody waits for must not keep the device busy."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        cancel = self._begin(request, partial(_resolve, future))
        try:
            return await future
        except asyncio.CancelledError:
            cancel()
            raise

    def _begin(self, request: int, done: Done) -> Cancel:
        self._waiting[request] = done
        self.pump()
        return partial(self._cancel, request)

    def _cancel(self, request: int) -> None:
        if self._waiting.pop(request, None) is not None:
            self._connection.cancel(request, self._loop.time())
            self.pump()

    # --- for the transport ---

    def pump(self) -> None:
        """Moves what the machine has to say. Called after everything that was done to it."""
        connection, handlers = self._connection, self.handlers
        while events := connection.events():
            for event in events:
                handlers[type(event)](self, event)
        self._send()
        self._set_deadline(self._services.alarms, connection.next_deadline())

    def _due(self) -> None:
        self._connection.handle_deadline(self._loop.time())
        self.pump()

    # --- questions ---

    def _on_time(self, event: TimeAsked) -> None:
        self._connection.tell_time(event, self._services.clock.now() // 1000, self._loop.time())

    # --- what the machine found ---

    def _on_answered(self, event: Answered) -> None:
        done = self._waiting.pop(event.request, None)
        if done is not None:
            done(event.outcome)

    def _on_update_started(self, event: UpdateStarted) -> None:
        if self._started is not None:
            self._started(event.offset)

    def _on_subscribed(self, event: Subscribed) -> None:
        self._tell_width((event.subscription,))

    def _on_online(self, event: Online) -> None:
        # A second Hello on one connection only starts subscriptions anew: `online` and `offline` come in pairs.
        if not self._is_online:
            self._come_online(event.hello)

    def _come_online(self, hello: Hello) -> None:
        self._is_online = True
        self._tell(partial(self._tell_online, hello))

    def _go_offline(self) -> None:
        self._services.hub.detach(self)
        if self._is_online:
            self._is_online = False
            # Posted even when `online` has not been told yet: by then it is known whether it was.
            self._services.mailboxes.post(self._device, self._tell_offline)

    def _on_described(self, event: Described) -> None:
        self._tell(partial(self._services.inbox.described, self._device, event.describe))

    def _on_published(self, event: EventPublished) -> None:
        # Most events need nobody to wait, and so no task. They wait for what was said before and is still being told,
        # unless those are events as well, which only wait to be on record: then all of them do so together.
        is_next = not self._untold and not self._services.mailboxes.has(self._device)
        if self._failed or not (is_next or 0 < self._untold == self._recording):
            self._tell(partial(self._tell_published, event))
            return
        try:
            rest = self._services.inbox.published(self._device, event, is_next=is_next)
        except Exception:
            log.exception("device %s: what it published could not be handled; closing its connection", self._device)
            self._fail()
            return
        if rest is None:
            self._connection.confirm_event(event)
            return
        self._recording += 1
        if isinstance(rest, Kept):
            self._has_untold()
            ended = partial(self._recorded, rest.finish, event)
            self._services.mailboxes.keep_place(self._device, rest.recording, ended)
        else:
            self._tell(partial(self._tell_recorded, rest, event))

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

    def _on_vitals(self, event: Vitals) -> None:
        self._tell(partial(self._services.inbox.vitals, self._device, event.metrics))

    def _on_nothing(self, _event: SaidGoodbye) -> None:
        """Nobody asks for these yet; the close that follows a Goodbye tells that the device is offline."""

    def _on_closed(self, event: Closed) -> None:
        self._give_up_waiting()
        self._go_offline()
        self._send()
        self._finish(event)

    def _give_up_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(Disconnected())

    # --- the inbox, in order ---

    def _tell(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._has_untold()
        self._services.mailboxes.post(self._device, partial(self._tell_now, call))

    def _has_untold(self) -> None:
        self._untold += 1
        if self._untold >= MAX_UNTOLD and not self._is_paused:
            self._is_paused = True
            self._pause()

    def _has_told(self) -> None:
        self._untold -= 1
        if self._is_paused and self._untold <= MAX_UNTOLD // 2:
            self._is_paused = False
            self._resume()

    async def _tell_now(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        if not self._failed:
            try:
                async with asyncio.timeout(INBOX_TIMEOUT_S):
                    await call()
            except DeviceRefused as refused:
                log.warning("device %s at %s refused: %s", self._device, self.ip, refused)
                self._fail()
            except Exception:
                log.exception("device %s: what it said could not be handled; closing its connection", self._device)
                self._fail()
        self._has_told()

    def _fail(self) -> None:
        self._failed = True
        self.close()

    async def _tell_online(self, hello: Hello) -> None:
        hub = self._services.hub
        older = hub.session(self._device)
        if older is None and self._is_online:
            self._attach()
        await self._services.inbox.online(self._device, hello, self.ip, self._public_key_der)
        if not self._is_online:
            self._owes_offline = older is None
            return
        self._owes_offline = True
        # Meanwhile the older one may have lain down or risen, and stands there as another object.
        others = [each for each in (older, hub.session(self._device)) if each is not None and each is not self]
        if others:
            # Only now: had the inbox refused this connection, the older one would not have been disturbed.
            self._attach()
        for other in others:
            other.replaced()

    def _attach(self) -> None:
        self._services.hub.attach(self)
        self._tell_width(self._connection.subscriptions)

    def _tell_width(self, subscriptions: Iterable[Subscription]) -> None:
        if any(reaches_beyond_owner(subscription) for subscription in subscriptions):
            self._services.hub.listens_widely(self)

    async def _tell_offline(self) -> None:
        if self._owes_offline:
            self._owes_offline = False
            await tell_offline(self._services, self._device, self.last_heard)

    async def _tell_published(self, event: EventPublished) -> None:
        rest = self._services.inbox.published(self._device, event, is_next=True)
        if rest is not None:
            await self._tell_rest(rest, event)
        else:
            self._connection.confirm_event(event)
            self.pump()

    async def _tell_recorded(self, rest: Callable[[], Coroutine[Any, Any, bool]], event: EventPublished) -> None:
        try:
            await self._tell_rest(rest, event)
        finally:
            self._recording -= 1

    def _recorded(self, finish: Callable[[], bool], event: EventPublished, is_over: bool) -> None:
        """As `_tell_recorded`, without a task. Not `is_over`: it is neither on record nor refused."""
        if not self._failed:
            if is_over:
                self._finish_recorded(finish, event)
            else:
                log.error("device %s: its event was not put on record in time; closing its connection", self._device)
                self._fail()
        self._recording -= 1
        self._has_told()

    def _finish_recorded(self, finish: Callable[[], bool], event: EventPublished) -> None:
        try:
            self._confirm(event, taken=finish())
        except Exception:
            log.exception("device %s: what it published could not be handled; closing its connection", self._device)
            self._fail()

    async def _tell_rest(self, rest: Callable[[], Coroutine[Any, Any, bool]], event: EventPublished) -> None:
        self._confirm(event, taken=await rest())

    def _confirm(self, event: EventPublished, *, taken: bool) -> None:
        """Only what is on record is acknowledged: a device believes it, and forgets its event."""
        self._connection.confirm_event(event, taken=taken)
        # What was put on record together is acknowledged together.
        if not self._pumps_soon:
            self._pumps_soon = True
            self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pumps_soon = False
        self.pump()

    async def _tell_claim_code(self, code: str) -> None:
        if await self._services.inbox.claim_code(self._device, code):
            self._connection.confirm_claim(self._loop.time())
            self.pump()

    async def _tell_fact(self, event: FactAsked) -> None:
        answer = await self._services.inbox.fact(self._device, event.fact, self.ip)
        self._connection.send_event(event.event_name, answer, DEFAULT_TTL_S, True, self._loop.time())
        self.pump()

    @property
    def handlers(self) -> "Handlers":
        """What a machine may emit, and the method for it."""
        return HANDLERS


HANDLERS: Final[Handlers] = {
    Answered: DeviceSession._on_answered,
    ClaimCodePresented: DeviceSession._on_claim_code,
    Closed: DeviceSession._on_closed,
    Described: DeviceSession._on_described,
    EventPublished: DeviceSession._on_published,
    FactAsked: DeviceSession._on_fact,
    Online: DeviceSession._on_online,
    SafeMode: DeviceSession._on_safe_mode,
    SaidGoodbye: DeviceSession._on_nothing,
    Subscribed: DeviceSession._on_subscribed,
    TimeAsked: DeviceSession._on_time,
    UpdatesEnabled: DeviceSession._on_updates_enabled,
    UpdatesForced: DeviceSession._on_updates_forced,
    UpdateStarted: DeviceSession._on_update_started,
    Vitals: DeviceSession._on_vitals,
}
"""Subclasses add what is theirs."""


async def admitted_key(admission: Awaitable[Admission], device: DeviceId, ip: str) -> bytes | None:
    """The device's key, if it may connect."""
    try:
        admitted = await admission
    except Exception:
        log.exception("device %s at %s: cannot ask whether it may connect", device, ip)
        return None
    if isinstance(admitted, NotAdmitted):
        log.info("device %s at %s not admitted: %s", device, ip, admitted.reason)
        return None
    return admitted.public_key_der


def _resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def last_heard(clock: Clock, seconds_ago: float) -> Millis:
    """Monotonic time is kept of devices, so that a step of the wall clock moves none into the future."""
    return Millis(clock.now() - int(seconds_ago * 1000))


async def tell_offline(services: Services, device: DeviceId, heard: Millis) -> None:
    """An errand for the device's mailbox: it does not raise."""
    try:
        async with asyncio.timeout(INBOX_TIMEOUT_S):
            await services.inbox.offline(device, heard)
    except Exception:
        log.exception("device %s: could not be told to be offline", device)
