"""What is kept in memory is what a database would say, whatever happens while it is read."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser
from cloudchamber.fleet.cache import DeviceCache
from tests.fleet.test_rules import device

OWNERS = [OwnedByUser("a"), OwnedByUser("b"), OwnedByCustomer("a")]
DEVICES = st.integers(0, 4)
STEPS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(OWNERS) | DEVICES),
    st.tuples(st.just("end"), st.integers(0, 9)),
    st.tuples(st.just("change"), DEVICES, st.none() | st.sampled_from(OWNERS)),
)


@given(st.lists(STEPS, max_size=40), st.integers(1, 6))
def test_nothing_stale_is_ever_kept(steps, limit) -> None:
    """A model: `truth` is the database; readings begin and end at any time, changes are told at once."""
    cache, truth, readings = DeviceCache(limit), {n: device(n) for n in range(5)}, []

    def owned(owner):
        return tuple(record for record in truth.values() if record.owner == owner)

    for step, *what in steps:
        if step == "begin":
            (key,) = what
            readings.append((key, truth[key] if isinstance(key, int) else owned(key), cache.version))
        elif step == "end" and readings:
            key, found, version = readings.pop(what[0] % len(readings))
            if isinstance(key, int):
                cache.keep(found, version)
            else:
                cache.keep_list(key, found, version)
        elif step == "change":
            number, owner = what
            truth[number] = replace(truth[number], owner=owner, updated_at=(truth[number].updated_at or 0) + 1)
            cache.changed(truth[number])
        for record in truth.values():
            assert cache.record(record.id) in (None, record)
        for owner in OWNERS:
            assert cache.of_owner(owner) in (None, owned(owner))
        assert len(cache._records) <= limit
        assert len(cache._listed) <= limit
        assert set(cache._listed.values()) <= set(cache._lists)
