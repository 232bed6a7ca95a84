"""The cloud's end of a session over datagrams: reliability and session behind one surface. The device's: `device.py`.

    receive_message(data, now)   messages_to_send(now)   events()   next_deadline()   handle_deadline(now)   close(now)

The channel underneath carries whole messages, encrypted, each in a datagram of its own: it may lose, repeat, delay and
reorder them, and it has proven the peer's key before either object here is made. `now` is monotonic time in float
seconds. `receive_message` raises nothing, whatever the peer sends; what is not CoAP at all is passed over.

A session outlives its object. A device keeps it over sleep, reset and a new address, and comes back without a
handshake, perhaps with nothing but a ping. So the cloud's end has no time-out for silence, tells by `MemoryChanged`
what must be stored, and is made anew by `resume`. When its `next_deadline()` is None it holds nothing that the stored
memory does not hold, and may be dropped until the device's next datagram. Long before, within seconds, it
`is_at_rest`: then it can be had as a small value that holds everything (packed.py).

The cloud's end is in one of these states:

    WAITING --Hello--> ASKED --accept--> ONLINE --Goodbye--> AWAY --any newer message--> ONLINE
                (IdentifyDevice)        (Online)       (SaidGoodbye)                    (Resumed)

A device sends nothing while it waits for the acknowledgement of its Hello, and drops requests in that time. So Hello is
acknowledged first, and only after `accept`.
"""

from typing import Final

from msgspec.structs import replace

from cloudchamber.wire import coap, messages
from cloudchamber.wire.coap import Code, Message, Type
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import (
    Closed,
    CloseReason,
    CloudEvent,
    Described,
    Disconnected,
    IdentifyDevice,
    MemoryChanged,
    Online,
    Resumed,
    SaidGoodbye,
    Subscribed,
)
from cloudchamber.wire.messages import Goodbye, Hello, Subscription
from cloudchamber.wire.reliability import CLOUD, CLOUD_MEMORY_S, Draw, MessageIds, Reliability
from cloudchamber.wire.session.cloud import MAX_SUBSCRIPTIONS, CloudSession
from cloudchamber.wire.session.describing import Describing
from cloudchamber.wire.session.limits import DeviceLimits, limits_of
from cloudchamber.wire.session.memory import SessionMemory
from cloudchamber.wire.session.requests import NEVER, TOKEN_REST_S, TOKENS, Kind, Pending, RequestTable
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.udp.packed import Alike, Own, PackedSession, shared

MAX_OUTSTANDING: Final = 256
"""Confirmable messages to a device that acknowledges none of them: a stream of events for four minutes at a second
each would hold this many, and each is given up after one."""

ID_RESERVE: Final = 1024
"""The stored memory is this far ahead of the ids that are used, and is renewed when half of it is used up."""

AGAIN_AFTER_S: Final = 3.0
"""A variable may be read twice. Where 30 % of all datagrams get lost, each way, one exchange of request and answer
fails in 3.4 of 100 cases within 30 s: in 2.7 the device, which sends its answer at 0, 4..6, 12..18 and 28..42 s, has
lost three of three, whatever we do. So what is not answered is asked anew, with an id and a token of its own, 3, 9 and
21 s after the first time: 2 of 100,000 fail then, at a quarter of a datagram more for each."""

AGAIN_AFTER_ACK_S: Final = 6.0
"""Who has acknowledged a request answers it, and repeats the answer after 4 to 6 s by itself."""

_NEWER = 0x8000
_ACK: Final = 0x60
"""The first byte of an acknowledgement without a token."""
_REMEMBERED: Final = frozenset((Online, Described, Subscribed))
"""What changes a session's memory."""


class CloudDatagramSession(CloudSession):
    """The cloud's end. Commands and their outcomes: `CloudCommands`."""

    __slots__ = (
        "_alike",
        "_asked",
        "_device_id",
        "_goodbye_at",
        "_goodbye_id",
        "_ids",
        "_is_away",
        "_is_quiet",
        "_memory_is_new",
        "_newest_at",
        "_newest_id",
        "_reliability",
        "_reserved_id",
    )

    def __init__(self, *, draw: Draw, now: float) -> None:
        """The channel stands, and its device has not said Hello in it. `draw` gives random numbers from 0 to 1."""
        super().__init__(Transport.UDP, 0, now)
        self._reliability = Reliability(draw, CLOUD)
        self._ids = MessageIds(int(draw() * 0x10000), now)
        # The session that this one follows may have asked something that is still to be answered, with its token.
        self._requests = RequestTable(int(draw() * TOKENS))
        self._reserved_id = self._ids.next
        self._memory_is_new = False
        self._device_id: bytes | None = None
        self._asked: tuple[Message, Hello] | None = None
        # Of the last packing: mostly it is the same at the next.
        self._alike: Alike | None = None
        # Datagrams overtake each other for seconds only. After that an id that went back is a device that lost count.
        self._newest_id, self._newest_at = 0, now - CLOUD_MEMORY_S
        self._goodbye_id, self._goodbye_at = 0, now
        self._is_away = False
        self._is_quiet = False
        self.open_session(now)

    @classmethod
    def resume(cls, memory: SessionMemory, *, draw: Draw, now: float) -> "CloudDatagramSession":
        """A session in which the device said Hello before. Commands reach the device at once, for all that is known;
        `Resumed` (or, after a new Hello, `Online`) follows when it says something."""
        session = cls(draw=draw, now=now)
        session._ids = MessageIds(memory.next_message_id, now)
        session._reserved_id = memory.next_message_id
        describing = session._go_on(memory.hello, memory.subscriptions, now)
        if memory.known is not None:
            describing.know(memory.known)
            session._application = describing.application
        describing.sleep()
        session._is_quiet = True
        return session

    def _go_on(
        self, hello: Hello, subscriptions: tuple[Subscription, ...], now: float, limits: DeviceLimits | None = None
    ) -> Describing:
        self._hello = hello
        self._hello_deadline = None
        self._device_id = hello.device_id
        self._limits = limits or limits_of(hello, Transport.UDP)
        self._subscriptions = subscriptions
        self._describing = Describing(hello, Transport.UDP, now)
        return self._describing

    def is_at_rest(self, now: float) -> bool:
        """Nothing is under way, and `pack` may be called. The device may be heard of again at any time."""
        return (
            self.is_online
            and self._asked is None
            and self._sender is None
            and self._describing is not None
            and self._describing.is_at_rest
            and self._reliability.is_at_rest
            and self._requests.is_at_rest(now)
            and not (self._outbox or self._events or self._memory_is_new)
        )

    def pack(self) -> PackedSession:
        """All of it. The object is to be thrown away."""
        assert self._hello is not None
        assert self._hello.device_id is not None
        assert self._describing is not None
        known = self._describing.complete
        own = Own(
            self._hello.device_id,
            b"" if known is None else known.system_digest,
            known is not None,
            self._is_quiet,
            self._describing.asks,
            self._requests.next_token,
            self._ids.next,
            self._ids.given,
            self._reserved_id,
            self._newest_id,
            self._goodbye_id,
            self._ids.begun_at,
            self._newest_at,
            self._goodbye_at,
            self._heard_at,
            self._reliability.lossy_until,
        )
        return PackedSession.of(self._what_is_alike(), own, self._reliability.pack(self._heard_at))

    def _what_is_alike(self) -> Alike:
        alike = self._alike
        if (
            alike is None
            or alike.application is not self._application
            or alike.subscriptions is not self._subscriptions
            or alike.chunk_size != self._chunk_size
        ):
            assert self._hello is not None
            assert self._limits is not None
            hello = replace(self._hello, device_id=None)
            alike = shared(Alike(hello, self._limits, self._application, self._subscriptions, self._chunk_size))
        return alike

    @classmethod
    def unpack(cls, packed: PackedSession, *, draw: Draw, now: float) -> "CloudDatagramSession":
        """The session that was packed, in the same process. Neither end notices."""
        alike, own = packed.alike, packed.own
        session = cls(draw=draw, now=now)
        hello = replace(alike.hello, device_id=own.device_id)
        describing = session._go_on(hello, alike.subscriptions, now, alike.limits)
        describing.rest(alike.application, own.system_digest if own.has_system_digest else None, own.asks)
        session._alike = alike
        session._application = alike.application
        session._chunk_size = alike.chunk_size
        session._requests.next_token = own.next_token
        ids = session._ids
        ids.next, ids.given, ids.begun_at = own.next_id, own.ids_given, own.ids_begun_at
        session._reserved_id = own.reserved_id
        session._newest_id, session._newest_at = own.newest_id, own.newest_at
        session._goodbye_id, session._goodbye_at = own.goodbye_id, own.goodbye_at
        session._is_quiet = own.is_quiet
        session._heard_at = own.heard_at
        session._reliability.unpack(packed.heard, own.heard_at, own.lossy_until)
        return session

    @property
    def _is_usual(self) -> bool:
        """The device said its Hello, long ago or in this object, and nothing waits for that or for its return."""
        return self._hello is not None and self._asked is None and not self._is_quiet

    @property
    def is_online(self) -> bool:
        return self._hello is not None and not self._is_away and not self._closed

    @property
    def hello(self) -> Hello | None:
        """The newest."""
        return self._hello

    @property
    def device_id(self) -> bytes | None:
        """12 bytes, once they are accepted."""
        return self._device_id

    @property
    def heard_at(self) -> float:
        """When the last message came, a duplicate or not."""
        return self._heard_at

    def memory(self) -> SessionMemory:
        """What `resume` takes. There is one once the device said Hello."""
        assert self._hello is not None
        assert self._describing is not None
        return SessionMemory(self._hello, self._describing.complete, self.subscriptions, self._reserved_id)

    # --- the surface -------------------------------------------------------------------------------------------------

    def receive_message(self, data: bytes, now: float) -> None:
        """One decrypted message of the device."""
        if self._closed:
            return
        if len(data) == 4 and data[0] == _ACK and not data[1] and self._is_usual:
            # Half of all that a device says. It is nothing to any layer but these two.
            self._heard_at = now
            message_id = data[2] << 8 | data[3]
            if self._reliability.receive(Type.ACK, message_id, now):
                self._handle_empty_ack(message_id, now)
            return
        try:
            message = coap.decode_untrusted(data)
        except WireError:
            return
        self._heard_at = now
        if message.type == Type.RST:
            # To a chunk, which is not confirmable: the device knows of no update.
            self._break_off_update(now)
        if self._asked is not None or not self._reliability.receive(message.type, message.id, now):
            return
        is_own = message.type <= Type.NON
        if self._is_quiet and (is_own or not self._is_away):
            self._notice(message, now)
        if is_own and (_is_newer(message.id, self._newest_id) or now >= self._newest_at + CLOUD_MEMORY_S):
            # A device counts its messages. What is missing now it will send again, and lose again.
            if message.id != self._newest_id + 1 and now < self._newest_at + CLOUD_MEMORY_S:
                self._reliability.lossy(now)
            self._newest_id, self._newest_at = message.id, now
        if message.type == Type.CON and self._sender is not None and self._sender.awaits(message):
            self._reliability.insist(message.id)
        try:
            self._take_untrusted(message, now)
        except WireError as error:
            self._end(CloseReason.MALFORMED, str(error), now)

    def messages_to_send(self, now: float) -> list[bytes]:
        """Each to be encrypted and sent as one datagram; each is given once."""
        if self._sender is not None:
            self._fill_update(now)
        leaving = self._reliability.take_again()
        if not self._outbox:
            return leaving
        messages = self._take_messages()
        if not self._closed:
            for raw in messages:
                self._reliability.sending(raw, now)
        return leaving + messages if leaving else messages

    def events(self) -> list[CloudEvent | Closed]:
        if self._memory_is_new:
            self._tell_memory()
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    def accept(self, now: float) -> None:
        """The answer to IdentifyDevice: the key of this channel is this device's."""
        if self._closed or self._asked is None:
            return
        message, hello = self._asked
        self._asked = None
        self._device_id = hello.device_id
        self._welcome(message, hello, now)

    def refuse(self, now: float) -> None:
        """The answer to IdentifyDevice: the device gets nothing, and disturbs nobody."""
        self._end(CloseReason.REFUSED, "", now)

    def next_deadline(self) -> float | None:
        if self._closed:
            return None
        sending = self._reliability.next_deadline()
        # Asked after each message, so what a session has for minutes or hours only is looked at together.
        is_usual = self._is_usual and self._sender is None
        if is_usual and self._describing is not None and self._describing.ask_at is None:
            at = self._requests.next_deadline()
        else:
            at = self._session_deadline()
        if at is None or (sending is not None and sending < at):
            return sending
        return at

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        if self._closed:
            return
        for message_id in self._reliability.handle_deadline(now):
            pending = self._requests.with_message_id(message_id)
            if pending is None:
                pending = self._requests.ping_answered_by(message_id, any_id=False)
            if pending is not None and pending.kind is Kind.UPDATE and self._sender is not None:
                self._sender.given_up(message_id)
                self._look_at_update(now)
            elif pending is not None and pending.group is not None and len(pending.group) > 1:
                pending.group.remove(pending)
                self._requests.remove(pending, now + TOKEN_REST_S)
            elif pending is not None:
                self._time_out(pending, now)
        self._handle_session_deadline(now)
        for pending in self._requests.due_again(now):
            self._ask_again(pending, now)

    # --- questions that may be asked twice ---------------------------------------------------------------------------

    def _may_ask_again(self, pending: Pending, now: float) -> None:
        pending.again_after_s = AGAIN_AFTER_S
        pending.again_at = now + AGAIN_AFTER_S

    def _arrived(self, pending: Pending, now: float) -> None:
        if pending.again_at < NEVER:
            pending.again_at = max(pending.again_at, now + AGAIN_AFTER_ACK_S)

    def _ask_again(self, pending: Pending, now: float) -> None:
        after_s = 2 * pending.again_after_s
        if not (self._may_send(now) and self._requests.is_roomy(now)):
            pending.again_at = now + after_s
            return
        again = Pending(pending.request, pending.kind, pending.deadline, name=pending.name)
        again.again_after_s, again.again_at, pending.again_at = after_s, now + after_s, NEVER
        again.group = pending.group = pending.group or [pending]
        again.group.append(again)
        self._ask_variable(again, now)

    # --- what differs from a stream ----------------------------------------------------------------------------------

    def _handle_hello_untrusted(self, message: Message, now: float) -> None:
        hello = messages.read_hello_untrusted(message)
        if hello.device_id is None:
            raise WireError("Hello without a device id")
        if self._device_id is None:
            self._asked = (message, hello)
            self._emit(IdentifyDevice(hello.device_id, None))
        elif self._device_id == hello.device_id:
            self._welcome(message, hello, now)
        else:
            self._end(CloseReason.REFUSED, "Hello of another device", now)

    def _welcome(self, message: Message, hello: Hello, now: float) -> None:
        # From 2.0 on a device that says Hello again within its session posts its application part and subscribes only
        # as far as these changed: what it does not repeat stays. Older ones say all anew.
        kept, application = ((), None) if not hello.describes_itself else (self._subscriptions, self._application)
        super()._welcome(message, hello, now)
        self._alike = None
        self._reliability.insist(message.id)
        assert self._describing is not None
        self._describing.application = self._application = application
        for subscription in kept:
            self._add_subscription(subscription)

    def _add_subscription(self, subscription: Subscription) -> bool:
        # Nothing tells that a subscription of an earlier application is gone; the one said longest ago makes room.
        if subscription in self._subscriptions:
            others = (each for each in self._subscriptions if each != subscription)
            self._subscriptions = (*others, subscription)
            return True
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            self._subscriptions = self._subscriptions[1:]
        return super()._add_subscription(subscription)

    def _handle_goodbye(self, message: Message, now: float) -> None:
        self._goodbye_id = message.id
        super()._handle_goodbye(message, now)

    def _leave(self, said: Goodbye, now: float) -> None:
        # One that was overtaken by the device's return means nothing any more.
        if self._is_away or self._newest_id != self._goodbye_id:
            return
        self._is_away = self._is_quiet = True
        self._goodbye_at = now
        assert self._describing is not None
        self._describing.sleep()
        self._break_off_update(now)
        for pending in self._requests.all():
            if self._requests.holds(pending):
                self._conclude(pending, now, rests=True)
                self._answer(pending, Disconnected())
        self._reliability.give_up()
        self._emit(SaidGoodbye(said))

    def _notice(self, message: Message, now: float) -> None:
        """The first word since `resume` or Goodbye, unless it was on its way before that Goodbye."""
        is_late = not _is_newer(message.id, self._goodbye_id) and now < self._goodbye_at + CLOUD_MEMORY_S
        if self._is_away and is_late:
            return
        self._is_away = self._is_quiet = False
        assert self._describing is not None
        self._describing.wake(now)
        if not (message.code == Code.POST and message.path() == b"h"):
            self._emit(Resumed(self.memory()))

    # --- hooks -------------------------------------------------------------------------------------------------------

    def _new_message_id(self) -> int:
        message_id = self._ids.take()
        if (self._reserved_id - self._ids.next) & 0xFFFF <= ID_RESERVE // 2 or self._reserved_id == message_id:
            self._reserved_id = (self._ids.next + ID_RESERVE) & 0xFFFF
            self._memory_is_new = True
        return message_id

    def _may_send(self, now: float) -> bool:
        return self._reliability.outstanding < MAX_OUTSTANDING and self._ids.may_take(now)

    def _settle(self, message_id: int) -> None:
        self._reliability.settle(message_id)

    def _emit(self, event: CloudEvent) -> None:
        if type(event) in _REMEMBERED:
            self._memory_is_new = True
        self._events.append(event)

    def _tell_memory(self) -> None:
        if self._memory_is_new and self._hello is not None:
            self._memory_is_new = False
            super()._emit(MemoryChanged(self.memory()))

    def _abandon(self, now: float) -> None:
        super()._abandon(now)
        self._tell_memory()


def _is_newer(message_id: int, than: int) -> bool:
    return 0 < (message_id - than) & 0xFFFF < _NEWER
