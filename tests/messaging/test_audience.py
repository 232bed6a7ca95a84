from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.fleet.service import DEVICE_CHANGED
from cloudchamber.messaging.audience import Audience, Member
from tests.fleet.test_rules import device

OWNERS = [OwnedByUser("a"), OwnedByUser("b"), OwnedByCustomer("a")]
RECORDS = st.builds(
    device, st.integers(0, 3), owner=st.none() | st.sampled_from(OWNERS), product=st.none() | st.sampled_from([1, 2]),
    firmware_version=st.none() | st.integers(1, 2), is_quarantined=st.booleans(),
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("enter"), RECORDS),
    st.tuples(st.just("wait"), RECORDS),
    st.tuples(st.just("leave"), RECORDS),
    st.tuples(st.just("change"), RECORDS),
)


@given(st.lists(STEPS, max_size=30))
def test_the_indexes_hold_who_is_connected_as_they_are_now(steps) -> None:
    bus = InProcessBus()
    audience, model, waiting = Audience(bus), {}, set()
    for step, record in steps:
        if step == "enter":
            audience.enter(record.id, record)
            model[record.id] = record
            waiting.discard(record.id)
        elif step == "wait":
            audience.enter(record.id, None)
            model.pop(record.id, None)
            waiting.add(record.id)
        elif step == "leave":
            audience.leave(record.id)
            model.pop(record.id, None)
            waiting.discard(record.id)
        else:
            bus.publish(DEVICE_CHANGED, record)
            if record.id in model or record.id in waiting:
                model[record.id] = record
                waiting.discard(record.id)
        for number in range(4):
            id_ = device(number).id
            assert audience.member(id_) == (Member.of(id_, model[id_]) if id_ in model else None)
        for owner in OWNERS:
            theirs = {id_ for id_, one in model.items() if one.owner == owner and not one.is_shut_out}
            assert set(audience.of_owner(owner)) == theirs
        for product in (1, 2):
            members = [one for one in model.values() if one.product == product and not one.is_shut_out]
            assert set(audience.of_product(product)) == {one.id for one in members}
            assert audience.versions(product) == Counter(one.firmware_version for one in members)
            assert (product in audience.products()) is bool(members)
    assert all(audience._by_owner.values())
    assert all(audience._by_product.values())
    assert all(all(versions.values()) for versions in audience._versions.values())
