"""One virtual device: power, network and firmware around the device half of the protocol.

As a real one it comes back by itself: a second after a session ended, and with growing pauses while it cannot connect.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from cloudchamber.simulator.firmware import Firmware, Later, PublishLimit, in_module
from cloudchamber.simulator.line import UPDATE, Line
from cloudchamber.simulator.softap.stay import SoftAp
from cloudchamber.wire.messages import Goodbye
from cloudchamber.wire.session.profile import DeviceSetup
from cloudchamber.wire.update.module import parse_module_untrusted

CONNECT_TIMEOUT_S = 20.0
GOODBYE_TIMEOUT_S = 5.0

_USER = 140
_SWITCHED_OFF = Goodbye(cloud_reason=2)
_SLEEP = 6


class State(Enum):
    LISTENING = "listening"
    JOINING = "joining Wi-Fi"
    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    ASLEEP = "asleep"
    STOPPED = "stopped"

    @property
    def led(self) -> str:
        """What the light of a real device shows."""
        return _LEDS[self]


_LEDS = {
    State.LISTENING: "blinking blue",
    State.JOINING: "blinking green",
    State.CONNECTING: "blinking cyan",
    State.ONLINE: "breathing cyan",
    State.OFFLINE: "blinking cyan",
    State.ASLEEP: "off",
    State.STOPPED: "off",
}


class Network(Protocol):
    """What carries a device's connections: `TcpNetwork`, `UdpNetwork`."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    async def connect(self, device: "VirtualDevice") -> Line:
        """Raises OSError."""
        ...


class Console(Protocol):
    """Where a person watches a device."""

    def changed(self, device_id: str, state: State, detail: str) -> None: ...

    def serial(self, device_id: str, line: str) -> None: ...

    def log(self, device_id: str, line: str) -> None: ...


class Vitals(Mapping[int, int]):
    """Metrics by their numbers (device-protocol.md 3.10), each as it is when it is read."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._since = time.monotonic()

    def __getitem__(self, number: int) -> int:
        match number:
            case 6:
                return int(time.monotonic() - self._since)
            case 10:
                return 2  # connected
            case 25:
                return 114_688
            case 26:
                return 52_000 + self._draw.randrange(2_000)
            case 33:
                return self._draw.randrange(60, 90) * 256
            case 37:
                return -self._draw.randrange(50, 70) * 256
            case _:
                raise KeyError(number)

    def __iter__(self) -> Iterator[int]:
        return iter((6, 10, 25, 26, 33, 37))

    def __len__(self) -> int:
        return 6


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
    """`run` until `stop`. `setup` says what it is; its application part is the firmware's. `sleep_s`: awake for so many
    seconds, asleep for as many, and so on. `drop_update_at`: the network is pulled once in each update, when this share
    of the file is here."""

    setup: DeviceSetup
    network: Network
    make_firmware: Callable[["VirtualDevice", float], Firmware]
    console: Console
    random: random.Random
    sleep_s: float | None = None
    drop_update_at: float | None = None
    updates: int = 0
    """How many it has taken."""
    softap: SoftAp | None = None
    """New out of the box: it listens for its Wi-Fi and its claim code first."""
    is_claimed: bool = False
    state: State = State.STOPPED
    signals: bool = False
    """Whether its light shows the rainbow."""
    _in_safe_mode: bool = False
    _update_size: int = 0
    _drops_at: int | None = None
    _dropped_size: int = 0
    _firmware: Firmware | None = None
    _line: Line | None = None
    _sleeps_s: float | None = None
    _bedtime: asyncio.TimerHandle | None = None
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
        await self._set_up()
        while not self._stop.is_set():
            self._change(State.CONNECTING, f"to {self.network.host}:{self.network.port}")
            was_online, why = await self._connect_once()
            if self._stop.is_set():
                break
            pause = backoff.pause(was_online=was_online)
            if self._sleeps_s is None:
                self._change(State.OFFLINE, f"{why}; next attempt in {pause:.1f} s")
            else:
                pause, self._sleeps_s = self._sleeps_s, None
                self._change(State.ASLEEP, f"for {pause:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
        self._change(State.STOPPED, "")

    async def _set_up(self) -> None:
        if self.softap is None:
            return
        setting_up = asyncio.ensure_future(self.softap.until_joined(self.id, self, is_claimed=self.is_claimed))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([setting_up, stopping], return_when=asyncio.FIRST_COMPLETED)
            if setting_up.done():
                self.setup = replace(self.setup, claim_code=setting_up.result())
        finally:
            for task in (setting_up, stopping):
                task.cancel()
            await asyncio.gather(setting_up, stopping, return_exceptions=True)

    def stop(self) -> None:
        """Says goodbye; `run` returns soon."""
        self._stop.set()
        if self._line is not None:
            self._line.goodbye(_SWITCHED_OFF)

    def sleep(self, duration_s: float) -> None:
        """Says so, and is gone for so long; a session over datagrams is kept meanwhile."""
        if self._line is not None:
            self._sleeps_s = duration_s
            self._line.goodbye(Goodbye(cloud_reason=_SLEEP, sleep_s=int(duration_s)))

    def drop(self) -> None:
        """Pulls the plug of the network: no goodbye."""
        if self._line is not None:
            self._line.abort()

    async def _connect_once(self) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                line = await self.network.connect(self)
        except TimeoutError:
            return False, "cannot connect (no answer)"
        except OSError as error:
            return False, f"cannot connect ({error.strerror or error})"
        self._line = line
        if self._stop.is_set():
            line.abort()
        try:
            # Not by `await`: who is cancelled would cancel the future, and a line that has ended does not end again.
            await asyncio.wait([line.closed])
            closed = line.closed.result()
        finally:
            if line.session is not None:
                self.setup = replace(self.setup, partial=line.session.partial)
            line.abort()
            self._line = None
            if self._bedtime is not None:
                self._bedtime.cancel()
        was_online, self.signals = line.was_online, False
        return was_online, f"{closed.reason.value} {closed.detail}".strip()

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

    # --- told by the set-up ---

    def listening(self, detail: str) -> None:
        self._change(State.LISTENING, detail)

    def joining(self, detail: str) -> None:
        self._change(State.JOINING, detail)

    def said(self, line: str) -> None:
        self.console.log(self.id, line)

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
        # The cloud has heard of it.
        self.setup = replace(self.setup, ota_successful=False)
        if self.sleep_s is not None:
            self._bedtime = asyncio.get_running_loop().call_later(self.sleep_s, self.sleep, self.sleep_s)

    def claimed(self) -> None:
        self.is_claimed = True
        self.setup = replace(self.setup, claim_code=None)
        self.console.log(self.id, "claimed: the claim code is forgotten")

    def reset(self, mode: str, now: float) -> None:
        self._in_safe_mode = mode == "safe mode"
        self._boot(now)
        self.restart(_USER)

    def restart(self, reason: int) -> None:
        """`reason`: of the reset, as Goodbye tells it."""
        if self._line is not None:
            self._line.goodbye(Goodbye(cloud_reason=5, reset_reason=reason))

    def update_begun(self, size: int, offset: int) -> None:
        self.console.log(self.id, f"update of {size} bytes begun" + (f", from {offset} on" if offset else ""))
        self._update_size = size
        # Once for each file, so that it arrives in the end.
        if self.drop_update_at is not None and self._dropped_size != size:
            self._drops_at = int(size * self.drop_update_at)

    def update_progressed(self, received: int) -> None:
        if self._drops_at is not None and received >= self._drops_at:
            self._drops_at, self._dropped_size = None, self._update_size
            self.console.log(self.id, f"network pulled at {received} bytes of the update")
            self.drop()

    def updated(self, data: bytes, now: float) -> None:
        """Starts with the new firmware."""
        module = parse_module_untrusted(data)
        self.updates += 1
        found = in_module(data)
        if found is not None:
            self.make_firmware = found
        if module.is_application:
            self.setup = replace(
                self.setup,
                product_id=self.setup.platform_id if module.product_id is None else module.product_id,
                product_version=0xFFFF if module.product_version is None else module.product_version,
                application_sha256=module.sha256,
            )
        self.setup = replace(self.setup, ota_successful=True, partial=None)
        self._dropped_size = 0
        self.console.log(self.id, f"updated: version {module.product_version}")
        self._in_safe_mode = False
        self._boot(now)
        self.restart(UPDATE)

    def set_updates_enabled(self, *, enabled: bool) -> None:
        """As the application does that is busy, or is not any more."""
        self.setup = replace(self.setup, updates=replace(self.setup.updates, is_enabled=enabled))
        if self._line is not None and self._line.session is not None:
            self._line.session.set_updates_enabled(asyncio.get_running_loop().time(), enabled=enabled)
            self._line.pump()

    def call(self, name: str, argument: str, now: float) -> int | Later:
        try:
            return self.firmware.call(name, argument, now)
        except Exception as error:
            self.console.log(self.id, f"function {name} failed: {error!r}")
            return -1
