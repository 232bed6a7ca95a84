"""Each recorded frame and handshake, whole, byte by byte, and split at every point, at both ends."""

from collections.abc import Iterator

import pytest

from cloudchamber.wire.events import CloudEvent, DeviceEvent
from cloudchamber.wire.tcp.device import DeviceConnection
from tests.captures import load
from tests.wire.link import (
    CREDENTIALS,
    DEVICE_ID,
    NONCE,
    CloudEnd,
    device_key,
    device_public_der,
    seal_credentials,
    server_key,
    setup,
)

FRAMES = load("session_2_3_1.json")["frames"]
TO_CLOUD = b"".join(bytes.fromhex(frame["frame"]) for frame in FRAMES if frame["direction"] == "D>S")
TO_DEVICE = b"".join(bytes.fromhex(frame["frame"]) for frame in FRAMES if frame["direction"] == "S>D")
CIPHERTEXT = bytes(256)
REPLY = seal_credentials(server_key(), device_public_der(), CREDENTIALS)


def splits(data: bytes) -> Iterator[tuple[bytes, ...]]:
    yield tuple(bytes((byte,)) for byte in data)
    for at in range(1, len(data)):
        yield data[:at], data[at:]


def cloud_after(handshake: tuple[bytes, ...], frames: tuple[bytes, ...]) -> tuple[list[CloudEvent], bytes]:
    cloud = CloudEnd(now=0.0)
    for piece in handshake:
        cloud.receive(piece, 0.0)
    cloud.handshake_decrypted(NONCE + DEVICE_ID, 0.0)
    cloud.admit(REPLY, CREDENTIALS, 0.0)
    for piece in frames:
        cloud.receive(piece, 0.0)
    return list(cloud.events()), cloud.data_to_send(0.0)  # type: ignore[arg-type]


def device_after(handshake: tuple[bytes, ...], frames: tuple[bytes, ...]) -> tuple[list[DeviceEvent], bytes]:
    key = server_key().public_key()
    device = DeviceConnection(setup=setup(), device_key=device_key(), server_key=key, now=0.0)
    for piece in (*handshake, *frames):
        device.receive(piece, 0.0)
    # The first 256 bytes are an encryption, and differ each time.
    return list(device.events()), device.data_to_send(0.0)[256:]  # type: ignore[arg-type]


def test_frames_at_the_cloud_split_at_every_byte() -> None:
    expected = cloud_after((CIPHERTEXT,), (TO_CLOUD,))
    assert len(expected[0]) > 10
    for pieces in splits(TO_CLOUD):
        assert cloud_after((CIPHERTEXT,), pieces) == expected


def test_frames_at_the_device_split_at_every_byte() -> None:
    whole = (NONCE + REPLY,)
    expected = device_after(whole, (TO_DEVICE,))
    assert len(expected[0]) > 4
    for pieces in splits(TO_DEVICE):
        assert device_after(whole, pieces) == expected


def test_the_handshake_at_the_cloud_split_at_every_byte() -> None:
    expected = cloud_after((CIPHERTEXT,), (TO_CLOUD,))
    for pieces in splits(CIPHERTEXT):
        assert cloud_after(pieces, (TO_CLOUD,)) == expected


@pytest.mark.parametrize("tail", [b"", TO_DEVICE])
def test_the_handshake_at_the_device_split_at_every_byte(tail: bytes) -> None:
    expected = device_after((NONCE + REPLY,), (tail,))
    for pieces in splits(NONCE + REPLY):
        assert device_after(pieces, (tail,)) == expected
    assert device_after((NONCE + REPLY + tail,), ()) == expected
