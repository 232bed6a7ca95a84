"""What is kept in memory is what the database would say, whatever is read and changed in whatever order."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner
from cloudchamber.fleet.cache import DeviceCache, KeyCache
from cloudchamber.fleet.model import DeviceRecord, RecordedKey
from cloudchamber.ids import CustomerId, DeviceId, UserId
from tests.fleet.test_rules import device as any_device

ANN = OwnedByUser(UserId("a" * 24))
BOB = OwnedByUser(UserId("b" * 24))
# Same id as Ann's, another kind of owner.
CUSTOMER = OwnedByCustomer(CustomerId("a" * 24))


def device(number: int, owner: Owner | None = None) -> DeviceRecord:
    return any_device(number, owner=owner)


def test_a_kept_record_is_given_until_its_device_changes():
    cache, one, other = DeviceCache(), device(1), device(2)
    cache.keep(one, cache.version)
    cache.keep(other, cache.version)
    assert cache.record(one.id) is one
    cache.changed(replace(one, name="new"))
    assert cache.record(one.id) is None
    assert cache.record(other.id) is other


def test_what_was_read_while_something_changed_is_not_kept():
    cache, mine = DeviceCache(), device(1, ANN)
    version = cache.version
    cache.changed(device(2, BOB))
    cache.keep(mine, version)
    cache.keep_list(ANN, (mine,), version)
    assert cache.record(mine.id) is None
    assert cache.of_owner(ANN) is None


def test_an_empty_list_is_known_too_and_ends_with_a_first_device():
    cache = DeviceCache()
    assert cache.of_owner(ANN) is None
    cache.keep_list(ANN, (), cache.version)
    assert cache.of_owner(ANN) == ()
    cache.changed(device(1, ANN))
    assert cache.of_owner(ANN) is None


def test_a_device_that_goes_to_another_owner_leaves_neither_list():
    cache, moving, bobs = DeviceCache(), device(1, ANN), device(2, BOB)
    cache.keep_list(ANN, (moving,), cache.version)
    cache.keep_list(BOB, (bobs,), cache.version)
    cache.keep_list(CUSTOMER, (), cache.version)
    cache.changed(replace(moving, owner=BOB))
    assert cache.of_owner(ANN) is None
    assert cache.of_owner(BOB) is None
    assert cache.of_owner(CUSTOMER) == ()


def test_the_old_owners_list_read_just_before_an_unpublished_change_does_not_stay():
    cache, before = DeviceCache(), device(1, ANN)
    after = replace(before, owner=BOB)
    cache.keep_list(ANN, (before,), cache.version)
    # Committed, not published: Bob's list has the device already.
    cache.keep_list(BOB, (after,), cache.version)
    cache.changed(after)
    assert cache.of_owner(ANN) is None
    assert cache.of_owner(BOB) is None


def test_the_oldest_go_first():
    cache = DeviceCache(limit=3)
    for number in range(5):
        cache.keep(device(number), cache.version)
    assert [cache.record(device(number).id) is not None for number in range(5)] == [False, False, True, True, True]
    cache.keep_list(ANN, (device(1, ANN), device(2, ANN)), cache.version)
    cache.keep_list(BOB, (device(3, BOB), device(4, BOB)), cache.version)
    assert cache.of_owner(ANN) is None
    assert cache.of_owner(BOB) is not None
    cache.keep_list(CUSTOMER, tuple(device(number, CUSTOMER) for number in range(10, 20)), cache.version)
    assert cache.of_owner(CUSTOMER) is None  # larger than all that may be kept


_DEVICES = st.integers(0, 3)
_OWNERS = st.sampled_from([ANN, BOB, CUSTOMER])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), _OWNERS),
        st.tuples(st.just("arrive"), st.just(None)),
        st.tuples(st.just("change"), st.tuples(_DEVICES, st.none() | _OWNERS)),
        st.tuples(st.just("publish"), st.just(None)),
    ),
    max_size=30,
)


@given(_STEPS)
def test_once_all_is_published_no_list_differs_from_the_database(steps: list) -> None:
    """Reads take time (they arrive later than they saw the database), and so do publications."""
    cache = DeviceCache(limit=6)
    database = {number: device(number) for number in range(4)}
    reads: list = []
    unpublished: list = []

    def listed(owner: Owner) -> tuple[DeviceRecord, ...]:
        return tuple(record for record in database.values() if record.owner == owner)

    for kind, what in steps:
        if kind == "read":
            reads.append((what, cache.version, listed(what)))
        elif kind == "arrive" and reads:
            owner, version, found = reads.pop(0)
            cache.keep_list(owner, found, version)
        elif kind == "change":
            number, owner = what
            database[number] = replace(database[number], owner=owner)
            unpublished.append(database[number])
        elif kind == "publish" and unpublished:
            cache.changed(unpublished.pop(0))
    for record in unpublished:
        cache.changed(record)
    for owner, version, found in reads:
        cache.keep_list(owner, found, version)
    for owner in (ANN, BOB, CUSTOMER):
        assert cache.of_owner(owner) in (None, listed(owner))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["read", "change"]), st.integers(0, 3)),
            st.tuples(st.sampled_from(["arrive", "publish"]), st.none()),
        ),
        max_size=60,
    )
)
def test_once_all_is_published_no_key_differs_from_the_database(steps: list) -> None:
    cache = KeyCache(limit=3)
    database: dict[DeviceId, RecordedKey] = {}
    reads: list = []
    unpublished: list = []
    for count, (kind, number) in enumerate(steps):
        if kind == "read":
            device = DeviceId(str(number))
            reads.append((device, cache.version, database.get(device)))
        elif kind == "change":
            device = DeviceId(str(number))
            database[device] = RecordedKey(str(count).encode(), "api")
            unpublished.append(device)
        elif kind == "arrive" and reads:
            device, version, found = reads.pop(0)
            if found is not None:
                cache.keep(device, found, version)
        elif kind == "publish" and unpublished:
            cache.forget(unpublished.pop(0))
    for device in unpublished:
        cache.forget(device)
    for device, version, found in reads:
        if found is not None:
            cache.keep(device, found, version)
    kept = {device: found for device in database if (found := cache.key(device)) is not None}
    assert kept == {device: database[device] for device in kept}
    assert len(kept) <= 3
