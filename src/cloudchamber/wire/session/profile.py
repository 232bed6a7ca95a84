"""How a Device OS of a given age behaves: data, so that a simulated device shows the quirks of the real one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from cloudchamber.wire.describe import Application
from cloudchamber.wire.messages import HelloFlag, Subscription
from cloudchamber.wire.update.device import Partial, UpdateTraits

ELECTRON = 10
BORON = 13
_CELLULAR = frozenset((ELECTRON, BORON, 23, 25))
"""Electron, Boron and the B-series modules: every datagram costs its owner money, and wakes a modem."""
_GEN3 = frozenset((12, BORON, 14, 22, 23, 25, 26))
_CELLULAR_PING_AFTER_S = 23 * 60.0

_WITH_DIAGNOSTICS = HelloFlag.DIAGNOSTICS | HelloFlag.IMMEDIATE_UPDATES
_SELF_DESCRIBING = _WITH_DIAGNOSTICS | HelloFlag.GOODBYE | HelloFlag.DEVICE_INITIATED_DESCRIBE


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One Device OS release.

    `buffer_size`: bytes of its message buffer; a larger message closes the connection. `max_argument`: a longer
    function argument is refused, and the function runs with it cut. `max_data`: event data and strings. `max_name`:
    functions and variables. `system_version`: module version, told in Hello from 3.0 on.
    """

    name: str
    hello_flags: int
    buffer_size: int
    max_name: int
    max_argument: int
    max_data: int
    system_version: int | None = None
    salt_is_big_endian: bool = False
    """The first message id is a 16-bit number of the salt plus one; only the Core reads it big-endian."""
    answers_in_ack: bool = False
    """Variables inside the acknowledgement, not after it."""
    describes_in_ack: bool = False
    needs_describe_flag: bool = False
    """A describe request without its flag byte gets 4.00 (3.3 and later)."""
    posts_with_token: bool = False
    system_in_protobuf: bool = False
    only_private: bool = False
    """6.x: no public events, and no `u` in subscriptions."""
    understands_content_format: bool = False
    tells_hardware: bool = False
    """`spark/hardware/max_binary` and `ota_chunk_size` as events (before they moved into Hello)."""
    tells_updates: bool = True
    asks_time_early: bool = False
    """The time request before the events of the system, not after them (seen on 6.2)."""
    system_subscriptions: tuple[Subscription, ...] = (Subscription("particle"), Subscription("spark"))
    resumes_with_hello: bool = False
    """Datagrams: says Hello at each resume, whatever changed (seen on 1.5.2)."""
    ping_after_s: float = 25.0
    """Datagrams, over Wi-Fi or Ethernet; over cellular networks it is 23 minutes."""


_OLD_SYSTEM = (Subscription("spark", own_devices=False),)

PROFILES: Mapping[str, DeviceProfile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            DeviceProfile(
                "core", 0, 640, 12, 63, 255, salt_is_big_endian=True, answers_in_ack=True, describes_in_ack=True,
                tells_updates=False, system_subscriptions=_OLD_SYSTEM,
            ),
            DeviceProfile(
                "0.7.0", 0, 800, 12, 63, 255, answers_in_ack=True, describes_in_ack=True, tells_hardware=True,
                tells_updates=False, system_subscriptions=_OLD_SYSTEM,
            ),
            DeviceProfile(
                "1.5.2", _WITH_DIAGNOSTICS, 800, 64, 622, 622, describes_in_ack=True, tells_hardware=True,
                system_subscriptions=(Subscription("spark"), Subscription("particle")), resumes_with_hello=True,
                ping_after_s=30.0,
            ),
            DeviceProfile("2.3.1", _SELF_DESCRIBING, 800, 64, 622, 622, tells_hardware=True),
            DeviceProfile(
                "3.3.1", _SELF_DESCRIBING, 960, 64, 864, 864, 3302, needs_describe_flag=True, posts_with_token=True
            ),
            DeviceProfile(
                "4.0.2", _SELF_DESCRIBING, 960, 64, 1024, 1024, 4006, needs_describe_flag=True, posts_with_token=True
            ),
            DeviceProfile(
                "6.2.0", _SELF_DESCRIBING, 1152, 64, 1024, 1024, 6200, needs_describe_flag=True, posts_with_token=True,
                system_in_protobuf=True, only_private=True, understands_content_format=True, asks_time_early=True,
            ),
        )
    }
)  # fmt: skip


def profile_on(release: str, platform_id: int) -> DeviceProfile:
    """A release as it is on that platform: from 3.0 on, Gen 3 has a larger buffer and updates of its own."""
    profile = PROFILES[release]
    if platform_id not in _GEN3 or profile.system_version is None:
        return profile
    return replace(
        profile, hello_flags=profile.hello_flags | HelloFlag.OTA_V3, buffer_size=1152, max_argument=1024, max_data=1024
    )


@dataclass(frozen=True, slots=True)
class DeviceSetup:
    """What a device is, and what it says of itself at a connect.

    `device_id` is 12 bytes. `subscriptions` are the application's; the system's own come from the profile. `system` is
    the system part of the description in the firmware's keys; None makes a plain one of a single system module.
    """

    device_id: bytes
    profile: DeviceProfile
    application: Application = field(default_factory=Application)
    subscriptions: tuple[Subscription, ...] = ()
    platform_id: int = 6
    product_id: int = 6
    product_version: int = 0xFFFF
    claim_code: str | None = None
    system: Mapping[str, Any] | None = None
    metrics: Mapping[int, int] = field(default_factory=dict)
    safe_mode: bool = False
    last_reset: str | None = None
    ota_successful: bool = False
    tells_updates: bool = True
    """False leaves out the two `particle/device/updates/` events that newer firmware sends at each connect."""
    application_sha256: bytes = bytes(32)
    """What the description says of the application's module."""
    updates: UpdateTraits = field(default_factory=UpdateTraits)
    partial: Partial | None = None
    """What it has of a file that did not come to its end (version 3)."""
    keepalive_s: float | None = None
    """Datagrams: seconds of silence after which the device pings, when its application sets them."""

    @property
    def datagram_ping_after_s(self) -> float:
        if self.keepalive_s is not None:
            return self.keepalive_s
        return _CELLULAR_PING_AFTER_S if self.platform_id in _CELLULAR else self.profile.ping_after_s
