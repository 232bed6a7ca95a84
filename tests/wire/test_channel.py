import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.errors import DecryptionError, FramingError, WireError
from cloudchamber.wire.tcp.channel import MAX_CIPHERTEXT, Opener, Sealer, ciphertext_limit, plaintext_limit

KEY, IV = bytes(range(16)), bytes(range(16, 32))


def plainly_sealed(messages: list[bytes]) -> bytes:
    """The rule written out with a new context for each message."""
    iv, out = IV, b""
    for message in messages:
        padder = PKCS7(128).padder()
        encryptor = Cipher(AES128(KEY), CBC(iv)).encryptor()
        ciphertext = encryptor.update(padder.update(message) + padder.finalize()) + encryptor.finalize()
        out += len(ciphertext).to_bytes(2, "big") + ciphertext
        iv = ciphertext[:16]
    return out


MESSAGES = st.lists(st.binary(max_size=100), max_size=8)


@given(MESSAGES, st.sets(st.integers(0, 8)))
def test_trap_01_next_iv_is_first_ciphertext_block(messages: list[bytes], rests_before: set[int]) -> None:
    sealer, sealed = Sealer(KEY, IV), b""
    for number, message in enumerate(messages):
        if number in rests_before:
            sealer.rest()
        sealed += sealer.seal(message)
    assert sealed == plainly_sealed(messages)


@given(MESSAGES, st.integers(1, 40), st.sets(st.integers(0, 8)))
def test_messages_come_out_whole_however_the_bytes_arrive(
    messages: list[bytes], size: int, rests_after: set[int]
) -> None:
    data = plainly_sealed(messages)
    opener, found = Opener(KEY, IV), []
    for at in range(0, len(data), size):
        opener.feed(data[at : at + size])
        while (message := opener.next_message_untrusted()) is not None:
            found.append(message)
        if len(found) in rests_after:
            opener.rest()
    assert found == messages
    assert opener.is_between_frames


@pytest.mark.parametrize("size", [0, 1, 15, 17, 100, MAX_CIPHERTEXT + 16, 65_520, 65_535])
def test_impossible_lengths_are_refused_before_their_bytes_arrive(size: int) -> None:
    opener = Opener(KEY, IV)
    opener.feed(size.to_bytes(2, "big"))
    with pytest.raises(FramingError):
        opener.next_message_untrusted()


def test_wrong_padding_is_refused() -> None:
    frame = bytearray(Sealer(KEY, IV).seal(b"hello"))
    frame[-1] ^= 1
    opener = Opener(KEY, IV)
    opener.feed(bytes(frame))
    with pytest.raises(DecryptionError):
        opener.next_message_untrusted()


def test_a_replayed_frame_of_one_block_is_refused() -> None:
    """With more blocks only the first is garbled: there is no MAC, and the message is then judged."""
    frame = Sealer(KEY, IV).seal(b"hello")
    opener = Opener(KEY, IV)
    opener.feed(frame + frame)
    assert opener.next_message_untrusted() == b"hello"
    with pytest.raises(DecryptionError):
        opener.next_message_untrusted()


@given(st.binary(max_size=300))
def test_only_wire_error_comes_out(data: bytes) -> None:
    opener = Opener(KEY, IV)
    opener.feed(data)
    try:
        while opener.next_message_untrusted() is not None:
            pass
    except WireError:
        pass


def test_trap_04_the_limits_of_a_photon() -> None:
    assert plaintext_limit(800) == 767
    assert ciphertext_limit(800) == 768
    assert plaintext_limit(640) == 607
    sealer = Sealer(KEY, IV)
    assert len(sealer.seal(bytes(767))) == 2 + 768
    assert len(sealer.seal(bytes(768))) == 2 + 784
