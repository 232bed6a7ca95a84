"""Bad input costs its sender the connection, and nobody else anything."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from cloudchamber.gateway.tcp import ENDED_AT_ONCE
from cloudchamber.wire import coap
from cloudchamber.wire.coap import Code, Message, Option, Type
from cloudchamber.wire.events import Acknowledged, CloseReason
from cloudchamber.wire.messages import device_event
from cloudchamber.wire.tcp.handshake import seal_identity
from tests.gateway.cloud import ID, SmallCloud, device_id, until
from tests.gateway.stranger import Insider, Stranger

BAD = device_id(0xBAD)


@pytest.fixture(autouse=True)
async def bystander(cloud: SmallCloud) -> AsyncIterator[None]:
    """A device that is online all the time, and answers after each test."""
    await cloud.online()
    yield
    assert await cloud.hub.ping(ID, 5) == Acknowledged()
    assert cloud.inbox.names(ID).count("online") == 1
    assert BAD not in cloud.inbox.online_now


@pytest.fixture
async def stranger(cloud: SmallCloud) -> AsyncIterator[Stranger]:
    stranger = await Stranger.connect(cloud.port)
    yield stranger
    stranger.close()


async def identity(cloud: SmallCloud, stranger: Stranger, key: RSAPrivateKey) -> bytes:
    return seal_identity(cloud.public_key, await stranger.nonce(), bytes.fromhex(BAD), key.public_key())


async def test_truncated_handshake(cloud: SmallCloud, stranger: Stranger, device_key: RSAPrivateKey) -> None:
    stranger.write((await identity(cloud, stranger, device_key))[:255])
    stranger.writer.write_eof()
    assert await stranger.is_closed_without_a_word()
    assert cloud.gateway.closed[CloseReason.TRUNCATED] == 1


@pytest.mark.parametrize("at", [0, 1, 128, 255])
async def test_bit_flipped_handshake(cloud: SmallCloud, stranger: Stranger, device_key: RSAPrivateKey, at: int) -> None:
    message = bytearray(await identity(cloud, stranger, device_key))
    message[at] ^= 1
    stranger.write(bytes(message))
    assert await stranger.is_closed_without_a_word()
    assert cloud.gateway.closed[CloseReason.HANDSHAKE] == 1


async def test_replayed_handshake(cloud: SmallCloud, stranger: Stranger, device_key: RSAPrivateKey) -> None:
    message = await identity(cloud, stranger, device_key)
    stranger.write(message)
    await stranger.reader.readexactly(384)
    again = await Stranger.connect(cloud.port)
    await again.nonce()
    again.write(message)
    assert await again.is_closed_without_a_word()
    assert cloud.gateway.closed[CloseReason.HANDSHAKE] == 1
    again.close()


async def test_handshake_for_another_server(cloud: SmallCloud, stranger: Stranger, device_key: RSAPrivateKey) -> None:
    foreign = generate_private_key(65537, 2048).public_key()
    stranger.write(seal_identity(foreign, await stranger.nonce(), bytes.fromhex(BAD), device_key.public_key()))
    assert await stranger.is_closed_without_a_word()
    assert cloud.gateway.closed[CloseReason.HANDSHAKE] == 1


async def test_a_handshake_as_another_device_ends_as_any_refusal(
    cloud: SmallCloud, stranger: Stranger, other_device_key: RSAPrivateKey
) -> None:
    nonce = await stranger.nonce()
    stranger.write(seal_identity(cloud.public_key, nonce, bytes.fromhex(ID), other_device_key.public_key()))
    assert await stranger.is_closed_without_a_word()
    assert cloud.gateway.closed[CloseReason.REFUSED] == 1


async def test_whoever_has_not_the_private_key_comes_no_further_than_the_credentials(
    cloud: SmallCloud, stranger: Stranger, device_key: RSAPrivateKey
) -> None:
    """Ids and public keys are no secrets: what counts is who can read the answer."""
    nonce = await stranger.nonce()
    stranger.write(seal_identity(cloud.public_key, nonce, bytes.fromhex(ID), device_key.public_key()))
    await stranger.reader.readexactly(384)
    stranger.write(b"\x00\x10" + bytes(16))
    assert await stranger.is_closed_without_a_word()
    assert cloud.hub.is_online(ID)
    # The fleet is told, once, and of nobody else: the device itself has had no part in it.
    await until(lambda: "unproven" in cloud.inbox.names(ID))
    assert cloud.inbox.count("unproven") == 1


@pytest.mark.parametrize("length", [0, 1, 15, 17, 65_535, 2064])
async def test_frames_of_impossible_lengths(cloud: SmallCloud, device_key: RSAPrivateKey, length: int) -> None:
    insider = await Insider.say_hello(cloud.port, cloud.public_key, device_key, BAD)
    await until(lambda: BAD in cloud.inbox.online_now)
    insider.write(length.to_bytes(2, "big"))
    await insider.rest()
    assert cloud.gateway.closed[CloseReason.FRAMING] == 1
    await until(lambda: BAD not in cloud.inbox.online_now)
    insider.close()


async def test_a_replayed_frame_ends_the_session(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    insider = await Insider.say_hello(cloud.port, cloud.public_key, device_key, BAD, hello=False)
    insider.send_hello()
    frame = insider.sealer.seal(coap.encode(device_event(7, "once", b"x" * 40)))
    insider.write(frame)
    await until(lambda: "published" in cloud.inbox.names(BAD))
    insider.write(frame)
    await insider.rest()
    closed = cloud.gateway.closed
    assert closed[CloseReason.DECRYPTION] + closed[CloseReason.MALFORMED] == 1
    await until(lambda: "offline" in cloud.inbox.names(BAD))
    assert cloud.inbox.names(BAD).count("published") == 1
    insider.close()


async def test_noise_in_place_of_a_frame(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    insider = await Insider.say_hello(cloud.port, cloud.public_key, device_key, BAD)
    insider.write(b"\x00\x20" + bytes(range(32)))
    await insider.rest()
    await until(lambda: BAD not in cloud.inbox.online_now)
    insider.close()


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x50\x02\x00", b"\xff" * 20, b"\x59" + bytes(12)])
async def test_what_decrypts_but_is_no_message(cloud: SmallCloud, device_key: RSAPrivateKey, raw: bytes) -> None:
    insider = await Insider.say_hello(cloud.port, cloud.public_key, device_key, BAD)
    await until(lambda: BAD in cloud.inbox.online_now)
    insider.send(raw)
    await insider.rest()
    assert cloud.gateway.closed[CloseReason.MALFORMED] == 1
    await until(lambda: BAD not in cloud.inbox.online_now)
    insider.close()


async def test_a_message_before_hello(cloud: SmallCloud, device_key: RSAPrivateKey) -> None:
    insider = await Insider.say_hello(cloud.port, cloud.public_key, device_key, BAD, hello=False)
    insider.send(coap.encode(Message(Type.NON, Code.POST, 1, b"", ((Option.URI_PATH, b"E"), (Option.URI_PATH, b"x")))))
    assert await insider.is_closed_without_a_word()
    assert "online" not in cloud.inbox.names(BAD)
    insider.close()


async def test_whoever_sends_nothing_costs_little_and_is_closed_in_time(cloud: SmallCloud) -> None:
    silent = [await Stranger.connect(cloud.port) for _ in range(ENDED_AT_ONCE + 8)]
    for stranger in silent:
        await stranger.nonce()
    spent = time.process_time()
    await asyncio.sleep(0.5)
    assert time.process_time() - spent < 0.1
    assert cloud.gateway.strangers == len(silent)
    for link in list(cloud.gateway._strangers):  # ten seconds on
        wire, now = link.session._wire, asyncio.get_running_loop().time()
        deadline = wire.next_deadline()
        assert deadline is not None
        assert now < deadline <= now + 10
        wire._until = now
    for stranger in silent:
        assert await stranger.is_closed_without_a_word()
    assert cloud.gateway.closed[CloseReason.HANDSHAKE_TIMEOUT] == len(silent)
    await until(lambda: cloud.gateway.strangers == 0)
