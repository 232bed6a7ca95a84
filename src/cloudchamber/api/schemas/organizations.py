"""Organizations, teams, API users."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, field

from cloudchamber.api.schemas.common import Date, Maybe, ObjectId, Secret

Slug = Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40, examples=["example-corp"])]
RoleText = Annotated[
    str,
    Meta(
        description="`Administrator`, `Developer`, `Support` or `View-only`, or a role's id; an organization's owner"
        " hands it over with `Owner`.",
        examples=["Developer"],
    ),
]
ScopeList = Annotated[list[str], Meta(examples=[["devices:list", "devices:get"]])]


class Organization(Struct):
    id: ObjectId
    name: str
    slug: str


class OrganizationList(Struct):
    organizations: list[Organization]


class OrganizationAnswer(Struct):
    organization: Organization


class NewOrganization(Struct):
    name: str
    slug: Slug | Maybe = UNSET


class OrganizationChanges(Struct):
    """The slug stays as it is."""

    name: str


class Role(Struct):
    id: ObjectId
    name: str


class TeamMember(Struct):
    """`pending`: invited, and without an account yet. `inherited`: by the product's organization. An API user is
    `is_programmatic` and has `scopes` in place of a role."""

    id: ObjectId = field(name="_id")
    username: str
    role: Role
    friendly_name: str | Maybe = UNSET
    is_programmatic: bool | Maybe = UNSET
    scopes: list[str] | Maybe = UNSET
    expires_at: Annotated[Date, Meta(description="Of an API user's token, where it has an end.")] | Maybe = UNSET
    pending: bool | Maybe = UNSET
    inherited: bool | Maybe = UNSET


class TeamList(Struct):
    ok: bool
    team: list[TeamMember]


class Invitation(Struct):
    username: Annotated[str, Meta(examples=["joe@example.com"])]
    role: RoleText | Maybe = UNSET


class InvitationCode(Struct):
    code: Annotated[str, Meta(description="As the mail has it.", examples=["0" * 40])]


class NewApiUser(Struct):
    friendly_name: str
    scopes: ScopeList
    expires_in: Annotated[int, Meta(description="Seconds that its token lives; without it, for ever.")] | Maybe = UNSET


class MemberChanges(Struct):
    role: RoleText


class ApiUserChanges(Struct):
    """Other scopes replace the token, and so does `expires_in`."""

    friendly_name: str | Maybe = UNSET
    scopes: ScopeList | Maybe = UNSET
    expires_in: Annotated[int, Meta(description="Seconds that its next token lives; 0: for ever.")] | Maybe = UNSET


class Invited(Struct):
    username: str


class InvitedAnswer(Struct):
    ok: bool
    invited: Invited


class ApiUserToken(Struct):
    token: Secret


class ApiUser(Struct):
    """`tokens` holds the one token in the answer that made it and in no other."""

    username: str
    is_programmatic: bool
    tokens: list[ApiUserToken] | Maybe = UNSET


class ApiUserCreated(Struct):
    ok: bool
    created: ApiUser


class ApiUserUpdated(Struct):
    ok: bool
    updated: ApiUser


class MemberRole(Struct):
    username: str
    role: Role


class MemberUpdated(Struct):
    ok: bool
    updated: MemberRole
