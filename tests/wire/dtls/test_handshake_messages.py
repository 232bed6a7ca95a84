from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.dtls import handshake_messages as messages
from cloudchamber.wire.dtls import raw_keys
from cloudchamber.wire.dtls.client import Dialect, DtlsClient
from cloudchamber.wire.dtls.handshake_messages import MAX_AHEAD, MAX_MESSAGE, Fragment, Reassembler
from cloudchamber.wire.dtls.records import read_record_untrusted
from cloudchamber.wire.errors import WireError
from tests.wire.dtls.net import client_setup, key

RANDOM = bytes(range(32))
HEAD = "16fefd 0000 000000000000 00{size} 01 0000{body} 0000 000000 0000{body} fefd"
OFFER = "00 00 0004 c0ae 00ff 01 00"
BEFORE = "000d000a0008 0403 0401 0303 0301 000a00040002 0017 000b0002 0100"
AFTER = "00130002 0102 00140002 0102"
HELLO_2_3_1 = bytes.fromhex(HEAD.format(size="62", body="56") + RANDOM.hex() + OFFER + "0028" + BEFORE + AFTER)
HELLO_4_0_2 = bytes.fromhex(
    HEAD.format(size="67", body="5b") + RANDOM.hex() + OFFER + "002d" + BEFORE + "00fe 0001 00" + AFTER
)


@pytest.mark.parametrize(
    ("dialect", "golden", "size"),
    [
        (Dialect.DEVICE_ID, HELLO_2_3_1, 111),
        (Dialect.PLAIN_CID, HELLO_4_0_2, 116),
        (Dialect.MARKED_CID, HELLO_4_0_2, 116),
    ],
)
def test_the_offer_of_real_firmware(dialect: Dialect, golden: bytes, size: int) -> None:
    client = DtlsClient(client_setup(dialect), entropy=lambda size: RANDOM[:size], now=0.0)
    assert client.datagrams_to_send(0.0) == [golden]
    assert len(golden) == size
    (fragment,) = messages.read_fragments_untrusted(read_record_untrusted(golden, 0)[0].body)
    assert (fragment.kind, fragment.number, fragment.is_whole) == (messages.CLIENT_HELLO, 0, True)
    cookie, without_cookie = messages.split_cookie_untrusted(fragment.data)
    assert cookie == b""
    assert without_cookie == fragment.data[:35] + fragment.data[36:]
    hello = messages.read_client_hello_untrusted(without_cookie)
    assert hello.random == RANDOM
    assert hello.suites == {0xC0AE, 0x00FF}
    assert hello.cid_extension == dialect.cid_extension
    hello.check_untrusted()


def read_hello(body: bytes) -> messages.ClientHello:
    return messages.read_client_hello_untrusted(messages.split_cookie_untrusted(body)[1])


def parsed(extensions: list[tuple[int, bytes]]) -> messages.ClientHello:
    return read_hello(messages.client_hello(RANDOM, b"", extensions))


RAW_KEYS = [(19, b"\1\2"), (20, b"\1\2")]


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        RAW_KEYS[:1],
        RAW_KEYS[1:],
        [(19, b"\1\0"), (20, b"\1\2")],
        [*RAW_KEYS, (10, b"\0\2\0\x18")],
        [*RAW_KEYS, (13, b"\0\2\4\1")],
    ],
)
def test_peers_with_nothing_in_common(extensions: list[tuple[int, bytes]]) -> None:
    with pytest.raises(WireError):
        parsed(extensions).check_untrusted()


@pytest.mark.parametrize(("offered", "chosen"), [([54, 254, 53], 54), ([53, 254], 254), ([53], 53), ([], 0)])
def test_which_connection_id_extension_is_answered(offered: list[int], chosen: int) -> None:
    hello = parsed([*RAW_KEYS, *((number, b"\0") for number in offered)])
    assert hello.cid_extension == chosen
    cid = bytes(8) if chosen else b""
    answer = messages.read_server_hello_untrusted(messages.server_hello(RANDOM, bytes(32), hello, cid))
    assert answer.cid_untrusted(chosen) == cid
    assert set(answer.extensions) == {19, 20, 0xFF01} | ({chosen} if chosen else set())


def test_a_peer_that_wants_ids_in_our_records_gets_none_in_its_own() -> None:
    assert parsed([*RAW_KEYS, (254, b"\1\7")]).cid_extension == 0


def test_an_extension_given_twice() -> None:
    with pytest.raises(WireError):
        parsed([*RAW_KEYS, (254, b"\0"), (254, b"\0")])


def test_a_hello_cut_anywhere_or_with_a_tail() -> None:
    body = messages.client_hello(RANDOM, b"cookie", RAW_KEYS)
    assert messages.split_cookie_untrusted(body) == (b"cookie", body[:35] + body[42:])
    read_hello(body)
    without_extensions = body[: -2 - 2 * 6]
    for end in range(len(body)):
        if body[:end] == without_extensions:
            continue  # the only place where a hello may end as well
        with pytest.raises(WireError):
            read_hello(body[:end])
    with pytest.raises(WireError):
        read_hello(body + b"\0")


@given(st.binary(max_size=400))
def test_readers_raise_only_what_they_say(data: bytes) -> None:
    for read in (
        messages.read_fragments_untrusted,
        messages.read_client_hello_untrusted,
        messages.split_cookie_untrusted,
        lambda body: read_hello(b"\xfe\xfd" + body),
        lambda body: read_hello(b"\xfe\xfd" + bytes(34) + b"\0\2\xc0\xae\1\0" + body),
        messages.read_hello_verify_request_untrusted,
        messages.read_server_hello_untrusted,
        lambda body: messages.read_server_hello_untrusted(b"\xfe\xfd" + bytes(33) + b"\xc0\xae\0" + body),
        messages.read_server_key_exchange_untrusted,
        messages.read_certificate_untrusted,
        messages.read_client_key_exchange_untrusted,
        messages.read_certificate_verify_untrusted,
        raw_keys.read_spki_untrusted,
        raw_keys.read_point_untrusted,
        lambda body: raw_keys.read_point_untrusted(b"\4" + body[:64].ljust(64, b"\0")),
        lambda body: raw_keys.verify_untrusted(key("device").public_key(), body, b""),
        lambda body: raw_keys.verify_hash_untrusted(key("device").public_key(), body, bytes(32)),
    ):
        with suppress(WireError):
            read(data)


@given(st.binary(max_size=MAX_MESSAGE), st.integers(13, 200), st.randoms(use_true_random=False))
def test_fragments_in_any_order_more_than_once(body: bytes, size: int, chance: object) -> None:
    whole = messages.message(messages.CERTIFICATE, 3, body)
    parts = messages.fragments(whole, size)
    assert all(len(part) <= size for part in parts) or not body
    shuffled = parts + parts[: len(parts) // 2]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    reassembler = Reassembler(3)
    for part in shuffled:
        (fragment,) = messages.read_fragments_untrusted(part)
        reassembler.add_untrusted(fragment)
    assert reassembler.next_message() == (messages.CERTIFICATE, 3, body)
    assert reassembler.next_message() is None


def test_reassembly_is_bounded() -> None:
    reassembler = Reassembler(10)
    with pytest.raises(WireError):
        reassembler.add_untrusted(Fragment(11, MAX_MESSAGE + 1, 10, 0, b"x"))
    for number in (0, 9, 10 + MAX_AHEAD + 1, 65_535):
        reassembler.add_untrusted(Fragment(11, 1, number, 0, b"x"))
    assert reassembler.next_message() is None
    reassembler.add_untrusted(Fragment(11, 4, 10, 0, b"xx"))
    with pytest.raises(WireError):
        reassembler.add_untrusted(Fragment(11, 5, 10, 2, b"xx"))


def test_messages_wait_for_the_one_before_them() -> None:
    reassembler = Reassembler(0)
    reassembler.add_untrusted(Fragment(2, 1, 1, 0, b"b"))
    assert reassembler.next_message() is None
    reassembler.add_untrusted(Fragment(1, 1, 0, 0, b"a"))
    assert reassembler.next_message() == (1, 0, b"a")
    assert reassembler.next_message() == (2, 1, b"b")


def test_an_ephemeral_key_is_made_of_what_is_handed_in() -> None:
    def draw(size: int) -> bytes:
        return b"\x5a" * size

    assert raw_keys.spki_of(raw_keys.ephemeral_key(draw).public_key()) == raw_keys.spki_of(
        raw_keys.ephemeral_key(draw).public_key()
    )
    assert raw_keys.ephemeral_key(bytes).private_numbers().private_value == 1  # zeros: the smallest, never 0


def test_raw_public_keys_are_what_a_library_makes_of_them() -> None:
    public = key("device").public_key()
    spki = raw_keys.spki_of(public)
    assert spki == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert len(spki) == 91
    assert raw_keys.read_spki_untrusted(spki) == public
