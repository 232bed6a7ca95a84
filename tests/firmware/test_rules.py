"""Which firmware, when, and what may be uploaded: as tables."""

from dataclasses import replace

import pytest

from cloudchamber.access.model import OwnedByUser
from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.firmware.errors import FirmwareInvalid
from cloudchamber.firmware.model import NO_RELEASES, BinaryHash, Releases, Update, UpdateState
from cloudchamber.firmware.rules import (
    MAX_ATTEMPTS,
    Move,
    Plan,
    Target,
    Why,
    application_hash,
    check_platform,
    check_upload,
    is_binary,
    plan,
    released_to,
    retry_at,
    running_version,
    runs,
    target_of,
)
from cloudchamber.ids import DeviceId, ProductId, UserId
from cloudchamber.wire.update.module import Function, Module
from tests.firmware.records import device, product

RELEASES = Releases(default=3, groups={"beta": 5, "berlin": 4})
NOW = Millis(1_000_000)


def update(**changes) -> Update:
    given = {
        "device": DeviceId("0" * 24),
        "product": ProductId(4711),
        "owner": None,
        "version": 3,
        "hash": None,
        "name": "v3.bin",
        "state": UpdateState.WAITING,
        "attempts": 1,
        "not_before": NOW,
        "error": None,
        "requested_at": NOW,
        "updated_at": NOW,
    }
    return Update(**(given | changes))


FLASH = {"version": None, "hash": BinaryHash(b"h" * 32)}


@pytest.mark.parametrize(
    ("changes", "releases", "target"),
    [
        # Nothing is released.
        ({}, NO_RELEASES, None),
        ({"groups": ("beta",)}, NO_RELEASES, None),
        # The product's default.
        ({}, RELEASES, Target(3, Why.DEFAULT)),
        ({"groups": ("other",)}, RELEASES, Target(3, Why.DEFAULT)),
        # A group's before the default, also when it is lower; of several the highest; without regard to case.
        ({"groups": ("beta",)}, RELEASES, Target(5, Why.GROUP)),
        ({"groups": ("berlin", "other")}, RELEASES, Target(4, Why.GROUP)),
        ({"groups": ("berlin", "beta")}, RELEASES, Target(5, Why.GROUP)),
        ({"groups": ("Beta",)}, RELEASES, Target(5, Why.GROUP)),
        ({"groups": ("old",)}, Releases(3, {"old": 1}), Target(1, Why.GROUP)),
        ({"groups": ("beta",)}, Releases(None, {"beta": 5}), Target(5, Why.GROUP)),
        # A lock before all of them, whatever it says.
        ({"desired_firmware_version": 1, "groups": ("beta",)}, RELEASES, Target(1, Why.LOCKED)),
        ({"desired_firmware_version": 0}, NO_RELEASES, Target(0, Why.LOCKED)),
        # Development devices are left alone, locked or not.
        ({"is_development": True}, RELEASES, None),
        ({"is_development": True, "desired_firmware_version": 1}, RELEASES, None),
        ({"is_development": True, "groups": ("beta",)}, RELEASES, None),
        # So is what is shut out, or in no product.
        ({"is_quarantined": True, "desired_firmware_version": 1}, RELEASES, None),
        ({"is_denied": True}, RELEASES, None),
        ({"product": None, "desired_firmware_version": 1}, RELEASES, None),
    ],
)
def test_which_version_a_device_shall_run(changes, releases: Releases, target: Target | None) -> None:
    assert target_of(device(**changes), releases) == target


def test_what_releases_alone_would_give() -> None:
    """Shown beside the lock."""
    locked = device(desired_firmware_version=1, groups=("beta",))
    assert released_to(locked, RELEASES) == Target(5, Why.GROUP)


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"firmware_version": 2, "firmware_product_id": 4711}, 2),
        # Device OS 4.0 and later name the platform.
        ({"firmware_version": 2, "firmware_product_id": 6}, 2),
        ({"firmware_version": 0, "firmware_product_id": 4711}, 0),
        # Another product's version says nothing.
        ({"firmware_version": 2, "firmware_product_id": 4712}, None),
        ({"firmware_version": 0xFFFF, "firmware_product_id": 4711}, None),
        ({"firmware_version": None, "firmware_product_id": None}, None),
        ({"firmware_version": 2, "firmware_product_id": 6, "product": None}, None),
    ],
)
def test_which_version_a_device_runs(changes, version: int | None) -> None:
    assert running_version(device(**changes)) == version


BUSY = {"reports_updates_enabled": False}
FORCED = {"reports_updates_enabled": False, "firmware_updates_forced": True}


@pytest.mark.parametrize(
    ("changes", "releases", "on_record", "at_once", "planned"),
    [
        # Nothing to do.
        ({}, NO_RELEASES, None, False, Plan(Move.NOTHING)),
        ({"firmware_version": 3}, RELEASES, None, False, Plan(Move.NOTHING)),
        ({"is_development": True}, RELEASES, None, False, Plan(Move.NOTHING)),
        # Up, down, and from what is not the product's.
        ({"firmware_version": 2}, RELEASES, None, False, Plan(Move.SEND, 3)),
        ({"firmware_version": 9}, RELEASES, None, False, Plan(Move.SEND, 3)),
        ({"firmware_version": 3, "firmware_product_id": 1}, RELEASES, None, False, Plan(Move.SEND, 3)),
        # A busy device is told and waited for; unless it is forced.
        ({"firmware_version": 2, **BUSY}, RELEASES, None, False, Plan(Move.WAIT, 3)),
        ({"firmware_version": 3, **BUSY}, RELEASES, None, False, Plan(Move.NOTHING)),
        ({"firmware_version": 2, **FORCED}, RELEASES, None, False, Plan(Move.SEND, 3)),
        # At once: what it is locked to, a development device too; without a lock there is nothing to do at once.
        ({"desired_firmware_version": 7}, RELEASES, None, True, Plan(Move.SEND, 7)),
        ({"desired_firmware_version": 7, "is_development": True}, RELEASES, None, True, Plan(Move.SEND, 7)),
        ({"desired_firmware_version": 2}, RELEASES, None, True, Plan(Move.NOTHING)),
        ({}, RELEASES, None, True, Plan(Move.NOTHING)),
        # What failed rests, but not for a person's word, and not when another version is wanted.
        ({}, RELEASES, {"not_before": NOW + 1}, False, Plan(Move.LATER, 3, Millis(NOW + 1))),
        ({}, RELEASES, {"not_before": NOW}, False, Plan(Move.SEND, 3)),
        ({}, RELEASES, {"not_before": NOW + 1, "version": 2}, False, Plan(Move.SEND, 3)),
        (
            {"desired_firmware_version": 3}, RELEASES, {"not_before": NOW + 1}, True, Plan(Move.SEND, 3),
        ),
        (
            {}, RELEASES, {"not_before": NOW + 1, "state": UpdateState.FAILED}, False,
            Plan(Move.LATER, 3, Millis(NOW + 1)),
        ),
        # What nobody wants any more is dropped.
        ({}, NO_RELEASES, {}, False, Plan(Move.GIVE_UP)),
        ({"firmware_version": 3}, RELEASES, {}, False, Plan(Move.GIVE_UP)),
        ({"firmware_version": 3}, RELEASES, {"state": UpdateState.DONE}, False, Plan(Move.NOTHING)),
        # A flash that is open goes first, and needs no release.
        ({}, RELEASES, FLASH, False, Plan(Move.GO_ON)),
        ({}, NO_RELEASES, FLASH, False, Plan(Move.GO_ON)),
        ({}, RELEASES, {**FLASH, "not_before": NOW + 1}, False, Plan(Move.LATER, at=Millis(NOW + 1))),
        # A device that was sent its file, and is online: it has not started yet, or it does not.
        ({}, RELEASES, {**FLASH, "state": UpdateState.SENT, "not_before": NOW + 1}, False,
         Plan(Move.LATER, at=Millis(NOW + 1))),
        ({}, RELEASES, {**FLASH, "state": UpdateState.SENT}, False, Plan(Move.MISSED)),
        ({}, RELEASES, {"state": UpdateState.SENT}, False, Plan(Move.MISSED)),
        ({}, RELEASES, {"state": UpdateState.SENT}, True, Plan(Move.GIVE_UP)),
        # Not on a device that is somebody else's by now.
        ({"product": None}, NO_RELEASES, FLASH, False, Plan(Move.GIVE_UP)),
        ({"owner": OwnedByUser(UserId("1" * 24))}, RELEASES, FLASH, False, Plan(Move.GIVE_UP)),
        # One that is over does not keep the released version away.
        ({}, RELEASES, {**FLASH, "state": UpdateState.DONE}, False, Plan(Move.SEND, 3)),
        ({}, RELEASES, {**FLASH, "state": UpdateState.FAILED, "not_before": NOW + DAY}, False,
         Plan(Move.SEND, 3)),
        # What is shut out gets nothing, and what was open ends.
        ({"is_quarantined": True}, RELEASES, None, False, Plan(Move.NOTHING)),
        ({"is_quarantined": True}, RELEASES, FLASH, False, Plan(Move.GIVE_UP)),
        ({"is_denied": True}, RELEASES, {}, False, Plan(Move.GIVE_UP)),
    ],
)  # fmt: skip
def test_what_is_done_with_a_device(changes, releases: Releases, on_record, at_once: bool, planned: Plan) -> None:
    known = None if on_record is None else update(**on_record)
    assert plan(device(**changes), releases, known, NOW, at_once=at_once) == planned


def test_attempts_get_rarer() -> None:
    rests = [retry_at(attempts, NOW)[1] - NOW for attempts in range(1, MAX_ATTEMPTS)]
    assert rests[:3] == [0, 0, 0]
    assert rests[3:] == [5 * MINUTE << number for number in range(6)]
    assert max(rests) <= 6 * HOUR
    assert {retry_at(attempts, NOW)[0] for attempts in range(1, MAX_ATTEMPTS)} == {UpdateState.WAITING}
    assert retry_at(MAX_ATTEMPTS, NOW) == (UpdateState.FAILED, NOW + DAY)


GOOD = Module(6, Function.USER_PART, 1, 5, (), 4711, 3, bytes(32), 1000)


def test_a_good_upload() -> None:
    check_upload(GOOD, product(), 3)
    check_upload(replace(GOOD, product_id=6), product(), 3)
    check_upload(replace(GOOD, product_id=None), product(), 3)
    check_upload(replace(GOOD, function=Function.MONOLITHIC), product(), 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"function": Function.SYSTEM_PART}, "not an application"),
        ({"platform_id": 10}, "platform 10, and the product's is 6"),
        ({"product_version": None}, "PRODUCT_VERSION"),
        ({"product_version": 4}, "version 4, and the request says 3"),
        ({"product_id": 4712}, "belongs to product 4712"),
    ],
)
def test_an_upload_that_is_not_what_it_is_said_to_be(changes, words: str) -> None:
    with pytest.raises(FirmwareInvalid, match=words):
        check_upload(replace(GOOD, **changes), product(), 3)


def test_a_flash_is_for_the_devices_platform() -> None:
    check_platform(GOOD, device(platform_id=6))
    check_platform(GOOD, device(platform_id=None))
    with pytest.raises(FirmwareInvalid):
        check_platform(GOOD, device(platform_id=10))


@pytest.mark.parametrize(
    ("filename", "file_type", "content", "binary"),
    [
        ("firmware.bin", None, b"anything", True),
        ("FIRMWARE.BIN", None, b"", True),
        ("app.zip", None, b"PK", True),
        ("file", "binary", b"", True),
        ("file", None, b"\x00\x00\x0a\x08", True),
        ("main.ino", None, b"void setup() {}", False),
        ("file", None, b"void setup() {}", False),
    ],
)
def test_a_binary_is_told_from_source_code(filename: str, file_type: str | None, content: bytes, binary: bool) -> None:
    assert is_binary(filename, file_type, content) is binary


USER = {"f": "u", "n": "1", "u": "AB" * 32}
SYSTEM_PART = {"f": "s", "n": "1", "u": "CD" * 32}


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ({"m": [SYSTEM_PART, USER]}, "AB" * 32),
        ({"m": [SYSTEM_PART]}, None),
        ({"m": [{"f": "u", "u": 7}, "u", None]}, None),
        ({"m": None}, None),
        ({"m": 7}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_application_that_a_device_says_it_runs(system, told) -> None:
    assert application_hash(system) == told
    assert runs(system, "ab" * 32) is (told is not None)
    assert not runs(system, "cd" * 32)
