"""Who hears which event."""

import pytest

from cloudchamber.gateway.rules import is_wanted
from cloudchamber.ids import DeviceId
from cloudchamber.wire.messages import Subscription

SOURCE = DeviceId("a" * 24)
MINE = Subscription("door/", own_devices=True)
EVERYBODYS = Subscription("door/", own_devices=False)
ONE_DEVICES = Subscription("door/", own_devices=False, device_id=SOURCE)


@pytest.mark.parametrize(
    ("subscription", "own_private", "own_public", "foreign_private", "foreign_public"),
    [
        (MINE, True, False, False, False),
        (EVERYBODYS, False, True, False, True),
        (ONE_DEVICES, True, True, False, True),
    ],
)
def test_scope(
    subscription: Subscription, own_private: bool, own_public: bool, foreign_private: bool, foreign_public: bool
) -> None:
    found = tuple(
        is_wanted([subscription], "door/open", is_own=is_own, is_private=is_private, source=SOURCE)
        for is_own in (True, False)
        for is_private in (True, False)
    )
    assert found == (own_private, own_public, foreign_private, foreign_public)


def test_a_named_device_is_the_only_one_that_is_heard() -> None:
    other = DeviceId("b" * 24)
    for source in (other, None):
        assert not is_wanted([ONE_DEVICES], "door/open", is_own=True, is_private=True, source=source)


def test_the_prefix_counts_and_any_subscription_does() -> None:
    assert not is_wanted([MINE], "window/open", is_own=True, is_private=True, source=None)
    assert not is_wanted([MINE], "Door/open", is_own=True, is_private=True, source=None)
    assert not is_wanted([], "door/open", is_own=True, is_private=True, source=None)
    assert is_wanted([Subscription("x"), MINE], "door/open", is_own=True, is_private=True, source=None)
    assert is_wanted([Subscription("")], "anything", is_own=True, is_private=True, source=None)


@pytest.mark.parametrize("name", ["spark/device/reset", "spark/device/key/restore", "particle/device/updates/forced"])
@pytest.mark.parametrize("subscription", [Subscription("spark", own_devices=False), Subscription("")])
def test_nobody_speaks_to_the_system_part_but_the_cloud(name: str, subscription: Subscription) -> None:
    for is_private in (True, False):
        assert not is_wanted([subscription], name, is_own=True, is_private=is_private, source=None)
