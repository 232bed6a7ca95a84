"""Loss, copies and delays by chance, under fixed seeds. A device that gave up begins anew after a second, as firmware
does."""

import pytest

from cloudchamber.wire.dtls.client import Dialect, DtlsClient
from cloudchamber.wire.dtls.events import ClientEvent, Delivered, Ended, EndpointEvent, Received, Secured
from cloudchamber.wire.dtls.records import Address
from tests.wire.dtls.net import DIALECTS, FakeNet, Weather, client_setup, endpoint

STORM = Weather(drop=0.3, duplicate=0.1, delay=0.1, max_delay_s=3.0)


class Trial:
    """One device, one cloud: connect, then ask until one question was answered."""

    def __init__(self, dialect: Dialect, seed: int) -> None:
        self.net = FakeNet(endpoint(seed), STORM, seed)
        self.net.handle_cloud, self.net.handle_device = self.on_cloud, self.on_device
        self.setup = client_setup(dialect, packs_flight=seed % 3 != 0)
        self.address: Address = ("198.51.100.1", 1000 + seed)
        self.attempts = 0
        self.is_secure = self.is_answered = False
        self.attempt()

    def attempt(self) -> None:
        self.attempts += 1
        draws = self.net.chance.randbytes
        self.net.devices[self.address] = DtlsClient(self.setup, entropy=draws, now=self.net.now)

    def on_cloud(self, event: EndpointEvent) -> None:
        if isinstance(event, Received):
            event.session.send(b"answer to " + event.payload)

    def on_device(self, address: Address, event: ClientEvent) -> None:
        if isinstance(event, Secured):
            self.is_secure = True
        elif isinstance(event, Delivered):
            assert event.payload == b"answer to question"
            self.is_answered = True
        elif isinstance(event, Ended):
            self.attempt()

    def run(self) -> None:
        self.net.run(lambda: self.is_secure, 600.0)
        for _ in range(40):
            if self.is_secure and not self.is_answered:
                self.net.devices[self.address].send(b"question")
                self.net.run(lambda: self.is_answered, 4.0)


def test_200_of_200_handshakes_and_answers() -> None:
    trials = [Trial(DIALECTS[seed % len(DIALECTS)], seed) for seed in range(200)]
    for trial in trials:
        trial.run()
    assert sum(trial.is_secure for trial in trials) == 200
    assert sum(trial.is_answered for trial in trials) == 200
    assert sum(trial.attempts == 1 for trial in trials) > 160
    assert max(trial.attempts for trial in trials) < 6


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_crowd_behind_one_bad_network(dialect: Dialect) -> None:
    cloud = endpoint()
    net = FakeNet(cloud, STORM, 7)
    secure: set[Address] = set()

    def on_device(address: Address, event: ClientEvent) -> None:
        if isinstance(event, Secured):
            secure.add(address)
        elif isinstance(event, Ended):
            net.devices[address] = DtlsClient(client_setup(dialect), entropy=net.chance.randbytes, now=net.now)

    net.handle_device = on_device
    for number in range(20):
        address = ("198.51.100.2", 2000 + number)
        net.devices[address] = DtlsClient(client_setup(dialect), entropy=net.chance.randbytes, now=0.0)
    net.run(lambda: len(secure) == 20, 600.0)
    assert len(secure) == 20
    net.run(lambda: False, 200.0)  # late copies and repeats find nothing to begin
    assert cloud.handshake_count == 0
    assert cloud.session_count == 20
    assert cloud.next_deadline() is None
