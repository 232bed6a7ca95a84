"""What the cloud asks of a device: each command makes one request, and each request ends in exactly one `Answered`,
unless its owner cancels it before.

Names that the description does not hold are not asked for: no release answers for an unknown function, and 0.7.0 was
seen to crash over an unknown variable.

Requests that cannot be sent (not online, too large, no token free) are answered at once, so that a caller waits in one
place only. Sizes are held to what the device's Hello allows: one byte more and a Photon closes the connection.
"""

from collections.abc import Callable

from cloudchamber.wire import coap, messages
from cloudchamber.wire.describe import Application, Part
from cloudchamber.wire.events import (
    Answered,
    Busy,
    CloudEvent,
    Disconnected,
    NotFound,
    Outcome,
    TimeAsked,
    TooLarge,
    UpdateStarted,
)
from cloudchamber.wire.messages import Hello, Subscription
from cloudchamber.wire.session.base import Session
from cloudchamber.wire.session.limits import DeviceLimits
from cloudchamber.wire.session.requests import NEVER, TOKEN_REST_S, Kind, Pending, RequestTable
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update.cloud import make_sender
from cloudchamber.wire.update.messages import DEFAULT_CHUNK_SIZE
from cloudchamber.wire.update.sending import Image, Outlet, Sender


class CloudCommands(Session[CloudEvent]):
    __slots__ = (
        "_application",
        "_chunk_size",
        "_hello",
        "_limits",
        "_next_request",
        "_requests",
        "_sender",
        "_sending",
        "_subscriptions",
    )

    def __init__(self, transport: Transport, first_message_id: int) -> None:
        super().__init__(transport, first_message_id)
        self._hello: Hello | None = None
        self._limits: DeviceLimits | None = None
        self._application: Application | None = None
        self._subscriptions: tuple[Subscription, ...] = ()
        self._requests = RequestTable()
        self._next_request = 1
        # An update's state is there for as long as the update.
        self._sender: Sender | None = None
        self._sending: Pending | None = None
        self._chunk_size = DEFAULT_CHUNK_SIZE

    @property
    def is_online(self) -> bool:
        """Between `Online` and `Closed`: commands reach the device."""
        return self._hello is not None and not self._closed

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return self._subscriptions

    def call_function(self, name: str, argument: str, now: float, timeout_s: float) -> int:
        """NotFound at once when the description is known and does not hold the name; unknown before, it times out."""
        raw_name, raw_argument = name.encode(), argument.encode()
        pending = self._new_pending(Kind.FUNCTION, now, timeout_s)
        if self._application is not None and name not in self._application.functions and self.is_online:
            return self._not_sent(pending, NotFound())
        if self._limits is not None and not (
            0 < len(raw_name) <= self._limits.max_name and len(raw_argument) <= self._limits.max_argument
        ):
            return self._not_sent(pending, TooLarge())
        return self._request(
            pending,
            lambda: coap.encode(messages.function_call(pending.message_id, pending.token, raw_name, raw_argument)),
            now,
        )

    def read_variable(self, name: str, now: float, timeout_s: float) -> int:
        raw_name = name.encode()
        pending = self._new_pending(Kind.VARIABLE, now, timeout_s)
        if self._application is not None and name not in self._application.variables and self.is_online:
            return self._not_sent(pending, NotFound())
        if self._limits is not None and not 0 < len(raw_name) <= self._limits.max_name:
            return self._not_sent(pending, NotFound())
        pending.name = raw_name
        self._may_ask_again(pending, now)
        return self._ask_variable(pending, now)

    def ping(self, now: float, timeout_s: float) -> int:
        pending = self._new_pending(Kind.PING, now, timeout_s)
        return self._request(pending, lambda: coap.encode(messages.ping(pending.message_id)), now)

    def signal(self, on: bool, now: float, timeout_s: float) -> int:
        """Starts or stops the rainbow of the device's light."""
        pending = self._new_pending(Kind.SIGNAL, now, timeout_s)
        return self._request(pending, lambda: coap.encode(messages.signal(pending.message_id, pending.token, on)), now)

    def ask_describe(self, part: Part, now: float, timeout_s: float) -> int:
        """One part. Answered with DescribeRead; a changed description also comes as Described."""
        pending = self._new_pending(Kind.DESCRIBE, now, timeout_s)
        return self._ask_describe(pending, part, now)

    def start_update(self, image: Image, now: float) -> int:
        """A file for the device, over the protocol that it speaks. `UpdateStarted` comes when the device agrees, and
        `Answered` when it has it all (`Updated`). One at a time.

        Longer than a request's: minutes over a cellular network. Other requests go on beside it."""
        pending = self._new_pending(Kind.UPDATE, now, NEVER)
        if not self.is_online:
            return self._not_sent(pending, Disconnected())
        if self._sender is not None or not (self._may_send(now) and self._requests.add(pending, now)):
            return self._not_sent(pending, Busy())
        assert self._hello is not None
        assert self._limits is not None
        self._sender = make_sender(
            image,
            pending.token,
            Outlet(self._new_message_id, self._send, self._may_send),
            hello=self._hello,
            chunk_size=self._chunk_size,
            max_message=self._limits.max_message,
            transport=self._transport,
            now=now,
        )
        if self._sender is None:
            self._requests.remove(pending)
            return self._not_sent(pending, TooLarge())
        self._sending = pending
        pending.message_id = self._sender.confirmable_id
        assert pending.request is not None
        return pending.request

    def cancel(self, request: int, now: float) -> None:
        """Nobody waits for it any more. It makes room for another, is not sent again, and no `Answered` follows; one
        that is among the events already may still be taken out.

        What has left cannot be called back: a function may run all the same. Its token stays out of use until its
        answer comes after all, or for a minute. A request that has ended is passed over."""
        pending = self._requests.of(request)
        if pending is None:
            return
        pending.request = None
        if pending.kind is Kind.UPDATE:
            self.cancel_update(now)
        elif pending.kind is Kind.PING and self._transport is Transport.TCP:
            # Acknowledgements of pings are told apart by their order alone, so it waits for its own.
            return
        else:
            self._conclude(pending, now, rests=pending.group is not None or not self._unsend(pending.message_id))

    def cancel_update(self, now: float) -> None:
        """Nobody waits for it any more. What a device has of the file by then, it keeps where it can."""
        if self._sender is not None and self._sending is not None:
            self._sender.cancel(now)
            self._break_off_update(now)

    def send_event(self, name: str, data: bytes | None, ttl_s: int, is_private: bool, now: float) -> bool:
        """True when queued, as one copy: the device itself calls each handler that fits.

        False when no subscription of the device matches by name (whose events it may see is the caller's matter), when
        the message is too large for it, when it is not online, or when (datagrams) it acknowledges none of the last.
        """
        if not any(subscription.matches(name) for subscription in self._subscriptions):
            return False
        return self._queue_event(name, data, ttl_s, is_private, now)

    def send_system_event(self, name: str, data: bytes | None, now: float) -> bool:
        """Private, and without looking at subscriptions: firmware handles `spark/` and `particle/` from the start."""
        return self._queue_event(name, data, messages.DEFAULT_TTL_S, True, now)

    def confirm_claim(self, now: float) -> bool:
        """Tells the device that it is claimed: it forgets its claim code, which it would repeat at each connect."""
        return self.send_system_event(messages.CLAIM_CONFIRMED_EVENT, None, now)

    def tell_time(self, question: TimeAsked, unix_time_s: int, now: float) -> None:
        if self.is_online:
            self._send(messages.time_answer(question.message_id, question.token, unix_time_s))

    def _queue_event(self, name: str, data: bytes | None, ttl_s: int, is_private: bool, now: float) -> bool:
        # Firmware answers key/restore by writing its vendor's server key over ours: never sent, whoever asks.
        if not self.is_online or not name or name.startswith(messages.KEY_RESTORE_PREFIX):
            return False
        assert self._limits is not None
        if len(name.encode()) > messages.MAX_EVENT_NAME or len(data or b"") > self._limits.max_event_data:
            return False
        if not self._may_send(now):
            return False
        confirmable = self._transport is Transport.UDP
        raw = coap.encode(
            messages.cloud_event(self._new_message_id(), name, data, ttl_s, is_private, confirmable=confirmable)
        )
        if len(raw) > self._room:
            return False
        self._outbox.append(raw)
        return True

    # --- requests ----------------------------------------------------------------------------------------------------

    def _new_pending(self, kind: Kind, now: float, timeout_s: float) -> Pending:
        request = self._next_request
        self._next_request += 1
        return Pending(request, kind, now + timeout_s)

    def _not_sent(self, pending: Pending, outcome: Outcome) -> int:
        assert pending.request is not None
        self._emit(Answered(pending.request, outcome))
        return pending.request

    def _request(self, pending: Pending, build: Callable[[], bytes], now: float) -> int:
        request = pending.request or 0
        if not self.is_online:
            self._answer(pending, Disconnected())
            return request
        if not (self._may_send(now) and self._requests.add(pending, now)):
            self._answer(pending, Busy())
            return request
        pending.message_id = self._new_message_id()
        raw = build()
        if len(raw) > self._room:
            self._requests.remove(pending)
            self._answer(pending, TooLarge())
        else:
            self._outbox.append(raw)
        return request

    def _ask_variable(self, pending: Pending, now: float) -> int:
        return self._request(
            pending, lambda: messages.variable_request_bytes(pending.message_id, pending.token, pending.name), now
        )

    def _may_ask_again(self, pending: Pending, now: float) -> None:
        """For a transport that loses messages: what may be asked twice is on its way."""

    def _conclude(self, pending: Pending, now: float, *, rests: bool) -> None:
        """Out of the table, with all that ask the same. `rests`: an answer may still come."""
        for one in pending.group or (pending,):
            self._settle(one.message_id)
            self._requests.remove(one, now + TOKEN_REST_S if rests or one is not pending else None)

    def _ask_describe(self, pending: Pending, part: Part, now: float) -> int:
        pending.part = part
        return self._request(
            pending,
            lambda: coap.encode(
                messages.describe_request(
                    pending.message_id, pending.token, part, pending.next_block, pending.size_exponent
                )
            ),
            now,
        )

    @property
    def _room(self) -> int:
        """The largest message that the device can take now."""
        assert self._limits is not None
        reserved = self._sender.reserved_bytes() if self._sender is not None else 0
        return self._limits.max_message - reserved

    # --- updates -----------------------------------------------------------------------------------------------------

    def _fill_update(self, now: float) -> None:
        if self._sender is not None:
            self._sender.fill(now)
            self._look_at_update(now)

    def _look_at_update(self, now: float) -> None:
        """After whatever happened to the sender."""
        sender, pending = self._sender, self._sending
        if sender is None or pending is None:
            return
        pending.message_id = sender.confirmable_id
        if sender.started_at is not None and not sender.is_told:
            sender.is_told = True
            assert pending.request is not None
            self._emit(UpdateStarted(pending.request, sender.started_at))
        if sender.outcome is not None:
            self._end_update(sender.outcome, now)

    def _break_off_update(self, now: float) -> None:
        """Where there is one."""
        if self._sender is not None:
            self._end_update(Disconnected(self._sender.had_all), now)

    def _end_update(self, outcome: Outcome, now: float) -> None:
        assert self._sending is not None
        self._settle(self._sending.message_id)
        self._requests.remove(self._sending, now + TOKEN_REST_S)
        self._answer(self._sending, outcome)

    def _answer(self, pending: Pending, outcome: Outcome) -> None:
        if pending.kind is Kind.UPDATE:
            self._sender = self._sending = None
        if pending.request is not None:
            self._emit(Answered(pending.request, outcome))
