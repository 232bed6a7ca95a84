"""Many devices on one gateway."""

import asyncio
import resource
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway.tcp import TcpLimits
from cloudchamber.wire.events import Acknowledged, FunctionReturned, VariableRead
from tests.gateway.cloud import ID, SmallCloud, device_id, start_cloud, until


async def fleet(cloud: SmallCloud, count: int) -> None:
    for number in range(count):
        cloud.device(device_id(number))
    await until(lambda: len(cloud.inbox.descriptions) == count, 60)


async def all_answer(cloud: SmallCloud, count: int) -> None:
    ids = [device_id(number) for number in range(count)]
    reads = await asyncio.gather(*(cloud.hub.read_variable(device, "counter", 10) for device in ids))
    assert all(isinstance(outcome, VariableRead) for outcome in reads)
    calls = await asyncio.gather(*(cloud.hub.call_function(device, "brew", device[-4:], 10) for device in ids))
    assert all(isinstance(outcome, FunctionReturned) for outcome in calls)


async def test_two_hundred_devices_all_answer(cloud: SmallCloud) -> None:
    await fleet(cloud, 200)
    await all_answer(cloud, 200)
    assert cloud.gateway.connections == 200


async def test_a_storm_of_reconnects_loses_none(cloud: SmallCloud) -> None:
    await fleet(cloud, 200)
    cloud.gateway.close_all()
    await until(lambda: cloud.inbox.count("online") == 400 and len(cloud.inbox.online_now) == 200, 60)
    await until(lambda: cloud.inbox.count("described") == 400, 60)
    await all_answer(cloud, 200)
    assert cloud.inbox.count("offline") == 200
    assert cloud.gateway.connections == 200


async def test_in_a_storm_few_strangers_are_served_at_a_time_and_devices_do_not_notice(
    server_key: RSAPrivateKey, device_key: RSAPrivateKey
) -> None:
    async with start_cloud(server_key, device_key, TcpLimits(max_strangers=16)) as cloud:
        await cloud.online(ID)
        for number in range(300):
            cloud.device(device_id(number))
        most, slowest = 0, 0.0
        while len(cloud.inbox.descriptions) < 301:
            started = time.perf_counter()
            assert await cloud.hub.ping(ID, 5) == Acknowledged()
            slowest = max(slowest, time.perf_counter() - started)
            most = max(most, cloud.gateway.strangers)
            await asyncio.sleep(0.001)
        assert most <= 16
        assert slowest < 2  # and this one loop runs all 301 devices too
        assert cloud.inbox.names(ID).count("online") == 1


@pytest.mark.soak
async def test_two_thousand_devices_through_ten_storms(cloud: SmallCloud) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    await fleet(cloud, 2000)
    for _ in range(10):
        cloud.inbox.descriptions.clear()
        cloud.gateway.close_all()
        await until(lambda: len(cloud.inbox.descriptions) == len(cloud.inbox.online_now) == 2000, 120)
        await all_answer(cloud, 2000)
