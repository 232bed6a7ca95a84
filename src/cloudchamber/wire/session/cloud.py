"""The cloud's end of a session, above a channel of whole messages: what a device says, and what follows from it.

Three rules of the dialect shape it:

* Every confirmable message of a device is acknowledged with an **empty** ACK: a device takes any 2.05 for the answer to
  its time question. Hello is acknowledged before anything else is sent, an event when the shell says that it is taken,
  and everything else at once.
* Answers are matched by token, and ACKs without one by message id; over TCP an ACK to a ping has an id of the device's
  own. Ids of device messages are not checked for order: those ACKs take numbers out of the same sequence.
* A function that the device does not know is never answered; only the time-out ends it.
"""

from contextlib import suppress
from typing import Final

from cloudchamber.wire import coap, messages
from cloudchamber.wire.coap import Code, Message, Option, Type
from cloudchamber.wire.describe import Part, parse_untrusted
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import (
    Acknowledged,
    ClaimCodePresented,
    CloseReason,
    Described,
    DescribeRead,
    Disconnected,
    EventPublished,
    Fact,
    FactAsked,
    FunctionReturned,
    NotFound,
    Online,
    Outcome,
    Refused,
    SafeMode,
    SaidGoodbye,
    Subscribed,
    TimeAsked,
    TimedOut,
    UpdatesEnabled,
    UpdatesForced,
    VariableRead,
    Vitals,
)
from cloudchamber.wire.messages import Block, Goodbye, Hello, Subscription
from cloudchamber.wire.session.base import earliest
from cloudchamber.wire.session.commands import CloudCommands
from cloudchamber.wire.session.describing import MAX_SIZE, Describing
from cloudchamber.wire.session.limits import limits_of
from cloudchamber.wire.session.requests import Kind, Pending
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.values import decode_int_untrusted

HELLO_TIMEOUT_S: Final = 10.0
"""After it was admitted a device has nothing to do but to say Hello."""

DATAGRAM_HELLO_TIMEOUT_S: Final = 90.0
"""A device sends its Hello four times, and gives up after 60 to 90 s."""

SILENCE_TIMEOUT_S: Final = 35.0
"""TCP: a device that received nothing for 15 s pings and gives up 10 s later; 10 s more allow for a slow network."""

UPDATE_SILENCE_TIMEOUT_S: Final = 120.0
"""A device says nothing to the chunks of a file, and our ping waits behind those that are still on their way."""

PING_AFTER_S: Final = 20.0
"""A device to which events flow receives enough never to ping, and may say nothing by itself: so we ask."""

GOODBYE_TIMEOUT_S: Final = 5.0
"""As long as a device waits for our end of the stream after its Goodbye."""

DESCRIBE_TIMEOUT_S: Final = 10.0
DATAGRAM_DESCRIBE_TIMEOUT_S: Final = 50.0
"""Question and answer may each be lost three times."""

MAX_SUBSCRIPTIONS: Final = 32
"""Firmware has at most 10 slots, the system's included."""

_ALWAYS_OWN_SINCE: Final = 6200
"""6.2.0; up to 6.1 a device says `u` where it means its owner's devices, and means everybody's where it does not."""

_FACTS = {f"{scope}/device/{fact.value}": fact for scope in ("spark", "particle") for fact in Fact}


class CloudSession(CloudCommands):
    __slots__ = ("_describing", "_goodbye_deadline", "_heard_at", "_hello_deadline", "_pinged_at")

    def __init__(self, transport: Transport, first_message_id: int, now: float) -> None:
        super().__init__(transport, first_message_id)
        self._describing: Describing | None = None
        self._heard_at = now
        self._pinged_at: float | None = None
        self._hello_deadline: float | None = None
        self._goodbye_deadline: float | None = None

    def open_session(self, now: float) -> None:
        """The channel of datagrams stands: Hello must come."""
        self._heard_at = now
        self._hello_deadline = now + DATAGRAM_HELLO_TIMEOUT_S

    def message_received(self, raw: bytes, now: float) -> None:
        """One whole message of the device. What cannot be a message ends the connection."""
        if self._closed:
            return
        try:
            self._take_untrusted(coap.decode_untrusted(raw), now)
        except WireError as error:
            self._end(CloseReason.MALFORMED, str(error), now)

    def _take_untrusted(self, message: Message, now: float) -> None:
        self._heard_at, self._pinged_at = now, None
        self._handle_untrusted(message, now)

    # --- time --------------------------------------------------------------------------------------------------------

    def _session_deadline(self) -> float | None:
        if self._closed:
            return None
        if self._hello_deadline is not None:
            return self._hello_deadline
        if not self.is_online:
            return None
        at = self._requests.next_deadline()
        if self._transport is Transport.TCP:
            quiet = self._heard_at + (PING_AFTER_S if self._pinged_at is None else self._silence_timeout_s)
            if at is None or quiet < at:
                at = quiet
        describing = self._describing.ask_at if self._describing is not None else None
        if describing is None and self._goodbye_deadline is None and self._sender is None:
            return at
        sending = self._sender.next_deadline() if self._sender is not None else None
        return earliest(at, describing, self._goodbye_deadline, sending)

    def _handle_session_deadline(self, now: float) -> None:
        if self._closed:
            return
        if self._hello_deadline is not None and now >= self._hello_deadline:
            self._end(CloseReason.HANDSHAKE_TIMEOUT, "no Hello", now)
            return
        if not self.is_online:
            return
        if self._goodbye_deadline is not None and now >= self._goodbye_deadline:
            self._end(CloseReason.GOODBYE, "", now)
            return
        if self._transport is Transport.TCP:
            if now >= self._heard_at + self._silence_timeout_s:
                self._end(CloseReason.SILENCE, f"nothing for {now - self._heard_at:.0f} s", now)
                return
            if self._pinged_at is None and now >= self._heard_at + PING_AFTER_S:
                self._pinged_at = now
                self._send(messages.ping(self._new_message_id()))
        for pending in self._requests.expired(now):
            if self._requests.holds(pending):
                self._time_out(pending, now)
        if self._sender is not None:
            self._sender.handle_deadline(now)
            self._look_at_update(now)
        self._ask_missing_description(now)

    @property
    def _silence_timeout_s(self) -> float:
        return SILENCE_TIMEOUT_S if self._sender is None else UPDATE_SILENCE_TIMEOUT_S

    def _time_out(self, pending: Pending, now: float) -> None:
        self._conclude(pending, now, rests=True)
        self._answer(pending, TimedOut())

    def _abandon(self, now: float) -> None:
        self._break_off_update(now)
        for pending in self._requests.all():
            if self._requests.holds(pending):
                self._conclude(pending, now, rests=False)
                self._answer(pending, Disconnected())

    # --- what the device says ----------------------------------------------------------------------------------------

    def _handle_untrusted(self, message: Message, now: float) -> None:
        code = message.code
        if self._hello is None and not (code == Code.POST and message.path() == b"h"):
            raise WireError("Hello expected")
        if code == Code.EMPTY:
            self._handle_empty(message, now)
        elif code >= 0x40:
            self._handle_answer(message, now)
        else:
            self._handle_request_untrusted(message, now)

    def _handle_empty(self, message: Message, now: float) -> None:
        if message.type == Type.CON:
            self._acknowledge(message)
            return
        if message.type == Type.ACK:
            self._handle_empty_ack(message.id, now)
        elif message.type == Type.RST:
            pending = self._requests.with_message_id(message.id)
            if pending is not None:
                self._conclude(pending, now, rests=False)
                self._answer(pending, Refused(0))

    def _handle_empty_ack(self, message_id: int, now: float) -> None:
        pending = self._requests.with_message_id(message_id)
        if pending is not None:
            self._arrived(pending, now)
        else:
            ping = self._requests.ping_answered_by(message_id, any_id=self._transport is Transport.TCP)
            if ping is not None:
                self._requests.remove(ping)
                self._answer(ping, Acknowledged())

    def _arrived(self, pending: Pending, now: float) -> None:
        """The device has the request, and will answer."""

    def _handle_request_untrusted(self, message: Message, now: float) -> None:
        code = message.code
        path = message.option(Option.URI_PATH) or b""
        if code == Code.POST and path in (b"E", b"e"):
            self._handle_event(message)
        elif code == Code.GET and path == b"e":
            self._handle_subscribe(message)
        elif code == Code.GET and path == b"t":
            self._emit(TimeAsked(message.id, message.token))
        elif code == Code.POST and path == b"d":
            self._handle_describe_post(message, now)
        elif code == Code.POST and path == b"h":
            self._handle_hello_untrusted(message, now)
        elif code == Code.POST and path == b"x":
            self._handle_goodbye(message, now)
        elif (code, path) in _OF_UPDATES:
            self._handle_update_request(message, now)
        else:
            self._acknowledge(message, Code.NOT_FOUND)

    def _handle_hello_untrusted(self, message: Message, now: float) -> None:
        self._welcome(message, messages.read_hello_untrusted(message), now)

    def _welcome(self, message: Message, hello: Hello, now: float) -> None:
        self._acknowledge(message)
        # It started anew, and knows of no update.
        self._break_off_update(now)
        if self._may_send(now):
            self._send(messages.server_hello(self._new_message_id()))
        self._hello_deadline = None
        self._hello = hello.steady
        self._limits = limits_of(hello, self._transport)
        # Subscriptions are only ever added: a new Hello starts a new set.
        self._subscriptions = ()
        self._application = None
        self._describing = Describing(hello, self._transport, now)
        self._emit(Online(hello))
        self._ask_missing_description(now)

    def _handle_event(self, message: Message) -> None:
        try:
            event = messages.read_event_untrusted(message)
        except WireError:
            self._acknowledge(message, Code.BAD_REQUEST)
            return
        if not self._take_system_event(event.name, event.data):
            waiting = (message.id, message.token) if message.type == Type.CON else None
            content_format = event.content_format
            self._emit(EventPublished(event.name, event.data, event.ttl_s, event.is_private, content_format, waiting))
            return
        self._acknowledge(message)

    def confirm_event(self, event: EventPublished, *, taken: bool = True) -> None:
        """The answer to EventPublished. Not `taken`: the device learns that its publication failed, as from the
        vendor's cloud when there were too many."""
        if self._closed or event.waiting is None:
            return
        message_id, token = event.waiting
        if taken:
            self._outbox.append(coap.empty_ack(message_id))
        else:
            self._send(Message(Type.ACK, Code.BAD_REQUEST, message_id, token))

    def _take_system_event(self, name: str, data: bytes | None) -> bool:
        """True for what only the cloud itself has to know."""
        if name.startswith(messages.CLAIM_PREFIX):
            # A claim code is a secret: it must not reach anybody's event stream, whatever its name's ending.
            code = (data or b"").decode("ascii", "replace")
            if name == messages.CLAIM_CODE_EVENT and 0 < len(code) <= 64 and code.isprintable() and code.isascii():
                self._emit(ClaimCodePresented(code))
        elif name == messages.SAFE_MODE_EVENT:
            self._emit(SafeMode())
        elif name == messages.UPDATES_ENABLED_EVENT:
            self._emit(UpdatesEnabled(data == b"true"))
        elif name == messages.UPDATES_FORCED_EVENT:
            self._emit(UpdatesForced(data == b"true"))
        elif not data and name in _FACTS:
            self._emit(FactAsked(_FACTS[name], name))
        else:
            if name == messages.OTA_CHUNK_SIZE_EVENT and data and len(data) < 6 and data.isdigit():
                self._chunk_size = int(data)
            return False
        return True

    def _handle_subscribe(self, message: Message) -> None:
        assert self._hello is not None
        always_own = (self._hello.system_version or 0) >= _ALWAYS_OWN_SINCE
        try:
            subscription = messages.read_subscription_untrusted(message, always_own)
        except WireError:
            self._acknowledge(message, Code.BAD_REQUEST)
            return
        self._acknowledge(message, 0 if self._add_subscription(subscription) else Code.BAD_REQUEST)

    def _add_subscription(self, subscription: Subscription) -> bool:
        if subscription not in self._subscriptions:
            if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
                return False
            self._subscriptions += (subscription,)
            self._emit(Subscribed(subscription))
        return True

    def _handle_goodbye(self, message: Message, now: float) -> None:
        self._acknowledge(message)
        try:
            said = messages.read_goodbye_untrusted(message)
        except WireError:
            said = Goodbye()
        self._leave(said, now)

    def _leave(self, said: Goodbye, now: float) -> None:
        if self._goodbye_deadline is None:
            self._goodbye_deadline = now + GOODBYE_TIMEOUT_S
            self._emit(SaidGoodbye(said))

    def _handle_update_request(self, message: Message, now: float) -> None:
        self._acknowledge(message)
        if self._sender is not None:
            with suppress(WireError):
                self._sender.asked(message, now)
            self._look_at_update(now)

    # --- description -------------------------------------------------------------------------------------------------

    def _ask_missing_description(self, now: float) -> None:
        if self._describing is None:
            return
        part = self._describing.next_part(now)
        if part is not None:
            over_tcp = self._transport is Transport.TCP
            deadline = now + (DESCRIBE_TIMEOUT_S if over_tcp else DATAGRAM_DESCRIBE_TIMEOUT_S)
            self._ask_describe(Pending(None, Kind.DESCRIBE, deadline), part, now)

    def _handle_describe_post(self, message: Message, now: float) -> None:
        assert self._describing is not None
        # Acknowledged even when it cannot be read: a refusal would make firmware reconnect, and tell it nothing.
        self._acknowledge(message)
        data: bytes | None = message.payload or b""
        try:
            part = _part_untrusted(message.option(Option.URI_QUERY))
            block = message.option(Option.BLOCK1)
            if block is not None:
                data = self._describing.add_block_untrusted(part, messages.read_block_untrusted(block), data or b"")
        except WireError:
            return
        if data is None:
            return
        if part is Part.METRICS:
            self._emit(Vitals(data))
        else:
            self._learn_description(data, now)

    def _learn_description(self, data: bytes, now: float) -> None:
        assert self._describing is not None
        try:
            parts = parse_untrusted(data)
        except WireError:
            return
        found = self._describing.add(parts, now)
        self._application = self._describing.application
        if found is not None:
            self._emit(Described(found))
        self._ask_missing_description(now)

    def _continue_describe(self, pending: Pending, message: Message, now: float) -> Outcome | None:
        """The whole part; or None when its next block was asked for."""
        data = pending.blocks if pending.blocks is not None else bytearray()
        data += message.payload or b""
        value = message.option(Option.BLOCK2)
        try:
            block = Block(0, False, 0) if value is None else messages.read_block_untrusted(value)
        except WireError:
            return Refused(Code.BAD_OPTION)
        if block.number != pending.next_block or len(data) > MAX_SIZE:
            return Refused(Code.BAD_OPTION)
        if not block.more:
            whole = bytes(data)
            if pending.part is not Part.METRICS:
                self._learn_description(whole, now)
            return DescribeRead(whole)
        following = Pending(pending.request, Kind.DESCRIBE, pending.deadline)
        following.blocks, following.next_block, following.size_exponent = data, block.number + 1, block.size_exponent
        self._ask_describe(following, pending.part, now)
        return None

    # --- answers -----------------------------------------------------------------------------------------------------

    def _handle_answer(self, message: Message, now: float) -> None:
        self._acknowledge(message)
        pending = self._requests.answered_by(message)
        if pending is None:
            self._handle_late_answer(message)
            return
        if pending.kind is Kind.UPDATE:
            if message.type != Type.ACK:
                # An acknowledgement may be one to an earlier message of the same update.
                self._settle(pending.message_id)
            if self._sender is not None:
                self._sender.answer(message, now)
                self._look_at_update(now)
            return
        success = message.code < 0x80
        if success and message.code != _EXPECTED.get(pending.kind):
            return
        # A device refuses an argument that is too long in an ACK without a token, runs the function all the same, and
        # sends its result later: that token must rest.
        in_ack = message.type == Type.ACK and not success
        self._conclude(pending, now, rests=in_ack)
        outcome = self._outcome(pending, message, now) if success else _refusal(pending, message.code)
        if outcome is not None:
            self._answer(pending, outcome)

    def _handle_late_answer(self, message: Message) -> None:
        """To a request that timed out or was cancelled. Its token is free again, if this is the last that comes."""
        kind = self._requests.rested(message)
        if kind is None or kind is Kind.UPDATE:
            return
        is_refusal = message.code >= 0x80
        if message.code == _EXPECTED.get(kind) or (is_refusal and message.type != Type.ACK):
            self._requests.wake(message)

    def _outcome(self, pending: Pending, message: Message, now: float) -> Outcome | None:
        if pending.kind is Kind.FUNCTION:
            try:
                return FunctionReturned(decode_int_untrusted(message.payload or b""))
            except WireError:
                return Refused(message.code)
        if pending.kind is Kind.VARIABLE:
            # An empty string comes without a payload marker.
            return VariableRead(message.payload or b"")
        if pending.kind is Kind.SIGNAL:
            return Acknowledged()
        return self._continue_describe(pending, message, now)


# Missed chunks and, of some releases, the end (legacy); acknowledgements (version 3).
_OF_UPDATES = frozenset({(Code.GET, b"c"), (Code.PUT, b"u"), (Code.POST, b"A")})

_EXPECTED = {
    Kind.FUNCTION: Code.CHANGED,
    Kind.VARIABLE: Code.CONTENT,
    Kind.SIGNAL: Code.CHANGED,
    Kind.DESCRIBE: Code.CONTENT,
}


def _refusal(pending: Pending, code: int) -> Outcome:
    return NotFound() if pending.kind is Kind.VARIABLE and code == Code.NOT_FOUND else Refused(code)


def _part_untrusted(query: bytes | None) -> Part:
    if query is None or len(query) != 1 or query[0] not in (Part.SYSTEM, Part.APPLICATION, Part.METRICS):
        raise WireError("describe: one part expected")
    return Part(query[0])
