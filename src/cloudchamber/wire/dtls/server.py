"""The server's half of one handshake, from the ClientHello that brought its cookie to the client's Finished.

    client                                     server
    ClientHello (cookie)               -->
                                       <--     ServerHello ServerKeyExchange CertificateRequest ServerHelloDone
    Certificate ClientKeyExchange
    CertificateVerify CCS Finished     -->
                                       <--     CCS Finished

The client's flight comes in one datagram, or in five in any order. Until its CertificateVerify fits, anybody who knows
address and port can slip in a message of his own; it would spoil the transcript for good. So a message that does not
fit takes the handshake back to where our flight went out, and the repeated flight of the real client gets through.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from cloudchamber.wire.dtls import handshake_messages as messages
from cloudchamber.wire.dtls import raw_keys
from cloudchamber.wire.dtls.events import EndReason
from cloudchamber.wire.dtls.flights import pack
from cloudchamber.wire.dtls.handshake_messages import ClientHello, Reassembler
from cloudchamber.wire.dtls.prf import KeyBlock, client_verify_data, key_block, master_secret, server_verify_data
from cloudchamber.wire.dtls.raw_keys import Entropy
from cloudchamber.wire.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CID_SIZE,
    FATAL,
    HANDSHAKE,
    Address,
    ForgedRecord,
    Opener,
    Record,
    ReplayWindow,
    Sealer,
    plain_record,
)
from cloudchamber.wire.dtls.session import RESERVED_NUMBERS
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError

FIRST_TIMEOUT_S: Final = 2.0
MAX_TIMEOUT_S: Final = 16.0
MAX_TIMEOUTS: Final = 5
"""Sent at 0, 2, 6, 14 and 30 s, given up at 46 s: a device gives up after 3 + 6 + 12 + 24 s. A first second-long
time-out would only double what a slow cellular network has to carry, since the device repeats as well."""

MAX_REPEATS: Final = 16
"""Flights sent because the hello came again."""

MAX_BAD_FLIGHTS: Final = 8
"""Each may cost us a key exchange and the check of a signature, 0.15 ms."""

MAX_EARLY: Final = 4
"""Protected records, and payloads, that come before their turn."""

DECRYPT_ERROR: Final = 51
_SESSION_ID_SIZE: Final = 32


class ServerHandshake:
    """Either `state` is set at the end, or `failure` is. What to send collects in `datagrams`."""

    __slots__ = (
        "_bad_flights",
        "_client_key",
        "_client_random",
        "_early",
        "_ephemeral",
        "_first_client_message",
        "_flight",
        "_incoming",
        "_keys",
        "_master",
        "_max_datagram",
        "_record_number",
        "_repeats_left",
        "_server_number",
        "_server_random",
        "_spki",
        "_timeouts",
        "_transcript",
        "_transcript_of_flight",
        "address",
        "cid",
        "cid_mode",
        "datagrams",
        "deadline",
        "early_payloads",
        "failure",
        "final_flight",
        "opener",
        "peer_alert",
        "sealer",
        "state",
    )

    def __init__(
        self,
        hello: ClientHello,
        hello_body: bytes,
        *,
        message_number: int,
        record_number: int,
        address: Address,
        key: EllipticCurvePrivateKey,
        entropy: Entropy,
        max_datagram: int,
        now: float,
    ) -> None:
        """`message_number`, `record_number`: of the hello. Our own go on from there, which needs no memory of the
        HelloVerifyRequest and fits into the client's replay window."""
        self.address = address
        self.cid_mode = hello.cid_extension
        self.cid = entropy(CID_SIZE) if self.cid_mode else b""
        self.datagrams: list[bytes] = []
        self.early_payloads: list[bytes] = []
        self.failure: tuple[EndReason, str] | None = None
        self.state: SessionState | None = None
        self.final_flight = b""
        self.peer_alert: int | None = None
        self.opener: Opener | None = None
        self.sealer: Sealer | None = None
        self._client_random = hello.random
        self._server_random = entropy(messages.RANDOM_SIZE)
        self._ephemeral = raw_keys.ephemeral_key(entropy)
        self._record_number = record_number
        self._max_datagram = max_datagram
        self._repeats_left = MAX_REPEATS
        self._timeouts = 0
        self._bad_flights = 0
        self._keys: KeyBlock | None = None
        self._first_client_message = message_number + 1

        params = messages.key_exchange_parameters(raw_keys.point_of(self._ephemeral.public_key()))
        signature = raw_keys.sign(key, self._client_random + self._server_random + params)
        session_id = entropy(_SESSION_ID_SIZE)
        self._flight = [
            messages.message(kind, message_number + place, body)
            for place, (kind, body) in enumerate(
                (
                    (
                        messages.SERVER_HELLO,
                        messages.server_hello(self._server_random, session_id, hello, self.cid),
                    ),
                    (messages.SERVER_KEY_EXCHANGE, params + messages.signed(signature)),
                    (messages.CERTIFICATE_REQUEST, messages.certificate_request()),
                    (messages.SERVER_HELLO_DONE, b""),
                )
            )
        ]
        self._server_number = message_number + len(self._flight)
        self._transcript_of_flight = hashlib.sha256(messages.message(messages.CLIENT_HELLO, message_number, hello_body))
        for sent in self._flight:
            self._transcript_of_flight.update(sent)
        self._await_client_flight()
        self._send_flight()
        self.deadline = now + FIRST_TIMEOUT_S

    def _await_client_flight(self) -> None:
        self._transcript = self._transcript_of_flight.copy()
        self._incoming = Reassembler(self._first_client_message)
        self._early: list[Record] = []
        self._spki = b""
        self._client_key: EllipticCurvePublicKey | None = None
        self._master = b""

    @property
    def is_over(self) -> bool:
        return self.state is not None or self.failure is not None

    @property
    def has_proven_key(self) -> bool:
        return self.opener is not None

    def is_of(self, hello: ClientHello) -> bool:
        return hmac.compare_digest(self._client_random, hello.random)

    # --- in

    def repeat_flight(self) -> None:
        """The same hello came again: our flight was lost, or is slow."""
        if self._repeats_left and not self.has_proven_key:
            self._repeats_left -= 1
            self._send_flight()

    def receive_plain(self, body: bytes) -> None:
        """The body of a handshake record in epoch 0."""
        if not self.has_proven_key:
            self._receive_messages(body, is_protected=False)

    def receive_protected(self, record: Record) -> bool:
        """A record in epoch 1. False when it is not one of ours, or cannot be told yet (then it is kept as well)."""
        if self.opener is None:
            if len(self._early) < MAX_EARLY:
                self._early.append(record)
            return False
        try:
            kind, content = self.opener.open_untrusted(record)
        except ForgedRecord:
            return False
        except WireError:
            return True
        if kind == HANDSHAKE:
            self._receive_messages(content, is_protected=True)
        elif kind == APPLICATION_DATA and len(self.early_payloads) < MAX_EARLY:
            self.early_payloads.append(content)
        elif kind == ALERT and content[:1] == bytes((FATAL,)):
            self.failure = (EndReason.PEER, "alert")
        return True

    def handle_deadline(self, now: float) -> bool:
        """True when the flight went out once more."""
        if self.is_over or now < self.deadline:
            return False
        self._timeouts += 1
        if self.peer_alert is not None:
            self.failure = (EndReason.PEER, "alert")
            return False
        if self._timeouts >= MAX_TIMEOUTS:
            self.failure = (EndReason.TIMEOUT, "")
            return False
        self.deadline = now + min(FIRST_TIMEOUT_S * (1 << self._timeouts), MAX_TIMEOUT_S)
        self._send_flight()
        return True

    # --- the client's flight

    def _receive_messages(self, body: bytes, *, is_protected: bool) -> None:
        try:
            fragments = messages.read_fragments_untrusted(body)
        except WireError:
            return
        try:
            for fragment in fragments:
                if (fragment.kind == messages.FINISHED) is is_protected:
                    self._incoming.add_untrusted(fragment)
            while not self.is_over and (found := self._incoming.next_message()) is not None:
                self._message_untrusted(*found)
        except WireError as error:
            self._begin_again(str(error))

    def _begin_again(self, why: str) -> None:
        self._bad_flights += 1
        if self.has_proven_key or self._bad_flights >= MAX_BAD_FLIGHTS:
            self.failure = (EndReason.HANDSHAKE, why)
            self.datagrams.append(plain_record(ALERT, self._next_record(), bytes((FATAL, DECRYPT_ERROR))))
            return
        self._await_client_flight()

    def _message_untrusted(self, kind: int, number: int, body: bytes) -> None:
        if kind == messages.CERTIFICATE and self._client_key is None:
            self._spki = messages.read_certificate_untrusted(body)
            self._client_key = raw_keys.read_spki_untrusted(self._spki)
        elif kind == messages.CLIENT_KEY_EXCHANGE and self._client_key is not None and not self._master:
            peer = raw_keys.read_point_untrusted(messages.read_client_key_exchange_untrusted(body))
            premaster = raw_keys.shared_secret(self._ephemeral, peer)
            self._master = master_secret(premaster, self._client_random, self._server_random)
        elif kind == messages.CERTIFICATE_VERIFY and self._client_key is not None and self._master:
            signature = messages.read_certificate_verify_untrusted(body)
            raw_keys.verify_hash_untrusted(self._client_key, signature, self._transcript.digest())
        elif kind == messages.FINISHED and self.opener is not None:
            self._finish_untrusted(number, body)
            return
        else:
            raise WireError("handshake message out of its place")
        self._transcript.update(messages.message(kind, number, body))
        if kind == messages.CERTIFICATE_VERIFY:
            self._key_is_proven(number + 1)

    def _key_is_proven(self, next_number: int) -> None:
        self._keys = keys = key_block(self._master, self._client_random, self._server_random)
        self.opener = Opener(keys.client_key, keys.client_iv, cid=self.cid, mode=self.cid_mode, window=ReplayWindow())
        self._incoming = Reassembler(next_number)  # what came ahead so far was not protected
        early, self._early = self._early, []
        for record in early:
            self.receive_protected(record)

    def _finish_untrusted(self, number: int, body: bytes) -> None:
        if not hmac.compare_digest(body, client_verify_data(self._master, self._transcript.digest())):
            raise WireError("Finished does not fit")
        self._transcript.update(messages.message(messages.FINISHED, number, body))
        verify_data = server_verify_data(self._master, self._transcript.digest())
        self.final_flight = messages.message(messages.FINISHED, self._server_number, verify_data)
        keys = self._keys
        assert keys is not None
        self.sealer = Sealer(keys.server_key, keys.server_iv, cid=b"", mode=0, next_number=0, limit=RESERVED_NUMBERS)
        assert self.opener is not None
        self.state = SessionState(
            id=self._server_random,
            master=self._master,
            client_random=self._client_random,
            cid=self.cid,
            cid_mode=self.cid_mode,
            next_number=RESERVED_NUMBERS,
            window_top=self.opener.window.top,
            window_bits=self.opener.window.bits,
            peer_spki=self._spki,
            device_id=None,
            address=self.address,
        )

    # --- out

    @property
    def record_number(self) -> int:
        """Of the next record in epoch 0."""
        return self._record_number

    def _next_record(self) -> int:
        number = self._record_number
        self._record_number = number + 1
        return number

    def _send_flight(self) -> None:
        bodies = [part for whole in self._flight for part in messages.fragments(whole, self._max_datagram - 13)]
        records = [plain_record(HANDSHAKE, self._next_record(), body) for body in bodies]
        self.datagrams += pack(records, self._max_datagram)
