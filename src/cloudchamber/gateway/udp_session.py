"""A device session over datagrams: it outlives addresses, restarts of the cloud and the sleep of its device.

What a device may rely on is stored before it is told so. A message of ours can acknowledge something that the device
will not say again (its Hello, its description, a subscription), so while the memory of that is not on disk, nothing
leaves. The first answer waits for one thing more: that the device's key is on record and `online` was accepted. Who is
refused gets nothing at all.
"""

import asyncio
import logging
from functools import partial
from typing import Final, Protocol

from cloudchamber.gateway.dozing import Bed, Dozing
from cloudchamber.gateway.services import Services
from cloudchamber.gateway.session import HANDLERS, INBOX_TIMEOUT_S, DeviceSession, Handlers, admitted_key
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Admission
from cloudchamber.resumption.model import SavedSession
from cloudchamber.wire.dtls.session import DtlsSession
from cloudchamber.wire.events import (
    Closed,
    CloseReason,
    IdentifyDevice,
    MemoryChanged,
    Online,
    Resumed,
    SaidGoodbye,
)
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.udp.connection import CloudDatagramSession

log = logging.getLogger(__name__)

UNSAVED_RECORDS: Final = 64
"""The stored replay window is at most this old: so many records could be played back after a crash, from another
address, to draw answers there until the device's next record."""

SAVE_RETRIES: Final = 5
SAVE_RETRY_S: Final = 1.0

_SILENT: Final = (CloseReason.REFUSED, CloseReason.HANDSHAKE_TIMEOUT)


class Carrier(Protocol):
    """The gateway's side."""

    def transmit(self) -> None:
        """The channel has something to send."""
        ...

    async def save(self, session: SavedSession) -> None: ...

    def said_hello(self, session: "UdpSession") -> None:
        """This is no stranger any more: the next move is ours, and how long that takes is not the device's fault."""
        ...

    def proven(self, session: "UdpSession") -> None:
        """Whose session it is, is on record."""
        ...

    def left(self, session: "UdpSession", *, notify: bool) -> None:
        """Over: the channel is to be closed, with close_notify or silently. Told again, it is nothing new."""
        ...

    def left_early(self, session: "UdpSession", writer: "asyncio.Task[None]") -> None:
        """Over, while `writer` still stores it: until that is done, the store does not tell the truth about it."""
        ...


class UdpSession(DeviceSession[CloudDatagramSession]):
    __slots__ = (
        "_carrier",
        "_hello",
        "_is_dirty",
        "_is_held",
        "_is_over",
        "_is_silent",
        "_memory",
        "_needs_numbers",
        "_notifies",
        "_saver",
        "_was_too_silent",
        "_work",
        "dtls",
        "is_confirmed",
        "is_untouched",
        "stays_stored",
    )

    def __init__(
        self, connection: CloudDatagramSession, dtls: DtlsSession, carrier: Carrier, services: Services
    ) -> None:
        super().__init__(connection, services)
        self.dtls = dtls
        self.is_confirmed = False
        """The device's key is on record; only then is anything stored or sent."""
        self.is_untouched = True
        """Nothing was received since this object was made."""
        self.stays_stored = False
        self._carrier = carrier
        self._hello: Hello | None = None
        self._memory: bytes | None = None
        """Until it is stored."""
        self._saver: asyncio.Task[None] | None = None
        self._is_dirty = False
        self._is_held = False
        self._is_over = False
        self._is_silent = False
        self._needs_numbers = False
        self._notifies = False
        self._was_too_silent = False
        self._work: asyncio.Task[None] | None = None
        """Asks who the device is."""

    def goes_on(self, device: DeviceId) -> None:
        """Its connection was made by `resume` or `unpack`, for a device that was admitted before."""
        self._device, self._public_key_der = device, self.dtls.peer_spki
        self._hello = self._connection.hello
        self.is_confirmed = True

    def rise(self, heard_at: float) -> None:
        """Out of the place where it dozed: the device is online all the time."""
        self._heard_at = heard_at
        self.is_untouched = False
        self._is_online = self._owes_offline = True
        self._attach()

    # --- for the gateway ---

    @property
    def ip(self) -> str:
        return self.dtls.address[0]

    @property
    def is_online(self) -> bool:
        return self._is_online

    @property
    def heard_at(self) -> float:
        """In the loop's time."""
        return self._heard_at

    @property
    def platform_id(self) -> int:
        return 0 if self._hello is None else self._hello.platform_id

    @property
    def is_idle(self) -> bool:
        """Nothing is under way, and the store holds all that is here."""
        return not self._is_at_work and self._connection.next_deadline() is None

    @property
    def may_doze(self) -> bool:
        """The device is online, and nothing is under way."""
        return (
            self._is_online
            and self.is_confirmed
            and not self._is_at_work
            and self._services.hub.session(self._device) is self
            and self._connection.is_at_rest(self._loop.time())
        )

    @property
    def _is_at_work(self) -> bool:
        has_task = self._saver is not None or self._work is not None
        return has_task or bool(self._waiting or self._untold or self._is_dirty)

    def receive(self, payload: bytes) -> None:
        if self._is_paused or self._is_over:
            return  # not acknowledged, so the device sends it again
        if self.is_untouched:
            self.touch()
        now = self._heard_at = self._loop.time()
        self._connection.receive_message(payload, now)
        if self._was_too_silent and self._connection.is_online and self._hello is not None:
            self._was_too_silent = False
            self._come_online(self._hello)
        self.pump()
        if self.dtls.unsaved_records >= UNSAVED_RECORDS:
            self.store()

    def touch(self) -> None:
        """The device is here, or is asked for: not only has somebody named it."""
        if self.is_untouched:
            self.is_untouched = False
            if self._needs_numbers:
                self.store()

    def needs_numbers(self) -> None:
        """Of records. A session that was only named must not cost a write."""
        if self.is_untouched:
            self._needs_numbers = True
        else:
            self.store()

    def give_up(self) -> None:
        """There is no room for it in memory: what is stored of it stays, and the device is told nothing, for with a
        close_notify it would be back at once. The room is there when this returns, also while the store is written."""
        if not self._connection.is_closed:
            self._is_silent = self.stays_stored = True
            self.close()
        self._notifies = False
        if self._saver is not None:
            self._carrier.left_early(self, self._saver)

    def ended(self) -> None:
        """The channel is closed: by the device, or by a newer session of it."""
        self._connection.close(self._loop.time())
        self.pump()

    def go_offline(self) -> None:
        """Not heard for too long. The session stays as it is, and the device's next word brings it back."""
        self._was_too_silent = True
        self._go_offline()

    def unload(self) -> None:
        """Of an idle session: nobody calls it any more."""
        self._set_deadline(self._services.alarms, None)
        self._is_over = True

    def doze(self, bed: Bed, channel: bytes) -> Dozing:
        """Of a session that may: who takes its place, with the packed channel."""
        self.unload()
        self._is_online = self._owes_offline = False
        route = self.dtls.cid or self.dtls.address
        return Dozing(bed, self._device, self._connection.pack(), channel, route, self._heard_at)

    async def leave(self) -> None:
        """The cloud stops, which is not the device's concern: nothing is said to it."""
        self._is_over = True
        self._set_deadline(self._services.alarms, None)
        if self._work is not None:
            self._work.cancel()
        self._give_up_waiting()
        self._go_offline()
        if self._saver is not None:
            self._is_dirty = True
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)

    @property
    def has_unsaved(self) -> bool:
        return self.is_confirmed and (self._is_dirty or self.dtls.unsaved_records > 0)

    # --- DeviceSession ---

    def replaced(self) -> None:
        self._is_silent = True
        super().replaced()

    def _send(self) -> None:
        if self._is_held or not self.is_confirmed:
            return
        messages = self._connection.messages_to_send(self._loop.time())
        if messages:
            for message in messages:
                self.dtls.send(message)
            self._carrier.transmit()

    def _finish(self, closed: Closed) -> None:
        log.debug("session of %s at %s ended: %s %s", self._device, self.ip, closed.reason.value, closed.detail)
        self._is_over = True
        self._notifies = self.is_confirmed and not self._is_silent and closed.reason not in _SILENT
        if self._saver is None:
            self._carrier.left(self, notify=self._notifies)

    def _pause(self) -> None:
        """`_is_paused` says it."""

    def _resume(self) -> None:
        """`_is_paused` says it."""

    async def _tell_online(self, hello: Hello) -> None:
        await super()._tell_online(hello)
        if self._is_over:
            return
        self.is_confirmed = True
        self._carrier.proven(self)
        if self._is_dirty:
            self.store()
        else:
            self.pump()

    # --- what the machine found ---

    def _on_identify(self, event: IdentifyDevice) -> None:
        self._carrier.said_hello(self)
        assert self._work is None
        self._work = self._loop.create_task(self._identify(DeviceId(event.device_id.hex())))

    async def _identify(self, device: DeviceId) -> None:
        key = await admitted_key(self._ask_admission(device), device, self.ip)
        self._work = None
        if key is None:
            self._connection.refuse(self._loop.time())
        else:
            self._device, self._public_key_der = device, key
            self._connection.accept(self._loop.time())
        self.pump()

    async def _ask_admission(self, device: DeviceId) -> Admission:
        async with asyncio.timeout(INBOX_TIMEOUT_S):
            return await self._services.inbox.admit(device, self.dtls.peer_spki)

    def _on_closed(self, event: Closed) -> None:
        if self._work is not None:
            self._work.cancel()
            self._work = None
        super()._on_closed(event)

    def _on_online(self, event: Online) -> None:
        self._was_too_silent = False
        is_new = event.hello != self._hello
        self._hello = event.hello.steady
        was_online = self._is_online
        super()._on_online(event)
        if was_online and is_new:
            # Within its session, but with another firmware, or started anew with the same: the record has to follow.
            self._tell(partial(self._tell_online, event.hello))

    def _on_resumed(self, event: Resumed) -> None:
        self._was_too_silent = False
        self._hello = event.memory.hello
        if not self._is_online:
            self._come_online(event.memory.hello)

    def _on_goodbye(self, _event: SaidGoodbye) -> None:
        self._go_offline()

    # --- the store ---

    def _on_memory(self, event: MemoryChanged) -> None:
        self._memory = event.memory.to_bytes()
        self._is_held = True
        self.store()

    def store(self) -> None:
        """Soon, and as often as it takes."""
        self._is_dirty = True
        if self.is_confirmed and self._saver is None and not self._is_over:
            self._saver = self._loop.create_task(self._save())

    def saved(self) -> SavedSession:
        return to_be_saved(self.dtls, self._device, self._memory)

    async def _save(self) -> None:
        failures = 0
        # For a close_notify it takes a record number, and so perhaps one more write.
        while self._is_dirty and (self._notifies or not self._is_over):
            self._is_dirty = False
            memory, next_number = self._memory, self.dtls.state().next_number
            try:
                await self._carrier.save(self.saved())
            except Exception:
                failures += 1
                log.exception("device %s: its session could not be stored", self._device)
                if failures > SAVE_RETRIES or self._is_over:
                    self._fail()
                    break
                self._is_dirty = True
                await asyncio.sleep(SAVE_RETRY_S)
                continue
            failures = 0
            self.dtls.reserved(next_number)
            self._carrier.transmit()
            if memory is self._memory:
                self._is_held = False
                self._memory = None
            self.pump()
        self._saver = None
        if self._connection.is_closed:
            self._carrier.left(self, notify=self._notifies)

    @property
    def handlers(self) -> Handlers:
        return _HANDLERS


_HANDLERS: Final[Handlers] = {
    **HANDLERS,
    Closed: UdpSession._on_closed,
    IdentifyDevice: UdpSession._on_identify,
    MemoryChanged: UdpSession._on_memory,
    Online: UdpSession._on_online,
    Resumed: UdpSession._on_resumed,
    SaidGoodbye: UdpSession._on_goodbye,
}


def to_be_saved(dtls: DtlsSession, device: DeviceId, memory: bytes | None) -> SavedSession:
    """`memory` None: what is stored of it already is still so."""
    state = dtls.state().to_bytes()
    return SavedSession(dtls.id, dtls.cid or None, device, address_text(dtls.address), state, memory)


def address_text(address: tuple[str, int]) -> str:
    """As it stands in the store."""
    host, port = address
    return f"{host} {port}"
