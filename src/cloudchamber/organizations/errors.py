"""CloudError
├── NotFound
│   ├── OrganizationNotFound
│   └── MemberNotFound            nobody of this name is in the team
└── Invalid
    ├── OrganizationInvalid       it cannot be made, changed or removed as asked
    ├── InvitationInvalid         the code is not that of an invitation to whoever shows it
    └── TeamChangeInvalid         the team cannot be changed as asked
"""

from typing import ClassVar

from cloudchamber.errors import Invalid, NotFound


class OrganizationNotFound(NotFound):
    code: ClassVar[str] = "organization_not_found"


class OrganizationInvalid(Invalid):
    code: ClassVar[str] = "organization_invalid"


class MemberNotFound(NotFound):
    code: ClassVar[str] = "member_not_found"


class TeamChangeInvalid(Invalid):
    code: ClassVar[str] = "team_change_invalid"


class InvitationInvalid(Invalid):
    code: ClassVar[str] = "invitation_invalid"


def organization_not_found() -> OrganizationNotFound:
    return OrganizationNotFound("Organization not found.")


def member_not_found(username: str) -> MemberNotFound:
    return MemberNotFound(f"{username} is not in this team")
