"""Firmware above the domain's world: a product with devices that connect, and take what they are sent as told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cloudchamber.access.requester import User
from cloudchamber.firmware.binaries import Binaries
from cloudchamber.firmware.model import Update, UpdateState
from cloudchamber.firmware.service import Details, ProductFirmware
from cloudchamber.firmware.store import BinaryStore, FirmwareStore, UpdateStore
from cloudchamber.firmware.updates import FirmwareUpdates, Pace
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.fleet.updates import DeviceUpdates
from cloudchamber.messaging.inbox import Inbox
from cloudchamber.messaging.model import Event
from cloudchamber.messaging.streams import Subscription
from cloudchamber.wire.events import Disconnected, Outcome, Updated
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.update.module import build_module
from cloudchamber.wire.update.sending import Image
from tests.world import World, device_id, key, make_world, password_hash, passwords, world

__all__ = ["make_world", "password_hash", "passwords", "world"]

PLATFORM = 6


class Works:
    """`takes` says what a device does with a file: it is called with its number and the image, after the device agreed
    to begin; what it returns is the outcome."""

    def __init__(self, world: World, pace: Pace) -> None:
        self.world = world
        self.binaries = Binaries(world.db, BinaryStore(), world.clock)
        self.firmware = ProductFirmware(world.db, FirmwareStore(), self.binaries, world.bus, world.clock)
        self.updates = FirmwareUpdates(
            world.db,
            UpdateStore(),
            FirmwareStore(),
            self.binaries,
            world.devices,
            world.audience,
            world.events,
            world.connected,
            world.connected,
            world.bus,
            world.clock,
            pace,
        )
        self.inbox = Inbox(world.connections, world.ownership, world.events, world.audience, world.bus, world.clock)
        self.takes: Callable[[int, Image], Awaitable[Outcome]] = self._take
        self.begins = True
        world.connected.updating = self._updating
        world.updates = DeviceUpdates(
            world.db,
            DeviceStore(),
            KeyStore(),
            GroupStore(),
            world.custody,
            world.devices,
            self.updates,
            world.connected,
            world.bus,
            world.clock,
        )
        self._stream: Subscription | None = None
        self.sent: list[tuple[int, bytes]] = []

    async def _updating(self, device, image: Image, started: Callable[[int], None]) -> Outcome:
        number = int(device[-4:], 16)
        if self.begins:
            started(0)
        outcome = await self.takes(number, image)
        if isinstance(outcome, Disconnected):
            self.world.connected.keys.pop(device, None)
        if isinstance(outcome, Updated):
            self.sent.append((number, image.data))
        return outcome

    async def _take(self, number: int, image: Image) -> Outcome:
        return Updated()

    def answers(self, *outcomes: Outcome) -> None:
        """One after the other; the last one for good."""
        left = list(outcomes)

        async def take(number: int, image: Image) -> Outcome:
            return left.pop(0) if len(left) > 1 else left[0]

        self.takes = take

    # -- what people do -----------------------------------------------------------------------------------------------

    def binary(self, product: Product, version: int, content: bytes = b"program") -> bytes:
        return build_module(content, platform_id=PLATFORM, product_id=product.id, product_version=version)

    async def upload(self, user: User, product: Product, *versions: int) -> None:
        for version in versions:
            data = self.binary(product, version)
            await self.firmware.upload(user, product, version, (f"v{version}.bin", data), Details())

    async def release(
        self, user: User, product: Product, version: int, *groups: str, is_intelligent: bool = False
    ) -> None:
        await self.firmware.release(
            user, product, version, to_all=not groups, groups=groups, is_intelligent=is_intelligent
        )

    # -- what devices do ----------------------------------------------------------------------------------------------

    async def connect(self, product: Product, number: int, version: int = 1, flags: int = 0) -> None:
        self.world.connected.keys[device_id(number)] = key(str(number))
        hello = Hello(product.id, version, flags, PLATFORM, None, 3000, 512, 2**20, 512)
        await self.inbox.online(device_id(number), hello, "192.0.2.1", key(str(number)))

    async def disconnect(self, number: int) -> None:
        self.world.connected.keys.pop(device_id(number), None)
        await self.inbox.offline(device_id(number), self.world.clock.now())

    async def back(self, product: Product, number: int, version: int, flags: int = 0) -> None:
        await self.disconnect(number)
        await self.connect(product, number, version, flags)
        await self.rest()

    # -- what came of it ----------------------------------------------------------------------------------------------

    async def on_record(self, number: int) -> Update | None:
        return await UpdateStore().of_device(self.world.db, device_id(number))

    async def state(self, number: int) -> UpdateState | None:
        update = await self.on_record(number)
        return None if update is None else update.state

    async def rest(self) -> None:
        """Until nothing moves by itself any more."""
        for _ in range(1000):
            busy = [*self.updates._running.values(), *self.updates._tasks]
            soon = [timer for timer in self.updates._timers.values() if _is_due_soon(timer)]
            if not busy and not soon and not self.updates._due:
                return
            await asyncio.sleep(0.002)
        raise AssertionError("it never comes to rest")

    async def listen(self, user: User, product: Product) -> None:
        self._stream = await self.world.events.listen_product(user, product, "")

    async def heard(self) -> list[str]:
        """Since the last time: `<name> <data>`, without who came and went."""
        assert self._stream is not None
        events = []
        while self._stream._queue:
            event = await self._stream.next(0)
            assert isinstance(event, Event)
            if event.name != "spark/status":
                events.append(f"{event.name} {event.data}")
        return events


def _is_due_soon(timer: asyncio.TimerHandle) -> bool:
    """A timer without a time is one for now."""
    return not hasattr(timer, "when") or timer.when() - asyncio.get_running_loop().time() < 1


@pytest.fixture
def pace() -> Pace:
    return Pace(settle_s=0.0, start_timeout_s=5.0)


@pytest.fixture
async def works(world: World, pace: Pace) -> AsyncIterator[Works]:
    made = Works(world, pace)
    await made.updates.start()
    yield made
    await made.updates.stop()
