"""Pure rules of organizations and teams: slugs, roles by name and id, what API users are called and may be given."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from cloudchamber.access.model import Action, OrganizationResource, Role
from cloudchamber.access.requester import Bearer
from cloudchamber.access.rules import MINIMUM_ROLE, ORGANIZATION_ROLE
from cloudchamber.clock import Millis
from cloudchamber.ids import OrganizationId, UserId, slugify
from cloudchamber.oauth.rules import NEVER
from cloudchamber.organizations.errors import OrganizationInvalid, TeamChangeInvalid
from cloudchamber.organizations.model import ApiUserAccount, Member, Place

MAX_NAME_LENGTH: Final = 100
MAX_SLUG_LENGTH: Final = 40
_ID = re.compile(r"[0-9a-f]{24}")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# The vendor's id of the Administrator is known; the others are ours (docs/compatibility.md).
ROLE_IDS: Final[dict[Role, str]] = {
    role: f"{number:024d}"
    for number, role in enumerate((Role.OWNER, Role.ADMINISTRATOR, Role.DEVELOPER, Role.SUPPORT, Role.VIEW_ONLY), 1)
}
_ROLES: Final[dict[str, Role]] = {
    **{role_id: role for role, role_id in ROLE_IDS.items()},
    **{role.title.lower(): role for role in Role},
    **{role.name.lower(): role for role in Role},
}

# What an invitation without a role gives. Older clients cannot say one, and expect somebody who can work.
DEFAULT_ROLE: Final = Role.DEVELOPER

# What an API user can be given: what an Administrator may do in the team's place, and compiling, which is nobody's.
_GRANTABLE: Final = frozenset(
    action.value
    for table in (MINIMUM_ROLE, ORGANIZATION_ROLE)
    for action, minimum in table.items()
    if minimum <= Role.ADMINISTRATOR
) | {Action.BINARY_COMPILE.value}


def id_in(reference: str) -> str | None:
    """An organization's id, where the reference is one. No slug looks like it."""
    return reference if _ID.fullmatch(reference) else None


def check_name(name: str) -> None:
    """Raises OrganizationInvalid."""
    if not name.strip():
        raise OrganizationInvalid("name is required")
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise OrganizationInvalid(f"An organization's name has at most {MAX_NAME_LENGTH} characters, all printable")


def check_slug(slug: str) -> None:
    """Raises OrganizationInvalid."""
    if not _SLUG.fullmatch(slug) or len(slug) > MAX_SLUG_LENGTH or id_in(slug):
        raise OrganizationInvalid(
            f"A slug has at most {MAX_SLUG_LENGTH} characters: lower-case letters, digits, and dashes between them"
        )


def slugs(name: str) -> Iterator[str]:
    """Slugs for a name, the best first, without end."""
    base = slugify(name)[: MAX_SLUG_LENGTH - 6].strip("-") or "organization"
    if not id_in(base):
        yield base
    number = 2
    while True:
        yield f"{base}-{number}"
        number += 1


def personal_slug(organization: OrganizationId) -> str:
    """Not made of the user's name: whoever tries paths would learn who has an account here."""
    return f"personal-{organization[:12]}"


def role_in(text: str | None) -> Role:
    """A role by its name or id, in any case; the default for none. Raises TeamChangeInvalid."""
    if text is None or not text.strip():
        return DEFAULT_ROLE
    role = _ROLES.get(text.strip().lower())
    if role is None:
        names = ", ".join(role.title for role in reversed(Role))
        raise TeamChangeInvalid(f"There is no such role. The roles are: {names}")
    return role


def check_role(requester: Bearer, place: Place, role: Role) -> None:
    """May `requester`, who may change the team, give this role? Raises TeamChangeInvalid.

    A limited token cannot make somebody who may do more than itself, or whoever holds it could make themselves an
    Administrator.
    """
    if role is Role.OWNER:
        raise TeamChangeInvalid(
            "There is one Owner. Only the owner of an organization can hand it to another of its members"
            if isinstance(place, OrganizationResource)
            else "A product's Owner is the owner of its organization: choose another role"
        )
    names = requester.scopes.names
    if names is None:
        return
    needed = {action.value for action, minimum in MINIMUM_ROLE.items() if minimum <= role}
    lacking = sorted(needed - names)
    if lacking:
        raise TeamChangeInvalid(
            f"A limited token can give only roles within its own scopes; for {role.title} it lacks {', '.join(lacking)}"
        )


def check_scopes(requester: Bearer, names: Iterable[str]) -> tuple[str, ...]:
    """The scopes of an API user, in order and once each. Raises TeamChangeInvalid."""
    wanted = tuple(dict.fromkeys(names))
    if not wanted:
        raise TeamChangeInvalid("scopes is required: a list of what the API user may do, like devices:list")
    unknown = [name for name in wanted if name not in _GRANTABLE]
    if unknown:
        raise TeamChangeInvalid(f"There are no such scopes for API users: {', '.join(unknown)[:500]}")
    if not all(requester.scopes.allow(name) for name in wanted):
        raise TeamChangeInvalid("A limited token can make only API users with scopes within its own")
    return wanted


def api_user_name(friendly_name: str, random: str, domain: str) -> str:
    """`<slug>+<random>@<domain>`, as the vendor's. Raises TeamChangeInvalid."""
    if not friendly_name.strip() or len(friendly_name) > MAX_NAME_LENGTH or not friendly_name.isprintable():
        raise TeamChangeInvalid(f"friendly_name is required: at most {MAX_NAME_LENGTH} characters, all printable")
    return f"{slugify(friendly_name)[:40].strip('-') or 'api-user'}+{random}@{domain}"


def next_life_s(user: ApiUserAccount, allowed_s: int, now: Millis) -> int:
    """How many seconds the token lives that replaces an API user's, as nobody said: as long as the old one would have,
    and no longer than `allowed_s` (NEVER: without end). Raises TeamChangeInvalid where the old one has ended: other
    scopes are no reason to let a program in again."""
    if not user.has_token or (user.token_ends_at is not None and user.token_ends_at <= now):
        raise TeamChangeInvalid(
            "The API user's token has ended: send expires_in (seconds, 0 for never) for another one"
        )
    if user.token_ends_at is None:
        return allowed_s
    left = -(-(user.token_ends_at - now) // 1000)
    return left if allowed_s == NEVER else min(left, allowed_s)


def api_domain(host: str) -> str:
    """What API users' names end in, where the cloud's public URL has this host. They get no mail."""
    is_name = any(c.isalpha() for c in host) and ":" not in host
    return f"api.{host}" if is_name else "api.localhost"


def merged(owner: Member | None, members: Iterable[Member], inherited: Iterable[Member]) -> tuple[Member, ...]:
    """Everybody once, by name, in the highest of their roles; the owner first."""
    found: dict[UserId, Member] = {}
    for member in inherited:
        found[member.id] = replace(member, is_inherited=True)
    for member in members:
        above = found.get(member.id)
        found[member.id] = member if above is None else replace(member, role=max(member.role, above.role))
    if owner is not None:
        found.pop(owner.id, None)
    rest = tuple(sorted(found.values(), key=lambda member: member.username))
    return (owner, *rest) if owner is not None else rest


def check_target(member: Member, username: str) -> Member:
    """Somebody whose role may be changed, or who may be removed. Raises TeamChangeInvalid."""
    if member.role is Role.OWNER:
        raise TeamChangeInvalid("The Owner stays: an organization's owner can hand it over first")
    if member.is_inherited:
        raise TeamChangeInvalid(f"{username} is in the team by the product's organization: change it there")
    return member
