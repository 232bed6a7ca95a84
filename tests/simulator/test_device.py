"""A virtual device against a real gateway: it comes back, it can be reset, it goes when it is told to."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from cloudchamber.simulator.device import Backoff, State
from cloudchamber.simulator.firmware import Counter
from cloudchamber.wire.events import Disconnected, FunctionReturned
from tests.gateway.cloud import ID, SmallCloud, start_cloud, until


@pytest.fixture(scope="session")
def server_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def device_key() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)


@pytest.fixture
async def cloud(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> AsyncIterator[SmallCloud]:
    async with start_cloud(server_key, device_key) as cloud:
        yield cloud


def test_the_pauses_grow_and_begin_anew_after_a_session() -> None:
    backoff = Backoff(random.Random(1))
    pauses = [backoff.pause(was_online=False) for _ in range(8)]
    for pause, longest in zip(pauses, (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert longest / 2 <= pause <= longest
    assert 0.5 <= backoff.pause(was_online=True) <= 1
    assert len({Backoff(random.Random(seed)).pause(was_online=False) for seed in range(20)}) == 20


async def test_it_says_what_happens(cloud: SmallCloud) -> None:
    device = await cloud.online()
    device.drop()
    await until(lambda: [state for _, state, _ in cloud.screen.states].count(State.ONLINE) == 2)
    await cloud.switch_off(device)
    states = [state for _, state, _ in cloud.screen.states]
    assert states == [
        State.CONNECTING, State.ONLINE, State.OFFLINE, State.CONNECTING, State.ONLINE, State.STOPPED,
    ]  # fmt: skip
    details = {state: detail for _, state, detail in cloud.screen.states}
    assert "next attempt in" in details[State.OFFLINE]
    assert f"127.0.0.1:{cloud.port}" in details[State.CONNECTING]


async def test_without_a_server_it_goes_on_trying(cloud: SmallCloud) -> None:
    await cloud.gateway.stop()
    device = cloud.device()
    await until(lambda: device.state is State.OFFLINE)
    assert "cannot connect" in cloud.screen.states[-1][2]
    await cloud.gateway.start("127.0.0.1", cloud.port)
    await until(lambda: device.state is State.ONLINE)


async def test_a_server_with_another_key_is_not_trusted(cloud: SmallCloud) -> None:
    device = cloud.device(server_key=generate_private_key(65537, 2048).public_key())
    await until(lambda: device.state is State.OFFLINE)
    assert cloud.inbox.told == []


async def test_it_can_be_stopped_before_it_is_online(cloud: SmallCloud) -> None:
    device = cloud.device()
    await asyncio.sleep(0)
    await cloud.switch_off(device)
    assert device.state is State.STOPPED
    await until(lambda: cloud.gateway.connections == 0)


async def test_safe_mode_and_back(cloud: SmallCloud) -> None:
    device = await cloud.online()
    session = cloud.hub.session(ID)
    session._connection.send_system_event("spark/device/reset", b"safe mode", 0)
    session.pump()
    await until(lambda: "safe_mode" in cloud.inbox.names(ID))
    await until(lambda: cloud.inbox.descriptions[ID].functions == ())
    session = cloud.hub.session(ID)
    session._connection.send_system_event("spark/device/reset", b"reboot", 0)
    session.pump()
    await until(lambda: "lightsOn" in cloud.inbox.descriptions[ID].functions)
    assert isinstance(device.firmware, Counter)


async def test_a_slow_function_does_not_outlive_its_connection(cloud: SmallCloud) -> None:
    device = await cloud.online()
    call = asyncio.ensure_future(cloud.hub.call_function(ID, "slow", "0.3", 5))
    await cloud.hub.ping(ID, 5)
    device.drop()
    assert await call == Disconnected()
    await until(lambda: cloud.inbox.names(ID).count("online") == 2)
    await asyncio.sleep(0.3)
    assert await cloud.hub.call_function(ID, "brew", "3", 5) == FunctionReturned(3)


async def test_ticks(cloud: SmallCloud) -> None:
    class Hasty(Counter):
        tick_s = 0.05

    await cloud.online(firmware=Hasty)
    await until(lambda: [call[2] for call in cloud.inbox.told if call[1] == "published"].count("tick") >= 2)
