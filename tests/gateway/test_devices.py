"""What the rest of the cloud sees of a device, and what it can ask of it: over real sockets."""

import asyncio
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest

from cloudchamber.clock import SystemClock
from cloudchamber.ids import DeviceId
from cloudchamber.simulator.firmware import Tinker
from cloudchamber.wire import values
from cloudchamber.wire.describe import Application
from cloudchamber.wire.events import (
    Acknowledged,
    Disconnected,
    Fact,
    FunctionReturned,
    NotFound,
    TimedOut,
    TooLarge,
    VariableRead,
)
from tests.gateway.cloud import ID, SmallCloud, until

OTHER = DeviceId("f" * 24)


async def read(cloud: SmallCloud, name: str) -> values.Value:
    outcome = await cloud.hub.read_variable(ID, name, 5)
    assert isinstance(outcome, VariableRead)
    return values.decode_untrusted(cloud.inbox.descriptions[ID].variables[name], outcome.data)


async def test_a_device_comes_online(cloud: SmallCloud) -> None:
    before = SystemClock().now()
    await cloud.online(product_id=6287, product_version=7)
    (_, _, hello, ip) = next(call for call in cloud.inbox.told if call[1] == "online")
    assert (hello.product_id, hello.product_version, hello.platform_id, ip) == (6287, 7, 6, "127.0.0.1")
    assert cloud.inbox.names(ID)[0] == "online"
    assert cloud.hub.is_online(ID)
    assert list(cloud.hub.devices()) == [ID]
    assert cloud.hub.presented_key(ID) == cloud.inbox.keys[ID]
    last_heard = cloud.hub.last_heard(ID)
    assert last_heard is not None
    assert before - 5 <= last_heard <= SystemClock().now()
    describe = cloud.inbox.descriptions[ID]
    assert "lightsOn" in describe.functions
    assert set(describe.variables) == {"counter", "temperature", "motd", "flag"}
    assert cloud.gateway.strangers == 0


async def test_variables_of_each_type(cloud: SmallCloud) -> None:
    device = await cloud.online()
    device.firmware.booted_at -= 7
    assert await read(cloud, "counter") == 7
    assert await read(cloud, "temperature") == 20.7
    assert await read(cloud, "motd") == "hello from a virtual device"
    assert await read(cloud, "flag") is False
    await cloud.hub.call_function(ID, "lightsOn", "kitchen", 5)
    assert await read(cloud, "flag") is True


async def test_an_unknown_variable_is_not_found(cloud: SmallCloud) -> None:
    await cloud.online()
    assert await cloud.hub.read_variable(ID, "nothing", 5) == NotFound()


async def test_functions(cloud: SmallCloud) -> None:
    await cloud.online()
    assert await cloud.hub.call_function(ID, "lightsOn", "livingRoom", 5) == FunctionReturned(1)
    assert await cloud.hub.call_function(ID, "lightsOn", "kitchen", 5) == FunctionReturned(2)
    assert await cloud.hub.call_function(ID, "brew", "-7", 5) == FunctionReturned(-7)
    assert await cloud.hub.call_function(ID, "brew", "", 5) == FunctionReturned(-1)
    assert await cloud.hub.call_function(ID, "fail", "", 5) == FunctionReturned(-42)


async def test_a_function_that_crashes_returns_minus_one_and_says_so(cloud: SmallCloud) -> None:
    await cloud.online()
    assert await cloud.hub.call_function(ID, "explode", "now", 5) == FunctionReturned(-1)
    assert any("function explode failed" in line for _, line in cloud.screen.logged)
    assert await cloud.hub.ping(ID, 5) == Acknowledged()


async def test_a_slow_function_holds_nothing_up(cloud: SmallCloud) -> None:
    await cloud.online()
    started = time.monotonic()
    slow = asyncio.ensure_future(cloud.hub.call_function(ID, "slow", "0.2", 5))
    assert await cloud.hub.call_function(ID, "brew", "1", 5) == FunctionReturned(1)
    assert not slow.done()
    assert await slow == FunctionReturned(200)
    assert time.monotonic() - started >= 0.199


async def test_a_function_that_the_device_does_not_know_is_never_answered(cloud: SmallCloud) -> None:
    """As real firmware does it: only the time-out ends the call."""
    device = await cloud.online()
    assert device._line is not None
    device._line._connection.setup = replace(device.setup, application=Application())  # it described `brew` before
    started = time.monotonic()
    assert await cloud.hub.call_function(ID, "brew", "", 0.2) == TimedOut()
    assert time.monotonic() - started >= 0.19
    assert await cloud.hub.ping(ID, 5) == Acknowledged()


async def test_an_argument_too_long_for_the_device_is_not_sent(cloud: SmallCloud) -> None:
    await cloud.online()
    assert await cloud.hub.call_function(ID, "brew", "9" * 623, 5) == TooLarge()
    assert await cloud.hub.ping(ID, 5) == Acknowledged()


async def test_ping_and_signal(cloud: SmallCloud) -> None:
    device = await cloud.online()
    assert await cloud.hub.ping(ID, 5) == Acknowledged()
    assert await cloud.hub.signal(ID, on=True, timeout_s=5) == Acknowledged()
    assert device.signals
    assert await cloud.hub.signal(ID, on=False, timeout_s=5) == Acknowledged()
    assert not device.signals


async def test_nothing_can_be_asked_of_a_device_that_is_not_here(cloud: SmallCloud) -> None:
    hub = cloud.hub
    assert await hub.call_function(OTHER, "brew", "1", 60) == Disconnected()
    assert await hub.read_variable(OTHER, "counter", 60) == Disconnected()
    assert await hub.ping(OTHER, 60) == Disconnected()
    assert await hub.signal(OTHER, on=True, timeout_s=60) == Disconnected()
    assert not hub.send_event(OTHER, "testEvent", b"", ttl_s=60, is_private=True, is_own=True, source=None)
    assert not hub.is_online(OTHER)
    assert hub.last_heard(OTHER) is None
    assert hub.presented_key(OTHER) is None
    hub.disconnect(OTHER)


async def test_what_is_outstanding_ends_with_the_connection(cloud: SmallCloud) -> None:
    await cloud.online()
    calls = [asyncio.ensure_future(cloud.hub.call_function(ID, "slow", "60", 60)) for _ in range(3)]
    await cloud.hub.ping(ID, 5)
    cloud.hub.disconnect(ID)
    assert await asyncio.gather(*calls) == [Disconnected()] * 3
    await until(lambda: cloud.inbox.count("offline") == 1)
    await until(lambda: cloud.inbox.count("online") == 2)  # and it comes back by itself


async def test_a_caller_that_gives_up_leaves_nothing_behind(cloud: SmallCloud) -> None:
    await cloud.online()
    session = cloud.hub.session(ID)
    call = asyncio.ensure_future(cloud.hub.call_function(ID, "slow", "0.1", 5))
    await cloud.hub.ping(ID, 5)
    assert len(session._waiting) == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not session._waiting
    await asyncio.sleep(0.15)  # the late answer finds nobody
    assert await cloud.hub.ping(ID, 5) == Acknowledged()


async def test_events_of_the_device(cloud: SmallCloud) -> None:
    await cloud.online()
    for argument in ("alpha=1", "beta=", "gamma", "!delta=public"):
        assert await cloud.hub.call_function(ID, "publish", argument, 5) == FunctionReturned(0)
    await until(lambda: cloud.inbox.count("published") >= 4)
    published = [call[2:] for call in cloud.inbox.told if call[1] == "published" and not call[2].startswith("spark/")]
    assert published == [
        ("alpha", b"1", 60, True),
        ("beta", b"", 60, True),
        ("gamma", None, 60, True),
        ("delta", b"public", 60, False),
    ]
    # Four at once, then one a second: the device's own limit.
    assert await cloud.hub.call_function(ID, "publish", "fifth", 5) == FunctionReturned(-1)


async def test_events_to_the_device_go_by_scope_and_come_once(cloud: SmallCloud) -> None:
    await cloud.online()
    send = cloud.hub.send_event
    assert send(ID, "testEvent", b"testing!", ttl_s=60, is_private=True, is_own=True, source=None)
    assert send(ID, "testEvent/more", None, ttl_s=5, is_private=True, is_own=True, source=OTHER)
    assert not send(ID, "testEvent", b"foreign", ttl_s=60, is_private=True, is_own=False, source=OTHER)
    assert not send(ID, "testEvent", b"public", ttl_s=60, is_private=False, is_own=True, source=None)
    assert not send(ID, "other", b"", ttl_s=60, is_private=True, is_own=True, source=None)
    assert not send(ID, "spark/device/reset", b"reboot", ttl_s=60, is_private=True, is_own=True, source=None)
    await cloud.hub.ping(ID, 5)
    assert [line for _, line in cloud.screen.lines] == [
        "testEventHandler called testing!",
        "testEventHandler called ",
    ]


async def test_a_claim_code_is_confirmed_once_it_is_good(cloud: SmallCloud) -> None:
    device = await cloud.online(claim_code="bad code")
    await until(lambda: cloud.inbox.count("claim_code") == 1)
    assert device.setup.claim_code == "bad code"
    cloud.inbox.claim_codes.add("bad code")
    device.drop()
    await until(lambda: device.setup.claim_code is None)
    assert cloud.inbox.count("claim_code") == 2
    assert not any(call[1] == "published" and "claim" in call[2] for call in cloud.inbox.told)


async def test_facts_are_answered_under_the_name_that_was_asked(cloud: SmallCloud) -> None:
    class Asking(Tinker):
        subscriptions = ()

        def heard(self, name: str, data: str) -> None:
            self.board.println(f"{name}={data}")

    from cloudchamber.wire.messages import Subscription

    Asking.subscriptions = (Subscription("spark/device/ip"), Subscription("particle/device/name"))
    device = await cloud.online(firmware=Asking)
    assert device.publish("spark/device/ip", None)
    assert device.publish("particle/device/name", None)
    await until(lambda: len(cloud.screen.lines) == 2)
    assert [line for _, line in cloud.screen.lines] == ["spark/device/ip=127.0.0.1", "particle/device/name=answer"]
    assert [call[2] for call in cloud.inbox.told if call[1] == "fact"] == [Fact.IP, Fact.NAME]


async def test_what_a_device_tells_of_its_updates_and_of_safe_mode(cloud: SmallCloud) -> None:
    await cloud.online(safe_mode=True)
    await until(lambda: cloud.inbox.count("updates_forced") == 1)
    assert (ID, "updates_enabled", True) in cloud.inbox.told
    assert (ID, "updates_forced", False) in cloud.inbox.told


@pytest.mark.parametrize("device_os", ["0.7.0", "1.5.2", "2.3.1", "3.3.1", "4.0.2", "6.2.0"])
async def test_every_device_os_comes_online_and_answers(cloud: SmallCloud, device_os: str) -> None:
    await cloud.online(device_os=device_os)
    assert await read(cloud, "motd") == "hello from a virtual device"
    assert await cloud.hub.call_function(ID, "brew", "42", 5) == FunctionReturned(42)
    assert cloud.hub.send_event(ID, "testEvent", b"!", ttl_s=60, is_private=True, is_own=True, source=None)
    await until(lambda: cloud.screen.lines)


async def test_what_was_made_for_a_device_is_used_where_memory_has_its_key_alone(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation with the server's key takes as long as everything else in a handshake."""
    asked: list[str] = []
    submit = cloud.services.crypto.submit

    def count(done: Callable[[Any], None], work: Generator[Any, Any, Any]) -> None:
        asked.append(work.__name__)
        submit(done, work)

    monkeypatch.setattr(cloud.services.crypto, "submit", count)
    monkeypatch.setattr(cloud.inbox, "admit_now", lambda *_: None)
    device = await cloud.online()
    assert asked == ["_open", "_prepare"], "nobody knew its key"
    await cloud.switch_off(device)
    asked.clear()
    cloud.inbox.descriptions.clear()
    await cloud.online()
    assert asked == ["_open"]
