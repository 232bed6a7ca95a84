"""A gateway with a small real inbox over dictionaries, and devices that connect to it."""

import asyncio
import contextlib
import random
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from cloudchamber.clock import SystemClock
from cloudchamber.gateway.crypto import Crypto
from cloudchamber.gateway.hub import Hub
from cloudchamber.gateway.mailboxes import Mailboxes
from cloudchamber.gateway.services import TcpServices
from cloudchamber.gateway.tcp import TcpGateway, TcpLimits
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Admission, Admitted, DeviceRefused, NotAdmitted
from cloudchamber.simulator import firmware as firmwares
from cloudchamber.simulator.device import State, VirtualDevice
from cloudchamber.simulator.firmware import Firmware
from cloudchamber.simulator.tcp import TcpNetwork
from cloudchamber.wire.describe import Describe
from cloudchamber.wire.events import EventPublished, Fact
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup

ID = DeviceId("0123456789abcdef01234567")


def device_id(number: int) -> DeviceId:
    return DeviceId(f"{number:024x}")


async def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


class DictInbox:
    """Trusts the first key of each id. `told` holds every call as (device, name, *values), in order."""

    def __init__(self) -> None:
        self.keys: dict[DeviceId, bytes] = {}
        self.online_now: set[DeviceId] = set()
        self.descriptions: dict[DeviceId, Describe] = {}
        self.claim_codes: set[str] = set()
        self.told: list[tuple[Any, ...]] = []
        self._counts: Counter[str] = Counter()
        self.before: Callable[[DeviceId, str], Awaitable[None]] | None = None

    async def _tell(self, device: DeviceId, name: str, *values: Any) -> None:
        if self.before is not None:
            await self.before(device, name)
        self.told.append((device, name, *values))
        self._counts[name] += 1

    def names(self, device: DeviceId) -> list[str]:
        return [call[1] for call in self.told if call[0] == device]

    def count(self, name: str) -> int:
        return self._counts[name]

    async def admit(self, device: DeviceId, public_key_der: bytes | None) -> Admission:
        known = self.keys.get(device)
        if public_key_der is None or (known is not None and known != public_key_der):
            return NotAdmitted("another key is on record")
        return Admitted(public_key_der)

    def admit_now(self, device: DeviceId, public_key_der: bytes | None) -> bytes | None:
        known = self.keys.get(device)
        return known if public_key_der in (None, known) else None

    def goes_by(self, device: DeviceId, public_key_der: bytes) -> bool:
        return self.keys.get(device) == public_key_der

    def unproven(self, device: DeviceId) -> Callable[[], Coroutine[Any, Any, None]] | None:
        return partial(self._tell, device, "unproven")

    async def online(self, device: DeviceId, hello: Hello, ip: str, public_key_der: bytes) -> None:
        await self._tell(device, "online", hello, ip)
        if self.keys.setdefault(device, public_key_der) != public_key_der:
            raise DeviceRefused
        self.online_now.add(device)

    async def offline(self, device: DeviceId, last_heard_ms: int) -> None:
        await self._tell(device, "offline", last_heard_ms)
        self.online_now.remove(device)

    async def described(self, device: DeviceId, describe: Describe) -> None:
        await self._tell(device, "described", describe)
        self.descriptions[device] = describe

    async def claim_code(self, device: DeviceId, code: str) -> bool:
        await self._tell(device, "claim_code", code)
        return code in self.claim_codes

    async def updates_enabled(self, device: DeviceId, *, enabled: bool) -> None:
        await self._tell(device, "updates_enabled", enabled)

    async def updates_forced(self, device: DeviceId, *, forced: bool) -> None:
        await self._tell(device, "updates_forced", forced)

    async def fact(self, device: DeviceId, fact: Fact, ip: str) -> bytes:
        await self._tell(device, "fact", fact)
        return ip.encode() if fact is Fact.IP else b"answer"

    def published(self, device: DeviceId, event: EventPublished, *, is_next: bool):
        async def tell() -> bool:
            await self._tell(device, "published", event.name, event.data, event.ttl_s, event.is_private)
            return True

        return tell

    async def vitals(self, device: DeviceId, metrics: bytes) -> None:
        await self._tell(device, "vitals", metrics)

    async def safe_mode(self, device: DeviceId) -> None:
        await self._tell(device, "safe_mode")


class Screen:
    """The console of virtual devices, kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.states: list[tuple[str, State, str]] = []
        self.logged: list[tuple[str, str]] = []

    def changed(self, device_id: str, state: State, detail: str) -> None:
        self.states.append((device_id, state, detail))

    def serial(self, device_id: str, line: str) -> None:
        self.lines.append((device_id, line))

    def log(self, device_id: str, line: str) -> None:
        self.logged.append((device_id, line))


class SmallCloud:
    """One gateway, one inbox, and whatever devices a test switches on."""

    def __init__(self, services: TcpServices, gateway: TcpGateway, inbox: DictInbox, device_key: RSAPrivateKey) -> None:
        self.services = services
        self.gateway = gateway
        self.hub: Hub = services.hub
        self.inbox = inbox
        self.device_key = device_key
        self.port = 0
        self.screen = Screen()
        self._running: dict[VirtualDevice, asyncio.Task[None]] = {}

    @property
    def public_key(self) -> RSAPublicKey:
        return self.services.server_key.public_key()

    def device(
        self,
        device: DeviceId = ID,
        *,
        key: RSAPrivateKey | None = None,
        server_key: RSAPublicKey | None = None,
        firmware: type[Firmware] = firmwares.Counter,
        device_os: str = "2.3.1",
        **setup: Any,
    ) -> VirtualDevice:
        """Switched on; it connects in a moment."""
        made = VirtualDevice(
            setup=DeviceSetup(device_id=bytes.fromhex(device), profile=PROFILES[device_os], **setup),
            network=TcpNetwork("127.0.0.1", self.port, server_key or self.public_key, key or self.device_key),
            make_firmware=firmware,
            console=self.screen,
            random=random.Random(int(device, 16)),
        )
        self._running[made] = asyncio.get_running_loop().create_task(made.run())
        return made

    async def online(self, device: DeviceId = ID, **options: Any) -> VirtualDevice:
        """Online, and all that it says at a connect has arrived."""
        made = self.device(device, **options)
        await until(lambda: device in self.inbox.descriptions)
        return made

    async def switch_off(self, device: VirtualDevice) -> None:
        device.stop()
        await self._running.pop(device)

    async def switch_all_off(self) -> None:
        for device in self._running:
            device.stop()
        await asyncio.gather(*self._running.values())
        self._running.clear()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def start_cloud(
    server_key: RSAPrivateKey, device_key: RSAPrivateKey, limits: TcpLimits | None = None
) -> AsyncIterator[SmallCloud]:
    inbox = DictInbox()
    crypto = Crypto(2)
    try:
        services = TcpServices(
            inbox=inbox, hub=Hub(), server_key=server_key, crypto=crypto, clock=SystemClock(), mailboxes=Mailboxes()
        )
        gateway = TcpGateway(services, limits)
        cloud = SmallCloud(services, gateway, inbox, device_key)
        cloud.port = await gateway.start("127.0.0.1", 0)
        try:
            yield cloud
        finally:
            await cloud.switch_all_off()
            await gateway.stop()
        assert gateway.connections == gateway.strangers == 0
        assert not inbox.online_now, "every online had its offline"
        assert not len(services.mailboxes)
    finally:
        crypto.stop()


LINGER_RESET = struct.pack("ii", 1, 0)
