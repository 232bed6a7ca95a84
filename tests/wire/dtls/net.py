"""A cloud and its devices over a network of a test's own making, with a clock that jumps from event to event."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from random import Random
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from cloudchamber.wire.dtls.client import ClientSetup, Dialect, DtlsClient
from cloudchamber.wire.dtls.endpoint import Endpoint
from cloudchamber.wire.dtls.events import ClientEvent, EndpointEvent, Established, ReservationNeeded
from cloudchamber.wire.dtls.records import Address
from cloudchamber.wire.dtls.session import DtlsSession
from cloudchamber.wire.dtls.state import SessionState

DEVICE_ID = bytes.fromhex("0123456789abcdef01234567")
HOME: Address = ("198.51.100.7", 40_001)
AWAY: Address = ("203.0.113.9", 50_002)
ATTACKER: Address = ("192.0.2.66", 6_666)

DIALECTS = list(Dialect)
EventT = TypeVar("EventT")


@cache
def key(name: str) -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def client_setup(dialect: Dialect = Dialect.MARKED_CID, **changes: Any) -> ClientSetup:
    return ClientSetup(
        **{
            "device_id": DEVICE_ID,
            "device_key": key("device"),
            "server_key": key("server").public_key(),
            "dialect": dialect,
            **changes,
        }
    )


def endpoint(seed: int = 1, **changes: Any) -> Endpoint:
    draws = Random(seed).randbytes
    return Endpoint(key=key("server"), cookie_secret=draws(32), entropy=draws, **changes)


def of(kind: type[EventT], events: list[Any]) -> list[EventT]:
    return [event for event in events if isinstance(event, kind)]


class Pair:
    """One cloud, one device, no loss: what is sent arrives at once. Events collect until a test looks at them."""

    def __init__(self, dialect: Dialect = Dialect.MARKED_CID, *, seed: int = 1, **changes: Any) -> None:
        self.draws = Random(seed * 1000).randbytes
        self.cloud = endpoint(seed)
        self.address = HOME
        self.now = 0.0
        self.cloud_events: list[EndpointEvent] = []
        self.device_events: list[ClientEvent] = []
        self.to_cloud: list[bytes] = []
        self.to_device: list[bytes] = []
        self.setup = client_setup(dialect, **changes)
        self.device = self.new_device()

    def new_device(self, saved: SessionState | None = None) -> DtlsClient:
        return DtlsClient(self.setup, entropy=self.draws, now=self.now, saved=saved)

    def device_says(self) -> list[bytes]:
        datagrams = self.device.datagrams_to_send(self.now)
        self.to_cloud += datagrams
        return datagrams

    def cloud_says(self) -> list[tuple[bytes, Address]]:
        self.cloud_events += self.cloud.events()
        return self.cloud.datagrams_to_send(self.now)

    def run(self) -> None:
        """Until both are silent. What the cloud sends elsewhere than to the device's address is lost."""
        while True:
            said = self.device_says()
            for datagram in said:
                self.cloud.receive_datagram(datagram, self.address, self.now)
            answers = self.cloud_says()
            for datagram, address in answers:
                if address == self.address:
                    self.to_device.append(datagram)
                    self.device.receive_datagram(datagram, self.now)
            self.device_events += self.device.events()
            if not said and not answers:
                return

    def connect(self, device_id: bytes | None = DEVICE_ID) -> DtlsSession:
        self.run()
        assert self.device.is_open
        session = of(Established, self.cloud_events)[-1].session
        if device_id is not None:
            self.cloud.identify(session, device_id)
            self.cloud_events += self.cloud.events()
        return session

    def resume(self, address: Address) -> None:
        """The device slept, and wakes at another address."""
        self.device = self.new_device(self.device.suspend())
        self.address = address

    def seen(self, kind: type[EventT]) -> list[EventT]:
        """Of these events, all since the last look."""
        self.cloud_events += self.cloud.events()
        found = of(kind, self.cloud_events)
        self.cloud_events = [event for event in self.cloud_events if not isinstance(event, kind)]
        return found


@dataclass
class Weather:
    """What a network does to each datagram, by chance."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    max_delay_s: float = 3.0
    latency_s: float = 0.05


@dataclass(order=True)
class _Due:
    at: float
    serial: int
    deliver: Callable[[float], None] = field(compare=False)


class FakeNet:
    """One cloud and many devices. Time goes from deadline to deadline."""

    def __init__(self, cloud: Endpoint, weather: Weather, seed: int) -> None:
        self.cloud = cloud
        self.weather = weather
        self.chance = Random(seed)
        self.now = 0.0
        self.devices: dict[Address, DtlsClient] = {}
        self.above: list[Any] = []
        """What stands on the channels, and has deadlines of its own."""
        self.handle_cloud: Callable[[EndpointEvent], None] = lambda event: None
        self.handle_device: Callable[[Address, ClientEvent], None] = lambda address, event: None
        self._due: list[_Due] = []
        self._serial = count()

    def _carry(self, deliver: Callable[[float], None]) -> None:
        weather, chance = self.weather, self.chance
        if chance.random() < weather.drop:
            return
        for _ in range(1 + (chance.random() < weather.duplicate)):
            late = chance.random() * weather.max_delay_s if chance.random() < weather.delay else 0.0
            heapq.heappush(self._due, _Due(self.now + weather.latency_s + late, next(self._serial), deliver))

    def _to_cloud(self, datagram: bytes, address: Address) -> Callable[[float], None]:
        return lambda now: self.cloud.receive_datagram(datagram, address, now)

    def _to_device(self, datagram: bytes, address: Address) -> Callable[[float], None]:
        def deliver(now: float) -> None:
            device = self.devices.get(address)
            if device is not None:
                device.receive_datagram(datagram, now)

        return deliver

    def _settle(self) -> None:
        while True:
            busy = False
            for event in self.cloud.events():
                self.handle_cloud(event)
                busy = True
            for address, device in list(self.devices.items()):
                for said in device.events():
                    self.handle_device(address, said)
                    busy = True
            for address, device in list(self.devices.items()):
                for datagram in device.datagrams_to_send(self.now):
                    self._carry(self._to_cloud(datagram, address))
            for datagram, address in self.cloud.datagrams_to_send(self.now):
                self._carry(self._to_device(datagram, address))
            if not busy:
                return

    def run(self, until: Callable[[], bool], limit_s: float) -> None:
        """Until the condition holds, or nothing can happen any more, or the limit is over."""
        end = self.now + limit_s
        while True:
            self._settle()
            if until():
                return
            deadlines = [device.next_deadline() for device in self.devices.values()]
            deadlines += [machine.next_deadline() for machine in self.above]
            deadlines += [self.cloud.next_deadline(), self._due[0].at if self._due else None]
            coming = [deadline for deadline in deadlines if deadline is not None]
            if not coming or min(coming) > end:
                return
            self.now = max(self.now, min(coming))
            while self._due and self._due[0].at <= self.now:
                heapq.heappop(self._due).deliver(self.now)
            self.cloud.handle_deadline(self.now)
            for machine in [*self.devices.values(), *self.above]:
                machine.handle_deadline(self.now)


def confirm_reservations(events: list[EndpointEvent]) -> None:
    for event in of(ReservationNeeded, events):
        event.session.reserved(event.up_to)
