"""Fuzzing of everything in `wire/` that touches a peer's bytes.

`fuzz_one(data)` is an entry for any fuzzer: it accepts WireError from the `*_untrusted` functions, nothing from the
sessions, and checks what must hold afterwards. `mutations(seed)` is a small deterministic mutator over recorded
messages for runs without one. `python -m tests.conformance.fuzz_wire [seconds]` runs it for a while.
"""

import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from cloudchamber.wire import coap, describe, keys, messages, values
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Answered, Closed
from cloudchamber.wire.session.cloud import CloudSession
from cloudchamber.wire.session.device import DeviceSession
from cloudchamber.wire.session.profile import PROFILES
from cloudchamber.wire.tcp.channel import Opener
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update import messages as update_messages
from cloudchamber.wire.update.module import build_module, parse_module_untrusted
from cloudchamber.wire.update.sending import Image
from tests.captures import load
from tests.wire.link import APPLICATION, CREDENTIALS, cloud_with_peer, setup

HELLO = bytes.fromhex("50022121b168ff188f000100360006000018380480000a00000200")

# The same, of a device with version 3 of the update protocol.
HELLO_V3 = bytes.fromhex("50022121b168ff188f000100b6000c000018380480000a00000200")
IMAGE = Image(bytes(3_000), bytes(32))

_PARSERS: tuple[Callable[[bytes], object], ...] = (
    parse_module_untrusted,
    describe.parse_untrusted,
    describe.parse_metrics_untrusted,
    messages.read_block_untrusted,
    keys.cut_der_untrusted,
    lambda data: keys.parse_server_key_file_untrusted(Transport.TCP, data),
    lambda data: keys.parse_server_key_file_untrusted(Transport.UDP, data),
    *(lambda data, kind=kind: values.decode_untrusted(kind, data) for kind in values.VariableType),  # type: ignore[misc]
)
_READERS: tuple[Callable[[coap.Message], object], ...] = (
    messages.read_hello_untrusted,
    messages.read_event_untrusted,
    messages.read_goodbye_untrusted,
    lambda message: messages.read_subscription_untrusted(message, always_own=False),
    update_messages.read_chunk_untrusted,
    update_messages.read_missed_untrusted,
    update_messages.read_start_untrusted,
    update_messages.read_started_untrusted,
    update_messages.read_v3_index_untrusted,
    update_messages.read_acknowledgement_untrusted,
)


def fuzz_one(data: bytes) -> None:
    """Raises when something came out that must not."""
    _fuzz_parsers(data)
    kind = data[0] % 8 if data else 0
    transport = Transport.UDP if kind & 1 else Transport.TCP
    if kind & 2:
        _fuzz_device(data, transport, list(PROFILES)[len(data) % len(PROFILES)])
    else:
        _fuzz_cloud(data, transport)
    if kind & 4:
        _fuzz_frames(data)


def _fuzz_parsers(data: bytes) -> None:
    for parse in _PARSERS:
        with contextlib.suppress(WireError):
            parse(data)
    try:
        message = coap.decode_untrusted(data)
    except WireError:
        return
    assert coap.decode_untrusted(coap.encode(message)) == message
    for read in _READERS:
        with contextlib.suppress(WireError):
            read(message)


def _fuzz_cloud(data: bytes, transport: Transport) -> None:
    session = CloudSession(transport, 0x4001, 0.0)
    session.open_session(0.0)
    session.message_received(HELLO if len(data) & 1 else HELLO_V3, 0.0)
    requests = [
        session.start_update(IMAGE, 0.0),
        session.call_function("brew", "x", 0.0, 5.0),
        session.read_variable("x", 0.0, 5.0),
        session.signal(True, 0.0, 5.0),
        session.ask_describe(describe.Part.APPLICATION, 0.0, 5.0),
        session.ping(0.0, 5.0),
    ]
    session._fill_update(0.5)
    session.message_received(data, 1.0)
    session._fill_update(1.0)
    session.message_received(data, 1.0)
    session._handle_session_deadline(100.0)
    session._fill_update(100.0)
    session.close(100.0)
    _check(session)
    events = session.events()
    answered = [event.request for event in events if isinstance(event, Answered)]
    assert sorted(answered) == requests, "each request ends exactly once"
    assert [isinstance(event, Closed) for event in events].index(True) == len(events) - 1


def _fuzz_device(data: bytes, transport: Transport, release: str) -> None:
    given = setup(release)
    if len(data) & 1:
        flags = given.profile.hello_flags | messages.HelloFlag.OTA_V3
        given = replace(given, profile=replace(given.profile, hello_flags=flags))
    session = DeviceSession(transport, given, 0, 0.0)
    session.open_session(b"12345678", 0.0)
    session.message_received(bytes.fromhex("50024001b168"), 0.0)
    if len(data) & 2:
        for started in (
            update_messages.start(1, 2, update_messages.Start(1_400, bytes(32), 512)),
            update_messages.update_begin(2, 3, update_messages.Begin(True, 512, 1_400)),
        ):
            session.message_received(coap.encode(started), 0.5)
    session.message_received(data, 1.0)
    session.message_received(data, 1.0)
    session._handle_session_deadline(100.0)
    session.close(100.0)
    _check(session)
    closed = [isinstance(event, Closed) for event in session.events()]
    assert closed.index(True) == len(closed) - 1


def _check(session: CloudSession | DeviceSession) -> None:
    assert session.is_closed
    assert session._session_deadline() is None
    for raw in session._take_messages():
        coap.decode_untrusted(raw)


def _fuzz_frames(data: bytes) -> None:
    cloud, _ = cloud_with_peer()
    cloud.receive(data, 0.0)
    cloud.receive(data[::-1], 0.0)
    cloud.data_to_send(0.0)
    assert sum(isinstance(event, Closed) for event in cloud.events()) == cloud.is_closed
    opener = Opener(CREDENTIALS[:16], CREDENTIALS[16:32])
    opener.feed(data)
    try:
        while opener.next_message_untrusted() is not None:
            pass
    except WireError:
        pass


@cache
def corpus() -> tuple[bytes, ...]:
    found = [bytes.fromhex(row["bytes"]) for row in load("messages.json")]
    found += [bytes.fromhex(row["plaintext"]) for row in load("frames.json")]
    found += [bytes.fromhex(row["plaintext"]) for row in load("session_2_3_1.json")["frames"]]
    found += [bytes.fromhex(row["frame"]) for row in load("session_2_3_1.json")["frames"]]
    found += [describe.build_application(APPLICATION), describe.build_metrics({1: 2, 3: 4})]
    found += [describe.build_system_protobuf({"m": [{"s": 1, "f": "u", "n": "1", "v": 2, "vc": 3, "vv": 4, "d": []}]})]
    found += [build_module(b"program", platform_id=6, product_id=1, product_version=2)]
    sent = (
        update_messages.update_begin(1, 2, update_messages.Begin(True, 512, 1_400)),
        update_messages.update_ready(2, b"\0", is_fast=True, confirmable=False),
        update_messages.chunk(3, 2, b"data", 0, confirmable=False),
        update_messages.started(4, b"\0", update_messages.Started(256, 512), confirmable=True),
        update_messages.acknowledgement(5, 2, 5),
        update_messages.chunks_missed(6, [0, 1, 5], confirmable=True),
        update_messages.v3_chunk(7, 1, bytes(512)),
    )
    found += [coap.encode(message) for message in sent]
    return tuple(found)


def mutations(seed: int) -> Iterator[bytes]:
    """Recorded messages, changed in one to four places, without end."""
    rng = random.Random(seed)
    seeds = corpus()
    interesting = (0x00, 0x01, 0x0D, 0x0E, 0x0F, 0x41, 0x7F, 0x80, 0xB1, 0xC1, 0xD0, 0xE0, 0xFF)
    while True:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            action = rng.randrange(7)
            if action == 0 and data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            elif action == 1 and data:
                data[at % len(data)] = rng.choice(interesting)
            elif action == 2:
                del data[at:]
            elif action == 3:
                del data[at : at + rng.randint(1, 4)]
            elif action == 4:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            elif action == 5:
                data[at:at] = data[at : at + rng.randint(1, 16)]
            else:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other)) :]
        yield bytes(data)


def run(seed: int, count: int) -> None:
    """Raises AssertionError that names the input, so that it can be put into a test."""
    for _, data in zip(range(count), mutations(seed), strict=False):
        try:
            fuzz_one(data)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data.hex()}") from error


if __name__ == "__main__":
    end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 60)
    for at in range(sys.maxsize):
        if time.monotonic() > end:
            sys.stdout.write(f"{at * 1000} inputs, nothing found\n")
            break
        run(at, 1000)
