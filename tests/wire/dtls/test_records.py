from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.dtls import records
from cloudchamber.wire.dtls.records import (
    ForgedRecord,
    NotReserved,
    Opener,
    Record,
    ReplayedRecord,
    ReplayWindow,
    Sealer,
    cut_device_id_untrusted,
    mark_moved_with_cid,
    mark_moved_with_device_id,
    plain_record,
    read_record_untrusted,
)
from cloudchamber.wire.errors import WireError

KEY, IV, CID = bytes(range(16)), b"\xa0\xa1\xa2\xa3", b"\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8"
MODES = [0, records.CID_DRAFT_53, records.CID_DRAFT_254, records.CID_RFC_9146]


def sealer(mode: int = 0, start: int = 0, limit: int = 1 << 40) -> Sealer:
    return Sealer(KEY, IV, cid=CID if mode else b"", mode=mode, next_number=start, limit=limit)


def opener(mode: int = 0) -> Opener:
    return Opener(KEY, IV, cid=CID if mode else b"", mode=mode, window=ReplayWindow())


def opened(end: Opener, record: bytes) -> tuple[int, bytes]:
    return end.open_untrusted(read_record_untrusted(record, 0)[0])


def test_the_cipher_is_aes_128_ccm_with_tags_of_8_bytes() -> None:
    """NIST SP 800-38C, example 3: the sizes of a nonce and a tag are ours."""
    cipher = AESCCM(bytes(range(0x40, 0x50)), tag_length=8)
    sealed = cipher.encrypt(bytes(range(0x10, 0x1C)), bytes(range(0x20, 0x38)), bytes(range(20)))
    assert sealed.hex() == "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951"


def test_a_record_without_connection_id_to_the_byte() -> None:
    sequence = bytes.fromhex("0001000000000010")
    sealed = AESCCM(KEY, tag_length=8).encrypt(IV + sequence, b"ping", sequence + bytes.fromhex("17fefd0004"))
    expected = bytes.fromhex("17fefd") + sequence + bytes.fromhex("0014") + sequence + sealed
    assert sealer(start=0x10).seal(23, b"ping") == expected


@pytest.mark.parametrize(
    ("mode", "additional"),
    [
        (254, "0001000000000010 19 fefd c1c2c3c4c5c6c7c8 08 0010"),
        (53, "0001000000000010 19 fefd c1c2c3c4c5c6c7c8 08 0010"),
        (54, "ffffffffffffffff 19 08 19 fefd 0001000000000010 c1c2c3c4c5c6c7c8 0010"),
    ],
)
def test_a_record_with_connection_id_to_the_byte(mode: int, additional: str) -> None:
    sequence = bytes.fromhex("0001000000000010")
    inner = b"ping\x17" + bytes(11)
    sealed = AESCCM(KEY, tag_length=8).encrypt(IV + sequence, inner, bytes.fromhex(additional))
    expected = bytes.fromhex("19fefd") + sequence + CID + bytes.fromhex("0020") + sequence + sealed
    assert sealer(mode, start=0x10).seal(23, b"ping") == expected


@pytest.mark.parametrize("mode", MODES)
@given(kind=st.sampled_from([21, 22, 23]), content=st.binary(max_size=300), number=st.integers(0, (1 << 40) - 1))
def test_what_is_sealed_opens(mode: int, kind: int, content: bytes, number: int) -> None:
    record = sealer(mode, number).seal(kind, content)
    assert opened(opener(mode), record) == (kind, content)
    overhead = 29 if not mode else 38 + -(len(content) + 1) % 16
    assert len(record) == len(content) + overhead


@pytest.mark.parametrize("mode", MODES)
def test_no_changed_bit_opens(mode: int) -> None:
    record = sealer(mode).seal(23, b"payload")
    end = opener(mode)
    for bit in range(8 * len(record)):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            opened(end, bytes(changed))
    assert opened(end, record) == (23, b"payload")


def test_each_order_of_additional_data_opens_only_itself() -> None:
    record = sealer(records.CID_RFC_9146).seal(23, b"payload")
    with pytest.raises(ForgedRecord):
        opened(opener(records.CID_DRAFT_254), record)


def test_a_record_that_does_not_open_uses_up_no_number() -> None:
    record, end = sealer(start=5).seal(23, b"payload"), opener()
    with pytest.raises(ForgedRecord):
        opened(end, record[:-1] + bytes((record[-1] ^ 1,)))
    assert opened(end, record) == (23, b"payload")
    with pytest.raises(ReplayedRecord):
        opened(end, record)


def test_numbers_beyond_the_limit_are_refused() -> None:
    end = sealer(start=3, limit=5)
    end.seal(23, b"")
    end.seal(23, b"")
    with pytest.raises(NotReserved):
        end.seal(23, b"")
    assert end.next_number == 5


@given(st.lists(st.integers(0, 300), max_size=200))
def test_the_window_is_a_set_of_the_newest_64(numbers: list[int]) -> None:
    window, accepted = ReplayWindow(), set[int]()
    for number in numbers:
        top = max(accepted, default=-1)
        assert window.is_new(number) == (number > top - 64 and number not in accepted)
        if window.is_new(number):
            window.accept(number)
            accepted.add(number)
    assert window.top == max(accepted, default=-1)
    assert window.bits < 1 << 64


def test_type_253_is_25_for_whoever_opens() -> None:
    record = sealer(254).seal(23, b"ping")
    marked = mark_moved_with_cid(record)
    assert marked[0] == 253
    assert read_record_untrusted(marked, 0)[0] == read_record_untrusted(record, 0)[0]


def test_type_254_as_real_firmware_sent_it() -> None:
    seen = bytes.fromhex("fefefd00010000000000100014000100000000001035cb251b7e1549b9612dc8670123456789abcdef012345670c")
    device_id, record = cut_device_id_untrusted(seen)
    assert device_id.hex() == "0123456789abcdef01234567"
    assert record == b"\x17" + seen[1:-13]
    assert mark_moved_with_device_id(record, device_id) == seen
    assert read_record_untrusted(record, 0)[0].number == 16


@pytest.mark.parametrize("trailer", ["", "0c", "000102030405060708090a0b0b", "000102030405060708090a0b0d"])
def test_type_254_with_another_trailer(trailer: str) -> None:
    with pytest.raises(WireError):
        cut_device_id_untrusted(b"\xfe\xfe\xfd" + bytes(10) + bytes.fromhex(trailer))


def test_many_records_in_a_datagram() -> None:
    datagram = plain_record(22, 7, b"one") + sealer(254).seal(23, b"two") + plain_record(20, 8, b"\1")
    first, at = read_record_untrusted(datagram, 0)
    second, at = read_record_untrusted(datagram, at)
    third, at = read_record_untrusted(datagram, at)
    assert at == len(datagram)
    assert first == Record(22, bytes(7) + b"\7", b"", b"one")
    assert (second.type, second.cid, second.epoch) == (25, CID, 1)
    assert third.number == 8


@given(st.binary(max_size=80), st.integers(0, 20))
def test_reading_raises_only_what_it_says(data: bytes, at: int) -> None:
    for read in (lambda: read_record_untrusted(data, at), lambda: cut_device_id_untrusted(data)):
        with suppress(WireError):
            read()


@given(
    st.builds(Record, st.integers(0, 255), st.binary(min_size=8, max_size=8), st.sampled_from([b"", CID]), st.binary()),
    st.sampled_from(MODES),
)
def test_opening_raises_only_what_it_says(record: Record, mode: int) -> None:
    with pytest.raises(WireError):
        opener(mode).open_untrusted(record)
