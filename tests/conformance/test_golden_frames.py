"""Encrypted frames from the unit tests of the firmware: legacy messages, but the channel is the same everywhere."""

import pytest

from cloudchamber.wire.coap import decode_untrusted, encode
from cloudchamber.wire.tcp.channel import Opener, Sealer
from tests.captures import load

FRAMES = load("frames.json")
CREDENTIALS = {fixture["name"]: bytes.fromhex(fixture["credentials"]) for fixture in load("handshakes.json")}

# A frame that follows another one of its direction: its IV is the first block of this ciphertext.
BEFORE = {
    "hello": "HandshakeSendsExpectedHello",
    "fn ack": "EventLoopRespondsToFunctionCallWithACK",
    "update ack": "EventLoopRespondsToUpdateBeginWithACK",
    "chunk ack": "EventLoopRespondsToChunkWithACK",
}


def iv_of(frame: dict[str, str]) -> bytes:
    if frame["iv"] == "cred":
        return CREDENTIALS[frame["fixture"]][16:32]
    (before,) = [f for f in FRAMES if f["name"] == BEFORE[frame["iv"]] and f["direction"] == "D>S"]
    return bytes.fromhex(before["ciphertext"])[:16]


def frame_id(frame: dict[str, str]) -> str:
    return f"{frame['name']}{frame['direction']}"


@pytest.mark.parametrize("frame", FRAMES, ids=frame_id)
def test_frame_is_sealed_to_the_same_bytes(frame: dict[str, str]) -> None:
    sealer = Sealer(CREDENTIALS[frame["fixture"]][:16], iv_of(frame))
    ciphertext = bytes.fromhex(frame["ciphertext"])
    assert sealer.seal(bytes.fromhex(frame["plaintext"])) == len(ciphertext).to_bytes(2, "big") + ciphertext


@pytest.mark.parametrize("frame", FRAMES, ids=frame_id)
def test_frame_is_opened_and_its_message_read_and_written_alike(frame: dict[str, str]) -> None:
    opener = Opener(CREDENTIALS[frame["fixture"]][:16], iv_of(frame))
    ciphertext = bytes.fromhex(frame["ciphertext"])
    opener.feed(len(ciphertext).to_bytes(2, "big") + ciphertext)
    plaintext = opener.next_message_untrusted()
    assert plaintext is not None
    assert plaintext.hex() == frame["plaintext"]
    assert encode(decode_untrusted(plaintext)) == plaintext


def test_two_frames_of_one_direction_chain_by_the_first_block() -> None:
    key, iv = CREDENTIALS["ConstructorFixture"][:16], CREDENTIALS["ConstructorFixture"][16:32]
    by_name = {frame["name"]: frame for frame in FRAMES if frame["direction"] == "D>S"}
    names = (
        "HandshakeSendsExpectedHello",
        "EventLoopRespondsToFunctionCallWithACK",
        "EventLoopLaterRespondsToFunctionCallWithFunctionReturn",
    )
    sealer, opener = Sealer(key, iv), Opener(key, iv)
    for frame in (by_name[name] for name in names):
        sealed = sealer.seal(bytes.fromhex(frame["plaintext"]))
        assert sealed[2:].hex() == frame["ciphertext"]
        opener.feed(sealed)
        assert opener.next_message_untrusted() == bytes.fromhex(frame["plaintext"])


def test_long_text_of_the_aes_unit_test() -> None:
    credentials = CREDENTIALS["CoAPFixture"]
    opener = Opener(credentials[:16], credentials[16:32])
    opener.feed(bytes.fromhex("0020cf0507476764158c7b63d04c9d17e012c2c184105bdd5e36b8ad8f61db7e85d1"))
    assert opener.next_message_untrusted() == b"Super secret message\n"
