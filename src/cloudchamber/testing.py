"""A whole cloud for other people's test suites: real sockets on free ports, a fresh data folder, simulated devices.

    async with Cloud() as cloud:
        device = await cloud.start_device("0123456789abcdef01234567")
        ...  # talk to cloud.url with any client

With pytest, `pytest_plugins = ["cloudchamber.testing"]` in a conftest.py gives the asynchronous fixture `cloud`.
"""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from cloudchamber.app import Cloud as _Cloud
from cloudchamber.datafolder import Listening
from cloudchamber.ids import DeviceId
from cloudchamber.settings import Address, Settings
from cloudchamber.simulator.device import State, VirtualDevice
from cloudchamber.simulator.firmware import FIRMWARE
from cloudchamber.simulator.fleet import Fleet, FleetPlan, Ota, load_keys
from cloudchamber.simulator.softap.air import DEFAULT_NETWORKS, Network
from cloudchamber.simulator.target import find_target
from cloudchamber.wire.session.profile import profile_on
from cloudchamber.wire.transport import Transport

ANY_PORT: Final = Address("127.0.0.1", 0)
_PLATFORMS: Final = {"tcp": 6, "udp": 10}
"""Photon and Electron."""


@dataclass(slots=True)
class Recorder:
    """What simulated devices said: their changes of state, and their serial ports."""

    serial_lines: list[str] = field(default_factory=list)
    log_lines: list[str] = field(default_factory=list)
    _happened: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self, device_id: str, state: State, detail: str) -> None:
        self.log(device_id, f"{state.value} {detail}".strip())

    def serial(self, _device_id: str, line: str) -> None:
        self.serial_lines.append(line)
        self._happened.set()

    def log(self, device_id: str, line: str) -> None:
        self.log_lines.append(f"{device_id} {line}")
        self._happened.set()

    async def serial_line(self, text: str, timeout_s: float = 5.0) -> str:
        """The first line of a serial port with `text` in it, waiting for it. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = next((line for line in self.serial_lines if text in line), None)
                if found is not None:
                    return found
                self._happened.clear()
                await self._happened.wait()


@dataclass(slots=True)
class Devices:
    """Simulated devices that were started together."""

    fleet: Fleet
    recorder: Recorder
    _running: "asyncio.Task[None]"

    @property
    def all(self) -> list[VirtualDevice]:
        return self.fleet.devices

    async def online(self, timeout_s: float = 30.0) -> None:
        """Waits until every device is online. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.fleet.online < len(self.fleet.devices):
                if self._running.done():
                    self._running.result()
                await asyncio.sleep(0.02)

    async def listening(self, timeout_s: float = 10.0) -> None:
        """Waits until the first device listens for its set-up. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.all[0].state is not State.LISTENING:  # noqa: ASYNC110 - as `online` does
                await asyncio.sleep(0.02)

    @property
    def softap_address(self) -> tuple[str, int]:
        """Where the first device listens, over HTTP and TCP alike."""
        softap = self.all[0].softap
        assert softap is not None, "started without softap"
        return softap.host, softap.port

    async def stop(self) -> None:
        self.fleet.stop()
        await self._running


class Cloud:
    """An asynchronous context manager; `settings` are changes to what a test would want by default."""

    def __init__(self, **settings: Any) -> None:
        self._changes = settings
        self._exit = contextlib.AsyncExitStack()
        self._cloud: _Cloud | None = None
        self._data: Path | None = None

    @property
    def profile(self) -> str:
        return str(self._changes.get("profile", "vendor"))

    @property
    def url(self) -> str:
        """Of the HTTP API, without a slash at the end."""
        return f"http://{self.listening.http}"

    @property
    def listening(self) -> Listening:
        return self.cloud.listening

    @property
    def cloud(self) -> _Cloud:
        assert self._cloud is not None, "use `async with Cloud() as cloud`"
        return self._cloud

    @property
    def data(self) -> Path:
        """The data folder."""
        assert self._data is not None, "use `async with Cloud() as cloud`"
        return self._data

    async def __aenter__(self) -> "Cloud":
        folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="cloudchamber-")))
        ports = dict.fromkeys(("http", "tcp", "udp", "metrics"), ANY_PORT)
        settings = Settings(**{"data": folder / "data", **ports, **self._changes})
        self._data = settings.data
        try:
            self._cloud = await self._exit.enter_async_context(_Cloud(settings))
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def start_device(self, device_id: str | None = None, **options: Any) -> Devices:
        """One device, online when this returns; options as for `start_devices`."""
        return await self.start_devices(1, first_id=device_id, **options)

    async def start_devices(
        self,
        count: int,
        *,
        first_id: str | None = None,
        protocol: Literal["tcp", "udp"] = "tcp",
        firmware: str = "counter",
        device_os: str = "2.3.1",
        platform_id: int | None = None,
        product_id: int | None = None,
        product_version: int = 1,
        claim_code: str | Sequence[str] | None = None,
        loss: float = 0.0,
        moves: bool = False,
        ota: Literal["auto", "fast", "slow", "v3"] = "auto",
        drop_update_at: float | None = None,
        softap: bool = False,
        networks: Sequence[str] = (),
        timeout_s: float = 60.0,
    ) -> Devices:
        """Devices over the real protocol, all online when this returns. Ids count up from `first_id`. `claim_code`
        is the first one's, or a list of the first ones'. Over UDP `loss` is the share of datagrams that get lost, and
        `moves` gives a new port after each sleep. `ota` is how they take updates, and `drop_update_at` the share of a
        file at which the network is pulled once.

        With `softap` the device is new: it is listening for its set-up when this returns, at `devices.softap_address`,
        with `networks` in the air (written as `cloudchamber simulate --wifi` takes them).
        """
        if platform_id is None:
            platform_id = _PLATFORMS[protocol]
        server = self.listening.tcp if protocol == "tcp" else self.listening.udp
        plan = FleetPlan(
            first_id=first_id or secrets.token_hex(12),
            count=count,
            target=find_target(data=self.data, server=str(server), server_key_file=None, transport=Transport(protocol)),
            keys=self.data.parent / "device-keys",
            firmware=FIRMWARE[firmware],
            profile=profile_on(device_os, platform_id),
            platform_id=platform_id,
            product_id=platform_id if product_id is None else product_id,
            product_version=product_version,
            claim_codes=(claim_code,) if isinstance(claim_code, str) else tuple(claim_code or ()),
            loss=loss,
            moves=moves,
            ota=Ota(ota),
            drop_update_at=drop_update_at,
            softap=("127.0.0.1", 0) if softap else None,
            networks=tuple(Network.parse(text) for text in networks) or DEFAULT_NETWORKS,
        )
        recorder = Recorder()
        keys = await asyncio.to_thread(load_keys, plan, lambda: None)
        fleet = Fleet(plan, keys, recorder)
        devices = Devices(fleet, recorder, asyncio.create_task(fleet.run()))
        self._exit.push_async_callback(devices.stop)
        if softap:
            await devices.listening(timeout_s)
        else:
            await devices.online(timeout_s)
            await self._known(devices, timeout_s)
        return devices

    async def _known(self, devices: Devices, timeout_s: float) -> None:
        """Waits until the cloud has noted what is connected: a device hears the cloud's Hello a moment earlier."""
        registry = self.cloud.devices
        async with asyncio.timeout(timeout_s):
            for device in devices.all:
                id_ = DeviceId(device.id)
                while registry.arrival(id_) is None and await registry.get(id_) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)


try:
    import pytest_asyncio
except ModuleNotFoundError:
    # Without pytest, the class alone is of use.
    pass
else:

    @pytest_asyncio.fixture
    async def cloud() -> AsyncIterator[Cloud]:
        """A fresh cloud for one test."""
        async with Cloud() as running:
            yield running
