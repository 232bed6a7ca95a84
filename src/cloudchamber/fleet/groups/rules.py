"""What a group may be called. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from cloudchamber.fleet.groups.errors import GroupInvalid

MAX_NAME_LENGTH: Final = 64
MAX_DESCRIPTION_LENGTH: Final = 500
MAX_GROUPS_OF_PRODUCT: Final = 1_000
MAX_GROUPS_OF_DEVICE: Final = 100

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME_LENGTH}}}")
_COLOR = re.compile(r"[#A-Za-z0-9(),.% -]{1,32}")


def check_name(name: str) -> str:
    """Raises GroupInvalid."""
    if not _NAME.fullmatch(name):
        raise GroupInvalid(
            f"A group's name has 1 to {MAX_NAME_LENGTH} letters, digits, underscores and hyphens: {name[:80]!r} has not"
        )
    return name


def check_looks(description: str | None, color: str | None) -> None:
    """Raises GroupInvalid."""
    if description is not None and len(description) > MAX_DESCRIPTION_LENGTH:
        raise GroupInvalid(f"A group's description has at most {MAX_DESCRIPTION_LENGTH} characters")
    if color and not _COLOR.fullmatch(color):
        raise GroupInvalid("A group's color is written as in CSS, for example #00ae42")


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names as they were given, each once whatever its case; the first spelling counts. Raises GroupInvalid."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(check_name(name.strip()).lower(), name.strip())
    if len(found) > MAX_GROUPS_OF_DEVICE:
        raise GroupInvalid(f"A device is in at most {MAX_GROUPS_OF_DEVICE} groups")
    return tuple(found.values())


def too_many_groups() -> GroupInvalid:
    return GroupInvalid(f"A product has at most {MAX_GROUPS_OF_PRODUCT} groups: remove some")
