"""What can go wrong with groups.

CloudError
├── NotFound
│   └── GroupNotFound
├── Conflict
│   └── GroupExists
└── Invalid
    └── GroupInvalid      a name, color or description that no group can have, or too many groups
"""

from typing import ClassVar

from cloudchamber.errors import Conflict, Invalid, NotFound


class GroupNotFound(NotFound):
    code: ClassVar[str] = "group_not_found"


class GroupExists(Conflict):
    code: ClassVar[str] = "group_exists"


class GroupInvalid(Invalid):
    code: ClassVar[str] = "group_invalid"


def group_not_found() -> GroupNotFound:
    return GroupNotFound("Group not found")
