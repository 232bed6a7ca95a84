from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.wire.dtls import raw_keys
from cloudchamber.wire.dtls.client import Dialect
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError
from tests.wire.dtls.net import DIALECTS, Pair, key

SPKI = raw_keys.spki_of(key("device").public_key())

STATES = st.builds(
    SessionState,
    id=st.binary(min_size=32, max_size=32),
    master=st.binary(min_size=48, max_size=48),
    client_random=st.binary(min_size=32, max_size=32),
    cid=st.binary(min_size=8, max_size=8),
    cid_mode=st.sampled_from([53, 54, 254]),
    next_number=st.integers(1, (1 << 47) - 1),
    window_top=st.integers(-1, (1 << 48) - 1),
    window_bits=st.integers(0, (1 << 64) - 1),
    peer_spki=st.just(SPKI),
    device_id=st.none() | st.binary(min_size=12, max_size=12),
    address=st.tuples(st.text("0123456789abcdef.:%", max_size=50), st.integers(0, 65_535)),
)


@given(STATES)
def test_bytes_hold_all_of_it(state: SessionState) -> None:
    assert SessionState.from_bytes_untrusted(state.to_bytes()) == state


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_real_session(dialect: Dialect) -> None:
    state = Pair(dialect).connect().state()
    data = state.to_bytes()
    assert SessionState.from_bytes_untrusted(data) == state
    assert len(data) < 300
    for end in range(len(data)):
        with pytest.raises(WireError):
            SessionState.from_bytes_untrusted(data[:end])
    with pytest.raises(WireError):
        SessionState.from_bytes_untrusted(b"\2" + data[1:])


@given(st.binary(max_size=400), STATES, st.integers(0, 300))
def test_reading_raises_only_what_it_says(data: bytes, state: SessionState, at: int) -> None:
    good = state.to_bytes()
    for damaged in (data, b"\1" + data, good[:at] + data[:3] + good[at + 3 :]):
        with suppress(WireError):
            SessionState.from_bytes_untrusted(damaged)


def test_the_secret_is_not_shown() -> None:
    state = Pair().connect().state()
    assert "master" not in repr(state)
    assert state.master.hex() not in repr(state)
    assert repr(state.master) not in repr(state)
