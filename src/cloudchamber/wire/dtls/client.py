"""A device's end of DTLS, for one peer, as Device OS makes it: its offer to the byte, its timers, its saved session.

    receive_datagram(data, now)   events()   datagrams_to_send(now)   next_deadline()   handle_deadline(now)

A device saves its whole record layer in memory that survives sleep and reset, and goes on from there without any
handshake: `suspend` gives that state, and a new client takes it. Until the server is heard, records are marked, so that
it finds the session behind an address that it does not know. How they are marked depends on the version (`Dialect`).
"""

import hashlib
import hmac
from enum import Enum
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from cloudchamber.wire.dtls import handshake_messages as messages
from cloudchamber.wire.dtls import raw_keys
from cloudchamber.wire.dtls.events import ClientEvent, Delivered, Ended, EndReason, Secured
from cloudchamber.wire.dtls.flights import MAX_DATAGRAM, pack
from cloudchamber.wire.dtls.handshake_messages import Reassembler
from cloudchamber.wire.dtls.prf import client_verify_data, key_block, master_secret, server_verify_data
from cloudchamber.wire.dtls.raw_keys import Entropy
from cloudchamber.wire.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CID_DRAFT_254,
    CID_RFC_9146,
    CLOSE_NOTIFY,
    FATAL,
    HANDSHAKE,
    MIN_DATAGRAM,
    Opener,
    Record,
    ReplayWindow,
    Sealer,
    mark_moved_with_cid,
    mark_moved_with_device_id,
    plain_record,
    read_record_untrusted,
)
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError

FIRST_TIMEOUT_S: Final = 3.0
MAX_TIMEOUT_S: Final = 24.0
"""Firmware from 1.5.0 on. When a flight has waited this long, the handshake fails and the device begins anew."""

DECRYPT_ERROR: Final = 51
_NUMBER_LIMIT: Final = 1 << 47


class Dialect(Enum):
    """What a version of Device OS offers, and how it marks the records of a resumed session."""

    DEVICE_ID = "A"
    """Up to 3.0: no connection id; type 254 and the device id behind the record."""
    PLAIN_CID = "B"
    """3.1 to 3.3: a connection id, which says enough."""
    MARKED_CID = "C"
    """From 4.0 on: a connection id, and type 253."""
    RFC_CID = "RFC"
    """No known firmware: as PLAIN_CID, with the extension and additional data of RFC 9146."""

    @property
    def cid_extension(self) -> int:
        if self is Dialect.DEVICE_ID:
            return 0
        return CID_RFC_9146 if self is Dialect.RFC_CID else CID_DRAFT_254


class ClientSetup(msgspec.Struct, frozen=True):
    device_id: bytes
    device_key: EllipticCurvePrivateKey
    server_key: EllipticCurvePublicKey
    dialect: Dialect = Dialect.MARKED_CID
    packs_flight: bool = True
    """False: one record a datagram, as firmware before 1.5 sends its flights."""
    max_datagram: int = MAX_DATAGRAM


class _Step(Enum):
    HELLO = "hello"
    """Until the server's flight is complete."""
    FINISHED = "finished"
    """Our own is out."""
    OPEN = "open"
    ENDED = "ended"


class DtlsClient:
    __slots__ = (
        "_cid",
        "_cid_mode",
        "_datagrams",
        "_deadline",
        "_entropy",
        "_events",
        "_finished",
        "_flight",
        "_incoming",
        "_is_moving",
        "_master",
        "_number",
        "_opener",
        "_random",
        "_record_number",
        "_sealer",
        "_server_point",
        "_server_random",
        "_step",
        "_timeout_s",
        "_transcript",
        "setup",
    )

    def __init__(self, setup: ClientSetup, *, entropy: Entropy, now: float, saved: SessionState | None = None) -> None:
        """`saved`: goes on with this session, open from the start and without a word on the wire."""
        self.setup = setup
        self._entropy = entropy
        self._events: list[ClientEvent] = []
        self._datagrams: list[bytes] = []
        self._deadline: float | None = None
        self._timeout_s = FIRST_TIMEOUT_S
        self._number = 0
        self._record_number = 0
        self._flight: list[bytes] = []
        self._finished = b""
        self._incoming = Reassembler(0)
        self._transcript = hashlib.sha256()
        self._server_random = b""
        self._server_point: EllipticCurvePublicKey | None = None
        self._master = b""
        self._cid = b""
        self._cid_mode = 0
        self._opener: Opener | None = None
        self._sealer: Sealer | None = None
        self._is_moving = saved is not None
        if saved is not None:
            self._random, self._server_random, self._master = saved.client_random, saved.id, saved.master
            self._cid, self._cid_mode = saved.cid, saved.cid_mode
            self._make_keys(ReplayWindow(saved.window_top, saved.window_bits), saved.next_number)
            self._step = _Step.OPEN
            return
        self._step = _Step.HELLO
        self._random = entropy(messages.RANDOM_SIZE)
        self._say_hello(b"", now)

    # --- the surface of every connection

    def receive_datagram(self, data: bytes, now: float) -> None:
        """Raises nothing, whatever comes in."""
        at = 0
        try:
            while len(data) - at >= MIN_DATAGRAM and self._step is not _Step.ENDED:
                record, at = read_record_untrusted(data, at)
                if record.epoch == 0:
                    self._plain(record, now)
                elif self._opener is not None:
                    self._protected(record, now)
        except WireError:
            return

    def events(self) -> list[ClientEvent]:
        events, self._events = self._events, []
        return events

    def datagrams_to_send(self, now: float) -> list[bytes]:
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def next_deadline(self) -> float | None:
        return self._deadline

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        if self._deadline is None or now < self._deadline:
            return
        if self._timeout_s >= MAX_TIMEOUT_S:
            self._end(EndReason.TIMEOUT, self._step.value)
            return
        self._timeout_s = min(2 * self._timeout_s, MAX_TIMEOUT_S)
        self._deadline = now + self._timeout_s
        self._send_flight()

    # --- for the owner

    @property
    def is_open(self) -> bool:
        return self._step is _Step.OPEN

    @property
    def is_closed(self) -> bool:
        return self._step is _Step.ENDED

    def send(self, payload: bytes) -> None:
        """Only between Secured (or a resumed start) and Ended."""
        if self._step is _Step.ENDED:
            return
        assert self._step is _Step.OPEN
        assert self._sealer is not None
        record = self._sealer.seal(APPLICATION_DATA, payload)
        if self._is_moving:
            match self.setup.dialect:
                case Dialect.DEVICE_ID:
                    record = mark_moved_with_device_id(record, self.setup.device_id)
                case Dialect.MARKED_CID:
                    record = mark_moved_with_cid(record)
                case Dialect.PLAIN_CID | Dialect.RFC_CID:
                    pass
        self._datagrams.append(record)

    def close(self, now: float) -> None:
        """With close_notify, if there is a session."""
        if self._step is _Step.OPEN and self._sealer is not None:
            self._datagrams.append(self._sealer.seal(ALERT, CLOSE_NOTIFY))
        self._end(EndReason.LOCAL)

    def suspend(self) -> SessionState:
        """The device falls asleep or loses power: what it keeps. This client sends nothing any more, so that one state
        is never gone on with twice."""
        assert self._step is _Step.OPEN
        assert self._sealer is not None
        assert self._opener is not None
        self._step, self._deadline = _Step.ENDED, None
        return SessionState(
            id=self._server_random,
            master=self._master,
            client_random=self._random,
            cid=self._cid,
            cid_mode=self._cid_mode,
            next_number=self._sealer.next_number,
            window_top=self._opener.window.top,
            window_bits=self._opener.window.bits,
            peer_spki=raw_keys.spki_of(self.setup.server_key),
            device_id=self.setup.device_id,
            address=("", 0),
        )

    # --- records

    def _plain(self, record: Record, now: float) -> None:
        if self._step is _Step.OPEN:
            return
        if record.type == ALERT and record.body[:1] == bytes((FATAL,)):
            self._end(EndReason.PEER, f"alert {record.body[-1]}")
        elif record.type == HANDSHAKE:
            self._messages(record.body, now, is_protected=False)

    def _protected(self, record: Record, now: float) -> None:
        assert self._opener is not None
        try:
            kind, content = self._opener.open_untrusted(record)
        except WireError:
            return  # of another session, or seen before: the rest of the datagram may still be ours
        self._is_moving = False
        if kind == APPLICATION_DATA and self._step is _Step.OPEN:
            self._events.append(Delivered(content))
        elif kind == ALERT and (content == CLOSE_NOTIFY or content[:1] == bytes((FATAL,))):
            self._end(EndReason.PEER, "close_notify" if content == CLOSE_NOTIFY else "alert")
        elif kind == HANDSHAKE and self._step is _Step.FINISHED:
            self._messages(content, now, is_protected=True)

    def _end(self, reason: EndReason, detail: str = "") -> None:
        if self._step is _Step.ENDED:
            return
        self._step, self._deadline = _Step.ENDED, None
        self._events.append(Ended(reason, detail))

    def _make_keys(self, window: ReplayWindow, next_number: int) -> None:
        keys = key_block(self._master, self._random, self._server_random)
        self._opener = Opener(keys.server_key, keys.server_iv, cid=b"", mode=0, window=window)
        self._sealer = Sealer(
            keys.client_key,
            keys.client_iv,
            cid=self._cid,
            mode=self._cid_mode,
            next_number=next_number,
            limit=_NUMBER_LIMIT,
        )

    # --- the handshake

    def _say_hello(self, cookie: bytes, now: float) -> None:
        extensions = [
            (messages.SIGNATURE_ALGORITHMS, bytes.fromhex("0008 0403 0401 0303 0301")),
            (messages.GROUPS, bytes.fromhex("0002 0017")),
            (messages.POINT_FORMATS, bytes.fromhex("01 00")),
            (messages.CLIENT_CERTIFICATE_TYPE, bytes((1, messages.RAW_PUBLIC_KEY))),
            (messages.SERVER_CERTIFICATE_TYPE, bytes((1, messages.RAW_PUBLIC_KEY))),
        ]
        if self.setup.dialect.cid_extension:
            extensions.insert(3, (self.setup.dialect.cid_extension, b"\0"))
        hello = messages.message(
            messages.CLIENT_HELLO, self._number, messages.client_hello(self._random, cookie, extensions)
        )
        self._number += 1
        self._transcript = hashlib.sha256(hello)  # hellos before the cookie do not count
        self._flight = [hello]
        self._start_flight(now)

    def _start_flight(self, now: float) -> None:
        self._timeout_s = FIRST_TIMEOUT_S
        self._deadline = now + self._timeout_s
        self._send_flight()

    def _send_flight(self) -> None:
        """Every time with new record numbers, and Finished sealed anew."""
        room = self.setup.max_datagram - 13
        parts = [part for whole in self._flight for part in messages.fragments(whole, room)]
        records = [self._record(HANDSHAKE, part) for part in parts]
        if self._finished and self._sealer is not None:
            records.append(self._record(CHANGE_CIPHER_SPEC, b"\x01"))
            records.append(self._sealer.seal(HANDSHAKE, self._finished))
        self._datagrams += pack(records, self.setup.max_datagram) if self.setup.packs_flight else records

    def _record(self, kind: int, body: bytes) -> bytes:
        record = plain_record(kind, self._record_number, body)
        self._record_number += 1
        return record

    def _messages(self, body: bytes, now: float, *, is_protected: bool) -> None:
        try:
            for fragment in messages.read_fragments_untrusted(body):
                if (fragment.kind == messages.FINISHED) is not is_protected:
                    continue
                if fragment.kind == messages.SERVER_HELLO_DONE and self._step is _Step.FINISHED:
                    self._send_flight()  # the server repeats its flight: ours was lost
                    continue
                self._incoming.add_untrusted(fragment)
            while self._step in (_Step.HELLO, _Step.FINISHED) and (found := self._incoming.next_message()) is not None:
                self._message_untrusted(*found, now)
        except WireError as error:
            if self._step is _Step.HELLO:
                self._datagrams.append(self._record(ALERT, bytes((FATAL, DECRYPT_ERROR))))
            self._end(EndReason.HANDSHAKE, str(error))

    def _message_untrusted(self, kind: int, number: int, body: bytes, now: float) -> None:
        if kind == messages.HELLO_VERIFY_REQUEST and not self._server_random:
            self._say_hello(messages.read_hello_verify_request_untrusted(body), now)
            return
        if kind == messages.FINISHED and self._step is _Step.FINISHED:
            if not hmac.compare_digest(body, server_verify_data(self._master, self._transcript.digest())):
                raise WireError("Finished does not fit")
            self._step, self._deadline = _Step.OPEN, None
            self._flight, self._finished = [], b""
            self._events.append(Secured())
            return
        self._transcript.update(messages.message(kind, number, body))
        if kind == messages.SERVER_HELLO and not self._server_random:
            hello = messages.read_server_hello_untrusted(body)
            self._server_random = hello.random
            self._cid_mode = self.setup.dialect.cid_extension
            self._cid = hello.cid_untrusted(self._cid_mode)
            if self._cid_mode and not self._cid:
                raise WireError("server gave no connection id")
        elif kind == messages.SERVER_KEY_EXCHANGE and self._server_random and self._server_point is None:
            point, signature = messages.read_server_key_exchange_untrusted(body)
            covered = self._random + self._server_random + messages.key_exchange_parameters(point)
            raw_keys.verify_untrusted(self.setup.server_key, signature, covered)
            self._server_point = raw_keys.read_point_untrusted(point)
        elif kind == messages.SERVER_HELLO_DONE and self._server_point is not None:
            self._answer(self._server_point, now)
        elif kind != messages.CERTIFICATE_REQUEST or self._server_point is None:
            raise WireError("handshake message out of its place")

    def _answer(self, server_point: EllipticCurvePublicKey, now: float) -> None:
        own = raw_keys.ephemeral_key(self._entropy)
        premaster = raw_keys.shared_secret(own, server_point)
        self._master = master_secret(premaster, self._random, self._server_random)
        device_key = self.setup.device_key
        self._flight = []
        self._add(messages.CERTIFICATE, messages.certificate(raw_keys.spki_of(device_key.public_key())))
        self._add(messages.CLIENT_KEY_EXCHANGE, messages.client_key_exchange(raw_keys.point_of(own.public_key())))
        signature = raw_keys.sign_hash(device_key, self._transcript.digest())
        self._add(messages.CERTIFICATE_VERIFY, messages.signed(signature))
        verify_data = client_verify_data(self._master, self._transcript.digest())
        self._finished = messages.message(messages.FINISHED, self._number, verify_data)
        self._transcript.update(self._finished)
        self._make_keys(ReplayWindow(), 0)
        self._step = _Step.FINISHED
        self._start_flight(now)

    def _add(self, kind: int, body: bytes) -> None:
        whole = messages.message(kind, self._number, body)
        self._number += 1
        self._transcript.update(whole)
        self._flight.append(whole)
