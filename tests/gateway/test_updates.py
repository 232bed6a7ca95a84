"""Updates over real sockets: simulated devices of both transports and both protocols, and a device that dawdles."""

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest

from cloudchamber.ids import DeviceId
from cloudchamber.simulator.device import VirtualDevice
from cloudchamber.simulator.firmware import Counter, Tinker, as_module
from cloudchamber.wire.events import Busy, Disconnected, FunctionReturned, Outcome, Refused, Updated, UpdateFailed
from cloudchamber.wire.messages import HelloFlag
from cloudchamber.wire.session.profile import PROFILES
from cloudchamber.wire.update.device import UpdateTraits
from cloudchamber.wire.update.sending import Image
from tests.gateway.cloud import ID, SmallCloud, until
from tests.gateway.udp_cloud import UdpCloud


def tinker(platform_id: int = 6, version: int = 2, size: int = 60_000) -> Image:
    data = as_module("tinker", platform_id=platform_id, product_id=6287, product_version=version, size=size)
    return Image(data, hashlib.sha256(data).digest())


async def runs_tinker(cloud: SmallCloud | UdpCloud, device: VirtualDevice) -> None:
    """It came back, said so, and does what the new firmware does."""
    hellos = lambda: [call[2] for call in cloud.inbox.told if call[:2] == (ID, "online")]  # noqa: E731
    await until(lambda: hellos()[-1].product_version == 2 and ID in cloud.inbox.online_now, 20)
    assert hellos()[-1].flags & HelloFlag.OTA_SUCCESSFUL
    assert hellos()[-1].product_id == 6287
    await until(lambda: "digitalread" in cloud.inbox.descriptions[ID].functions, 20)
    assert await cloud.hub.call_function(ID, "digitalwrite", "D7 HIGH", 5) == FunctionReturned(1)
    assert isinstance(device.firmware, Tinker)
    assert device.updates == 1


@pytest.mark.parametrize(("release", "fast"), [("0.7.0", None), ("2.3.1", False), ("6.2.0", None)])
async def test_a_photon_takes_an_update(cloud: SmallCloud, release: str, fast: bool | None) -> None:
    device = await cloud.online(device_os=release, product_version=1, updates=UpdateTraits(fast=fast))
    assert isinstance(device.firmware, Counter)
    started: list[int] = []
    assert await cloud.hub.update(ID, tinker(), started.append) == Updated()
    assert started == [0]
    await runs_tinker(cloud, device)


@pytest.mark.parametrize(("release", "platform_id"), [("0.7.0", 10), ("2.3.1", 10), ("3.3.1", 13), ("6.2.0", 13)])
async def test_over_datagrams(udp: UdpCloud, release: str, platform_id: int) -> None:
    device = await udp.online(device_os=release, platform_id=platform_id, product_version=1)
    started: list[int] = []
    assert await udp.hub.update(ID, tinker(platform_id, size=20_000), started.append) == Updated()
    assert started == [0]
    await runs_tinker(udp, device)


@pytest.mark.parametrize(("release", "platform_id"), [("2.3.1", 10), ("6.2.0", 13)])
async def test_over_datagrams_that_get_lost(udp: UdpCloud, release: str, platform_id: int) -> None:
    device = await udp.online(device_os=release, platform_id=platform_id, product_version=1)
    device.network.loss = 0.05  # type: ignore[attr-defined]
    outcome: Outcome | None = None
    while outcome != Updated():  # a confirmable message may die, and with it the attempt
        async with asyncio.timeout(60):
            outcome = await udp.hub.update(ID, tinker(platform_id, size=20_000), lambda offset: None)
        await asyncio.sleep(0.2)
    device.network.loss = 0.0  # type: ignore[attr-defined]
    await runs_tinker(udp, device)


async def test_version_3_goes_on_after_a_lost_connection(udp: UdpCloud) -> None:
    device = await udp.online(device_os="6.2.0", platform_id=13, product_version=1)
    device.drop_update_at = 0.5
    image = tinker(13, size=200_000)
    started: list[int] = []
    first = asyncio.ensure_future(udp.hub.update(ID, image, started.append))
    await until(lambda: any("network pulled" in line for _, line in udp.screen.logged), 10)
    # The device is back in its session without a word of what it lost, and answers chunks with a reset.
    async with asyncio.timeout(30):
        assert await first == Disconnected()
    async with asyncio.timeout(30):
        assert await udp.hub.update(ID, image, started.append) == Updated()
    assert started[0] == 0
    assert 100_000 <= started[1] < 200_000
    await runs_tinker(udp, device)


async def test_the_legacy_protocol_starts_over_after_a_lost_connection(cloud: SmallCloud) -> None:
    device = await cloud.online(product_version=1)
    device.drop_update_at = 0.5
    started: list[int] = []
    async with asyncio.timeout(30):
        # So small a file has left as a whole by then.
        assert await cloud.hub.update(ID, tinker(), started.append) in (Disconnected(), Disconnected(had_all=True))
    await until(lambda: cloud.hub.is_online(ID))
    async with asyncio.timeout(30):
        assert await cloud.hub.update(ID, tinker(), started.append) == Updated()
    assert started == [0, 0]
    await runs_tinker(cloud, device)


async def test_what_a_device_refuses(cloud: SmallCloud) -> None:
    device = await cloud.online(product_version=1, updates=UpdateTraits(is_enabled=False))
    outcome = await cloud.hub.update(ID, tinker(), lambda offset: None)
    assert outcome == Refused(0xA3)
    device.set_updates_enabled(enabled=True)
    await until(lambda: (ID, "updates_enabled", True) in cloud.inbox.told)
    outcome = await cloud.hub.update(ID, tinker(platform_id=8), lambda offset: None)
    assert isinstance(outcome, UpdateFailed)
    await until(lambda: cloud.inbox.names(ID).count("online") == 2)
    assert device.updates == 0


async def test_not_two_at_a_time_and_not_offline(cloud: SmallCloud) -> None:
    assert await cloud.hub.update(ID, tinker(), lambda offset: None) == Disconnected()
    await cloud.online(product_version=1)
    first = asyncio.ensure_future(cloud.hub.update(ID, tinker(size=300_000), lambda offset: None))
    await asyncio.sleep(0)
    assert await cloud.hub.update(ID, tinker(), lambda offset: None) == Busy()
    assert await first == Updated()


async def test_a_cancelled_update_leaves_the_device_as_it_was(udp: UdpCloud) -> None:
    await udp.online(device_os="6.2.0", platform_id=13, product_version=1)
    begun = asyncio.Event()
    first = asyncio.ensure_future(udp.hub.update(ID, tinker(13, size=600_000), lambda offset: begun.set()))
    await begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await udp.hub.call_function(ID, "brew", "7", 5) == FunctionReturned(7)
    started: list[int] = []
    assert await udp.hub.update(ID, tinker(13), started.append) == Updated()


async def test_a_device_that_reads_slowly_is_not_dropped(cloud: SmallCloud) -> None:
    """A file is larger than what a connection may leave unread; other requests do not wait behind all of it."""
    device = await cloud.online(product_version=1)
    line = device._line
    assert line is not None
    transport = line._transport  # type: ignore[attr-defined]
    update = asyncio.ensure_future(cloud.hub.update(ID, tinker(size=390_000), lambda offset: transport.pause_reading()))
    await asyncio.sleep(0.5)
    assert not update.done()
    assert cloud.gateway.unread == 0
    session = cloud.hub.session(ID)
    assert session is not None
    peer = session._peer  # type: ignore[attr-defined]
    assert not peer.has_room
    assert peer.unsent < 40_000
    transport.resume_reading()
    async with asyncio.timeout(20):
        assert await update == Updated()


async def test_many_at_once_on_one_loop(cloud: SmallCloud) -> None:
    devices = [DeviceId(f"{number:024x}") for number in range(20)]
    for device in devices:
        cloud.device(device, product_version=1)
    await until(lambda: all(cloud.hub.is_online(device) for device in devices), 20)
    image = tinker(size=30_000)
    began = time.perf_counter()
    outcomes = await asyncio.gather(*(cloud.hub.update(device, image, lambda offset: None) for device in devices))
    assert outcomes == [Updated()] * len(devices)
    assert time.perf_counter() - began < 20


def v3_over_tcp():
    profile = PROFILES["6.2.0"]
    return replace(profile, hello_flags=profile.hello_flags | HelloFlag.OTA_V3)


async def test_version_3_over_a_stream(cloud: SmallCloud) -> None:
    device = cloud.device(product_version=1, device_os="6.2.0")
    device.setup = replace(device.setup, profile=v3_over_tcp())
    await until(lambda: ID in cloud.inbox.descriptions)
    assert await cloud.hub.update(ID, tinker(), lambda offset: None) == Updated()
    await runs_tinker(cloud, device)
