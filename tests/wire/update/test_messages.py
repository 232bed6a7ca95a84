"""The messages of both protocols: against bytes of the real encoders, and against nonsense."""

import pytest
from msgspec.structs import replace

from cloudchamber.wire.coap import Code, Message, Option, Type, decode_untrusted, encode
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.update import messages
from cloudchamber.wire.update.messages import Acknowledgement, Begin, Chunk, OtaOption, Start, Started
from tests.captures import load

BY_NAME = {row["name"]: bytes.fromhex(row["bytes"]) for row in load("messages.json")}
FRAMES = {row["name"]: bytes.fromhex(row["plaintext"]) for row in load("frames.json")}
ID = 0x1234
SHA = b"\xaa" * 32


def test_what_devices_send_in_the_legacy_protocol() -> None:
    built = {
        "chunk_missed": messages.chunks_missed(ID, [5], confirmable=True),
        "update_done_udp": messages.device_update_done(ID, b'{"r":0}', confirmable=True),
        "update_ready_fast_tcp": messages.update_ready(ID, b"\x33", is_fast=True, confirmable=False),
        "update_ready_slow_tcp": messages.update_ready(ID, b"\x33", is_fast=False, confirmable=False),
        "update_ready_fast_udp": messages.update_ready(ID, b"\x33", is_fast=True, confirmable=True),
        "chunk_ok_tcp": messages.chunk_answer(ID, b"\x22", is_whole=True, confirmable=False),
        "chunk_bad_tcp": messages.chunk_answer(ID, b"\x22", is_whole=False, confirmable=False),
    }
    assert {name: encode(message) for name, message in built.items()} == {name: BY_NAME[name] for name in built}


def test_what_the_cloud_sends_in_the_legacy_protocol() -> None:
    begin = Begin(is_fast=True, chunk_size=512, length=0x12345)
    raw = encode(messages.update_begin(0xABD0, 0x33, begin))
    assert raw.hex() == "4102abd033b175ff" + "01" + "0200" + "00012345" + "00" + "00000000"
    assert messages.read_begin(raw) == begin
    assert messages.read_begin(FRAMES["ReceivedMessageRecognizesUpdateBegin"]) is None
    assert encode(messages.update_done(0xABD2, 0x11)) == FRAMES["ReceivedMessageRecognizesUpdateDone"]
    assert encode(messages.chunk(ID, 0x22, b"abc", 0x0102, confirmable=False)).hex() == (
        "5102123422b16344" + "352441c2" + "020102" + "ff" + b"abc".hex()
    )


def test_the_chunk_of_the_firmwares_own_test() -> None:
    """Its checksum is made up, so it counts as damaged."""
    message = decode_untrusted(FRAMES["ReceivedMessageRecognizesChunk"])
    chunk = messages.read_chunk_untrusted(message)
    assert chunk.data == b"not actually a valid firmware data chunk payload, but the header is fine"
    assert (chunk.index, chunk.is_whole) == (None, False)
    again = messages.chunk(message.id, message.token[0], chunk.data, None, confirmable=True)
    assert [number for number, _ in again.options] == [number for number, _ in message.options]


@pytest.mark.parametrize("index", [None, 0, 0xFFFD])
def test_a_chunk_comes_back(index: int | None) -> None:
    message = decode_untrusted(encode(messages.chunk(ID, 1, b"data", index, confirmable=False)))
    assert messages.read_chunk_untrusted(message) == Chunk(b"data", index, is_whole=True)


def test_version_3_as_the_real_encoders_print_it() -> None:
    built = {
        "ota3_start": messages.start(ID, 0x55, Start(100_000, SHA, 512)),
        "ota3_start_resp": messages.started(ID, b"\x55", Started(256, 0), confirmable=True),
        "ota3_chunk": messages.v3_chunk(ID, 1, b"abcd"),
        "ota3_ack_gap": messages.acknowledgement(ID, 2, 0b10),
        "ota3_finish": messages.finish(0x3456, 0x56),
        "ota3_finish_cancel_discard": messages.finish(0x3456, 0x56, cancels=True, discards=True),
    }
    built = {name: replace(message, id=ID) for name, message in built.items()}
    recorded = {name: replace(decode_untrusted(BY_NAME[name]), id=ID) for name in built}
    assert built == recorded
    for name in built:
        assert encode(decode_untrusted(BY_NAME[name])) == BY_NAME[name]


def test_version_3_is_read() -> None:
    assert messages.read_start_untrusted(decode_untrusted(BY_NAME["ota3_start"])) == Start(100_000, SHA, 512)
    assert messages.read_started_untrusted(decode_untrusted(BY_NAME["ota3_start_resp"])) == Started(256, 0)
    assert messages.read_v3_index_untrusted(decode_untrusted(BY_NAME["ota3_chunk"])) == 1
    found = messages.read_acknowledgement_untrusted(decode_untrusted(BY_NAME["ota3_ack_gap"]))
    assert found == Acknowledgement(2, 0b10)


@pytest.mark.parametrize("later", [0, 1, 1 << 31, 1 << 32, (1 << 255) | 5])
def test_an_acknowledgements_map(later: int) -> None:
    message = messages.acknowledgement(ID, 7, later)
    assert len(message.payload or b"") % 4 == 0
    assert messages.read_acknowledgement_untrusted(decode_untrusted(encode(message))) == Acknowledgement(7, later)


def v3(*options: tuple[int, bytes]) -> Message:
    return Message(Type.CON, Code.POST, ID, b"T", ((Option.URI_PATH, b"S"), *options))


@pytest.mark.parametrize(
    "message",
    [
        v3(),
        v3((OtaOption.FILE_SIZE, b"\1")),
        v3((OtaOption.CHUNK_SIZE, b"\2\0")),
        v3((OtaOption.FILE_SIZE, b""), (OtaOption.CHUNK_SIZE, b"\2\0")),
        v3((OtaOption.FILE_SIZE, b"\1" * 5), (OtaOption.CHUNK_SIZE, b"\2\0")),
        v3((OtaOption.FILE_SIZE, b"\1"), (OtaOption.CHUNK_SIZE, b"\2\1")),
        v3((OtaOption.FILE_SIZE, b"\1"), (OtaOption.CHUNK_SIZE, b"\1\0")),
        v3((OtaOption.FILE_SIZE, b"\1"), (OtaOption.SHA256, b"short"), (OtaOption.CHUNK_SIZE, b"\2\0")),
    ],
)
def test_a_start_that_makes_no_sense(message: Message) -> None:
    with pytest.raises(WireError):
        messages.read_start_untrusted(message)


@pytest.mark.parametrize("payload", [None, b"", b"\0", b"\0\1\2"])
def test_a_report_of_missing_chunks_that_is_no_list(payload: bytes | None) -> None:
    with pytest.raises(WireError):
        messages.read_missed_untrusted(Message(Type.NON, Code.GET, ID, b"", ((Option.URI_PATH, b"c"),), payload))


def test_a_window_is_bounded_and_never_nothing() -> None:
    huge = Message(Type.CON, Code.CREATED, ID, b"T", ((OtaOption.WINDOW, b"\xff" * 4),))
    assert messages.read_started_untrusted(huge) == Started(messages.MAX_WINDOW, 0)
    with pytest.raises(WireError):
        messages.read_started_untrusted(Message(Type.CON, Code.CREATED, ID, b"T"))
    with pytest.raises(WireError):
        messages.read_acknowledgement_untrusted(
            Message(Type.NON, Code.POST, ID, b"", ((OtaOption.CHUNK_INDEX, b"\1"),), bytes(messages.MAX_WINDOW))
        )
