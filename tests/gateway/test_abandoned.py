"""Callers that go away, over real sockets: what they asked for keeps no device busy."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway.session import DeviceSession
from cloudchamber.wire.events import Acknowledged, FunctionReturned, Outcome, VariableRead
from cloudchamber.wire.session.requests import TOKENS
from tests.gateway.cloud import ID, SmallCloud, start_cloud, until
from tests.gateway.udp_cloud import UdpCloud, start_udp_cloud

Gateway = SmallCloud | UdpCloud


@pytest.fixture(params=["tcp", "udp"])
async def gateway(
    request: pytest.FixtureRequest, store_file: Path, server_key: RSAPrivateKey, device_key: RSAPrivateKey
) -> AsyncIterator[Gateway]:
    """A cloud with one device online."""
    over_tcp = request.param == "tcp"
    async with start_cloud(server_key, device_key) if over_tcp else start_udp_cloud(store_file) as cloud:
        await cloud.online()
        yield cloud


def session(cloud: Gateway) -> DeviceSession:
    found = cloud.hub.session(ID)
    assert isinstance(found, DeviceSession)
    return found


def open_requests(cloud: Gateway) -> int:
    return sum(pending.request is not None for pending in session(cloud)._connection._requests.all())


def call(cloud: Gateway, name: str, argument: str) -> asyncio.Task[Outcome]:
    return asyncio.create_task(cloud.hub.call_function(ID, name, argument, 30))


async def test_256_abandoned_calls_leave_room_for_others(gateway: Gateway) -> None:
    abandoned = [call(gateway, "slow", "0.3") for _ in range(TOKENS - 1)]
    await until(lambda: open_requests(gateway) == TOKENS - 1)
    for task in abandoned:
        task.cancel()
    await asyncio.gather(*abandoned, return_exceptions=True)
    assert open_requests(gateway) == 0
    assert not session(gateway)._waiting
    # The one token that is left is enough; the others come back with the late answers, and nobody gets those.
    assert await gateway.hub.call_function(ID, "brew", "7", 30) == FunctionReturned(7)
    await until(lambda: not session(gateway)._connection._requests._resting)
    answers = await asyncio.gather(*(call(gateway, "brew", str(number)) for number in range(TOKENS)))
    assert answers == [FunctionReturned(number) for number in range(TOKENS)]


async def test_callers_that_give_up_one_after_the_other(gateway: Gateway) -> None:
    for number in range(300):
        task = call(gateway, "brew", "5")
        await asyncio.sleep(0)
        assert open_requests(gateway) == 1
        task.cancel()
        assert await gateway.hub.call_function(ID, "brew", str(number), 30) == FunctionReturned(number)
        assert open_requests(gateway) == 0


async def test_a_caller_with_a_time_limit_of_its_own(gateway: Gateway) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await gateway.hub.call_function(ID, "slow", "0.2", 30)
    assert open_requests(gateway) == 0
    assert isinstance(await gateway.hub.read_variable(ID, "counter", 30), VariableRead)


async def test_abandoned_pings_and_signals(gateway: Gateway) -> None:
    asked = [asyncio.create_task(gateway.hub.ping(ID, 30)) for _ in range(20)]
    asked += [asyncio.create_task(gateway.hub.signal(ID, on=True, timeout_s=30)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert open_requests(gateway) == 0
    assert await gateway.hub.ping(ID, 30) == Acknowledged()
    assert await gateway.hub.signal(ID, on=False, timeout_s=30) == Acknowledged()
    await until(lambda: not session(gateway)._connection._requests.all())
