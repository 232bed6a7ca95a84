"""A session that is packed between two messages: neither end notices."""

from typing import Any

import pytest

from cloudchamber.wire.events import Described, EventPublished, FunctionReturned, Resumed
from cloudchamber.wire.messages import OTA_CHUNK_SIZE_EVENT, Goodbye
from cloudchamber.wire.reliability import CLOUD_MEMORY_S
from cloudchamber.wire.session.profile import ELECTRON
from cloudchamber.wire.session.requests import TOKEN_REST_S
from cloudchamber.wire.udp.connection import CloudDatagramSession
from tests.wire.link import APPLICATION
from tests.wire.udp.net import OLD_AND_NEW, Net, online

NOT_KEPT = {"_alike", "_draw", "_next_request"}
"""`_next_request` names requests to whoever waits for them, and nobody does; `_alike` is
how it was packed last."""


def contents(of: object) -> dict[str, Any]:
    """All attributes, down to plain values."""
    found: dict[str, Any] = {}
    for base in type(of).__mro__:
        for name in getattr(base, "__slots__", ()):
            if name in NOT_KEPT or name == "__weakref__":
                continue
            value = getattr(of, name)
            found[name] = contents(value) if type(value).__module__ in _PARTS else value
    return found


_PARTS = (
    "cloudchamber.wire.reliability",
    "cloudchamber.wire.session.requests",
    "cloudchamber.wire.session.describing",
)


def packed(net: Net) -> None:
    assert net.cloud.is_at_rest(net.now)
    net._pack_cloud()


@pytest.mark.parametrize("release", OLD_AND_NEW)
def test_nothing_of_a_session_at_rest_is_lost(release: str) -> None:
    net = online(release, platform_id=ELECTRON)
    net.device.publish("temp", b"1", net.now)
    net.cloud.call_function("brew", "", net.now, 10.0)
    net.run(5.0)
    net.device.publish(OTA_CHUNK_SIZE_EVENT, b"1024", net.now)
    net.run(1.0)
    before = contents(net.cloud)
    assert before["_reliability"]["_heard"]
    packed(net)
    after = contents(net.cloud)
    # Milliseconds are exact enough for a memory of a minute.
    for of in (before, after):
        of["_reliability"]["_heard"] = {
            message_id: (round(heard[0], 2), heard[1]) if isinstance(heard, tuple) else round(heard, 2)
            for message_id, heard in of["_reliability"]["_heard"].items()
        }
    assert after == before
    net.forget()
    call = net.cloud.call_function("brew", "", net.now, 10.0)
    net.run(100.0)
    assert net.outcome(call) == FunctionReturned(456)
    assert not net.cloud_heard(Resumed)
    assert not net.cloud_heard(Described)


def test_what_was_heard_before_is_not_heard_again() -> None:
    net = online()
    net.device.publish("temp", b"1", net.now)
    net.run(1.0)
    ((_, said),) = net.sent_by_device[-1:]
    ((_, answer),) = net.sent_by_cloud[-1:]
    packed(net)
    net.forget()
    net.cloud.receive_message(said, net.now)
    assert net.cloud.messages_to_send(net.now) == [answer]
    assert not net.cloud.events()
    assert not net.cloud.is_at_rest(net.now), "on a network that loses some the answer leaves again"
    net.run(5.0)
    packed(net)
    net.run(CLOUD_MEMORY_S)
    packed(net)
    net.cloud.receive_message(said, net.now)
    assert [type(event) for event in net.cloud.events()] == [EventPublished], "as without packing"


def test_a_session_with_something_under_way_is_not_at_rest() -> None:
    net = online()
    net.device_is_gone = True
    call = net.cloud.call_function("brew", "", net.now, 20.0)
    assert not net.cloud.is_at_rest(net.now)
    net.run(20.0)
    assert net.outcome(call) is not None
    assert not net.cloud.is_at_rest(net.now), "the answer may come late, and its token rests"
    net.run(TOKEN_REST_S)
    assert net.cloud.is_at_rest(net.now)
    assert net.cloud.send_event("weather/us", b"t:5F", 60, True, net.now)
    assert not net.cloud.is_at_rest(net.now)
    net.run(80.0)
    assert net.cloud.is_at_rest(net.now), "given up"


def test_a_device_that_said_goodbye_is_not_at_rest() -> None:
    net = online()
    net.device.goodbye(Goodbye(6, None, 300, 5), net.now)
    net.run(60.0)
    assert not net.cloud.is_at_rest(net.now), "the store is the place for a device that is away"


def test_a_session_without_a_hello_is_not_at_rest() -> None:
    net = Net().connect()
    assert not net.cloud.is_at_rest(net.now)
    net.run(100.0)
    assert net.cloud.is_at_rest(net.now)


def test_devices_of_one_firmware_share_what_they_say_alike() -> None:
    one, two = (online("4.0.2", seed=seed).cloud.pack() for seed in range(2))
    assert one.alike is two.alike
    assert one.alike.application == APPLICATION
    assert type(CloudDatagramSession.unpack(one, draw=lambda: 0.5, now=0.0)) is CloudDatagramSession
