"""Mutated datagrams at every stage, to both ends: nothing is raised, and what lives goes on living."""

from random import Random

import pytest

from cloudchamber.wire.dtls.client import DtlsClient
from cloudchamber.wire.dtls.events import SessionAsked
from tests.wire.dtls.net import ATTACKER, AWAY, DIALECTS, HOME, Pair, of


def mutated(chance: Random, datagram: bytes) -> bytes:
    data = bytearray(datagram)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(7):
            case 0 if data:
                data[at] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                del data[at:]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
            case 4:
                del data[at : at + chance.randrange(1, 8)]
            case 5:
                data += data[at:]
            case _ if data:
                data[0] = chance.choice((20, 21, 22, 23, 25, 253, 254))
    return bytes(data)


@pytest.mark.parametrize("count", [20_000, pytest.param(400_000, marks=pytest.mark.soak)])
def test_mutated_datagrams(count: int) -> None:
    chance = Random(20_26)
    fed = secured = rounds = 0
    while fed < count:
        rounds += 1
        pair = Pair(chance.choice(DIALECTS), seed=rounds, packs_flight=chance.random() < 0.7)
        for _ in range(12):  # with strangers' copies before each genuine datagram
            said = pair.device_says()
            if not said and pair.device.is_open:
                break
            for datagram in said:
                for _ in range(chance.randrange(4)):
                    pair.cloud.receive_datagram(mutated(chance, datagram), chance.choice((HOME, HOME, AWAY)), pair.now)
                    fed += 1
                pair.cloud.receive_datagram(datagram, HOME, pair.now)
            for datagram, address in pair.cloud_says():
                if address == HOME:
                    pair.device.receive_datagram(datagram, pair.now)
            if not said:
                pair.now = pair.device.next_deadline() or pair.now
                pair.device.handle_deadline(pair.now)
        for question in of(SessionAsked, pair.cloud_events):
            pair.cloud.restore(question.ticket, None, pair.now)
        if not pair.device.is_open:
            continue
        secured += 1
        session = pair.connect()
        pair.resume(AWAY)
        pair.device.send(b"ping")
        pair.run()
        session.send(b"pong")
        downwards = [datagram for datagram, _ in pair.cloud_says()]
        sent = pair.to_cloud
        for _ in range(150):
            pair.cloud.receive_datagram(mutated(chance, chance.choice(sent)), chance.choice((HOME, ATTACKER)), pair.now)
            fed += 1
            for datagram, address in pair.cloud_says():
                assert datagram[0] in (21, 22), "only to hellos, as to any stranger"
                assert address != AWAY
        assert (session.address, session.is_closed) == (AWAY, False)
        for _ in range(50):
            pair.device.receive_datagram(mutated(chance, chance.choice(pair.to_device + downwards)), pair.now)
            fed += 1
        assert pair.device.is_open
        newcomer = DtlsClient(pair.setup, entropy=chance.randbytes, now=pair.now)
        for datagram in pair.to_device:
            newcomer.receive_datagram(mutated(chance, datagram), pair.now)
            fed += 1
    assert secured > 0.6 * rounds  # a device sends its flight four times, each after up to three spoilt copies


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_datagram_cut_at_every_place(dialect: object) -> None:
    """A datagram is whole or it is not: a half of one is refused or ignored, and the whole one still does its work."""
    pair = Pair(dialect)  # type: ignore[arg-type]
    for _ in range(6):
        for datagram in pair.device_says():
            for end in range(len(datagram)):
                pair.cloud.receive_datagram(datagram[:end], HOME, 0.0)
                pair.cloud.receive_datagram(datagram[end:], HOME, 0.0)
            pair.cloud.receive_datagram(datagram, HOME, 0.0)
        for datagram, _ in pair.cloud_says():
            for end in range(len(datagram)):
                pair.device.receive_datagram(datagram[:end], 0.0)
            pair.device.receive_datagram(datagram, 0.0)
    pair.connect()
