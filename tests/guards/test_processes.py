"""What parts tell each other over the bus of one process: for each it is decided whether the other processes of its
database hear of it, and how (docs/decisions/0017-several-processes.md)."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "cloudchamber"
SUBJECT = re.compile(r"bus\.(?:publish|subscribe)\(\s*([A-Z_]+)")
HEARD = re.compile(r"notices\.on\(\s*([A-Z_]+)")

BY_NOTICE = {
    "CLIENT_CHANGED": {"CLIENT_NOTICE"},
    "DEVICE_CHANGED": {"DEVICE_NOTICE", "KEY_NOTICE", "IMPORT_NOTICE"},
    "FIRMWARE_CHANGED": {"FIRMWARE_NOTICE"},
    "FIRMWARE_RELEASED": {"RELEASE_NOTICE"},
    "GROUPS_CHANGED": {"GROUPS_NOTICE"},
    "HOOK_CHANGED": {"HOOK_NOTICE"},
    "HOOK_DELETED": {"HOOK_NOTICE"},
    "PRODUCT_CHANGED": {"PRODUCT_NOTICE"},
    "PRODUCT_CREATED": {"PRODUCT_NOTICE"},
    "PRODUCT_REMOVED": {"TEAM_NOTICE"},
    "TEAM_CHANGED": {"TEAM_NOTICE"},
    "USER_RENAMED": {"USER_NOTICE"},
}
OTHERWISE = {
    "TOKENS_REVOKED": "ended_tokens",
    "MEMBERSHIP_CHANGED": "counts of devices are kept for 30 s; of an import there is a notice",
    "USER_CREATED": "what has open invitations is kept for a second",
    "DEVICE_DESCRIBED": "of a connection, which is its process's own",
    "DEVICE_LOCATED": "of a connection",
    "DEVICE_ONLINE": "of a connection",
    "DEVICE_VITALS": "of a connection",
}
WITHOUT_A_SUBJECT = {"PROCESS_NOTICE"}


def test_of_each_subject_of_the_bus_it_is_decided_what_other_processes_hear() -> None:
    subjects = {name for path in ROOT.rglob("*.py") for name in SUBJECT.findall(path.read_text(encoding="utf-8"))}
    assert subjects == BY_NOTICE.keys() | OTHERWISE.keys()


def test_each_notice_is_heard() -> None:
    heard = HEARD.findall((ROOT / "app.py").read_text(encoding="utf-8"))
    assert len(heard) == len(set(heard))
    assert set(heard) == {name for names in BY_NOTICE.values() for name in names} | WITHOUT_A_SUBJECT


def test_each_notice_is_put() -> None:
    texts = [path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")]
    put = {name for text in texts for name in re.findall(r"put_notice\(\s*tx,\s*([A-Z_]+)", text)}
    assert put == {name for names in BY_NOTICE.values() for name in names} | WITHOUT_A_SUBJECT
