"""A device's end of a session, above a channel of whole messages, with the habits of the Device OS in its profile.

It reads requests by offset (`offsets`), numbers its ACKs to ping, signal and key change afresh over TCP, never answers
for a function that it does not have, never acknowledges an event over TCP, and runs a function whose argument it
refused. Those are the faults of real devices, and the reason to simulate them.
"""

from dataclasses import replace
from typing import Final

from cloudchamber.wire import coap, messages, values
from cloudchamber.wire.coap import Code, Message, Option, Type
from cloudchamber.wire.describe import Part, build_metrics
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import (
    ClaimConfirmed,
    CloseReason,
    Connected,
    DeviceEvent,
    EventReceived,
    FunctionCalled,
    KeysRestored,
    PublishAnswered,
    ResetAsked,
    SignalChanged,
    TimeTold,
    UpdateBegun,
    VariableAsked,
)
from cloudchamber.wire.messages import Goodbye, Hello, HelloFlag, Subscription
from cloudchamber.wire.session import device_describe
from cloudchamber.wire.session.base import Session, earliest
from cloudchamber.wire.session.device_state import Told
from cloudchamber.wire.session.offsets import Heard, Memory
from cloudchamber.wire.session.profile import ELECTRON, DeviceSetup
from cloudchamber.wire.structs import Entity
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update import messages as update_messages
from cloudchamber.wire.update.device import (
    DISABLED,
    INVALID_STATE,
    MAX_FILE,
    PROTOCOL,
    LegacyReceiver,
    Partial,
    Port,
    V3Receiver,
    refuse,
)
from cloudchamber.wire.values import Value

HELLO_TIMEOUT_S: Final = 4.0
PING_AFTER_S: Final = 15.0
PING_TIMEOUT_S: Final = 10.0
DATAGRAM_PING_TIMEOUT_S: Final = 30.0
ACK_TIMEOUT_S: Final = 20.0

_RESET_MODES = frozenset((b"safe mode", b"dfu", b"reboot", b"network"))
_EVENT_OPTIONS = frozenset((Option.URI_PATH, Option.MAX_AGE))
_UPDATES = frozenset(
    (
        Heard.UPDATE_BEGIN,
        Heard.UPDATE_CHUNK,
        Heard.UPDATE_DONE,
        Heard.V3_START,
        Heard.V3_CHUNK,
        Heard.V3_FINISH,
    )
)


class _Asked(Entity, eq=False):
    """A function call or variable request that the owner has not answered yet."""

    kind: Heard
    message_id: int
    token: bytes
    name: str


class _Post(Entity, eq=False):
    """A description on its way in blocks: the next one goes when the one before is acknowledged."""

    part: Part
    whole: bytes
    next_block: int


class DeviceSession(Session[DeviceEvent]):
    __slots__ = (
        "_asked",
        "_connected",
        "_heard_at",
        "_hello_deadline",
        "_hello_id",
        "_memory",
        "_next_request",
        "_next_token",
        "_ping_after_s",
        "_ping_deadline",
        "_ping_timeout_s",
        "_posts",
        "_receiver",
        "_subscriptions",
        "_updates_forced",
        "_waiting",
        "setup",
    )

    def __init__(self, transport: Transport, setup: DeviceSetup, first_token: int, now: float) -> None:
        super().__init__(transport, 0)
        self.setup = setup
        self._next_token = first_token & 0xFF
        self._next_request = 1
        self._memory = Memory(setup.profile.buffer_size)
        self._subscriptions = list(setup.subscriptions)
        self._asked: dict[int, _Asked] = {}
        self._waiting: dict[int, tuple[int, float]] = {}
        self._posts: dict[int, _Post] = {}
        self._receiver: LegacyReceiver | V3Receiver | None = None
        self._updates_forced = False
        self._connected = False
        self._heard_at = now
        self._hello_deadline: float | None = None
        self._hello_id: int | None = None
        self._ping_deadline: float | None = None
        self._ping_after_s, self._ping_timeout_s = PING_AFTER_S, PING_TIMEOUT_S
        if transport is Transport.UDP:
            self._ping_after_s, self._ping_timeout_s = setup.datagram_ping_after_s, DATAGRAM_PING_TIMEOUT_S

    @property
    def is_connected(self) -> bool:
        """Between `Connected` and `Closed`."""
        return self._connected and not self._closed

    @property
    def _posts_describe(self) -> bool:
        """From 2.0 on the description is the device's to post, before the cloud's to ask for."""
        return bool(self.setup.profile.hello_flags & HelloFlag.DEVICE_INITIATED_DESCRIBE)

    def open_session(self, salt: bytes, now: float) -> None:
        """The channel stands: says Hello. The first message id is a number of the salt plus one."""
        if self.setup.profile.salt_is_big_endian:
            self._message_id = int.from_bytes(salt[:2], "big")
            self._next_token = salt[2]
        else:
            self._message_id = int.from_bytes(salt[:2], "little")
        self._message_id = (self._message_id + 1) & 0xFFFF
        self._hello_deadline = now + HELLO_TIMEOUT_S
        self._say_hello(now)

    def _say_hello(self, now: float) -> None:
        """Over datagrams nothing else is sent or taken until it is acknowledged."""
        self._heard_at = now
        confirmable = self._transport is Transport.UDP
        message_id = self._send(messages.device_hello(self._new_message_id(), self._hello(), confirmable))
        if confirmable:
            self._hello_id = message_id

    def _hello(self) -> Hello:
        setup, profile = self.setup, self.setup.profile
        flags = profile.hello_flags | (HelloFlag.OTA_SUCCESSFUL if setup.ota_successful else 0)
        device_id = setup.device_id if self._transport is Transport.UDP else None
        if profile.system_version is None:
            return Hello(setup.product_id, setup.product_version, flags, setup.platform_id, device_id)
        return Hello(
            setup.product_id, setup.product_version, flags, setup.platform_id, device_id,
            profile.system_version, profile.buffer_size, 0xA0000, 512,
        )  # fmt: skip

    # --- what the device does by itself ------------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        data: bytes | None,
        now: float,
        *,
        is_private: bool = True,
        ttl_s: int = messages.DEFAULT_TTL_S,
        with_ack: bool = False,
    ) -> int:
        """A handle; with `with_ack` one PublishAnswered follows. The device's own rate limit is the owner's matter."""
        is_private = is_private or self.setup.profile.only_private
        confirmable = with_ack or self._transport is Transport.UDP
        return self._track(
            messages.device_event(self._new_message_id(), name, data, ttl_s, is_private, confirmable), with_ack, now
        )

    def subscribe(self, subscription: Subscription, now: float) -> int:
        """A handle. One PublishAnswered follows when the message asks for an acknowledgement (all but 6.x on TCP)."""
        self._subscriptions.append(subscription)
        return self._send_subscription(subscription, now, tracked=True)

    def ask_time(self, now: float) -> None:
        """TimeTold follows."""
        path = ((Option.URI_PATH, b"t"),)
        self._send(Message(Type.CON, Code.GET, self._new_message_id(), self._new_token(), path))

    def post_metrics(self, now: float) -> None:
        """Publishes the vitals of the set-up."""
        self._post_describe(Part.METRICS, build_metrics(self.setup.metrics))

    def goodbye(self, reason: Goodbye, now: float) -> None:
        """Says why, where the release can (2.0 and later), and ends the connection from our side."""
        if self.is_connected and self.setup.profile.hello_flags & HelloFlag.GOODBYE:
            self._send(messages.goodbye(self._new_message_id(), reason, self._transport is Transport.UDP))
        self.close(now)

    def set_updates_enabled(self, now: float, *, enabled: bool) -> None:
        """The application allows updates, or does not; the cloud is told (1.5 and later)."""
        self.setup = replace(self.setup, updates=replace(self.setup.updates, is_enabled=enabled))
        if self.setup.profile.tells_updates and self.is_connected:
            self.publish(messages.UPDATES_ENABLED_EVENT, b"true" if enabled else b"false", now)

    @property
    def partial(self) -> Partial | None:
        """What a device still has after this connection of a file that did not come to its end."""
        return self._receiver.partial if isinstance(self._receiver, V3Receiver) else self.setup.partial

    def return_value(self, request: int, value: int, now: float) -> None:
        """The answer to FunctionCalled; `value` wraps to 32 bits. A request that is answered already is passed over."""
        asked = self._asked.pop(request, None)
        if asked is not None and not self._closed:
            self._respond(asked.token, Code.CHANGED, values.encode_int(value))

    def answer_variable(self, request: int, value: Value | None, now: float) -> None:
        """The answer to VariableAsked; None is "not found". Text is cut to what the release can send."""
        asked = self._asked.pop(request, None)
        if asked is None or self._closed:
            return
        if value is None:
            self._respond_variable(asked, Code.NOT_FOUND, None)
            return
        raw = values.encode(self.setup.application.variables[asked.name], value)[: self.setup.profile.max_data]
        self._respond_variable(asked, Code.CONTENT, raw or None)

    def _respond_variable(self, asked: _Asked, code: int, payload: bytes | None) -> None:
        if self.setup.profile.answers_in_ack:
            self._send(Message(Type.ACK, code, asked.message_id, asked.token, (), payload))
        else:
            self._respond(asked.token, code, payload)

    def _respond(self, token: bytes, code: int, payload: bytes | None) -> None:
        kind = Type.CON if self._transport is Transport.UDP else Type.NON
        self._send(Message(kind, code, self._new_message_id(), token, (), payload))

    def _track(self, message: Message, tracked: bool, now: float) -> int:
        request = self._next_request
        self._next_request += 1
        if not self.is_connected:
            if tracked:
                self._emit(PublishAnswered(request, accepted=False))
            return request
        self._send(message)
        if tracked:
            self._waiting[message.id] = (request, now + ACK_TIMEOUT_S)
        return request

    def _send_subscription(self, subscription: Subscription, now: float, tracked: bool) -> int:
        says_own = not self.setup.profile.only_private
        confirmable = self._transport is Transport.UDP or says_own
        message = messages.subscribe(self._new_message_id(), subscription, confirmable, says_own)
        return self._track(message, tracked and confirmable, now)

    def _new_token(self) -> bytes:
        token = self._next_token
        self._next_token = (token + 1) & 0xFF
        return bytes((token,))

    # --- what it says at a connect -----------------------------------------------------------------------------------

    def _introduce(self, now: float) -> None:
        """In the order that each release was seen to keep (up to 1.5, 2.x to 4.x, 6.x)."""
        profile = self.setup.profile
        if self._posts_describe:
            self._post_describe(Part.SYSTEM)
        if self.setup.claim_code is not None:
            self.publish(messages.CLAIM_CODE_EVENT, self.setup.claim_code.encode(), now)
        if profile.tells_hardware:
            self._tell_hardware(now)
        if profile.asks_time_early:
            self.ask_time(now)
        self._tell_state(now)
        if self._posts_describe and not profile.asks_time_early:
            self.ask_time(now)
        self._tell_application(now)

    def _tell_hardware(self, now: float) -> None:
        if self.setup.platform_id != ELECTRON:
            self.publish(messages.MAX_BINARY_EVENT, b"393216", now)
        if self._transport is Transport.TCP:
            # Over datagrams it is told only when it is another size.
            self.publish(messages.OTA_CHUNK_SIZE_EVENT, b"512", now)

    def _tell_application(self, now: float) -> None:
        """As far as the cloud does not know it: what the application is, and what it listens to."""
        if self._posts_describe and not self._cloud_knows(Told.APPLICATION):
            self._post_describe(Part.APPLICATION)
        knows_subscriptions = self._cloud_knows(Told.SUBSCRIPTIONS)
        if not knows_subscriptions:
            for subscription in self.setup.profile.system_subscriptions:
                self._send_subscription(subscription, now, tracked=False)
        if not self._posts_describe:
            self.ask_time(now)
        if not knows_subscriptions:
            for subscription in self._subscriptions:
                self._send_subscription(subscription, now, tracked=False)

    def _cloud_knows(self, told: Told) -> bool:
        """For a transport whose sessions outlive a connection."""
        return False

    def _tell_state(self, now: float) -> None:
        setup = self.setup
        if setup.safe_mode:
            self.publish(messages.SAFE_MODE_EVENT, b"", now)
        if setup.last_reset is not None:
            self.publish(messages.LAST_RESET_EVENT, setup.last_reset.encode(), now)
        if setup.profile.tells_updates and setup.tells_updates:
            self.publish(messages.UPDATES_ENABLED_EVENT, b"true" if setup.updates.is_enabled else b"false", now)
            self.publish(messages.UPDATES_FORCED_EVENT, b"true" if self._updates_forced else b"false", now)

    def _post_describe(self, part: Part, whole: bytes | None = None) -> None:
        if whole is None:
            whole = device_describe.body(self.setup, part) or b""
        self._post_block(_Post(part, whole, 0))

    def _post_block(self, post: _Post) -> None:
        found = device_describe.cut(self.setup, post.whole, post.next_block)
        if found is None:
            return
        data, block1 = found
        token = self._new_token() if self.setup.profile.posts_with_token else b""
        message = device_describe.post(self.setup, self._new_message_id(), token, post.part, data, block1)
        self._send(message)
        if block1 is not None:
            post.next_block += 1
            self._posts[message.id] = post

    # --- time --------------------------------------------------------------------------------------------------------

    def _session_deadline(self) -> float | None:
        if self._closed:
            return None
        if self._hello_deadline is not None:
            return self._hello_deadline
        if not self._connected:
            return None
        waiting = min((deadline for _, deadline in self._waiting.values()), default=None)
        quiet = self._ping_deadline if self._ping_deadline is not None else self._heard_at + self._ping_after_s
        receiving = self._receiver.next_deadline() if isinstance(self._receiver, V3Receiver) else None
        return earliest(quiet, waiting, receiving)

    def _handle_session_deadline(self, now: float) -> None:
        if self._closed:
            return
        if self._hello_deadline is not None and now >= self._hello_deadline:
            self._end(CloseReason.HANDSHAKE_TIMEOUT, "no Hello from the server (error 10)", now)
            return
        if not self._connected:
            return
        for message_id, (request, deadline) in list(self._waiting.items()):
            if now >= deadline:
                del self._waiting[message_id]
                self._emit(PublishAnswered(request, accepted=False))
        if isinstance(self._receiver, V3Receiver):
            self._receiver.handle_deadline(now)
        if self._ping_deadline is not None:
            if now >= self._ping_deadline:
                self._end(CloseReason.SILENCE, "ping not answered (error 1)", now)
        elif now >= self._heard_at + self._ping_after_s:
            self._ping_deadline = now + self._ping_timeout_s
            self._send(messages.ping(self._new_message_id()))

    def _abandon(self, now: float) -> None:
        for request, _ in self._waiting.values():
            self._emit(PublishAnswered(request, accepted=False))
        self._waiting.clear()
        self._asked.clear()
        self._posts.clear()

    # --- what the cloud says -----------------------------------------------------------------------------------------

    def message_received(self, raw: bytes, now: float) -> None:
        """One whole message of the cloud."""
        if self._closed:
            return
        memory = self._memory
        try:
            memory.load_untrusted(raw)
            self._heard_at, self._ping_deadline = now, None
            self._handle_untrusted(memory, raw, now)
        except WireError as error:
            self._end(CloseReason.MALFORMED, f"{error} (error 5)", now)

    def _handle_untrusted(self, memory: Memory, raw: bytes, now: float) -> None:
        heard = memory.heard()
        if memory.kind == Type.ACK:
            self._acknowledged_id(memory.message_id, memory.code < 0x80, now)
        if heard is Heard.PING:
            self._acknowledge_afresh(b"", 0)
        elif heard is Heard.HELLO:
            self._handle_hello(memory, now)
        elif heard is Heard.TIME:
            self._emit(TimeTold(memory.time()))
        elif heard is Heard.FUNCTION:
            self._handle_function(memory, now)
        elif heard is Heard.VARIABLE:
            self._handle_variable(memory, now)
        elif heard is Heard.DESCRIBE:
            self._handle_describe_untrusted(memory, raw, now)
        elif heard is Heard.EVENT:
            self._handle_event_untrusted(raw, now)
        elif heard in _UPDATES:
            self._handle_update_untrusted(heard, raw, now)
        elif heard is Heard.SIGNAL:
            self._acknowledge_afresh(memory.token, Code.CHANGED)
            self._emit(SignalChanged(memory.signal_is_on()))
        elif heard is Heard.KEY_CHANGE:
            if memory.kind == Type.CON:
                self._acknowledge_afresh(b"", 0)
            if memory.key_change_is_reset():
                self._end(CloseReason.KEY_CHANGE, "session discarded (error 21)", now)

    def _acknowledge_afresh(self, token: bytes, code: int) -> None:
        fresh = self._transport is Transport.TCP
        message_id = self._new_message_id() if fresh else self._memory.message_id
        self._send(Message(Type.ACK, code, message_id, token))

    def _acknowledged_id(self, message_id: int, accepted: bool, now: float) -> None:
        if message_id == self._hello_id:
            self._hello_id = None
            self._connect(now)
        receiver = self._receiver
        if isinstance(receiver, V3Receiver) and message_id == receiver.finish_id and not receiver.is_over:
            # Only now: the cloud knows that the file is here.
            receiver.is_over = True
            self._emit(receiver.taken)
        waiting = self._waiting.pop(message_id, None)
        if waiting is not None:
            self._emit(PublishAnswered(waiting[0], accepted))
        post = self._posts.pop(message_id, None)
        if post is not None:
            # The next block goes whatever the code was.
            self._post_block(post)

    def _handle_hello(self, memory: Memory, now: float) -> None:
        if memory.kind == Type.CON:
            self._outbox.append(coap.empty_ack(memory.message_id))
        if not self._connected:
            self._connect(now)

    def _connect(self, now: float) -> None:
        self._hello_deadline = None
        self._connected = True
        self._emit(Connected())
        self._introduce(now)

    def _handle_function(self, memory: Memory, now: float) -> None:
        if memory.token_size != 1:
            self._end(CloseReason.MISSING_TOKEN, "error 28", now)
            return
        profile = self.setup.profile
        raw_name, argument = memory.name_and_argument()
        name = raw_name[: profile.max_name].decode("utf-8", "replace")
        if len(argument) > profile.max_argument:
            # Refused, without a token, and run all the same.
            self._send(Message(Type.ACK, Code.BAD_REQUEST, memory.message_id))
        else:
            self._outbox.append(coap.empty_ack(memory.message_id))
        if name in self.setup.application.functions:
            text = argument[: profile.max_argument].decode("utf-8", "replace")
            self._emit(FunctionCalled(self._ask(Heard.FUNCTION, memory, name), name, text))

    def _handle_variable(self, memory: Memory, now: float) -> None:
        if memory.token_size != 1:
            self._end(CloseReason.MISSING_TOKEN, "error 28", now)
            return
        profile = self.setup.profile
        name = memory.name_and_argument()[0][: profile.max_name].decode("utf-8", "replace")
        if not profile.answers_in_ack:
            self._outbox.append(coap.empty_ack(memory.message_id))
        if name in self.setup.application.variables:
            self._emit(VariableAsked(self._ask(Heard.VARIABLE, memory, name), name))
        else:
            asked = _Asked(Heard.VARIABLE, memory.message_id, memory.token, name)
            self._respond_variable(asked, Code.NOT_FOUND, None)

    def _ask(self, kind: Heard, memory: Memory, name: str) -> int:
        request = self._next_request
        self._next_request += 1
        self._asked[request] = _Asked(kind, memory.message_id, memory.token, name)
        return request

    def _handle_describe_untrusted(self, memory: Memory, raw: bytes, now: float) -> None:
        flags = memory.describe_flag()
        if flags is None:
            flags = device_describe.default_flags(self.setup)
        if flags is None:
            self._send(Message(Type.ACK, Code.BAD_REQUEST, memory.message_id, memory.token))
            return
        in_ack = self.setup.profile.describes_in_ack
        if not in_ack:
            self._outbox.append(coap.empty_ack(memory.message_id))
        whole = device_describe.body(self.setup, flags)
        if whole is None:
            self._end(CloseReason.MALFORMED, "combined describe flags (error 31)", now)
            return
        block2 = coap.decode_untrusted(raw).option(Option.BLOCK2)
        number = messages.read_block_untrusted(block2).number if block2 is not None else 0
        found = device_describe.cut(self.setup, whole, number)
        if found is None:
            self._respond(memory.token, Code.NOT_FOUND, None)
            return
        data, value = found
        kind, message_id = (Type.ACK, memory.message_id) if in_ack else (Type.CON, self._new_message_id())
        self._send(device_describe.answer(self.setup, kind, message_id, memory.token, flags, data, value))

    def _handle_event_untrusted(self, raw: bytes, now: float) -> None:
        message = coap.decode_untrusted(raw)
        segments = [value for number, value in message.options if number == Option.URI_PATH]
        if len(segments) < 2 or not all(segments):
            raise WireError("event without a name")
        if self._transport is Transport.UDP:
            self._acknowledge(message)
        name = b"/".join(segments[1:]).decode("utf-8", "replace")
        data = message.payload
        if not self.setup.profile.understands_content_format and any(
            number not in _EVENT_OPTIONS for number, _ in message.options
        ):
            data = None
        self._handle_system_event(name, data, now)
        for subscription in self._subscriptions:
            if subscription.matches(name):
                self._emit(EventReceived(name, data, subscription.prefix))

    def _handle_system_event(self, name: str, data: bytes | None, now: float) -> None:
        if name.startswith(messages.CLAIM_PREFIX):
            self._emit(ClaimConfirmed())
        elif name.startswith(messages.KEY_RESTORE_PREFIX):
            self._emit(KeysRestored())
        elif name == messages.RESET_EVENT and data in _RESET_MODES:
            self._emit(ResetAsked(data.decode()))
        elif name == messages.UPDATES_FORCED_EVENT and self.setup.profile.tells_updates:
            self._updates_forced = data == b"true"
            self.publish(messages.UPDATES_FORCED_EVENT, data, now)

    # --- updates -----------------------------------------------------------------------------------------------------

    def _handle_update_untrusted(self, heard: Heard, raw: bytes, now: float) -> None:
        if heard is Heard.UPDATE_BEGIN:
            self._begin_update(raw)
            return
        has_v3 = bool(self.setup.profile.hello_flags & HelloFlag.OTA_V3)
        message = coap.decode_untrusted(raw)
        receiver = self._receiver
        if heard is Heard.UPDATE_CHUNK:
            if isinstance(receiver, LegacyReceiver):
                receiver.chunk(message)
        elif heard is Heard.UPDATE_DONE:
            if isinstance(receiver, LegacyReceiver):
                receiver.done(message, self.setup.platform_id)
            else:
                # Releases answer even when they know of no update.
                self._send(Message(Type.ACK, Code.CHANGED, message.id, message.token))
        elif has_v3 and heard is Heard.V3_START:
            self._start_update(message, now)
        elif has_v3 and heard is Heard.V3_CHUNK:
            if isinstance(receiver, V3Receiver) and not receiver.is_over:
                receiver.chunk(message, now)
            else:
                self._send(Message(Type.RST, Code.EMPTY, message.id))
        elif has_v3:
            self._outbox.append(coap.empty_ack(message.id))
            if isinstance(receiver, V3Receiver) and not receiver.is_over:
                receiver.finish(message, self.setup.platform_id)
            else:
                refuse(self._update_port, message, Code.UNAVAILABLE, INVALID_STATE, "no update")

    @property
    def _update_port(self) -> Port:
        def break_off(why: str, now: float) -> None:
            self._end(CloseReason.MALFORMED, why, now)

        return Port(self._send, self._send_and_wait, self._outbox.append, self._emit, self._new_message_id, break_off)

    def _send_and_wait(self, message: Message) -> int:
        """Nothing but its acknowledgement is heard until that has come, where a transport acknowledges."""
        return self._send(message)

    @property
    def _takes_updates(self) -> bool:
        return self.setup.updates.is_enabled or self._updates_forced

    def _begin_update(self, raw: bytes) -> None:
        memory = self._memory
        if memory.token_size != 1:
            return
        begin = update_messages.read_begin(raw) or update_messages.Begin(False, update_messages.DEFAULT_CHUNK_SIZE, 0)
        if not (self._takes_updates and 0 < begin.length <= MAX_FILE and begin.chunk_size):
            code = Code.UNAVAILABLE
            self._send(Message(Type.ACK, code, memory.message_id, memory.token))
            return
        self._outbox.append(coap.empty_ack(memory.message_id))
        confirmable = self._transport is Transport.UDP
        receiver = LegacyReceiver(begin, self._update_port, self.setup.updates, over_datagrams=confirmable)
        self._receiver = receiver
        self._send_and_wait(
            update_messages.update_ready(
                self._new_message_id(), memory.token, is_fast=receiver.is_fast, confirmable=confirmable
            )
        )
        self._emit(UpdateBegun(begin.length, 0))

    def _start_update(self, message: Message, now: float) -> None:
        port = self._update_port
        try:
            wanted = update_messages.read_start_untrusted(message)
            largest = self.setup.profile.buffer_size - update_messages.CHUNK_OVERHEAD
            if message.type != Type.CON or not message.token or wanted.size > MAX_FILE or wanted.chunk_size > largest:
                raise WireError("update start: cannot be")
        except WireError as error:
            refuse(port, message, Code.BAD_REQUEST, PROTOCOL, str(error), in_ack=True)
            return
        self._outbox.append(coap.empty_ack(message.id))
        if not self._takes_updates:
            refuse(port, message, Code.UNAVAILABLE, DISABLED, "Firmware updates are disabled")
            return
        kept = self.partial
        self._receiver = receiver = V3Receiver(wanted, kept, port, now)
        self._send(update_messages.started(self._new_message_id(), message.token, receiver.answer, confirmable=True))
        self._emit(receiver.begun)
