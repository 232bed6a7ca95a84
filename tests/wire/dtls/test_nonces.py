"""No (key, nonce) pair is ever used twice: whatever the store has written when the process ends, and however often."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloudchamber.wire.dtls.client import Dialect
from cloudchamber.wire.dtls.events import ReservationNeeded
from cloudchamber.wire.dtls.records import Address
from cloudchamber.wire.dtls.session import RESERVED_NUMBERS, DtlsSession
from cloudchamber.wire.dtls.state import SessionState
from tests.wire.dtls.net import Pair, endpoint, of


def explicit_nonces(datagrams: list[tuple[bytes, Address]]) -> Iterator[bytes]:
    """As they go over the wire: of epoch 1, from us, hence without connection ids."""
    for datagram, _ in datagrams:
        at = 0
        while at < len(datagram):
            size = int.from_bytes(datagram[at + 11 : at + 13], "big")
            if datagram[at + 3 : at + 5] == b"\0\1":
                assert datagram[at + 13 : at + 21] == datagram[at + 3 : at + 11]
                yield datagram[at + 13 : at + 21]
            at += 13 + size


class Nonces(RuleBasedStateMachine):
    """One session, under one key. `written` is what a crash leaves; `asked` are reservations that nobody wrote yet."""

    @initialize(dialect=st.sampled_from(list(Dialect)))
    def connect(self, dialect: Dialect) -> None:
        """The key is new with each: nothing that was used before counts."""
        self.pair = Pair(dialect)
        self.session: DtlsSession | None = self.pair.connect()
        self.written: SessionState | None = None
        self.written_marks: list[int] = []
        self.asked: list[ReservationNeeded] = []
        self.unconfirmed: list[ReservationNeeded] = []
        self.used: set[bytes] = set()
        sent = [(datagram, self.pair.address) for datagram in self.pair.to_device]
        self.note(sent)

    def note(self, datagrams: list[tuple[bytes, Address]]) -> None:
        for nonce in explicit_nonces(datagrams):
            assert nonce not in self.used, "a nonce came twice"
            self.used.add(nonce)

    def look(self) -> None:
        self.asked += of(ReservationNeeded, self.pair.cloud.events())
        self.note(self.pair.cloud.datagrams_to_send(0.0))

    def write(self, state: SessionState) -> None:
        self.written = SessionState.from_bytes_untrusted(state.to_bytes())
        self.written_marks.append(state.next_number)

    @precondition(lambda self: self.session is None and self.written is None)
    @rule()
    def begin_anew(self) -> None:
        """Crashed with nothing written: the device makes a new session in the end."""
        self.connect(Dialect.DEVICE_ID)

    @precondition(lambda self: self.session is not None)
    @rule(count=st.sampled_from([1, 2, 100, 767, 768, 1023, 1024, 1025, 3000]))
    def send(self, count: int) -> None:
        assert self.session is not None
        for _ in range(count):
            self.session.send(b"x")
        self.look()

    @precondition(lambda self: self.session is not None)
    @rule()
    def save_at_any_time(self) -> None:
        assert self.session is not None
        self.write(self.session.state())

    @precondition(lambda self: self.asked)
    @rule()
    def write_a_reservation(self) -> None:
        """A crash may come before it is confirmed."""
        needed = self.asked.pop(0)
        self.write(needed.session.state())
        self.unconfirmed.append(needed)

    @precondition(lambda self: self.unconfirmed)
    @rule()
    def confirm_a_reservation(self) -> None:
        needed = self.unconfirmed.pop(0)
        needed.session.reserved(needed.up_to)
        self.look()

    @precondition(lambda self: self.session is not None)
    @rule()
    def unload(self) -> None:
        assert self.session is not None
        self.write(self.pair.cloud.unload(self.session))
        self.session.send(b"from an object that is over")
        self.look()
        self.session = None
        self.asked.clear()
        self.unconfirmed.clear()

    @precondition(lambda self: self.session is not None)
    @rule()
    def crash(self) -> None:
        self.pair.cloud = endpoint(seed=77)
        self.session = None
        self.asked.clear()
        self.unconfirmed.clear()

    @precondition(lambda self: self.session is None and self.written is not None)
    @rule(reserves_as_it_reads=st.booleans())
    def restore(self, reserves_as_it_reads: bool) -> None:
        state = self.written
        assert state is not None
        reserved_until = None
        if reserves_as_it_reads:
            reserved_until = state.next_number + RESERVED_NUMBERS
            self.write(replace(state, next_number=reserved_until))
        self.session = self.pair.cloud.load(state, reserved_until=reserved_until)
        self.look()

    @precondition(lambda self: self.session is not None)
    @rule()
    def load_once_more(self) -> None:
        """Two look-ups of one session, by its id and by its connection id."""
        assert self.session is not None
        if self.written is not None:
            assert self.pair.cloud.load(self.written, reserved_until=None) is self.session

    @invariant()
    def what_is_written_only_grows(self) -> None:
        assert self.written_marks == sorted(self.written_marks)

    @invariant()
    def all_that_was_used_lies_below_what_is_written(self) -> None:
        if self.written is not None and self.session is None:
            assert all(int.from_bytes(nonce[2:], "big") < self.written.next_number for nonce in self.used)


Nonces.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestNonces = Nonces.TestCase


def test_without_a_reservation_nothing_goes_out_and_little_waits() -> None:
    pair = Pair()
    session = pair.connect()
    for number in range(3 * RESERVED_NUMBERS):
        session.send(b"%d" % number)
    sent = pair.cloud_says()
    assert len(sent) == RESERVED_NUMBERS - 1  # Finished took one
    (needed,) = pair.seen(ReservationNeeded)
    assert needed.up_to == session.state().next_number == 2 * RESERVED_NUMBERS
    session.reserved(needed.up_to)
    assert len(pair.cloud_says()) == 16


def test_reservations_are_asked_for_well_before_the_end() -> None:
    pair = Pair()
    session = pair.connect()
    while not (needed := pair.seen(ReservationNeeded)):
        session.send(b"x")
    left = RESERVED_NUMBERS - 1 - len(pair.cloud.datagrams_to_send(0.0))
    assert 250 < left < 260
    session.reserved(needed[0].up_to)
    session.reserved(needed[0].up_to)
    for _ in range(1000):
        session.send(b"x")
    assert len(pair.cloud_says()) == 1000


def test_a_device_never_uses_a_number_twice_either() -> None:
    pair = Pair(Dialect.PLAIN_CID)
    pair.connect()
    for _ in range(5):
        pair.device.send(b"x")
        pair.run()
        pair.resume(pair.address)
    numbers = [datagram[5:11] for datagram in pair.to_cloud if datagram[0] == 25]
    assert len(numbers) == len(set(numbers)) == 5


def test_a_repeated_finished_takes_a_new_number() -> None:
    pair = Pair()
    pair.cloud.receive_datagram(pair.device_says()[0], pair.address, 0.0)
    pair.device.receive_datagram(pair.cloud_says()[0][0], 0.0)
    pair.cloud.receive_datagram(pair.device_says()[0], pair.address, 0.0)
    pair.device.receive_datagram(pair.cloud_says()[0][0], 0.0)
    sent = [*pair.device_says()]
    pair.device.handle_deadline(3.0)
    sent += pair.device_says()
    answers: list[tuple[bytes, Address]] = []
    for datagram in sent:
        pair.cloud.receive_datagram(datagram, pair.address, 3.0)
        answers += pair.cloud_says()
    assert len(answers) == 2
    assert len(set(explicit_nonces(answers))) == 2
