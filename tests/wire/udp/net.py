"""Both ends of a datagram session on a network that loses, repeats and delays, and a clock that jumps."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from cloudchamber.wire.coap import Message, decode_untrusted, encode
from cloudchamber.wire.events import (
    Answered,
    CloudEvent,
    DeviceEvent,
    EventPublished,
    FunctionCalled,
    IdentifyDevice,
    MemoryChanged,
    Outcome,
    TimeAsked,
    VariableAsked,
)
from cloudchamber.wire.messages import Subscription
from cloudchamber.wire.session.device_state import DeviceState
from cloudchamber.wire.session.memory import SessionMemory
from cloudchamber.wire.session.profile import ELECTRON, DeviceSetup, profile_on
from cloudchamber.wire.udp.connection import CloudDatagramSession
from cloudchamber.wire.udp.device import DeviceDatagramConnection
from tests.wire.link import APPLICATION, DEVICE_ID, UNIX_TIME, VALUES

T = TypeVar("T")

LATENCY_S = 0.05
OLD_AND_NEW = ["0.7.0", "1.5.2", "2.3.1", "3.3.1", "4.0.2", "6.2.0"]


def half() -> float:
    """The draw of a test that counts seconds."""
    return 0.5


def setup(release: str = "2.3.1", **changes: object) -> DeviceSetup:
    platform_id = changes.pop("platform_id", ELECTRON)
    assert isinstance(platform_id, int)
    given: dict[str, object] = {"application": APPLICATION, "subscriptions": (Subscription("weather"),)}
    return DeviceSetup(DEVICE_ID, profile_on(release, platform_id), platform_id=platform_id, **(given | changes))  # type: ignore[arg-type]


@dataclass
class Weather:
    """Shares of all datagrams; what is delayed takes up to `delay_s` more."""

    lost: float = 0.0
    doubled: float = 0.0
    delayed: float = 0.0
    delay_s: float = 3.0


FINE = Weather()
STORM = Weather(lost=0.3, doubled=0.1, delayed=0.1)


@dataclass
class Net:
    """`run` carries messages, answers the questions of both ends and jumps from one moment to the next."""

    seed: int = 0
    weather: Weather = field(default_factory=Weather)
    now: float = 0.0
    cloud: CloudDatagramSession = field(init=False)
    device: DeviceDatagramConnection = field(init=False)
    setup: DeviceSetup = field(default_factory=setup)
    memory: SessionMemory | None = None
    """What the cloud's shell stored."""
    device_is_gone: bool = False
    cloud_is_gone: bool = False
    cloud_events: list[CloudEvent] = field(default_factory=list)
    device_events: list[DeviceEvent] = field(default_factory=list)
    sent_by_cloud: list[tuple[float, bytes]] = field(default_factory=list)
    sent_by_device: list[tuple[float, bytes]] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    """How often a function ran, by its argument."""
    function: Callable[[str], int | None] = lambda argument: 456
    accepts: bool = True
    packs: bool = False
    """The cloud's end is packed and unpacked whenever it is at rest."""
    packed: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._flying: list[tuple[float, int, object, bytes]] = []
        self._count = 0

    def connect(self) -> "Net":
        """As after a full handshake."""
        self._flying.clear()
        self.cloud = CloudDatagramSession(draw=self.random.random, now=self.now)
        self.device = DeviceDatagramConnection(setup=self.setup, draw=self.random.random, now=self.now)
        return self

    def restart_cloud(self) -> None:
        """Only what was stored survives, as bytes."""
        assert self.memory is not None
        stored = SessionMemory.from_bytes_untrusted(self.memory.to_bytes())
        self.cloud = CloudDatagramSession.resume(stored, draw=self.random.random, now=self.now)

    def resume_device(self, state: DeviceState | None = None, **changes: object) -> None:
        """The device comes back in the same session, perhaps with another application."""
        self.setup = setup(self.setup.profile.name, platform_id=self.setup.platform_id, **changes)
        state = state or self.device.state()
        self.device = DeviceDatagramConnection(setup=self.setup, draw=self.random.random, now=self.now, state=state)

    # --- time --------------------------------------------------------------------------------------------------------

    def run(self, seconds: float = 0.0, until: Callable[[], bool] | None = None) -> bool:
        """Until nothing flies and `seconds` are over, or until that holds."""
        end = self.now + seconds
        self._move()
        for _ in range(1_000_000):
            if until is not None and until():
                return True
            moments = [at for at in (self.cloud.next_deadline(), self.device.next_deadline()) if at is not None]
            if self._flying:
                moments.append(self._flying[0][0])
            if not moments or min(moments) > max(end, self._flying[0][0] if self._flying and until is None else end):
                self.now = max(self.now, end)
                return until is None
            assert min(moments) >= self.now, "a deadline lies in the past"
            self.now = min(moments)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, target, raw = heapq.heappop(self._flying)
                if target is self.cloud or target is self.device:
                    target.receive_message(raw, self.now)  # type: ignore[attr-defined]
            self.cloud.handle_deadline(self.now)
            self.device.handle_deadline(self.now)
            self._move()
            if self.packs and self.cloud.is_at_rest(self.now):
                self._pack_cloud()
        raise AssertionError("a deadline that is handled and stays: a shell would spin")

    def _pack_cloud(self) -> None:
        before = self.cloud
        self.cloud = CloudDatagramSession.unpack(before.pack(), draw=self.random.random, now=self.now)
        self._flying = [
            (at, number, self.cloud if target is before else target, raw) for at, number, target, raw in self._flying
        ]
        self.packed += 1

    def _move(self) -> None:
        while self._answer_cloud() + self._answer_device():
            pass
        for raw in self.cloud.messages_to_send(self.now):
            self.sent_by_cloud.append((self.now, raw))
            if not self.cloud_is_gone:
                self._fly(self.device, raw)
        for raw in self.device.messages_to_send(self.now):
            self.sent_by_device.append((self.now, raw))
            if not self.device_is_gone:
                self._fly(self.cloud, raw)

    def _fly(self, target: object, raw: bytes) -> None:
        draw, weather = self.random.random, self.weather
        if draw() < weather.lost:
            return
        for _ in range(2 if draw() < weather.doubled else 1):
            delay = weather.delay_s * draw() if draw() < weather.delayed else 0.0
            self._count += 1
            heapq.heappush(self._flying, (self.now + LATENCY_S + delay, self._count, target, raw))

    # --- the shells --------------------------------------------------------------------------------------------------

    def _answer_cloud(self) -> int:
        events = self.cloud.events()
        for event in events:
            if isinstance(event, IdentifyDevice):
                assert event == IdentifyDevice(DEVICE_ID, None)
                if self.accepts:
                    self.cloud.accept(self.now)
                else:
                    self.cloud.refuse(self.now)
            elif isinstance(event, TimeAsked):
                self.cloud.tell_time(event, UNIX_TIME, self.now)
            elif isinstance(event, EventPublished):
                self.cloud.confirm_event(event)
            elif isinstance(event, MemoryChanged):
                self.memory = event.memory
        self.cloud_events += events
        return len(events)

    def _answer_device(self) -> int:
        events = self.device.events()
        for event in events:
            if isinstance(event, FunctionCalled):
                self.runs[event.argument] += 1
                value = self.function(event.argument)
                if value is not None:
                    self.device.return_value(event.request, value, self.now)
            elif isinstance(event, VariableAsked):
                self.device.answer_variable(event.request, VALUES[event.name], self.now)
        self.device_events += events
        return len(events)

    # --- what was seen -----------------------------------------------------------------------------------------------

    def outcome(self, request: int) -> Outcome | None:
        found = [
            event.outcome for event in self.cloud_events if isinstance(event, Answered) and event.request == request
        ]
        assert len(found) <= 1, "each request ends exactly once"
        return found[0] if found else None

    def cloud_heard(self, kind: type[T]) -> list[T]:
        return [event for event in self.cloud_events if isinstance(event, kind)]

    def device_heard(self, kind: type[T]) -> list[T]:
        return [event for event in self.device_events if isinstance(event, kind)]

    def forget(self) -> None:
        """What was seen so far."""
        for seen in (self.cloud_events, self.device_events, self.sent_by_cloud, self.sent_by_device):
            seen.clear()

    def cloud_sent(self) -> list[Message]:
        return [decode_untrusted(raw) for _, raw in self.sent_by_cloud]

    def device_sent(self) -> list[Message]:
        return [decode_untrusted(raw) for _, raw in self.sent_by_device]


def online(release: str = "2.3.1", *, seed: int = 0, **changes: object) -> Net:
    """Connected in fine weather, 200 s ago: all is said, and forgotten by the memories of both ends."""
    net = Net(seed, setup=setup(release, **changes)).connect()
    net.run(200.0)
    assert net.cloud.is_online
    assert net.device.is_connected
    return net


class Wire:
    """One end, and a test that writes each message to it by hand."""

    def __init__(self, end: CloudDatagramSession | DeviceDatagramConnection) -> None:
        self.end = end
        self.now = 0.0

    def say(self, *said: Message | str) -> list[str]:
        """Sends messages (values or hex) and gives what came back, in hex."""
        for message in said:
            self.end.receive_message(bytes.fromhex(message) if isinstance(message, str) else encode(message), self.now)
        return self.hear()

    def hear(self) -> list[str]:
        return [raw.hex() for raw in self.end.messages_to_send(self.now)]

    def wait(self, seconds: float) -> list[str]:
        """Time passes in one step: a late timer."""
        self.now += seconds
        self.end.handle_deadline(self.now)
        return self.hear()

    def sendings(self, seconds: float) -> list[tuple[float, str]]:
        """All that leaves in that time, each with its second."""
        end, found = self.now + seconds, []
        while (at := self.end.next_deadline()) is not None and at <= end:
            assert at >= self.now
            found += [(at, raw) for raw in self.wait(at - self.now)]
        self.now = end
        return found


HELLO = "40020001b168ff188f00010036000a000c" + DEVICE_ID.hex()


def cloud_with_wire(hello: str | None = HELLO, *, says_more: bool = True) -> tuple[CloudDatagramSession, Wire]:
    """A cloud's end past this Hello (unless None); its events so far are taken out. `says_more`: the device pinged, so
    the acknowledgement of its Hello has arrived."""
    cloud = CloudDatagramSession(draw=half, now=0.0)
    wire = Wire(cloud)
    if hello is not None:
        wire.say(hello)
        cloud.accept(0.0)
        wire.hear()
        if says_more:
            wire.say("4000ff01")
        cloud.events()
    return cloud, wire


def device_with_wire(
    release: str = "2.3.1", *, hello: bool = True, **changes: object
) -> tuple[DeviceDatagramConnection, Wire]:
    """A device's end, with its introduction acknowledged; its events so far are taken out."""
    device = DeviceDatagramConnection(setup=setup(release, **changes), draw=half, now=0.0)
    wire = Wire(device)
    if hello:
        to_acknowledge = wire.hear()
        while to_acknowledge:
            to_acknowledge = wire.say(*(f"6000{raw[4:8]}" for raw in to_acknowledge if raw[0] == "4"))
        device.events()
    return device, wire
