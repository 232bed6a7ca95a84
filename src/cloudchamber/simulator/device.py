"""One virtual device: power, network and firmware around the device half of the protocol.

As a real one it comes back by itself: a second after a session ended, and with growing pauses while it cannot connect.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.simulator.firmware import Firmware, Later, PublishLimit
from cloudchamber.simulator.target import Target
from cloudchamber.wire.events import (
    ClaimConfirmed,
    Closed,
    Connected,
    DeviceEvent,
    EventReceived,
    FunctionCalled,
    ResetAsked,
    SignalChanged,
    VariableAsked,
)
from cloudchamber.wire.messages import Goodbye
from cloudchamber.wire.session.profile import DeviceSetup
from cloudchamber.wire.tcp.connection import DeviceConnection

CONNECT_TIMEOUT_S = 20.0
GOODBYE_TIMEOUT_S = 5.0

_RESET = Goodbye(cloud_reason=5, reset_reason=140)
_SWITCHED_OFF = Goodbye(cloud_reason=2)


class State(Enum):
    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    STOPPED = "stopped"


class Console(Protocol):
    """Where a person watches a device."""

    def changed(self, device_id: str, state: State, detail: str) -> None: ...

    def serial(self, device_id: str, line: str) -> None: ...

    def log(self, device_id: str, line: str) -> None: ...


@dataclass(slots=True)
class Backoff:
    """Pauses between attempts: 1 s, doubled up to 30 s, each shortened by up to half, so that a thousand devices that
    lost their server in one moment do not come back in one moment."""

    random: random.Random
    next_s: float = 1.0
    longest_s: float = 30.0

    def pause(self, *, was_online: bool) -> float:
        if was_online:
            self.next_s = 1.0
        pause = self.next_s * (1 - self.random.random() / 2)
        self.next_s = min(self.next_s * 2, self.longest_s)
        return pause


@dataclass(slots=True, eq=False)
class VirtualDevice:
    """`run` until `stop`. `setup` says what it is; its application part is the firmware's."""

    setup: DeviceSetup
    key: RSAPrivateKey
    target: Target
    make_firmware: Callable[["VirtualDevice", float], Firmware]
    console: Console
    random: random.Random
    state: State = State.STOPPED
    signals: bool = False
    """Whether its light shows the rainbow."""
    _in_safe_mode: bool = False
    _firmware: Firmware | None = None
    _line: "_Line | None" = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _publish_limit: PublishLimit = field(default_factory=PublishLimit)

    @property
    def id(self) -> str:
        return self.setup.device_id.hex()

    @property
    def firmware(self) -> Firmware:
        assert self._firmware is not None, "not running"
        return self._firmware

    async def run(self) -> None:
        """Connects, and connects again, until `stop`."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self.random)
        self._boot(loop.time())
        while not self._stop.is_set():
            self._change(State.CONNECTING, f"to {self.target.host}:{self.target.port}")
            was_online, why = await self._connect_once()
            if self._stop.is_set():
                break
            pause = backoff.pause(was_online=was_online)
            self._change(State.OFFLINE, f"{why}; next attempt in {pause:.1f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
        self._change(State.STOPPED, "")

    def stop(self) -> None:
        """Says goodbye; `run` returns soon."""
        self._stop.set()
        if self._line is not None:
            self._line.goodbye(_SWITCHED_OFF)

    def drop(self) -> None:
        """Pulls the plug of the network: no goodbye."""
        if self._line is not None:
            self._line.abort()

    async def _connect_once(self) -> tuple[bool, str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, line = await loop.create_connection(
                    lambda: _Line(self, self._new_connection(loop.time())), self.target.host, self.target.port
                )
        except TimeoutError:
            return False, "cannot connect (no answer)"
        except OSError as error:
            return False, f"cannot connect ({error.strerror or error})"
        self._line = line
        if self._stop.is_set():
            line.abort()
        try:
            closed = await line.closed
        finally:
            line.abort()
            self._line = None
        was_online, self.signals = line.was_online, False
        return was_online, f"{closed.reason.value} {closed.detail}".strip()

    def _new_connection(self, now: float) -> DeviceConnection:
        return DeviceConnection(
            setup=self.setup,
            device_key=self.key,
            server_key=self.target.server_key,
            now=now,
            first_token=self.random.randrange(256),
        )

    def _boot(self, now: float) -> None:
        firmware = Firmware(self, now) if self._in_safe_mode else self.make_firmware(self, now)
        self._firmware = firmware
        self.setup = replace(
            self.setup,
            application=firmware.application,
            subscriptions=firmware.subscriptions,
            safe_mode=self._in_safe_mode,
        )

    def _change(self, state: State, detail: str) -> None:
        self.state = state
        self.console.changed(self.id, state, detail)

    # --- Board ---

    def publish(self, name: str, data: str | None, *, is_private: bool = True) -> bool:
        now = asyncio.get_running_loop().time()
        if self._line is None or not self._publish_limit.allow(now):
            return False
        return self._line.publish(name, data, is_private=is_private)

    def println(self, line: str) -> None:
        self.console.serial(self.id, line)

    # --- told by the line ---

    def connected(self) -> None:
        self._change(State.ONLINE, "")

    def claimed(self) -> None:
        self.setup = replace(self.setup, claim_code=None)
        self.console.log(self.id, "claimed: the claim code is forgotten")

    def reset(self, mode: str, now: float) -> None:
        self._in_safe_mode = mode == "safe mode"
        self._boot(now)
        if self._line is not None:
            self._line.goodbye(_RESET)

    def call(self, name: str, argument: str, now: float) -> int | Later:
        try:
            return self.firmware.call(name, argument, now)
        except Exception as error:
            self.console.log(self.id, f"function {name} failed: {error!r}")
            return -1


class _Line(asyncio.Protocol):
    """One connection of a device: one socket, one timer."""

    def __init__(self, device: VirtualDevice, connection: DeviceConnection) -> None:
        self._device = device
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self.was_online = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pump()

    def data_received(self, data: bytes) -> None:
        self._connection.receive(data, self._loop.time())
        self._pump()

    def eof_received(self) -> bool:
        self._connection.receive_eof(self._loop.time())
        self._pump()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connection.receive_eof(self._loop.time())
        self._connection.close(self._loop.time())
        self._pump()

    # --- for the device ---

    def publish(self, name: str, data: str | None, *, is_private: bool) -> bool:
        if not self._connection.is_connected:
            return False
        raw = None if data is None else data.encode()
        self._connection.publish(name, raw, self._loop.time(), is_private=is_private)
        self._pump()
        return True

    def goodbye(self, reason: Goodbye) -> None:
        self._connection.goodbye(reason, self._loop.time())
        self._pump()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- the machine ---

    def _pump(self) -> None:
        while events := self._connection.events():
            for event in events:
                self._handle(event)
        if self._transport is not None:
            data = self._connection.data_to_send(self._loop.time())
            if data:
                self._transport.write(data)
            if self._connection.is_closed:
                self._transport.close()
        self._set_timer(self._connection.next_deadline())

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
        self._connection.handle_deadline(self._loop.time())
        self._pump()

    def _handle(self, event: DeviceEvent) -> None:
        device, now = self._device, self._loop.time()
        match event:
            case VariableAsked(request, name):
                self._connection.answer_variable(request, device.firmware.read(name, now), now)
            case FunctionCalled(request, name, argument):
                self._return(request, device.call(name, argument, now))
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
            case Connected():
                self.was_online = True
                device.connected()
                self._tick_later()
            case Closed():
                self._end(event)
            case _:
                pass

    def _return(self, request: int, result: int | Later) -> None:
        if isinstance(result, Later):
            value = result.value
            self._later(result.delay_s, lambda: self._return_late(request, value))
        else:
            self._connection.return_value(request, result, self._loop.time())

    def _return_late(self, request: int, value: int) -> None:
        self._connection.return_value(request, value, self._loop.time())
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
        if not self.closed.done():
            self.closed.set_result(closed)
