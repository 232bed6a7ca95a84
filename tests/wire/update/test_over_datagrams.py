"""Both ends of both protocols over a network that loses, doubles and delays."""

from dataclasses import replace

import pytest

from cloudchamber.wire.coap import Code, Type, decode_untrusted, empty_ack, encode
from cloudchamber.wire.events import (
    Disconnected,
    FunctionReturned,
    SaidGoodbye,
    TimedOut,
    Updated,
    UpdateStarted,
    UpdateTaken,
)
from cloudchamber.wire.messages import Goodbye
from cloudchamber.wire.session.profile import BORON, ELECTRON
from cloudchamber.wire.update import messages
from cloudchamber.wire.update.cloud import v3_chunk_size
from cloudchamber.wire.update.device import Partial, UpdateTraits
from tests.wire.udp.net import OLD_AND_NEW, STORM, Net, Weather, online
from tests.wire.update.files import firmware, image

LEGACY = [(release, ELECTRON) for release in OLD_AND_NEW[:4]]
V3 = [(release, BORON) for release in OLD_AND_NEW[3:]]
POOR = Weather(lost=0.1, doubled=0.05, delayed=0.05, delay_s=1.0)


def update(net: Net, data: bytes, seconds: float = 600.0) -> int:
    request = net.cloud.start_update(image(data), net.now)
    wait_for(net, request, seconds)
    return request


def wait_for(net: Net, request: int, seconds: float) -> None:
    net.run(seconds, until=lambda: net.outcome(request) is not None)


def midway(net: Net) -> None:
    """While chunks are flying."""
    net.run(0.5, until=lambda: False)


def taken(net: Net) -> list[bytes]:
    """A device of version 3 restarts when its last word is acknowledged, which may take a while."""
    net.run(60.0, until=lambda: bool(net.device_heard(UpdateTaken)))
    return [event.data for event in net.device_heard(UpdateTaken)]


@pytest.mark.parametrize("fast", [None, False])
@pytest.mark.parametrize(("release", "platform_id"), LEGACY + V3)
def test_each_release_takes_an_update(release: str, platform_id: int, fast: bool | None) -> None:
    data = firmware(9_000, platform_id)
    net = online(release, platform_id=platform_id, updates=UpdateTraits(fast=fast))
    request = update(net, data)
    assert net.outcome(request) == Updated()
    assert net.cloud_heard(UpdateStarted) == [UpdateStarted(request, 0)]
    assert taken(net) == [data]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("release", "platform_id"), [LEGACY[0], LEGACY[2], V3[0], V3[2]])
def test_a_poor_network(release: str, platform_id: int, seed: int) -> None:
    """A tenth lost, some doubled, some overtaken."""
    data = firmware(40_000, platform_id)
    net = online(release, platform_id=platform_id, seed=seed)
    net.weather = POOR
    request = update(net, data)
    assert net.outcome(request) == Updated()
    assert taken(net) == [data]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("release", ["0.7.0", "1.5.2", "2.3.1"])
def test_what_gets_lost_costs_seconds(release: str, seed: int) -> None:
    """Devices before 2.0 are deaf until their report is acknowledged, and report little after a silence: neither is
    taken for a network that cannot keep up. (With chance against it an acknowledgement was lost three times.)"""
    data = firmware(95_000, ELECTRON)
    net = online(release, platform_id=ELECTRON, seed=seed)
    net.weather = Weather(lost=0.1)
    began = net.now
    request = update(net, data)
    assert net.outcome(request) == Updated()
    assert net.now - began < 40.0


@pytest.mark.parametrize("said", ["UpdateReady", "ChunkMissed"])
def test_what_an_old_device_waits_for_leaves_again(said: str) -> None:
    net = online("1.5.2", platform_id=ELECTRON)
    net.forget()
    net.cloud.start_update(image(firmware(95_000, ELECTRON)), net.now)
    net.run(0.2, until=lambda: False)
    if said == "ChunkMissed":
        raw = encode(messages.chunks_missed(0x7777, [1], confirmable=True))
        net.cloud.receive_message(raw, net.now)
    else:
        raw = next(raw for _, raw in net.sent_by_device if raw[0] >> 4 == 4 and raw[1] == Code.CHANGED)
    acknowledged = empty_ack(raw[2] << 8 | raw[3])
    net.run(2.0, until=lambda: False)
    assert [sent for _, sent in net.sent_by_cloud].count(acknowledged) >= 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("release", "platform_id"), [LEGACY[2], V3[2]])
def test_a_storm_ends_well_or_is_told(release: str, platform_id: int, seed: int) -> None:
    """With three in ten lost a confirmable message may die; then the update ends, and says so."""
    data = firmware(20_000, platform_id)
    net = online(release, platform_id=platform_id, seed=seed)
    net.weather = STORM
    request = update(net, data)
    outcome = net.outcome(request)
    assert outcome in (Updated(), TimedOut(), Disconnected())
    if outcome == Updated():
        net.weather = Weather()
        assert taken(net) == [data]


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_update_is_never_out_of_step(seed: int) -> None:
    """Confirmable chunks, counted by the device alone."""
    data = firmware(10_000, ELECTRON)
    net = online("2.3.1", platform_id=ELECTRON, seed=seed, updates=UpdateTraits(fast=False))
    net.weather = POOR
    request = update(net, data, 2_000.0)
    if net.outcome(request) == Updated():
        assert taken(net) == [data]
    else:
        assert net.outcome(request) == TimedOut()


def test_chunks_are_not_confirmable() -> None:
    """Nobody acknowledges them: ours would be sent again and again."""
    for release, platform_id in (LEGACY[2], V3[2]):
        net = online(release, platform_id=platform_id)
        net.forget()
        update(net, firmware(9_000, platform_id))
        chunks = [message for message in net.cloud_sent() if message.path() in (b"c", b"C")]
        assert len(chunks) == 18
        assert {message.type for message in chunks} == {Type.NON}


def test_a_legacy_device_is_not_flooded() -> None:
    net = online("2.3.1", platform_id=ELECTRON)
    net.forget()
    update(net, firmware(400_000, ELECTRON))
    at = [when for when, raw in net.sent_by_cloud if decode_untrusted(raw).path() == b"c"]
    for start in at:
        assert sum(start <= when < start + 1.0 for when in at) <= 44


def test_version_3_keeps_to_the_window_and_finds_its_rate() -> None:
    """At fifty milliseconds each way: no loss of its own making, and faster than one chunk at a time."""
    net = online("6.2.0", platform_id=BORON)
    net.forget()
    begun_at = net.now
    data = firmware(200_000, BORON)
    request = update(net, data)
    assert net.outcome(request) == Updated()
    assert net.now - begun_at < 6.0
    chunks = [message for message in net.cloud_sent() if message.path() == b"C"]
    assert len(chunks) == -(-len(data) // 512), "none twice"


def test_version_3_after_a_silence() -> None:
    """Half a minute in a tunnel."""
    data = firmware(400_000, BORON)
    net = online("6.2.0", platform_id=BORON)
    request = net.cloud.start_update(image(data), net.now)
    midway(net)
    net.weather = Weather(lost=1.0)
    net.run(30.0)
    assert net.outcome(request) is None
    net.forget()
    net.weather = Weather()
    wait_for(net, request, 60.0)
    assert net.outcome(request) == Updated()
    assert taken(net) == [data]


def test_version_3_gives_up_in_the_end() -> None:
    net = online("6.2.0", platform_id=BORON)
    request = net.cloud.start_update(image(firmware(400_000, BORON)), net.now)
    midway(net)
    net.device_is_gone = net.cloud_is_gone = True
    net.run(1.0)
    net.forget()
    wait_for(net, request, 400.0)
    assert net.outcome(request) == TimedOut()
    assert len(net.sent_by_cloud) < 40, "not much is sent into the void"


def test_version_3_goes_on_in_a_new_session() -> None:
    data = firmware(400_000, BORON)
    net = online("6.2.0", platform_id=BORON)
    request = net.cloud.start_update(image(data), net.now)
    midway(net)
    kept = net.device.partial
    assert kept is not None
    assert 0 < len(kept.data) < len(data)
    assert net.outcome(request) is None
    net.setup = replace(net.setup, partial=kept)
    net.cloud_events.clear()
    net.connect()
    net.run(30.0)
    again = update(net, data)
    assert net.outcome(again) == Updated()
    assert net.cloud_heard(UpdateStarted) == [UpdateStarted(again, len(kept.data))]
    assert taken(net) == [data]


def test_another_file_begins_anew() -> None:
    first, second = firmware(400_000, BORON), firmware(401_000, BORON, product_version=3)
    net = online("6.2.0", platform_id=BORON)
    net.cloud.start_update(image(first), net.now)
    midway(net)
    net.setup = replace(net.setup, partial=net.device.partial)
    net.connect()
    net.run(30.0)
    request = update(net, second)
    assert net.cloud_heard(UpdateStarted)[-1] == UpdateStarted(request, 0)
    assert taken(net)[-1] == second


def test_a_whole_file_that_was_not_finished() -> None:
    """All of it had arrived when the connection was lost: nothing is sent but the end."""
    data = firmware(9_000, BORON)
    net = online("6.2.0", platform_id=BORON)
    net.device.setup = net.setup = replace(net.setup, partial=Partial(image(data).sha256, data))
    net.forget()
    request = update(net, data)
    assert net.outcome(request) == Updated()
    assert [message for message in net.cloud_sent() if message.path() == b"C"] == []
    assert taken(net) == [data]


def test_a_device_that_restarted_without_a_word() -> None:
    """It resumes its session with a ping, and answers chunks with a reset."""
    net = online("6.2.0", platform_id=BORON)
    request = net.cloud.start_update(image(firmware(400_000, BORON)), net.now)
    midway(net)
    net.resume_device()
    wait_for(net, request, 10.0)
    assert net.outcome(request) == Disconnected()


def test_goodbye_ends_it() -> None:
    for release, platform_id in (LEGACY[2], V3[2]):
        net = online(release, platform_id=platform_id)
        request = net.cloud.start_update(image(firmware(400_000, platform_id)), net.now)
        midway(net)
        net.device.goodbye(Goodbye(cloud_reason=5), net.now)
        wait_for(net, request, 10.0)
        assert net.outcome(request) == Disconnected()
        assert net.cloud_heard(SaidGoodbye)


def test_a_restart_of_the_cloud() -> None:
    """The update is begun anew by whoever wants it; the device of version 3 goes on, the other starts over."""
    for release, platform_id in (LEGACY[2], V3[2]):
        data = firmware(400_000, platform_id)
        net = online(release, platform_id=platform_id)
        net.cloud.start_update(image(data), net.now)
        midway(net)
        net.cloud_events.clear()
        net.restart_cloud()
        request = update(net, data)
        assert net.outcome(request) == Updated()
        (started,) = net.cloud_heard(UpdateStarted)
        assert (started.offset > 0) is (platform_id == BORON)
        assert taken(net) == [data]


def test_requests_go_on_beside_it() -> None:
    for release, platform_id in (LEGACY[2], V3[2]):
        net = online(release, platform_id=platform_id)
        request = net.cloud.start_update(image(firmware(400_000, platform_id)), net.now)
        midway(net)
        call = net.cloud.call_function("brew", "x", net.now, 10.0)
        net.run(2.0)
        assert net.outcome(call) == FunctionReturned(456)
        wait_for(net, request, 60.0)
        assert net.outcome(request) == Updated()


def test_a_session_that_updates_is_not_idle_and_one_that_did_is() -> None:
    net = online("6.2.0", platform_id=BORON)
    assert net.cloud.next_deadline() is None
    request = net.cloud.start_update(image(firmware(9_000, BORON)), net.now)
    net.run(0.1)
    assert net.cloud.next_deadline() is not None
    wait_for(net, request, 60.0)
    net.run(200.0)
    assert net.cloud.next_deadline() is None


def test_the_chunk_size_of_hello() -> None:
    """A multiple of four from 512 on, and no larger than a message takes."""
    net = online("6.2.0", platform_id=BORON)
    net.forget()
    update(net, firmware(9_000, BORON))
    (start,) = [message for message in net.cloud_sent() if message.path() == b"S"]
    assert messages.read_start_untrusted(start).chunk_size == 512


@pytest.mark.parametrize(
    ("told", "used"), [(512, 512), (1024, 1024), (1023, 1020), (4, 512), (60_000, 1136), (1139, 1136)]
)
def test_chunk_sizes_of_version_3(told: int, used: int) -> None:
    assert v3_chunk_size(told, (1152 - messages.CHUNK_OVERHEAD) // 4 * 4) == used
