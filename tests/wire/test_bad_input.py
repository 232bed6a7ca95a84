"""Bad input at every stage: one Closed, nothing else, no exception, and the same silence for every handshake fault."""

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from cloudchamber.wire.events import Closed, CloseReason, DecryptHandshake, IdentifyDevice
from cloudchamber.wire.tcp.device import DeviceConnection
from cloudchamber.wire.tcp.handshake import open_handshake, seal_identity
from tests.wire.link import (
    CREDENTIALS,
    DEVICE_ID,
    NONCE,
    CloudEnd,
    cloud_with_peer,
    device_key,
    device_public_der,
    device_with_peer,
    seal_credentials,
    server_key,
    setup,
)

IDENTITY = seal_identity(server_key().public_key(), NONCE, DEVICE_ID, device_key().public_key())


def judged(ciphertext: bytes) -> CloudEnd:
    """A cloud's end that got these 256 bytes, and its shell's honest answer to the first question."""
    cloud = CloudEnd(now=0.0)
    cloud.data_to_send(0.0)
    cloud.receive(ciphertext, 0.0)
    (asked,) = cloud.events()
    assert isinstance(asked, DecryptHandshake)
    cloud.handshake_decrypted(open_handshake(server_key(), asked.ciphertext), 0.0)
    return cloud


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_the_good_one_is_good() -> None:
    assert judged(IDENTITY).events() == [IdentifyDevice(DEVICE_ID, device_public_der())]


def foreign_server_key() -> bytes:
    return seal_identity(generate_private_key(65537, 2048).public_key(), NONCE, DEVICE_ID, device_key().public_key())


def replayed() -> bytes:
    return seal_identity(server_key().public_key(), bytes(40), DEVICE_ID, device_key().public_key())


@pytest.mark.parametrize(
    "ciphertext",
    [
        replayed(),
        foreign_server_key(),
        bytes(256),
        b"\xff" * 256,
        *(flipped(IDENTITY, bit) for bit in (0, 7, 1000, 2047)),
        server_key().public_key().encrypt(b"", PKCS1v15()),
    ],
)
def test_every_bad_handshake_ends_alike(ciphertext: bytes) -> None:
    """Replayed, sealed for another server, changed: a peer must not learn which, or the decryption is an oracle."""
    cloud = judged(ciphertext)
    assert cloud.events() == [Closed(CloseReason.HANDSHAKE)]
    assert cloud.data_to_send(0.0) == b""
    assert cloud.next_deadline() is None


def test_a_failed_decryption_and_a_wrong_nonce_are_the_same() -> None:
    ends = []
    for plaintext in (None, bytes(214)):
        cloud = CloudEnd(now=0.0)
        cloud.receive(IDENTITY, 0.0)
        cloud.handshake_decrypted(plaintext, 0.0)
        ends.append((cloud.events()[1:], cloud.data_to_send(0.0)))
    assert ends[0] == ends[1]


def test_a_refused_device_hears_nothing() -> None:
    cloud = judged(IDENTITY)
    cloud.events()
    cloud.refuse(0.0)
    assert cloud.events() == [Closed(CloseReason.REFUSED)]
    assert cloud.data_to_send(0.0) == b""


@pytest.mark.parametrize("size", [0, 1, 255])
def test_a_truncated_handshake(size: int) -> None:
    cloud = CloudEnd(now=0.0)
    cloud.receive(IDENTITY[:size], 0.0)
    cloud.receive_eof(0.0)
    assert cloud.events() == [Closed(CloseReason.TRUNCATED)]


def test_chatter_while_the_shell_works_is_bounded() -> None:
    cloud = CloudEnd(now=0.0)
    for _ in range(100):
        cloud.receive(bytes(1000), 0.0)
    assert cloud.events()[1:] == [Closed(CloseReason.HANDSHAKE)]


def test_bytes_that_come_before_the_answer_are_kept() -> None:
    cloud = CloudEnd(now=0.0)
    peer = cloud_with_peer(None)[1]
    hello = peer.frame("50022121b168ff188f000100360006")
    cloud.receive(IDENTITY + hello, 0.0)
    cloud.handshake_decrypted(NONCE + DEVICE_ID, 0.0)
    cloud.admit(bytes(384), CREDENTIALS, 0.0)
    assert cloud.is_online


@pytest.mark.parametrize("size", [0, 1, 8, 15, 17, 33, 4096, 65_520, 65_535])
@pytest.mark.parametrize("end", ["cloud", "device"])
def test_frames_of_impossible_lengths(end: str, size: int) -> None:
    connection = cloud_with_peer()[0] if end == "cloud" else device_with_peer()[0]
    connection.receive(size.to_bytes(2, "big") + bytes(min(size, 100)), 0.0)
    (closed,) = connection.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.FRAMING
    connection.receive(bytes(100), 0.0)
    connection.receive_eof(0.0)
    connection.close(0.0)
    assert connection.events() == []
    assert connection.next_deadline() is None


@pytest.mark.parametrize("end", ["cloud", "device"])
def test_a_frame_cut_by_the_end_of_the_stream(end: str) -> None:
    connection, peer = cloud_with_peer() if end == "cloud" else device_with_peer()
    connection.receive(peer.frame("40000001")[:-1], 0.0)
    connection.receive_eof(0.0)
    assert connection.events() == [Closed(CloseReason.TRUNCATED)]


@pytest.mark.parametrize("end", ["cloud", "device"])
def test_a_replayed_frame(end: str) -> None:
    connection, peer = cloud_with_peer() if end == "cloud" else device_with_peer()
    frame = peer.frame("40000001")
    connection.receive(frame + frame, 0.0)
    assert connection.is_closed


@pytest.mark.parametrize("end", ["cloud", "device"])
def test_no_flipped_bit_breaks_an_end(end: str) -> None:
    """Without a MAC a flip may pass for another message; it never passes for an error of ours."""
    event = "50021234b1650474656d7033000e10ff32312e35"
    for bit in range(8 * (2 + 32)):
        connection, peer = cloud_with_peer() if end == "cloud" else device_with_peer()
        connection.receive(flipped(peer.frame(event), bit), 0.0)
        closed = [event for event in connection.events() if isinstance(event, Closed)]
        assert len(closed) == connection.is_closed


@pytest.mark.parametrize("bit", [0, 500, 1023, 1024, 3071])
def test_a_device_refuses_a_changed_reply(bit: int) -> None:
    key = server_key().public_key()
    device = DeviceConnection(setup=setup(), device_key=device_key(), server_key=key, now=0.0)
    device.receive(NONCE, 0.0)
    device.data_to_send(0.0)
    device.receive(flipped(seal_credentials(server_key(), device_public_der(), CREDENTIALS), bit), 0.0)
    (closed,) = device.events()
    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.HANDSHAKE
    assert device.data_to_send(0.0) == b""


def test_a_device_refuses_a_server_that_holds_another_key() -> None:
    stranger = generate_private_key(65537, 2048)
    key = server_key().public_key()
    device = DeviceConnection(setup=setup(), device_key=device_key(), server_key=key, now=0.0)
    device.receive(NONCE, 0.0)
    device.receive(seal_credentials(stranger, device_public_der(), CREDENTIALS), 0.0)
    assert device.is_closed
