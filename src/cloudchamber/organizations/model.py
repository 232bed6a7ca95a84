"""Organizations and who is in a team."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from cloudchamber.access.model import OrganizationResource, ProductResource, Role
from cloudchamber.access.requester import Requester, User
from cloudchamber.clock import Millis
from cloudchamber.ids import ApiUserId, ClientId, OrganizationId, ProductId, SecretHash, UserId

Place = OrganizationResource | ProductResource
"""What has a team."""

API_USER_CLIENT: Final = ClientId("api-user")
"""Every token is some client's; this one, which the migration makes and which has no secret, is API users'."""

TEAM_CHANGED: Final = "team.changed"
"""Bus subject; the message is a TeamChanged."""

TEAM_NOTICE: Final = "team"
"""Subject of a notice (storage/notices.py), about a TeamChanged in JSON."""


class TeamChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who may do what in `product`, or in `organization` and all of its products, is another matter now. `user` is set
    where it is so for one person: what they hold open there by the old role has to be opened again. `is_gone`: so has
    what anybody holds open there, for the place itself is no more."""

    product: ProductId | None = None
    organization: OrganizationId | None = None
    user: UserId | None = None
    is_gone: bool = False

    @classmethod
    def at(cls, place: Place, user: UserId | None = None) -> "TeamChanged":
        if isinstance(place, ProductResource):
            return cls(product=place.id, user=user)
        return cls(organization=place.id, user=user)


class Organization(msgspec.Struct, frozen=True):
    """`team` maps its members, the owner among them, to their roles. A personal one holds what its owner makes outside
    of organizations, and is found by whoever was told of it, like any other."""

    id: OrganizationId
    slug: str
    name: str
    owner: UserId
    owner_name: str
    is_personal: bool
    team: Mapping[UserId, Role]
    has_open_invitations: bool
    created_at: Millis
    updated_at: Millis

    def resource(self, requester: Requester) -> OrganizationResource:
        return OrganizationResource(self.id, self.team.get(requester.id) if isinstance(requester, User) else None)


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a team. `is_inherited`: by their role in the product's organization, which can be changed only
    there."""

    id: UserId
    username: str
    role: Role
    is_inherited: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """Somebody without an account. Whoever makes the account before `expires_at` is in the team with it. With a code,
    that was mailed: the account of this name is in the team once it shows the code."""

    id: str
    username: str
    product: ProductId | None
    organization: OrganizationId | None
    role: Role
    invited_by: str
    created_at: Millis
    expires_at: Millis
    code_hash: SecretHash | None = None

    @property
    def place(self) -> Place:
        if self.product is not None:
            return ProductResource(self.product, None)
        assert self.organization is not None
        return OrganizationResource(self.organization, None)


@dataclass(frozen=True, slots=True)
class ApiUserAccount:
    """A program in a team, by one token. It has scopes instead of a role. `token_ends_at` None: never; `has_token`: it
    has one that nobody revoked."""

    id: ApiUserId
    username: str
    friendly_name: str
    product: ProductId | None
    organization: OrganizationId | None
    scopes: tuple[str, ...]
    created_by: str
    created_at: Millis
    token_ends_at: Millis | None = None
    has_token: bool = True


class Team(msgspec.Struct, frozen=True):
    members: tuple[Member, ...]
    invitations: tuple[Invitation, ...]
    api_users: tuple[ApiUserAccount, ...]


def columns(place: Place) -> tuple[ProductId | None, OrganizationId | None]:
    """A place as it is stored: `product_id` and `organization_id`, one of them None."""
    return (place.id, None) if isinstance(place, ProductResource) else (None, place.id)
