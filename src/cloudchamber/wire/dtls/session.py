"""What a handshake leaves behind: keys, a replay window, a connection id, and an address that may change.

A session outlives the memory that it stands in. Its record numbers do too: `send` takes only numbers below a limit, and
the limit rises only after a state with a higher `next_number` is stored (`ReservationNeeded`, `reserved`). A session
that was never stored needs nobody's leave for its first block: with the process its keys are gone as well.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

from cloudchamber.wire.dtls.events import EndpointEvent, ReservationNeeded
from cloudchamber.wire.dtls.prf import key_block
from cloudchamber.wire.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CLOSE_NOTIFY,
    HANDSHAKE,
    Address,
    NotReserved,
    Opener,
    Record,
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

# Numbers below this are reserved, the top of the window when it was stored last + 1, forged records; then the state.
_PACKED: Final = struct.Struct(">QQI")


class DtlsSession:
    """Made by an endpoint. Its owner may read the attributes, and call `send`, `state` and `reserved`."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_client_random",
        "_datagrams",
        "_events",
        "_final_flight",
        "_final_flights_left",
        "_master",
        "_opener",
        "_saved_top",
        "_sealer",
        "_waiting",
        "address",
        "cid",
        "cid_mode",
        "device_id",
        "forged_records",
        "id",
        "is_closed",
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
        self.forged_records = 0
        self.is_closed = False
        self._master = state.master
        self._client_random = state.client_random
        self._events = events
        self._datagrams = datagrams
        self._waiting: list[bytes] | None = None
        self._final_flight: tuple[int, bytes] | None = None
        self._final_flights_left = MAX_FINAL_FLIGHTS
        if opener is None or sealer is None:
            keys = key_block(state.master, state.client_random, state.id)
            window = ReplayWindow(state.window_top, state.window_bits)
            opener = Opener(keys.client_key, keys.client_iv, cid=state.cid, mode=state.cid_mode, window=window)
            start = state.next_number
            sealer = Sealer(keys.server_key, keys.server_iv, cid=b"", mode=0, next_number=start, limit=start)
        self._opener = opener
        self._sealer = sealer
        self._asked = sealer.limit
        self._saved_top = opener.window.top

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
        window = self._opener.window
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
        """All of it, to go on in this process. Not for a store: its `next_number` is the one that is used next."""
        head = _PACKED.pack(self._sealer.limit, self._saved_top + 1, self.forged_records)
        return head + replace(self.state(), next_number=self._sealer.next_number).to_bytes()

    @classmethod
    def unpack(cls, packed: bytes, events: list[EndpointEvent], datagrams: Datagrams) -> DtlsSession:
        """The session that was packed. A packed one can be gone on with once."""
        limit, saved_top, forged_records = _PACKED.unpack_from(packed)
        session = cls(SessionState.from_own_bytes(packed[_PACKED.size :]), events, datagrams)
        session._sealer.limit = session._asked = limit
        session._saved_top = saved_top - 1
        session.forged_records = forged_records
        return session

    @staticmethod
    def packed_key(packed: bytes) -> bytes:
        """The `peer_spki` of a packed session."""
        return SessionState.from_own_bytes(packed[_PACKED.size :]).peer_spki

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
        return self._opener.window.top - self._saved_top

    # --- for the endpoint

    @property
    def client_random(self) -> bytes:
        return self._client_random

    @property
    def newest_number(self) -> int:
        return self._opener.window.top

    def open_untrusted(self, record: Record) -> tuple[int, bytes]:
        return self._opener.open_untrusted(record)

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
        self._final_flight = (number + 1, finished)
        self._datagrams.append((plain_record(CHANGE_CIPHER_SPEC, number, b"\x01") + sealed, self.address))

    def repeat_final_flight(self) -> None:
        if self._final_flight is not None and self._final_flights_left:
            self._final_flights_left -= 1
            self.send_final_flight(*self._final_flight)

    def final_flight_arrived(self) -> None:
        self._final_flight = None

    def end(self, *, notify: bool) -> None:
        """`notify`: with close_notify, if a number is left for it. The device then makes a new session at once."""
        self.is_closed = True
        self._waiting = self._final_flight = None
        if notify:
            try:
                record = self._sealer.seal(ALERT, CLOSE_NOTIFY)
            except NotReserved:
                return
            self._datagrams.append((record, self.address))
