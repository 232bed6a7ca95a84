"""What a peer or a store may have changed: one documented exception, or none."""

import json
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.describe import DIGEST_SIZE
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Answered, Closed, IdentifyDevice, TimeAsked
from cloudchamber.wire.session.memory import SessionMemory
from cloudchamber.wire.udp.connection import CloudDatagramSession
from tests.conformance.fuzz_wire import mutations
from tests.wire.udp.net import HELLO, OLD_AND_NEW, cloud_with_wire, device_with_wire, half

COUNT = 6000


def test_changed_messages_to_the_cloud() -> None:
    """Each request ends once, each session too; nothing is raised, and no timer lies in the past."""
    found = islice(mutations(7), COUNT)
    for at in range(COUNT // 20):
        cloud, wire = cloud_with_wire(HELLO if at % 3 else None)
        requests = [cloud.call_function("brew", "x", 0.0, 20.0), cloud.read_variable("x", 0.0, 90.0)]
        requests += [cloud.ping(0.0, 90.0), cloud.signal(True, 0.0, 90.0)]
        wire.hear()
        events = []
        for raw in islice(found, 20):
            cloud.receive_message(raw, wire.now)
            for event in cloud.events():
                events.append(event)
                if isinstance(event, IdentifyDevice):
                    cloud.accept(wire.now)
                elif isinstance(event, TimeAsked):
                    cloud.tell_time(event, 1, wire.now)
            wire.hear()
            wire.sendings(3.0)
        cloud.close(wire.now)
        events += cloud.events()
        assert sorted(event.request for event in events if isinstance(event, Answered)) == requests
        assert [isinstance(event, Closed) for event in events].index(True) == len(events) - 1


def test_changed_messages_to_a_device() -> None:
    found = islice(mutations(8), COUNT)
    for at in range(COUNT // 20):
        device, wire = device_with_wire(OLD_AND_NEW[at % len(OLD_AND_NEW)], hello=bool(at % 4))
        events = []
        for raw in islice(found, 20):
            device.receive_message(raw, wire.now)
            events += device.events()
            wire.hear()
            wire.sendings(1.0)
        device.close(wire.now)
        events += device.events()
        assert [isinstance(event, Closed) for event in events].index(True) == len(events) - 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def _check(stored: bytes) -> None:
    try:
        memory = SessionMemory.from_bytes_untrusted(stored)
    except WireError:
        return
    cloud = CloudDatagramSession.resume(memory, draw=half, now=0.0)
    cloud.receive_message(bytes.fromhex("40000007"), 0.0)
    assert cloud.is_online


@given(st.binary(max_size=60), st.integers(0, 300))
def test_a_changed_memory(noise: bytes, at: int) -> None:
    stored = cloud_with_wire()[0].memory().to_bytes()
    _check(noise)
    _check(stored[:at])
    _check(stored[:at] + noise + stored[at:])


@given(st.sampled_from(["version", "hello", "describe", "subscriptions", "next_message_id"]), JSON, st.integers(0, 9))
def test_a_memory_with_one_wrong_field(field: str, value: object, at: int) -> None:
    found = json.loads(cloud_with_wire()[0].memory().to_bytes())
    if field == "hello" and at < 9:
        found["hello"][at] = value
    else:
        found[field] = value
    _check(json.dumps(found).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("describe", ["brew", {}, "00" * DIGEST_SIZE]),
        ("describe", [{"brew": 1}, {}, "00" * DIGEST_SIZE]),
        ("describe", [["brew"], {"level": True}, "00" * DIGEST_SIZE]),
        ("describe", [["brew"], "level", "00" * DIGEST_SIZE]),
        ("describe", "abc"),
        ("subscriptions", ""),
        ("subscriptions", {}),
        ("subscriptions", ["temp"]),
    ],
)
def test_a_memory_with_something_else_where_a_list_was(field: str, value: object) -> None:
    found = json.loads(cloud_with_wire()[0].memory().to_bytes())
    found["describe"] = [["brew"], {"level": 2}, "00" * DIGEST_SIZE]
    SessionMemory.from_bytes_untrusted(json.dumps(found).encode())
    found[field] = value
    with pytest.raises(WireError):
        SessionMemory.from_bytes_untrusted(json.dumps(found).encode())


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"version":2}', b"\xff"])
def test_no_memory_at_all(stored: bytes) -> None:
    with pytest.raises(WireError):
        SessionMemory.from_bytes_untrusted(stored)
