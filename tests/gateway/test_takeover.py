"""One session for each device id, whoever comes; and what is told of it, in order, whatever the inbox does."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.gateway import session as session_module
from cloudchamber.gateway.session import MAX_UNTOLD
from cloudchamber.ids import DeviceId
from cloudchamber.simulator.device import State
from cloudchamber.wire import coap
from cloudchamber.wire.events import Acknowledged, CloseReason, FunctionReturned
from cloudchamber.wire.messages import Subscription, device_event, subscribe
from tests.gateway.cloud import ID, SmallCloud, device_id, until
from tests.gateway.stranger import Insider

OTHER = device_id(0xABC)


async def insider(cloud: SmallCloud, key: RSAPrivateKey, *, hello: bool = True) -> Insider:
    return await Insider.say_hello(cloud.port, cloud.public_key, key, ID, hello=hello)


async def test_a_newer_connection_takes_the_place_of_an_older_one(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    first = await insider(cloud, device_key)
    await until(lambda: cloud.hub.is_online(ID))
    older = cloud.hub.session(ID)
    second = await insider(cloud, device_key)
    await until(lambda: cloud.hub.session(ID) is not older)
    await first.rest()  # its stream ended
    await until(lambda: cloud.gateway.connections == 1)
    assert cloud.inbox.names(ID) == ["online", "online"]
    second.close()
    await until(lambda: "offline" in cloud.inbox.names(ID))
    assert cloud.inbox.names(ID) == ["online", "online", "offline"]


async def test_only_hello_takes_a_place(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    """Before it, anybody who knows id and public key could have come as far."""
    device = await cloud.online()
    waiting = await insider(cloud, device_key, hello=False)
    await asyncio.sleep(0.05)
    assert cloud.gateway.strangers == 1
    assert await cloud.hub.ping(ID, 5) == Acknowledged()
    assert device.state is State.ONLINE
    waiting.close()
    await until(lambda: cloud.gateway.strangers == 0)
    assert cloud.inbox.names(ID).count("online") == 1


async def test_a_second_device_of_the_same_id_and_another_key_disturbs_nobody(
    cloud: SmallCloud, other_device_key: RSAPrivateKey
) -> None:
    device = await cloud.online()
    rival = cloud.device(key=other_device_key)
    await until(lambda: cloud.gateway.closed[CloseReason.REFUSED] == 1)
    assert await cloud.hub.call_function(ID, "brew", "5", 5) == FunctionReturned(5)
    assert device.state is State.ONLINE
    assert rival.state is not State.ONLINE
    assert cloud.inbox.names(ID).count("online") == 1


async def test_of_two_first_keys_the_one_on_record_wins(
    cloud: SmallCloud, device_key: RSAPrivateKey, other_device_key: RSAPrivateKey
) -> None:
    """Both are admitted while no key is on record; the second Hello must not push the first session out."""
    first = await insider(cloud, device_key, hello=False)
    second = await insider(cloud, other_device_key, hello=False)
    first.send_hello()
    await until(lambda: cloud.hub.is_online(ID))
    session = cloud.hub.session(ID)
    second.send_hello()
    await second.rest()
    assert cloud.hub.session(ID) is session
    assert cloud.inbox.online_now == {ID}
    first.close()


async def test_a_device_that_reconnects_at_once_is_offline_and_then_online(cloud: SmallCloud) -> None:
    device = await cloud.online()
    device.drop()
    await until(lambda: cloud.inbox.names(ID).count("online") == 2)
    names = [name for name in cloud.inbox.names(ID) if name in ("online", "offline")]
    assert names == ["online", "offline", "online"]


async def test_a_slow_inbox_keeps_the_order_across_connections(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    async def slowly(_device: DeviceId, name: str) -> None:
        await asyncio.sleep(0.05 if name == "published" else 0.01)

    cloud.inbox.before = slowly
    first = await insider(cloud, device_key)
    for number in range(5):
        first.send(coap.encode(device_event(number, f"event{number}", None)))
    await until(lambda: "published" in cloud.inbox.names(ID))
    first.close()
    second = await insider(cloud, device_key)
    await until(lambda: cloud.inbox.names(ID).count("online") == 2)
    assert [call[1] if call[1] != "published" else call[2] for call in cloud.inbox.told] == [
        "online", "event0", "event1", "event2", "event3", "event4", "offline", "online",
    ]  # fmt: skip
    assert cloud.hub.is_online(ID)
    second.close()


async def test_who_was_gone_before_it_could_be_told_online_is_not_left_in_the_hub(
    cloud: SmallCloud, device_key: RSAPrivateKey
) -> None:
    gate = asyncio.Event()
    cloud.services.mailboxes.post(ID, gate.wait)  # type: ignore[arg-type]
    device = await insider(cloud, device_key)
    device.close()
    await until(lambda: cloud.gateway.connections == 0)
    gate.set()
    await until(lambda: cloud.inbox.names(ID) == ["online", "offline"])
    assert not cloud.hub.is_online(ID)


async def test_public_events_find_a_device_that_subscribed_while_its_older_session_was_there(
    cloud: SmallCloud, device_key: RSAPrivateKey
) -> None:
    first = await insider(cloud, device_key)
    await until(lambda: cloud.hub.is_online(ID))
    older = cloud.hub.session(ID)

    async def slowly(_device: DeviceId, name: str) -> None:
        await asyncio.sleep(0.05)

    cloud.inbox.before = slowly
    second = await insider(cloud, device_key)
    second.send(coap.encode(subscribe(7, Subscription("alpha", own_devices=False), confirmable=True, says_own=True)))
    await until(lambda: cloud.hub.session(ID) is not older)
    assert list(cloud.hub.public_subscribers()) == [ID]
    await first.rest()
    second.close()


async def test_an_inbox_that_stands_still_stops_the_reading_not_the_memory(
    cloud: SmallCloud, device_key: RSAPrivateKey
) -> None:
    gate = asyncio.Event()

    async def wait(_device: DeviceId, name: str) -> None:
        if name == "published":
            await gate.wait()

    cloud.inbox.before = wait
    device = await insider(cloud, device_key)
    await until(lambda: cloud.hub.is_online(ID))
    session = cloud.hub.session(ID)
    total = 0
    for _ in range(60):  # each batch is far less than one read takes
        for _ in range(10):
            device.send(coap.encode(device_event(total & 0xFFFF, f"event{total}", b"x" * 500)))
            total += 1
        await asyncio.sleep(0.002)
    assert session._is_paused
    assert session._untold < total
    assert session._untold <= MAX_UNTOLD + 600  # one read of 256 KiB may come on top
    gate.set()
    await until(lambda: cloud.inbox.count("published") == total, 10)
    assert [call[2] for call in cloud.inbox.told if call[1] == "published"] == [f"event{n}" for n in range(total)]
    device.close()


@pytest.mark.logs_errors
@pytest.mark.parametrize("call", ["described", "published", "claim_code"])
async def test_a_failing_inbox_costs_one_connection(
    cloud: SmallCloud, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    await cloud.online(OTHER)
    failed = False

    async def fail(device: DeviceId, name: str) -> None:
        nonlocal failed
        if device == ID and name == call and not failed:
            failed = True
            raise RuntimeError("no database")

    cloud.inbox.before = fail
    device = cloud.device(claim_code="some code")
    await until(lambda: cloud.hub.is_online(ID))
    if call == "published":
        # The hub knows of it a moment before the device has read the server's Hello.
        await until(lambda: device.publish("alpha", "1"))
    await until(lambda: failed and cloud.inbox.names(ID).count("online") == 2)
    assert [name for name in cloud.inbox.names(ID) if name in ("online", "offline")] == ["online", "offline", "online"]
    assert "could not be handled" in caplog.text
    assert await cloud.hub.ping(OTHER, 5) == Acknowledged()
    assert cloud.inbox.names(OTHER).count("online") == 1


@pytest.mark.logs_errors
async def test_an_inbox_that_never_comes_back_costs_one_connection(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "INBOX_TIMEOUT_S", 0.1)
    hung = False

    async def hang(_device: DeviceId, name: str) -> None:
        nonlocal hung
        if name == "described" and not hung:
            hung = True
            await asyncio.Event().wait()

    cloud.inbox.before = hang
    await cloud.online()
    assert [name for name in cloud.inbox.names(ID) if name in ("online", "offline")] == ["online", "offline", "online"]


@pytest.mark.logs_errors
async def test_a_failure_at_online_leaves_no_session(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    async def fail(_device: DeviceId, name: str) -> None:
        if name == "online":
            raise RuntimeError("no database")

    cloud.inbox.before = fail
    device = await insider(cloud, device_key)
    await device.rest()
    assert not cloud.hub.is_online(ID)
    await until(lambda: not len(cloud.services.mailboxes))
    assert cloud.inbox.told == []  # neither online nor offline


@pytest.mark.logs_errors
async def test_a_newcomer_that_fails_leaves_the_older_session_alone(
    cloud: SmallCloud, device_key: RSAPrivateKey
) -> None:
    await cloud.online()

    async def fail(_device: DeviceId, name: str) -> None:
        if name == "online":
            raise RuntimeError("no database")

    cloud.inbox.before = fail
    newcomer = await insider(cloud, device_key)
    await newcomer.rest()
    assert await cloud.hub.ping(ID, 5) == Acknowledged()
    assert "offline" not in cloud.inbox.names(ID)


@pytest.mark.logs_errors
async def test_who_cannot_be_asked_about_is_not_let_in(cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_device: DeviceId, _key: bytes | None) -> None:
        raise RuntimeError("no database")

    monkeypatch.setattr(cloud.inbox, "admit", fail)
    cloud.device()
    await until(lambda: cloud.gateway.closed[CloseReason.REFUSED] == 1)
    assert not cloud.hub.is_online(ID)


async def test_a_newcomer_that_is_gone_before_it_is_told_of_does_not_replace(
    cloud: SmallCloud, device_key: RSAPrivateKey
) -> None:
    await cloud.online()
    session = cloud.hub.session(ID)
    gate = asyncio.Event()

    async def wait(_device: DeviceId, name: str) -> None:
        if name == "online":
            await gate.wait()

    cloud.inbox.before = wait
    newcomer = await insider(cloud, device_key)
    await until(lambda: cloud.gateway.strangers == 0 and cloud.gateway.connections == 2)
    newcomer.close()
    await until(lambda: cloud.gateway.connections == 1)
    gate.set()
    await until(lambda: not len(cloud.services.mailboxes))
    assert cloud.hub.session(ID) is session
    assert await cloud.hub.ping(ID, 5) == Acknowledged()
    assert "offline" not in cloud.inbox.names(ID)
