"""Who waits to be served: in turns among the addresses, and nobody is forgotten."""

import asyncio
import socket
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway import tcp
from cloudchamber.gateway.tcp import TcpLimits
from cloudchamber.gateway.waiting import WaitingRoom, source_of
from cloudchamber.simulator.device import State
from tests.gateway.cloud import SmallCloud, start_cloud, until


def test_in_turns_among_sources_and_in_order_within_each() -> None:
    room: WaitingRoom[str] = WaitingRoom()
    for each in ("a1", "a2", "a3", "b1", "a4", "c1", "b2"):
        room.put(each[0], each)
    assert room.count == 7
    assert [room.take() for _ in range(4)] == ["a1", "b1", "c1", "a2"]
    room.put("d", "d1")
    room.put("c", "c2")
    # Who was served stands at the end of the turns.
    assert [room.take() for _ in range(room.count)] == ["b2", "a3", "d1", "c2", "a4"]
    assert not room.count


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001::1:2:3:4:5", "2001:0:0:1::7", True),
        ("fe80::1%lo", "fe80::2%lo", True),
    ],
)
def test_one_host_is_one_source(one: str, other: str, is_same: bool) -> None:
    assert (source_of(one) == source_of(other)) is is_same


async def test_none_is_forgotten_when_more_come_than_the_kernel_holds(
    server_key: RSAPrivateKey, device_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "BACKLOG", 8)
    async with start_cloud(server_key, device_key, TcpLimits(max_strangers=4, stranger_patience_s=0.02)) as cloud:
        came = [await from_address(cloud, "127.0.0.2") for _ in range(60)]
        await until(lambda: cloud.gateway.waiting >= 40)
        # Silent ones: each has its nonce, and makes room after its patience.
        for reader, _ in came:
            assert len(await asyncio.wait_for(reader.readexactly(40), 10)) == 40
        await until(lambda: cloud.gateway.waiting == 0)
        for _, writer in came:
            writer.transport.abort()


async def test_who_comes_often_stands_behind_itself(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> None:
    async with start_cloud(server_key, device_key, TcpLimits(max_strangers=1, stranger_patience_s=0.05)) as cloud:
        crowd = [await from_address(cloud, "127.0.0.2") for _ in range(30)]
        await until(lambda: cloud.gateway.waiting >= 25)
        reader, writer = await from_address(cloud, "127.0.0.3")
        await asyncio.wait_for(reader.readexactly(40), 10)
        assert cloud.gateway.waiting >= 20, "it was served before nearly all of the others"
        for _, each in [*crowd, (reader, writer)]:
            each.transport.abort()


async def test_who_waits_for_long_has_its_nonce_and_is_served_with_it(
    server_key: RSAPrivateKey, device_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "NONCE_AFTER_S", 0.3)
    limits = TcpLimits(max_strangers=1, stranger_patience_s=60)
    async with start_cloud(server_key, device_key, limits) as cloud:
        first = await from_address(cloud, "127.0.0.2")
        assert len(await first[0].readexactly(40)) == 40
        device, began = cloud.device(), time.monotonic()
        await until(lambda: cloud.gateway.waiting == 1)
        crowd = [await from_address(cloud, "127.0.0.3") for _ in range(3)]
        for reader, _ in crowd:
            assert len(await asyncio.wait_for(reader.readexactly(40), 10)) == 40
        assert time.monotonic() - began >= 0.3
        assert (cloud.gateway.connections, cloud.gateway.waiting) == (1, 4)
        # The device has answered its nonce long ago; one nonce is all that each of the others was sent.
        first[1].transport.abort()
        await until(lambda: device.state is State.ONLINE)
        await until(lambda: cloud.gateway.waiting == 2)
        for _, writer in crowd[:2]:
            writer.transport.abort()
        await until(lambda: cloud.gateway.waiting == 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(crowd[2][0].read(1), 0.2)
        crowd[2][1].transport.abort()


async def test_those_who_wait_count_as_connections_and_end_with_the_gateway(
    server_key: RSAPrivateKey, device_key: RSAPrivateKey
) -> None:
    limits = TcpLimits(max_connections=6, max_strangers=2, stranger_patience_s=60)
    async with start_cloud(server_key, device_key, limits) as cloud:
        came = [await from_address(cloud, "127.0.0.2") for _ in range(10)]
        await until(lambda: (cloud.gateway.connections, cloud.gateway.waiting) == (2, 4))
        await asyncio.sleep(0.15)
        assert (cloud.gateway.connections, cloud.gateway.waiting) == (2, 4)
        # Two leave, and two of those who waited are served, and two others accepted.
        for _, writer in came[:2]:
            writer.transport.abort()
        await until(lambda: (cloud.gateway.connections, cloud.gateway.waiting) == (2, 4))
        assert len(await asyncio.wait_for(came[3][0].readexactly(40), 10)) == 40
    assert cloud.gateway.waiting == 0
    for reader, _ in came[4:8]:
        assert await asyncio.wait_for(reader.read(), 10) == b"", "closed without a word"
    for _, writer in came:
        writer.transport.abort()


async def from_address(cloud: SmallCloud, ip: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made = socket.socket()
    made.setblocking(False)
    made.bind((ip, 0))
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", cloud.port))
    return await asyncio.open_connection(sock=made)
