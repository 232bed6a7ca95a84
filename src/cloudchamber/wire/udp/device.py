"""A device's end of a session over datagrams, with the surface of the cloud's (`connection.py`). A cloud does not load
it."""

from typing import Final

from cloudchamber.wire import messages
from cloudchamber.wire.coap import Message, Type
from cloudchamber.wire.events import CloseReason, Connected
from cloudchamber.wire.messages import Goodbye, HelloFlag
from cloudchamber.wire.reliability import DEVICE, Draw, Reliability
from cloudchamber.wire.session.base import earliest
from cloudchamber.wire.session.device import DeviceSession
from cloudchamber.wire.session.device_state import DeviceState, Told, checksum, told_by
from cloudchamber.wire.session.profile import DeviceSetup
from cloudchamber.wire.transport import Transport

GOODBYE_TIMEOUT_S: Final = 60.0
"""A device that says Goodbye waits this long for all that it sent to be acknowledged."""


class DeviceDatagramConnection(DeviceSession):
    """A device's end. Made when the channel stands; says Hello at once."""

    __slots__ = ("_known", "_leaving_until", "_reliability", "_resumed", "_unconfirmed", "_waits_for")

    def __init__(self, *, setup: DeviceSetup, draw: Draw, now: float, state: DeviceState | None = None) -> None:
        """`state` (of `state()`, in an earlier object of the same session) resumes: the device says Hello only when
        something changed that Hello tells, else it pings."""
        super().__init__(Transport.UDP, setup, int(draw() * 0x100), now)
        self._reliability = Reliability(draw, DEVICE)
        self._known: dict[Told, int | None] = {}
        self._unconfirmed: dict[int, Told] = {}
        self._resumed = False
        self._leaving_until: float | None = None
        self._waits_for = -1
        # Ids count from 1 in a new session, and on in a resumed one.
        self._message_id = 1
        if state is not None:
            self._message_id, self._next_token = state.next_message_id, state.next_token
            self._known = {
                Told.SYSTEM: state.system,
                Told.APPLICATION: state.application,
                Told.SUBSCRIPTIONS: state.subscriptions,
            }
        if state is not None and self._needs_no_hello():
            self._resume(now)
            return
        if not self._posts_describe:
            # One checksum over all: when one thing is said again, all of it is.
            self._known.clear()
        self._say_hello(now)

    def state(self) -> DeviceState:
        """What a device keeps over sleep and reset."""
        known = self._known
        return DeviceState(
            self._message_id,
            self._next_token,
            known.get(Told.SYSTEM),
            known.get(Told.APPLICATION),
            known.get(Told.SUBSCRIPTIONS),
        )

    # --- the surface -------------------------------------------------------------------------------------------------

    def receive_message(self, data: bytes, now: float) -> None:
        """One decrypted message of the cloud."""
        if self._closed or len(data) < 4:
            return
        kind, message_id = data[0] >> 4 & 3, data[2] << 8 | data[3]
        if kind == Type.RST:
            self._end(CloseReason.RESET, "session discarded (error 12)", now)
            return
        if (self._hello_id is not None or self._waits_for >= 0) and kind != Type.ACK:
            # It waits for the acknowledgement of its Hello, or of what an update waits for, and for nothing else.
            return
        if kind == Type.ACK and message_id == self._waits_for:
            self._waits_for = -1
        if not self._reliability.receive(kind, message_id, now):
            self._heard_at, self._ping_deadline = now, None
            return
        if self._resumed:
            self._resumed = False
            self._emit(Connected())
        self.message_received(data, now)

    def messages_to_send(self, now: float) -> list[bytes]:
        """Each to be encrypted and sent as one datagram; each is given once."""
        leaving = self._reliability.take_again()
        for raw in self._take_messages():
            if not self._closed:
                self._reliability.sending(raw, now)
            leaving.append(raw)
        return leaving

    def next_deadline(self) -> float | None:
        if self._closed:
            return None
        return earliest(self._session_deadline(), self._reliability.next_deadline(), self._leaving_until)

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        if self._closed:
            return
        if self._reliability.handle_deadline(now):
            self._end(CloseReason.MESSAGE_TIMEOUT, "not acknowledged (error 10)", now)
        if self._leaving_until is not None and now >= self._leaving_until:
            self._end(CloseReason.LOCAL, "", now)
        self._handle_session_deadline(now)

    def goodbye(self, reason: Goodbye, now: float) -> None:
        """Says why, where the release can (2.0 and later). `Closed` follows when all is acknowledged, or after 60 s."""
        if self._leaving_until is not None or not self.is_connected:
            self.close(now)
            return
        if self.setup.profile.hello_flags & HelloFlag.GOODBYE:
            self._send(messages.goodbye(self._new_message_id(), reason, confirmable=True))
        self._leaving_until = now + GOODBYE_TIMEOUT_S
        self._leave_when_done(now)

    # --- what differs from a stream ----------------------------------------------------------------------------------

    def _send_and_wait(self, message: Message) -> int:
        if not self.setup.profile.hello_flags & HelloFlag.GOODBYE:  # before 2.0
            self._waits_for = message.id
        return super()._send_and_wait(message)

    def _resume(self, now: float) -> None:
        """The cloud forgot nothing: only what changed is said."""
        self._connected = self._resumed = True
        self._send(messages.ping(self._new_message_id()))
        self._ping_deadline = now + self._ping_timeout_s
        self._tell_state(now)
        if self._posts_describe:
            self._tell_application(now)

    def _needs_no_hello(self) -> bool:
        if self.setup.profile.resumes_with_hello:
            return False
        return all(self._cloud_knows(told) for told in ((Told.SYSTEM,) if self._posts_describe else Told))

    def _cloud_knows(self, told: Told) -> bool:
        known = self._known.get(told)
        return known is not None and known == self._checksum(told)

    def _checksum(self, told: Told) -> int:
        return checksum(told, self.setup, self._hello(), self._subscriptions)

    def _send(self, message: Message) -> int:
        told = told_by(message) if message.type == Type.CON else None
        if told is not None:
            self._unconfirmed[message.id] = told
        return super()._send(message)

    def _acknowledged_id(self, message_id: int, accepted: bool, now: float) -> None:
        super()._acknowledged_id(message_id, accepted, now)
        told = self._unconfirmed.pop(message_id, None)
        if told is not None:
            if not accepted:
                self._known[told] = None
            elif told not in self._unconfirmed.values():
                self._confirm(told)
        self._leave_when_done(now)

    def _confirm(self, told: Told) -> None:
        self._known[told] = self._checksum(told)
        if not self._posts_describe:
            # One checksum over all, and the description was the cloud's to ask for.
            for other in Told:
                self._known[other] = self._checksum(other)

    def _leave_when_done(self, now: float) -> None:
        if self._leaving_until is not None and not self._outbox and not self._reliability.outstanding:
            self._end(CloseReason.LOCAL, "", now)
