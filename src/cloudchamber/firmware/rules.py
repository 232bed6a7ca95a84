"""Which firmware a device shall run, whether it may be sent now, and what may be uploaded. Pure."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

import msgspec

from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.firmware.errors import FirmwareInvalid
from cloudchamber.firmware.model import MAX_VERSION, Releases, Update, UpdateState
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.wire.update.module import Module

# --- which version ---------------------------------------------------------------------------------------------------


class Why(Enum):
    """For whom the version is meant that a device shall run. The value is for people."""

    LOCKED = "the device is locked to it"
    GROUP = "it is released to a group of the device"
    DEFAULT = "it is the product's default"


class Target(msgspec.Struct, frozen=True):
    version: int
    why: Why


def released_to(device: DeviceRecord, releases: Releases) -> Target | None:
    """What releases alone would give it. Of several groups' the highest; a group's before the product's default."""
    of_groups = [releases.groups[group.lower()] for group in device.groups if group.lower() in releases.groups]
    if of_groups:
        return Target(max(of_groups), Why.GROUP)
    return None if releases.default is None else Target(releases.default, Why.DEFAULT)


def released_version(device: DeviceRecord, releases: Releases) -> int | None:
    """As `released_to`, for who does not ask why: whatever it is locked to."""
    target = released_to(device, releases)
    return None if target is None else target.version


def target_of(device: DeviceRecord, releases: Releases) -> Target | None:
    """The version that the cloud sees to, by the vendor's order: never that of a development device, not even one that
    it is locked to; then its lock, its groups, its product's default. None for a device in no product, and for one
    that is shut out."""
    if device.product is None or device.is_shut_out or device.is_development:
        return None
    if device.desired_firmware_version is not None:
        return Target(device.desired_firmware_version, Why.LOCKED)
    return released_to(device, releases)


def running_version(device: DeviceRecord) -> int | None:
    """The version of its product's firmware that it runs; None when what it runs is not its product's. From Device OS
    4.0 on firmware names its platform in the place of its product."""
    version = device.firmware_version
    if device.product is None or version is None or version > MAX_VERSION:
        return None
    return version if device.firmware_product_id in {device.product, device.platform_id} else None


def takes_updates(device: DeviceRecord) -> bool:
    return device.firmware_updates_enabled or device.firmware_updates_forced


def application_hash(system: Mapping[str, Any] | None) -> str | None:
    """Of the application that a device says it runs, as it says it. `system`: what it told of itself (Describe)."""
    modules = (system or {}).get("m")
    for module in modules if isinstance(modules, list | tuple) else ():
        if isinstance(module, dict) and module.get("f") == "u" and isinstance(module.get("u"), str):
            return str(module["u"])
    return None


def runs(system: Mapping[str, Any] | None, hash_: str) -> bool:
    """Whether a device says that it runs this application. `hash_`: of its module, in lower-case hex."""
    told = application_hash(system)
    return told is not None and told.lower() == hash_


# --- when ------------------------------------------------------------------------------------------------------------


class Move(Enum):
    NOTHING = auto()
    SEND = auto()
    """The version that it shall run."""
    GO_ON = auto()
    """The file of an open flash."""
    WAIT = auto()
    """Something is due, and the device takes no updates now: it is told."""
    LATER = auto()
    """Something is due, at `Plan.at`."""
    MISSED = auto()
    """It had the file, and time to start with it, and is online all the same as it was: the attempt failed."""
    GIVE_UP = auto()
    """The update on record is for what is not wanted any more."""


class Plan(msgspec.Struct, frozen=True):
    move: Move
    version: int | None = None
    at: Millis | None = None


NOTHING: Final = Plan(Move.NOTHING)


def plan(
    device: DeviceRecord, releases: Releases, update: Update | None, now: Millis, *, at_once: bool = False
) -> Plan:
    """What to do with a device that is online. `at_once`: somebody wants the version that it is locked to on it now.

    An open flash goes first: somebody waits for it, and it goes on until it is done or hopeless. Else the target
    counts, unless the device runs it already. An attempt that failed rests for a while, whatever comes up; only a
    person's word (`at_once`) is not held up by that.
    """
    if device.is_shut_out:
        return Plan(Move.GIVE_UP) if update is not None and update.is_open else NOTHING
    if update is not None and update.is_flash and update.is_open:
        if (update.owner, update.product) != (device.owner, device.product):
            return Plan(Move.GIVE_UP)  # it is somebody else's device now
        if now < update.not_before:
            return Plan(Move.LATER, at=update.not_before)
        return Plan(Move.MISSED if update.state is UpdateState.SENT else Move.GO_ON)
    version = _wanted(device, releases, at_once=at_once)
    if version is None or version == running_version(device):
        return Plan(Move.GIVE_UP) if update is not None and update.is_open and not update.is_flash else NOTHING
    if not takes_updates(device):
        return Plan(Move.WAIT, version)
    if update is not None and update.version == version and not at_once:
        if now < update.not_before:
            return Plan(Move.LATER, version, update.not_before)
        if update.state is UpdateState.SENT:
            return Plan(Move.MISSED)
    return Plan(Move.SEND, version)


def _wanted(device: DeviceRecord, releases: Releases, *, at_once: bool) -> int | None:
    if at_once and device.product is not None:
        return device.desired_firmware_version
    target = target_of(device, releases)
    return None if target is None else target.version


# For how many an attempt counts. What another try will hardly change counts for several: each costs the device data.
NETWORK_FAILED: Final = 1
NOT_STARTED: Final = 2
"""The device did not start with the file; perhaps it lost it with its connection, and nobody saw that."""
REFUSED: Final = 4
"""The device did not begin; or it had the whole file, and did not take it or come back with it."""

QUICK_ATTEMPTS: Final = 3
MAX_ATTEMPTS: Final = 10
LONGEST_REST_MS: Final = 6 * HOUR


def retry_at(attempts: int, now: Millis) -> tuple[UpdateState, Millis]:
    """After so many failed attempts: whether it is still waiting, and when the next one may begin.

    Networks fail: the first few follow at once. What fails ten times will fail again, and each time costs data: one
    attempt a day is left, for a network that gets better.
    """
    if attempts >= MAX_ATTEMPTS:
        return UpdateState.FAILED, Millis(now + DAY)
    if attempts <= QUICK_ATTEMPTS:
        return UpdateState.WAITING, now
    rest = min(5 * MINUTE << (attempts - QUICK_ATTEMPTS - 1), LONGEST_REST_MS)
    return UpdateState.WAITING, Millis(now + rest)


# --- what may be uploaded --------------------------------------------------------------------------------------------


def check_upload(module: Module, product: Product, version: int) -> None:
    """Raises FirmwareInvalid, in words for whoever uploads."""
    if not module.is_application:
        raise FirmwareInvalid("The binary is a part of Device OS, not an application")
    if module.platform_id != product.platform_id:
        raise FirmwareInvalid(
            f"The binary is built for platform {module.platform_id}, and the product's is {product.platform_id}"
        )
    if module.product_version is None:
        raise FirmwareInvalid("The binary has no product version: put PRODUCT_VERSION(...) into its source")
    if module.product_version != version:
        raise FirmwareInvalid(
            f"The binary says that it is version {module.product_version}, and the request says {version}"
        )
    if module.product_id is not None and module.product_id not in {product.id, product.platform_id}:
        raise FirmwareInvalid(f"The binary belongs to product {module.product_id}, and this is {product.id}")


def check_platform(module: Module, device: DeviceRecord) -> None:
    """Before a file is flashed. Raises FirmwareInvalid."""
    if device.platform_id is not None and module.platform_id != device.platform_id:
        raise FirmwareInvalid(
            f"The binary is built for platform {module.platform_id}, and the device's is {device.platform_id}"
        )


def is_binary(filename: str, file_type: str | None, content: bytes) -> bool:
    """A firmware file, and not source code. Clients do not always say which: then its name tells, or its bytes."""
    if file_type is not None and file_type.lower() == "binary":
        return True
    return filename.lower().endswith((".bin", ".zip")) or b"\0" in content[:1024]
