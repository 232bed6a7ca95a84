"""The listener itself: bounds, addresses, stopping, and nothing left behind."""

import asyncio
import gc
import socket
import weakref

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway.tcp import TcpLimits, _Link
from cloudchamber.gateway.tcp_session import TcpSession
from cloudchamber.simulator.device import State
from cloudchamber.wire import coap
from cloudchamber.wire.coap import Code, Message, Type
from cloudchamber.wire.events import Acknowledged
from cloudchamber.wire.tcp.connection import CloudConnection
from tests.circles import no_collector
from tests.gateway.cloud import ID, SmallCloud, device_id, start_cloud, until
from tests.gateway.stranger import Insider, Stranger


async def test_a_device_that_stops_reading_is_dropped(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    await cloud.online(device_id(1))
    deaf = await Insider.say_hello(cloud.port, cloud.public_key, device_key, ID)
    await until(lambda: cloud.hub.is_online(ID))
    deaf.writer.transport.pause_reading()
    subscribe = Message(Type.CON, Code.GET, 2, b"", ((11, b"e"), (11, b"all"), (15, b"u")))
    deaf.send(coap.encode(subscribe))
    sent = 0

    def flood() -> bool:
        nonlocal sent
        while cloud.hub.send_event(ID, "all", b"x" * 500, ttl_s=60, is_private=True, is_own=True, source=None):
            sent += 500
            if sent % 50_000 == 0:
                break
        return cloud.gateway.unread > 0

    await until(flood)
    await until(lambda: not cloud.hub.is_online(ID))
    await until(lambda: ID not in cloud.inbox.online_now)
    assert sent < 1 << 20  # the kernel's buffers, and ours on top
    assert await cloud.hub.ping(device_id(1), 5) == Acknowledged()
    deaf.close()


async def test_silent_strangers_make_room_for_devices(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> None:
    limits = TcpLimits(max_strangers=5, stranger_patience_s=0.1)
    async with start_cloud(server_key, device_key, limits) as cloud:
        silent = [await Stranger.connect(cloud.port) for _ in range(20)]
        most = 0
        device = cloud.device()

        def is_online() -> bool:
            nonlocal most
            most = max(most, cloud.gateway.strangers)
            return device.state is State.ONLINE

        await until(is_online)
        assert most == 5
        for stranger in silent:
            stranger.close()


async def test_no_more_connections_than_allowed(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> None:
    async with start_cloud(server_key, device_key, TcpLimits(max_connections=2)) as cloud:
        first, second, third = (cloud.device(device_id(number)) for number in range(3))
        await until(lambda: len(cloud.inbox.descriptions) == 2)
        await asyncio.sleep(0.1)
        assert cloud.gateway.connections == 2
        assert len(cloud.inbox.online_now) == 2
        online = next(device for device in (first, second, third) if device.state is State.ONLINE)
        await cloud.switch_off(online)
        await until(lambda: len(cloud.inbox.descriptions) == 3)
        assert cloud.gateway.connections == 2


async def test_ipv6_and_both_together(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    async with start_cloud(server_key, device_key) as cloud:
        try:
            port = await cloud.gateway.start("::1", 0)
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        reader, writer = await asyncio.open_connection("::1", port)
        assert len(await reader.readexactly(40)) == 40
        writer.transport.abort()
        both = await cloud.gateway.start("::", 0)
        for host in ("::1", "127.0.0.1"):
            reader, writer = await asyncio.open_connection(host, both)
            assert len(await reader.readexactly(40)) == 40
            writer.transport.abort()
        cloud.port = both
        await cloud.online()
        assert cloud.inbox.told[0][3] == "127.0.0.1"


async def test_an_address_in_use_is_an_error(cloud: SmallCloud) -> None:
    with pytest.raises(OSError, match="in use"):
        await cloud.gateway.start("127.0.0.1", cloud.port)


async def test_the_stop_is_clean(server_key: RSAPrivateKey, device_key: RSAPrivateKey) -> None:
    async with start_cloud(server_key, device_key) as cloud:
        for number in range(10):
            cloud.device(device_id(number))
        stranger = await Stranger.connect(cloud.port)
        await until(lambda: len(cloud.inbox.descriptions) == 10)
        call = asyncio.ensure_future(cloud.hub.call_function(device_id(3), "slow", "60", 60))
        await cloud.hub.ping(device_id(3), 5)
        started = asyncio.get_running_loop().time()
        await cloud.gateway.stop()
        assert asyncio.get_running_loop().time() - started < 3
        assert cloud.gateway.connections == 0
        assert cloud.inbox.count("offline") == 10
        assert call.done()
        await stranger.rest()
        with pytest.raises(OSError, match="onnect"):
            await Stranger.connect(cloud.port)


async def test_a_peer_that_does_not_take_the_last_bytes_does_not_hold_the_stop_up(
    server_key: RSAPrivateKey, device_key: RSAPrivateKey
) -> None:
    async with start_cloud(server_key, device_key, TcpLimits(max_unsent=1 << 30)) as cloud:
        deaf = await Insider.say_hello(cloud.port, cloud.public_key, device_key, ID)
        await until(lambda: cloud.hub.is_online(ID))
        deaf.writer.transport.pause_reading()
        subscribe = Message(Type.CON, Code.GET, 2, b"", ((11, b"e"), (11, b"all"), (15, b"u")))
        deaf.send(coap.encode(subscribe))
        await asyncio.sleep(0.05)
        for _ in range(2_000):
            cloud.hub.send_event(ID, "all", b"x" * 600, ttl_s=60, is_private=True, is_own=True, source=None)
        await cloud.gateway.stop(timeout_s=0.3)
        assert cloud.gateway.connections == 0
        deaf.close()


async def test_nothing_is_left_of_a_connection(cloud: SmallCloud) -> None:
    with no_collector() as left:
        device = await cloud.online()
        session: weakref.ref[TcpSession] = weakref.ref(cloud.hub.session(ID))  # type: ignore[arg-type]
        assert await cloud.hub.call_function(ID, "brew", "1", 5)
        await cloud.switch_off(device)
        await until(lambda: cloud.gateway.connections == 0 and not len(cloud.services.mailboxes))
        stranger = await Stranger.connect(cloud.port)
        await stranger.nonce()
        stranger.close()
        await until(lambda: cloud.gateway.connections == 0)
        del device
        await asyncio.sleep(0.05)
        assert session() is None, gc.get_referrers(session())
        assert left(TcpSession, CloudConnection, _Link) == []
    # This test: no task is left of any connection.
    assert len(asyncio.all_tasks()) == 1
