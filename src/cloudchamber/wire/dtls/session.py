"""What a handshake leaves behind: keys, a replay window, a connection id, and an address that may change.

A session outlives the memory that it stands in. Its record numbers do too: `send` takes only numbers below a limit, and
the limit rises only after a state with a higher `next_number` is stored (`ReservationNeeded`, `reserved`). A session
that was never stored needs nobody's leave for its first block: with the process its keys are gone as well.
"""

from __future__ import annotations

import struct
from typing import Final

from cloudchamber.wire.dtls.events import EndpointEvent, ReservationNeeded
from cloudchamber.wire.dtls.handshake_messages import RANDOM_SIZE
from cloudchamber.wire.dtls.prf import MASTER_SIZE, key_block
from cloudchamber.wire.dtls.raw_keys import POINT_SIZE, SPKI_PREFIX
from cloudchamber.wire.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CID_SIZE,
    CLOSE_NOTIFY,
    DEVICE_ID_SIZE,
    HANDSHAKE,
    Address,
    NotReserved,
    Opener,
    ReplayWindow,
    Sealer,
    plain_record,
)
from cloudchamber.wire.dtls.state import SessionState

RESERVED_NUMBERS: Final = 1024
"""Numbers taken at a time: one write to the store for so many records."""

ASK_BELOW: Final = 256
"""How many are left when more are asked for: the store has that long."""

MAX_WAITING: Final = 16
"""Payloads that wait for a reservation. A device that wakes asks for one thing or two before the store has answered."""

MAX_FINAL_FLIGHTS: Final = 8
"""How often the last flight is repeated for a client that repeats its own: it gives up after five."""

Datagrams = list[tuple[bytes, Address]]

# point of the peer's key(65) id(32) master(48) client random(32), keys(16) and fixed nonces(4) inwards and outwards,
# cid mode(1) cid(8) has device id(1) device id(12), next number(8) and how many more are reserved(4), window top + 1(8)
# window bits(8), by how much the window went on since it was stored(4) forged records(4) port(2); then the host, UTF-8
_PACKED: Final = struct.Struct(
    f">{POINT_SIZE}s{RANDOM_SIZE}s{MASTER_SIZE}s{RANDOM_SIZE}s16s16s4s4sB{CID_SIZE}s?{DEVICE_ID_SIZE}sQIQQIIH"
)
_MAX_UNSAVED: Final = (1 << 32) - 1


class DtlsSession:
    """Made by an endpoint. Its owner may read the attributes, and call `send`, `state` and `reserved`."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_client_random",
        "_datagrams",
        "_events",
        "_final_flights_left",
        "_master",
        "_saved_top",
        "_sealer",
        "_waiting",
        "address",
        "cid",
        "cid_mode",
        "device_id",
        "final_flight",
        "forged_records",
        "id",
        "is_closed",
        "opener",
        "peer_spki",
    )

    def __init__(
        self,
        state: SessionState,
        events: list[EndpointEvent],
        datagrams: Datagrams,
        *,
        opener: Opener | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        """`opener` and `sealer`: of a handshake that just ended; a stored state makes its own, with nothing reserved.
        `events` and `datagrams`: where the endpoint collects them."""
        self.id = state.id
        self.address = state.address
        self.cid = state.cid
        self.cid_mode = state.cid_mode
        self.device_id = state.device_id
        self.peer_spki = state.peer_spki
        self._master = state.master
        self._client_random = state.client_random
        if opener is None or sealer is None:
            keys = key_block(state.master, state.client_random, state.id)
            window = ReplayWindow(state.window_top, state.window_bits)
            opener = Opener(keys.client_key, keys.client_iv, cid=state.cid, mode=state.cid_mode, window=window)
            start = state.next_number
            sealer = Sealer(keys.server_key, keys.server_iv, cid=b"", mode=0, next_number=start, limit=start)
        self._begin(opener, sealer, events, datagrams)

    def _begin(self, opener: Opener, sealer: Sealer, events: list[EndpointEvent], datagrams: Datagrams) -> None:
        self.opener = opener
        self._sealer = sealer
        self._events = events
        self._datagrams = datagrams
        self._asked = sealer.limit
        self._saved_top = opener.window.top
        self._waiting: list[bytes] | None = None
        self.final_flight: tuple[int, bytes] | None = None
        self._final_flights_left = MAX_FINAL_FLIGHTS
        self.forged_records = 0
        self.is_closed = False

    # --- for the owner

    def send(self, payload: bytes) -> None:
        """One payload, one record, one datagram. What the peer can take is the business of the layer above."""
        if self.is_closed:
            return
        try:
            record = self._sealer.seal(APPLICATION_DATA, payload)
        except NotReserved:
            if self._waiting is None:
                self._waiting = []
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(payload)
        else:
            self._datagrams.append((record, self.address))
        if self._sealer.limit - self._sealer.next_number < ASK_BELOW:
            self.ask_for_numbers()

    def state(self) -> SessionState:
        """What to store. Its `next_number` lies above all that was used, may be used, or was asked for."""
        window = self.opener.window
        self._saved_top = window.top
        return SessionState(
            id=self.id,
            master=self._master,
            client_random=self._client_random,
            cid=self.cid,
            cid_mode=self.cid_mode,
            next_number=self._asked,
            window_top=window.top,
            window_bits=window.bits,
            peer_spki=self.peer_spki,
            device_id=self.device_id,
            address=self.address,
        )

    def pack(self) -> bytes:
        """All of it, to go on in this process. Not for a store: its next number is the one that is used next, and
        with the master secret go the keys, which take ten times as long to make as all the rest."""
        opener, sealer = self.opener, self._sealer
        window = opener.window
        host, port = self.address
        return (
            _PACKED.pack(
                self.peer_spki[len(SPKI_PREFIX) :],
                self.id,
                self._master,
                self._client_random,
                opener.key,
                sealer.key,
                opener.iv,
                sealer.iv,
                self.cid_mode,
                self.cid,
                self.device_id is not None,
                self.device_id or b"",
                sealer.next_number,
                sealer.limit - sealer.next_number,
                window.top + 1,
                window.bits,
                # A peer may leave out as many numbers as it likes; what is unsaved here is stored soon anyhow.
                min(window.top - self._saved_top, _MAX_UNSAVED),
                self.forged_records,
                port,
            )
            + host.encode()
        )

    @classmethod
    def unpack(cls, packed: bytes, events: list[EndpointEvent], datagrams: Datagrams) -> DtlsSession:
        """The session that was packed. A packed one can be gone on with once."""
        session = cls.__new__(cls)
        (
            point,
            session.id,
            session._master,
            session._client_random,
            opener_key,
            sealer_key,
            opener_iv,
            sealer_iv,
            mode,
            cid,
            has_id,
            device_id,
            next_number,
            numbers_left,
            top,
            bits,
            unsaved,
            forged,
            port,
        ) = _PACKED.unpack_from(packed)
        if not mode:
            cid = b""
        session.address = (packed[_PACKED.size :].decode(), port)
        session.cid = cid
        session.cid_mode = mode
        session.device_id = device_id if has_id else None
        session.peer_spki = SPKI_PREFIX + point
        opener = Opener(opener_key, opener_iv, cid=cid, mode=mode, window=ReplayWindow(top - 1, bits))
        limit = next_number + numbers_left
        sealer = Sealer(sealer_key, sealer_iv, cid=b"", mode=0, next_number=next_number, limit=limit)
        session._begin(opener, sealer, events, datagrams)
        session._saved_top -= unsaved
        session.forged_records = forged
        return session

    @staticmethod
    def packed_key(packed: bytes) -> bytes:
        """The `peer_spki` of a packed session."""
        return SPKI_PREFIX + packed[:POINT_SIZE]

    def reserved(self, up_to: int) -> None:
        """A state with this `next_number` is stored, and would survive a crash now."""
        assert up_to <= self._asked, "only what state() tells can have been stored"
        if up_to <= self._sealer.limit or self.is_closed:
            return
        self._sealer.limit = up_to
        waiting, self._waiting = self._waiting, None
        for payload in waiting or ():
            self.send(payload)

    @property
    def unsaved_records(self) -> int:
        """By how much the replay window went on since the last `state()`."""
        return self.opener.window.top - self._saved_top

    # --- for the endpoint

    @property
    def client_random(self) -> bytes:
        return self._client_random

    def assume_reserved(self, up_to: int) -> None:
        """The store raised `next_number` to this when it gave us the state."""
        assert self._sealer.next_number == self._sealer.limit <= up_to
        self._sealer.limit = self._asked = up_to

    def ask_for_numbers(self) -> None:
        limit = self._sealer.limit
        if self._asked == limit and limit - self._sealer.next_number < ASK_BELOW:
            self._asked = limit + RESERVED_NUMBERS
            self._events.append(ReservationNeeded(self, self._asked))

    def send_final_flight(self, number: int, finished: bytes) -> None:
        """ChangeCipherSpec (epoch 0, with this record number) and Finished; kept for a client that did not get it."""
        try:
            sealed = self._sealer.seal(HANDSHAKE, finished)
        except NotReserved:
            return
        self.final_flight = (number + 1, finished)
        self._datagrams.append((plain_record(CHANGE_CIPHER_SPEC, number, b"\x01") + sealed, self.address))

    def repeat_final_flight(self) -> None:
        if self.final_flight is not None and self._final_flights_left:
            self._final_flights_left -= 1
            self.send_final_flight(*self.final_flight)

    def end(self, *, notify: bool) -> None:
        """`notify`: with close_notify, if a number is left for it. The device then makes a new session at once."""
        self.is_closed = True
        self._waiting = self.final_flight = None
        if notify:
            try:
                record = self._sealer.seal(ALERT, CLOSE_NOTIFY)
            except NotReserved:
                return
            self._datagrams.append((record, self.address))
