"""Which events a device hears: a pure rule over its subscriptions."""

from collections.abc import Iterable

from cloudchamber.ids import DeviceId
from cloudchamber.wire.messages import Subscription

# Firmware acts on these by itself: reset, safe mode, claim confirmed, server key restored. Only the cloud may send
# them, and it does so as system events. The `spark` subscription of Device OS 0.7 would take them from anybody.
SYSTEM_PREFIXES = ("spark/", "particle/")


def is_wanted(
    subscriptions: Iterable[Subscription], name: str, *, is_own: bool, is_private: bool, source: DeviceId | None
) -> bool:
    """One answer for one event, however many subscriptions match: the device runs every handler that fits by itself.

    A subscription to the owner's devices hears private events of the same owner and no public ones; a subscription to
    all devices hears public events and no private ones, not even the owner's. A subscription that names a device hears
    that device alone, as far as its events are public or the owner's.
    """
    if name.startswith(SYSTEM_PREFIXES):
        return False
    for subscription in subscriptions:
        if not subscription.matches(name):
            continue
        if subscription.device_id is not None:
            if subscription.device_id == source and (is_own or not is_private):
                return True
        elif subscription.own_devices:
            if is_own and is_private:
                return True
        elif not is_private:
            return True
    return False


def reaches_beyond_owner(subscription: Subscription) -> bool:
    """Can a public event concern it? What is limited to the owner's devices hears private events only."""
    return subscription.device_id is not None or not subscription.own_devices
