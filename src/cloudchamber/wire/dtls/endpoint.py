"""The cloud's end: one socket, many devices.

    receive_datagram(data, address, now)   events()   datagrams_to_send(now)   next_deadline()   handle_deadline(now)

`now` is monotonic time in float seconds. `receive_datagram` raises nothing, whatever comes in. Where a record belongs:

    epoch 0   ClientHello without a good cookie -> a HelloVerifyRequest, and nothing is remembered
              ClientHello with one              -> a ServerHandshake, beside the session of that address if there is one
              other handshake messages          -> the handshake of that address
    epoch 1   the handshake of that address, if the record authenticates with its keys
              else the session of its connection id, of the device id behind it, or of the address
              else, if no such session is in memory: SessionAsked, and the datagram waits for the answer

An address is only ever a hint. A session moves to a new one when a record comes from there that authenticates, is the
newest of all, and says by itself whose it is (connection id or device id). So a record that was recorded and sent once
more from elsewhere moves nothing and draws no answer.
"""

import heapq
from dataclasses import dataclass
from itertools import count
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from cloudchamber.wire.dtls import handshake_messages as messages
from cloudchamber.wire.dtls.cookies import CookieJar
from cloudchamber.wire.dtls.events import (
    ByAddress,
    ByCid,
    ByDeviceId,
    Closed,
    EndpointEvent,
    EndReason,
    Established,
    HandshakeFailed,
    Moved,
    Received,
    SessionAsked,
    SessionKey,
)
from cloudchamber.wire.dtls.flights import MAX_DATAGRAM
from cloudchamber.wire.dtls.handshake_messages import ClientHello
from cloudchamber.wire.dtls.questions import Questions
from cloudchamber.wire.dtls.raw_keys import Entropy
from cloudchamber.wire.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CLOSE_NOTIFY,
    DEVICE_ID_SIZE,
    FATAL,
    HANDSHAKE,
    MIN_DATAGRAM,
    MOVED_WITH_DEVICE_ID,
    WITH_CID,
    Address,
    ForgedRecord,
    Record,
    cut_device_id_untrusted,
    plain_record,
    read_record_untrusted,
)
from cloudchamber.wire.dtls.server import ServerHandshake
from cloudchamber.wire.dtls.session import Datagrams, DtlsSession
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError

MAX_HANDSHAKES: Final = 4096
"""About 25 MB at the worst. Each stands for an address that really receives."""

MAX_FORGED_RECORDS: Final = 1 << 20
"""Each try passes a tag of 64 bits with a chance of 2^-64; this keeps the chance for all of a session under 2^-44."""

_MAX_HELLO_NUMBER: Final = 64
_MAX_RECORD_NUMBER: Final = 1 << 40
"""A client starts at 0 with both: larger ones are made to overflow ours."""

HANDSHAKE_FAILURE: Final = 40


@dataclass(slots=True)
class Counters:
    """Since the endpoint was made; for metrics."""

    hello_verify_requests: int = 0
    handshakes_started: int = 0
    handshakes_done: int = 0
    handshakes_failed: int = 0
    retransmitted_flights: int = 0
    dropped: int = 0
    """Records and datagrams that were malformed, replayed or of no known session."""
    forged: int = 0
    moved: int = 0


class Endpoint:
    __slots__ = (
        "_by_address",
        "_by_cid",
        "_by_device_id",
        "_by_id",
        "_cookies",
        "_datagrams",
        "_entropy",
        "_events",
        "_handshakes",
        "_key",
        "_max_datagram",
        "_max_handshakes",
        "_questions",
        "_serial",
        "_timers",
        "counters",
    )

    def __init__(
        self,
        *,
        key: EllipticCurvePrivateKey,
        cookie_secret: bytes,
        entropy: Entropy,
        max_handshakes: int = MAX_HANDSHAKES,
        max_datagram: int = MAX_DATAGRAM,
    ) -> None:
        """`key`: P-256, whose public half devices hold. `cookie_secret`: 32 random bytes."""
        self.counters = Counters()
        self._key = key
        self._cookies = CookieJar(cookie_secret)
        self._entropy = entropy
        self._max_handshakes = max_handshakes
        self._max_datagram = max_datagram
        self._events: list[EndpointEvent] = []
        self._datagrams: Datagrams = []
        self._handshakes: dict[Address, ServerHandshake] = {}
        self._timers: list[tuple[float, int, ServerHandshake]] = []
        self._serial = count()
        self._by_id: dict[bytes, DtlsSession] = {}
        self._by_address: dict[Address, DtlsSession] = {}
        self._by_cid: dict[bytes, DtlsSession] = {}
        self._by_device_id: dict[bytes, DtlsSession] = {}
        self._questions = Questions()

    # --- the surface of every connection

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        self._receive(data, address, now, may_ask=True)

    def events(self) -> list[EndpointEvent]:
        """What happened since the last call, oldest first."""
        if not self._events:
            return []
        events = self._events.copy()  # each session has this list, too
        self._events.clear()
        return events

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Each is given once."""
        if not self._datagrams:
            return []
        datagrams = self._datagrams.copy()
        self._datagrams.clear()
        return datagrams

    @property
    def has_datagrams(self) -> bool:
        """There is something to send."""
        return bool(self._datagrams)

    def next_deadline(self) -> float | None:
        timers = self._timers
        while timers:
            deadline, _, handshake = timers[0]
            if self._handshakes.get(handshake.address) is handshake and handshake.deadline == deadline:
                return deadline
            heapq.heappop(timers)
        return None

    def handle_deadline(self, now: float) -> None:
        """Calling early does nothing."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, _, handshake = heapq.heappop(self._timers)
            self.counters.retransmitted_flights += handshake.handle_deadline(now)
            if not handshake.is_over:
                self._set_timer(handshake)
            self._look_after(handshake)

    # --- for the owner

    @property
    def session_count(self) -> int:
        return len(self._by_id)

    @property
    def handshake_count(self) -> int:
        return len(self._handshakes)

    @property
    def question_count(self) -> int:
        return len(self._questions)

    def sessions(self) -> list[DtlsSession]:
        """All in memory."""
        return list(self._by_id.values())

    def rotate_cookie_secret(self, secret: bytes) -> None:
        self._cookies.rotate(secret)

    def identify(self, session: DtlsSession, device_id: bytes) -> None:
        """The session is of this device: its key is the one on record. An older session of the device ends."""
        assert len(device_id) == DEVICE_ID_SIZE
        if session.is_closed or session.device_id == device_id:
            return
        older = self._by_device_id.get(device_id)
        if older is not None:
            self._end(older, EndReason.REPLACED)
        if session.device_id is not None:
            del self._by_device_id[session.device_id]
        session.device_id = device_id
        self._by_device_id[device_id] = session

    def close(self, session: DtlsSession, now: float) -> None:
        """With close_notify: the device makes a new session at once."""
        self._end(session, EndReason.LOCAL, notify=True)

    def unload(self, session: DtlsSession) -> SessionState:
        """Forgets a session that the device will go on with: what to store of it. No event, nothing is sent."""
        state = session.state()
        self._forget(session)
        session.end(notify=False)
        return state

    def load(self, state: SessionState, *, reserved_until: int | None = None) -> DtlsSession | None:
        """A stored session into memory, to send to a device that has been silent. None when a newer session of the
        device is here; the one in memory when it is this one.

        A loaded session cannot send before numbers are reserved. A store that raises `next_number` in the same step
        as it reads the state tells the new value as `reserved_until`.
        """
        live = self._by_id.get(state.id)
        if live is not None:
            return live
        if state.device_id is not None and state.device_id in self._by_device_id:
            return None
        session = DtlsSession(state, self._events, self._datagrams)
        if reserved_until is not None:
            session.assume_reserved(reserved_until)
        self._remember(session)
        self._by_address.setdefault(session.address, session)
        session.ask_for_numbers()
        return session

    def pack(self, session: DtlsSession) -> bytes:
        """As `unload`, for a session that goes on in this process soon: nothing of it has to be read from a store."""
        packed = session.pack()
        self._forget(session)
        session.end(notify=False)
        return packed

    def unpack(self, packed: bytes) -> DtlsSession:
        """The session is in memory again. Each packed one can be gone on with once, and only while no newer session of
        its device is here."""
        session = DtlsSession.unpack(packed, self._events, self._datagrams)
        assert session.id not in self._by_id
        self._remember(session)
        self._by_address.setdefault(session.address, session)
        return session

    def restore(
        self, ticket: int, state: SessionState | None, now: float, *, reserved_until: int | None = None
    ) -> DtlsSession | None:
        """The answer to SessionAsked: what waited is handled now. `state` None: there is no such session."""
        if state is None or not self._questions.is_open(ticket):
            self.drop(ticket)
            return None
        session = self.load(state, reserved_until=reserved_until)
        self.found(ticket, now)
        return None if session is None or session.is_closed else session

    def found(self, ticket: int, now: float) -> None:
        """The answer to SessionAsked for a session that is in memory again."""
        for data, address in self._questions.take(ticket) or ():
            self._receive(data, address, now, may_ask=False)

    def drop(self, ticket: int) -> None:
        """The answer to SessionAsked where there is no such session, or no time to look for it."""
        self.counters.dropped += len(self._questions.take(ticket) or ())

    # --- records

    def _receive(self, data: bytes, address: Address, now: float, *, may_ask: bool) -> None:
        if len(data) < MIN_DATAGRAM:
            return
        whole, device_id, at = data, None, 0
        try:
            if data[0] == MOVED_WITH_DEVICE_ID:
                device_id, data = cut_device_id_untrusted(data)
            while at < len(data):
                record, at = read_record_untrusted(data, at)
                sequence = record.sequence
                epoch = sequence[0] << 8 | sequence[1]
                if epoch == 1:
                    missing = self._protected(record, address, device_id)
                    if missing is not None:
                        if may_ask:
                            self._ask(missing, whole, address, now)
                        else:
                            self.counters.dropped += 1
                        return
                elif epoch == 0:
                    self._plain(record, address, now)
                else:
                    self.counters.dropped += 1
        except WireError:
            self.counters.dropped += 1

    def _plain(self, record: Record, address: Address, now: float) -> None:
        if record.type == HANDSHAKE:
            if record.body[:1] == bytes((messages.CLIENT_HELLO,)):
                self._client_hello(record, address, now)
                return
            handshake = self._handshakes.get(address)
            if handshake is not None:
                handshake.receive_plain(record.body)
                self._look_after(handshake)
        elif record.type == ALERT and len(record.body) == 2 and record.body[0] == FATAL:
            # Anybody may have sent it: it stops our own repetition, and the handshake can still go on.
            handshake = self._handshakes.get(address)
            if handshake is not None:
                handshake.peer_alert = record.body[1]

    def _protected(self, record: Record, address: Address, device_id: bytes | None) -> SessionKey | None:
        """What to ask for, if the record may be of a session that is not in memory."""
        cid = record.cid
        may_be_handshake = False
        handshake = self._handshakes.get(address) if self._handshakes else None
        if handshake is not None and device_id is None and cid == handshake.cid:
            may_be_handshake = True
            taken = handshake.receive_protected(record)
            self._look_after(handshake)
            if taken:
                return None
        if device_id is not None:
            session = self._by_device_id.get(device_id)
        elif cid:
            session = self._by_cid.get(cid)
        else:
            session = self._by_address.get(address)
            if session is not None and session.cid:
                session = None  # the network gave its address to another device
        if session is not None:
            self._record_of(session, record, address, says_whose=device_id is not None or bool(cid))
            return None
        if may_be_handshake or record.type not in (APPLICATION_DATA, WITH_CID):
            self.counters.dropped += 1
            return None
        if device_id is not None:
            return ByDeviceId(device_id)
        return ByCid(cid) if cid else ByAddress(address)

    def _record_of(self, session: DtlsSession, record: Record, address: Address, *, says_whose: bool) -> None:
        window = session.opener.window
        newest = window.top
        try:
            kind, content = session.opener.open_untrusted(record)
        except ForgedRecord:
            self.counters.forged += 1
            session.forged_records += 1
            if session.forged_records >= MAX_FORGED_RECORDS:
                self._end(session, EndReason.FORGERIES, notify=True)
            return
        except WireError:  # seen before: the rest of its datagram may still be new
            self.counters.dropped += 1
            return
        if says_whose and window.top > newest and self._by_address.get(address) is not session:
            self._move(session, address)
        if kind == APPLICATION_DATA:
            session.final_flight = None  # it has arrived
            if content:
                self._events.append(Received(session, content))
        elif kind == ALERT:
            if content == CLOSE_NOTIFY or content[:1] == bytes((FATAL,)):
                self._end(session, EndReason.PEER)
        elif kind == HANDSHAKE:
            session.repeat_final_flight()

    def _ask(self, key: SessionKey, datagram: bytes, address: Address, now: float) -> None:
        parked = self._questions.park(key, datagram, address, now, self._serial.__next__)
        if isinstance(parked, SessionAsked):
            self._events.append(parked)
        elif not parked:
            self.counters.dropped += 1

    # --- sessions

    def _remember(self, session: DtlsSession) -> None:
        self._by_id[session.id] = session
        if session.cid:
            self._by_cid[session.cid] = session
        if session.device_id is not None:
            self._by_device_id[session.device_id] = session

    def _take_address(self, session: DtlsSession) -> None:
        """Whoever had the address before can only be reached by what its own records say; or not at all."""
        before = self._by_address.get(session.address)
        self._by_address[session.address] = session
        if before is None or before is session:
            return
        is_same_device = before.peer_spki == session.peer_spki
        if is_same_device or not (before.cid or before.device_id):
            self._end(before, EndReason.REPLACED)

    def _move(self, session: DtlsSession, address: Address) -> None:
        old = session.address
        if self._by_address.get(old) is session:
            del self._by_address[old]
        session.address = address
        self._take_address(session)
        if old != address:
            self.counters.moved += 1
            self._events.append(Moved(session, old, address))

    def _forget(self, session: DtlsSession) -> None:
        self._by_id.pop(session.id, None)
        if self._by_address.get(session.address) is session:
            del self._by_address[session.address]
        if self._by_cid.get(session.cid) is session:
            del self._by_cid[session.cid]
        if session.device_id is not None and self._by_device_id.get(session.device_id) is session:
            del self._by_device_id[session.device_id]

    def _end(self, session: DtlsSession, reason: EndReason, *, notify: bool = False) -> None:
        if session.is_closed:
            return
        self._forget(session)
        session.end(notify=notify)
        self._events.append(Closed(session, reason))

    # --- handshakes

    def _client_hello(self, record: Record, address: Address, now: float) -> None:
        """Up to the cookie nothing is looked at that costs more than an HMAC, and nothing is kept."""
        fragments = messages.read_fragments_untrusted(record.body)
        body, number = fragments[0].data, fragments[0].number
        if not fragments[0].is_whole or number > _MAX_HELLO_NUMBER or record.number > _MAX_RECORD_NUMBER:
            raise WireError("ClientHello in fragments, or with impossible numbers")
        cookie, without_cookie = messages.split_cookie_untrusted(body)
        if not self._cookies.is_good(cookie, address, without_cookie):
            cookie = self._cookies.make(address, without_cookie)
            request = messages.message(messages.HELLO_VERIFY_REQUEST, number, messages.hello_verify_request(cookie))
            self.counters.hello_verify_requests += 1
            self._datagrams.append((plain_record(HANDSHAKE, record.number, request), address))
            return
        hello = messages.read_client_hello_untrusted(without_cookie)
        handshake = self._handshakes.get(address)
        if handshake is not None and handshake.is_of(hello):
            handshake.repeat_flight()
            self.counters.retransmitted_flights += 1
            self._look_after(handshake)
            return
        session = self._by_address.get(address)
        if session is not None and session.client_random == hello.random:
            return  # came late: this handshake is through
        try:
            hello.check_untrusted()
        except WireError as error:
            alert = plain_record(ALERT, record.number, bytes((FATAL, HANDSHAKE_FAILURE)))
            self._datagrams.append((alert, address))
            self._handshake_failed(address, EndReason.HANDSHAKE, str(error))
            return
        self._start_handshake(hello, body, number, record.number, address, now)

    def _start_handshake(
        self, hello: ClientHello, body: bytes, number: int, record_number: int, address: Address, now: float
    ) -> None:
        self._handshakes.pop(address, None)
        if len(self._handshakes) >= self._max_handshakes:
            oldest = next(
                (waiting for waiting in self._handshakes.values() if not waiting.has_proven_key),
                next(iter(self._handshakes.values())),
            )
            oldest.failure = (EndReason.CROWDED_OUT, "")
            self._look_after(oldest)
        handshake = ServerHandshake(
            hello,
            body,
            message_number=number,
            record_number=record_number,
            address=address,
            key=self._key,
            entropy=self._entropy,
            max_datagram=self._max_datagram,
            now=now,
        )
        self.counters.handshakes_started += 1
        self._handshakes[address] = handshake
        self._set_timer(handshake)
        self._look_after(handshake)

    def _set_timer(self, handshake: ServerHandshake) -> None:
        heapq.heappush(self._timers, (handshake.deadline, next(self._serial), handshake))

    def _look_after(self, handshake: ServerHandshake) -> None:
        """After every call: what it wants to send, and whether it is over."""
        address = handshake.address
        for datagram in handshake.datagrams:
            self._datagrams.append((datagram, address))
        handshake.datagrams.clear()
        if not handshake.is_over:
            return
        if self._handshakes.get(address) is handshake:
            del self._handshakes[address]
        if handshake.failure is not None:
            reason, detail = handshake.failure
            self._handshake_failed(address, reason, detail, handshake.peer_alert)
            return
        assert handshake.state is not None
        session = DtlsSession(
            handshake.state, self._events, self._datagrams, opener=handshake.opener, sealer=handshake.sealer
        )
        self._remember(session)
        session.send_final_flight(handshake.record_number, handshake.final_flight)
        self._take_address(session)
        self.counters.handshakes_done += 1
        self._events.append(Established(session))
        for payload in handshake.early_payloads:
            self._events.append(Received(session, payload))

    def _handshake_failed(self, address: Address, reason: EndReason, detail: str, alert: int | None = None) -> None:
        self.counters.handshakes_failed += 1
        self._events.append(HandshakeFailed(address, reason, detail, alert))
