"""Pure rules: which events a device hears, and when its silence means that it is gone."""

from collections.abc import Iterable
from typing import Final

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


_STEADY: Final = frozenset({12, 14, 22, 24, 32})
"""Argon, Xenon, their modules, P2: on Wi-Fi or a mesh, with a ping every 25 to 30 s, set by the system at each connect.
Every other platform that speaks DTLS may be on a cellular network, where the firmware pings every 23 minutes."""

_STEADY_PING_S: Final = 30.0
_CELLULAR_PING_S: Final = 23 * 60.0

_UNTIL_IT_GIVES_UP_S: Final = 90.0
"""A ping that gets lost is sent four times in up to 42 s; 60 to 90 s after the first the device begins anew, and says
Hello. Who is silent for longer than this after a ping was due has lost its power, its network, or sleeps."""


def offline_after_s(platform_id: int) -> float:
    """For how many seconds of silence a device on datagrams is still counted as online.

    There is no connection that could break: only its next ping tells that a device is there. An application can ask
    for pings more often (`Particle.keepAlive`), never for fewer than the network needs; where it asks for fewer all the
    same, the device is offline between them, and online again with each. Its session stays as it is.
    """
    ping_s = _STEADY_PING_S if platform_id in _STEADY else _CELLULAR_PING_S
    return ping_s + _UNTIL_IT_GIVES_UP_S
