"""What a device's connections have in common, whatever carries them: firmware above, one timer, and an end."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloudchamber.simulator.firmware import Later
from cloudchamber.wire.events import (
    ClaimConfirmed,
    Closed,
    Connected,
    DeviceEvent,
    EventReceived,
    FunctionCalled,
    ResetAsked,
    SignalChanged,
    UpdateBegun,
    UpdateProgressed,
    UpdateRejected,
    UpdateTaken,
    VariableAsked,
)
from cloudchamber.wire.messages import Goodbye
from cloudchamber.wire.session.device import DeviceSession

if TYPE_CHECKING:
    from cloudchamber.simulator.device import VirtualDevice

# Reset reasons of a Goodbye.
UPDATE: Final = 70
UPDATE_ERROR: Final = 80


class Line(ABC):
    """One connection of a device: one socket, one timer."""

    def __init__(self, device: "VirtualDevice") -> None:
        self._device = device
        self._loop = asyncio.get_running_loop()
        self._timers: set[asyncio.TimerHandle] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self.was_online = False

    # --- what carries it ---

    @property
    @abstractmethod
    def session(self) -> DeviceSession | None:
        """None before the channel stands."""

    @abstractmethod
    def _pump(self) -> None:
        """Moves what the session has to say."""

    @abstractmethod
    def _deadline_passed(self, now: float) -> None: ...

    @abstractmethod
    def abort(self) -> None:
        """The network is gone, or the line is not needed any more. Nothing is said."""

    # --- for the device ---

    def publish(self, name: str, data: str | None, *, is_private: bool) -> bool:
        session = self.session
        if session is None or not session.is_connected:
            return False
        raw = None if data is None else data.encode()
        session.publish(name, raw, self._loop.time(), is_private=is_private)
        self._pump()
        return True

    def pump(self) -> None:
        """After something was done to the session."""
        self._pump()

    def goodbye(self, reason: Goodbye) -> None:
        if self.session is None:
            self.abort()
        else:
            self.session.goodbye(reason, self._loop.time())
            self._pump()

    # --- the machine ---

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if deadline is not None and deadline >= self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._ring)
            self._timer_at = deadline

    def _ring(self) -> None:
        self._timer = None
        self._deadline_passed(self._loop.time())
        self._pump()

    def _handle(self, session: DeviceSession, event: DeviceEvent) -> None:
        device, now = self._device, self._loop.time()
        match event:
            case VariableAsked(request, name):
                session.answer_variable(request, device.firmware.read(name, now), now)
            case FunctionCalled(request, name, argument):
                self._return(session, request, device.call(name, argument, now))
            case EventReceived(name, data, _):
                device.firmware.heard(name, (data or b"").decode("utf-8", "replace"))
            case SignalChanged(on):
                device.signals = on
                device.console.log(device.id, f"signal {'on' if on else 'off'}")
            case ClaimConfirmed():
                device.claimed()
            case ResetAsked(mode):
                device.console.log(device.id, f"asked to reset: {mode}")
                self._later(0, lambda: device.reset(mode, self._loop.time()))
            case UpdateBegun(size, offset):
                device.update_begun(size, offset)
            case UpdateProgressed(received):
                device.update_progressed(received)
            case UpdateTaken(data):
                self._later(0, lambda: device.updated(data, self._loop.time()))
            case UpdateRejected(why):
                device.console.log(device.id, f"update rejected: {why}")
                self._later(0, lambda: device.restart(UPDATE_ERROR))
            case Connected():
                self.was_online = True
                device.connected()
                self._tick_later()
            case Closed():
                self._end(event)
            case _:
                pass

    def _return(self, session: DeviceSession, request: int, result: int | Later) -> None:
        if isinstance(result, Later):
            value = result.value
            self._later(result.delay_s, lambda: self._return_late(session, request, value))
        else:
            session.return_value(request, result, self._loop.time())

    def _return_late(self, session: DeviceSession, request: int, value: int) -> None:
        session.return_value(request, value, self._loop.time())
        self._pump()

    def _tick_later(self) -> None:
        tick_s = self._device.firmware.tick_s
        if tick_s is not None:
            self._later(tick_s, self._tick)

    def _tick(self) -> None:
        self._device.firmware.tick(self._loop.time())
        self._tick_later()

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            call()

        timer = self._loop.call_later(delay_s, run)
        self._timers.add(timer)

    def _end(self, closed: Closed) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._set_timer(None)
        if not self.closed.done():
            self.closed.set_result(closed)
