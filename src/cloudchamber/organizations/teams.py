"""Teams of products and of organizations: people by role, people who are yet to come, API users by scopes.

What a change takes away is gone when it is answered: the caches that requests are decided by are dropped, API users'
tokens are deleted, and the event streams that somebody holds open by the old role end.
"""

from dataclasses import replace
from typing import Final

import msgspec

from cloudchamber.access.model import Account, Action, OrganizationResource, ProductResource, Role
from cloudchamber.access.requester import Bearer, User, describe
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import DAY, Clock, Millis
from cloudchamber.identity.outbox import Background, Outbox
from cloudchamber.identity.rules import is_address, normal_username
from cloudchamber.identity.service import Users
from cloudchamber.ids import ApiUserId, SecretHash, hash_secret, new_id, new_token
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Principal, PrincipalKind
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.organizations.errors import InvitationInvalid, TeamChangeInvalid, member_not_found
from cloudchamber.organizations.model import (
    API_USER_CLIENT,
    TEAM_CHANGED,
    ApiUserAccount,
    Invitation,
    Member,
    Place,
    Team,
    TeamChanged,
    columns,
)
from cloudchamber.organizations.rules import (
    api_user_name,
    check_role,
    check_scopes,
    check_target,
    merged,
    next_life_s,
    role_in,
)
from cloudchamber.organizations.store import ApiUserStore, OrganizationStore, TeamStore
from cloudchamber.storage.database import Database, Transaction

# A team is listed whole and kept in memory whole.
MAX_TEAM: Final = 1_000
# Long enough for a holiday; an address that nobody registers is not promised a place for ever.
INVITATION_LIFETIME_MS: Final = 30 * DAY
INVITATION_PATH: Final = "/oauth/invitation"


class ApiUserChanged(msgspec.Struct, frozen=True):
    """`token`: the new one, where the scopes changed; it is shown this once."""

    user: ApiUserAccount
    token: str | None


class Teams:
    def __init__(
        self,
        db: Database,
        store: TeamStore,
        api_users: ApiUserStore,
        organizations: OrganizationStore,
        users: Users,
        tokens: Tokens,
        bus: InProcessBus,
        clock: Clock,
        *,
        api_domain: str,
        outbox: Outbox | None = None,
        public_url: str = "",
    ) -> None:
        """`api_domain` ends API users' names. With an `outbox`, an invitation is taken by whoever shows the code that
        it mails, and by nobody else."""
        self._outbox = outbox
        self._public_url = public_url
        self._background = Background("an invitation could not be mailed")
        self._db = db
        self._store = store
        self._api_users = api_users
        self._organizations = organizations
        self._users = users
        self._tokens = tokens
        self._bus = bus
        self._clock = clock
        self._api_domain = api_domain

    async def of(self, requester: Bearer, place: Place) -> Team:
        """Everybody who can do something here: in a product's team stands its organization's, too.

        Raises AccessRefused.
        """
        require(requester, Action.TEAM_LIST, place)
        owner = await self._store.owner(self._db, place)
        members = await self._store.members(self._db, place)
        api_users = await self._api_users.at(self._db, place)
        inherited: list[Member] = []
        above = _organization_of(place)
        if above is not None:
            inherited = await self._store.members(self._db, above)
            api_users = [*await self._api_users.at(self._db, above), *api_users]
        return Team(
            members=merged(owner, members, inherited),
            invitations=tuple(await self._store.invitations(self._db, place, self._clock.now())),
            api_users=tuple(api_users),
        )

    async def invite(self, requester: Bearer, place: Place, username: str, role: str | None) -> str:
        """A person who has an account is in the team at once; who has none, as soon as they make it. Where invitations
        are mailed, both are when they show the code. Returns the name.

        Raises AccessRefused, TeamChangeInvalid, UsernameUnusable.
        """
        require(requester, Action.TEAM_INVITE, place)
        given = role_in(role)
        check_role(requester, place, given)
        if not username.strip():
            raise TeamChangeInvalid("username is required")
        name = normal_username(username)
        if await self._api_users.is_name(self._db, name):
            raise TeamChangeInvalid(f"{name} is an API user")
        account = await self._users.find(name)
        now = self._clock.now()
        product, organization = columns(place)
        code = new_token() if self._outbox is not None else None
        if code is not None and not is_address(name):
            raise TeamChangeInvalid("Invitations go by mail on this server: username must be an e-mail address")

        async def write(tx: Transaction) -> None:
            await self._check_room(tx, place)
            if account is not None:
                owner = await self._store.owner(tx, place)
                if (owner is not None and owner.id == account.id) or await self._store.role(tx, place, account.id):
                    raise TeamChangeInvalid(f"{name} is in this team already: change the role instead")
            if account is None or code is not None:
                until = Millis(now + INVITATION_LIFETIME_MS)
                by = describe(requester)
                hash_ = hash_secret(code) if code is not None else None
                waiting = Invitation(new_id(), name, product, organization, given, by, now, until, hash_)
                await self._store.invite(tx, waiting, now)
                return
            await self._store.put(tx, place, account.id, given, now)

        await self._db.transaction(write)
        is_in = account is not None and code is None
        self._bus.publish(TEAM_CHANGED, TeamChanged.at(place, account.id if account is not None and is_in else None))
        if code is not None:
            self._background.start(self._mail(name, given, code))
        return name

    async def accept(self, requester: Bearer, code: str) -> None:
        """Whoever was invited by mail takes their place. The code alone is not enough: it is for the account with the
        address that it was mailed to. Raises AccessRefused, InvitationInvalid."""
        require(requester, Action.ACCOUNT_UPDATE, Account())
        assert isinstance(requester, User)
        account = await self._users.get(requester.id)
        hash_, now = hash_secret(code), self._clock.now()

        async def write(tx: Transaction) -> Place:
            found = await self._store.invitation_with(tx, hash_, now)
            if found is None or account is None or found.username != account.username:
                raise InvitationInvalid(
                    "This invitation was used, withdrawn or renewed, is too old, or is for another account: sign in"
                    " with the address that it was sent to"
                )
            owner = await self._store.owner(tx, found.place)
            is_in = owner is not None and owner.id == account.id
            if not is_in and await self._store.role(tx, found.place, account.id) is None:
                await self._store.put(tx, found.place, account.id, found.role, now)
            await self._store.withdraw(tx, found.product, found.organization, found.username)
            return found.place

        place = await self._db.transaction(write)
        self._bus.publish(TEAM_CHANGED, TeamChanged.at(place, requester.id))

    async def close(self) -> None:
        """Waits for mail that is being written."""
        await self._background.close()

    async def _mail(self, name: str, role: Role, code: str) -> None:
        assert self._outbox is not None
        await self._outbox.send(
            name,
            "You are invited into a team",
            f"Somebody invites you into a team, as {role.title}.\n\n"
            f"To join within thirty days, open this and sign in as {name}, or make an account of this name:\n\n"
            f"  {self._public_url}{INVITATION_PATH}?code={code}\n\n"
            f"A program joins by POST {self._public_url}/v1/user/invitations with the code, in your name.\n\n"
            "If you do not know what this is about, there is nothing to do.\n",
        )

    async def add_api_user(
        self, requester: Bearer, place: Place, friendly_name: str, scopes: list[str], expires_in: str | None = None
    ) -> tuple[ApiUserAccount, str]:
        """With its token, which nothing shows again and which never ends, unless `expires_in` (seconds) or a cap of the
        server or the product says otherwise. Raises AccessRefused, TeamChangeInvalid."""
        require(requester, Action.TEAM_INVITE, place)
        wanted = check_scopes(requester, scopes)
        lifetime_s = await self._lifetime_s(place, expires_in)
        product, organization = columns(place)
        made = ApiUserAccount(
            id=ApiUserId(new_id()),
            username=api_user_name(friendly_name, new_id()[:12], self._api_domain),
            friendly_name=friendly_name,
            product=product,
            organization=organization,
            scopes=wanted,
            created_by=describe(requester),
            created_at=self._clock.now(),
        )

        async def write(tx: Transaction) -> str:
            await self._check_room(tx, place)
            await self._api_users.insert(tx, made)
            return await self._new_token(tx, made, describe(requester), lifetime_s)

        return made, await self._db.transaction(write)

    async def change_role(self, requester: Bearer, place: Place, username: str, role: str) -> tuple[str, Role]:
        """Of a member, or of somebody invited. The owner of an organization makes another member its owner by giving
        them that role, and is an Administrator from then on.

        Raises AccessRefused, MemberNotFound, TeamChangeInvalid.
        """
        require(requester, Action.TEAM_UPDATE, place)
        given = role_in(role)
        if given is Role.OWNER and isinstance(place, OrganizationResource) and place.role is Role.OWNER:
            assert isinstance(requester, User), "nobody else has a role"
            await self._hand_over(requester, place, username)
            return username.strip().lower(), given
        check_role(requester, place, given)
        name = username.strip().lower()
        now = self._clock.now()

        async def write(tx: Transaction) -> Member | None:
            member = await self._member(tx, place, name)
            if member is None:
                for waiting in await self._store.invitations(tx, place, now):
                    if waiting.username == name:
                        changed = replace(waiting, role=given, invited_by=describe(requester))
                        await self._store.invite(tx, changed, now)
                        return None
                raise member_not_found(name)
            member = check_target(member, name)
            await self._store.put(tx, place, member.id, given, now)
            return member

        member = await self._db.transaction(write)
        self._bus.publish(TEAM_CHANGED, TeamChanged.at(place, member.id if member else None))
        return name, given

    async def change_api_user(
        self,
        requester: Bearer,
        place: Place,
        username: str,
        friendly_name: str | None,
        scopes: list[str] | None,
        expires_in: str | None = None,
    ) -> ApiUserChanged:
        """Other scopes, and another life, come with another token, and the old one ends. Without `expires_in` the new
        one lives as long as the old one would have. Raises AccessRefused, MemberNotFound, TeamChangeInvalid."""
        require(requester, Action.TEAM_UPDATE, place)
        wanted = check_scopes(requester, scopes) if scopes is not None else None
        if friendly_name is not None:
            api_user_name(friendly_name, "", "")
        lifetime_s = await self._lifetime_s(place, expires_in)
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[ApiUserAccount, str | None, list[SecretHash]]:
            known = await self._api_users.named(tx, place, username)
            if known is None:
                raise member_not_found(username)
            changed = replace(known, friendly_name=friendly_name or known.friendly_name, scopes=wanted or known.scopes)
            await self._api_users.update(tx, known.id, changed.friendly_name, changed.scopes, now)
            if set(changed.scopes) == set(known.scopes) and not expires_in:
                return changed, None, []
            seconds = lifetime_s if expires_in else next_life_s(known, lifetime_s, now)
            ended = await self._tokens.end_of(tx, _principal(known))
            return changed, await self._new_token(tx, changed, describe(requester), seconds), ended

        changed, token, ended = await self._db.transaction(write)
        self._tokens.announce(ended)
        return ApiUserChanged(changed, token)

    async def is_api_user(self, place: Place, username: str) -> bool:
        return await self._api_users.named(self._db, place, username.strip().lower()) is not None

    async def remove(self, requester: Bearer, place: Place, username: str) -> None:
        """A member, an invitation, or an API user and its token. Raises AccessRefused, MemberNotFound,
        TeamChangeInvalid."""
        require(requester, Action.TEAM_REMOVE, place)
        name = username.strip().lower()
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[Member | None, list[SecretHash]]:
            robot = await self._api_users.named(tx, place, name)
            if robot is not None:
                ended = await self._tokens.end_of(tx, _principal(robot))
                await self._api_users.delete(tx, robot.id)
                return None, ended
            if await self._store.withdraw(tx, *columns(place), name):
                return None, []
            member = await self._member(tx, place, name)
            if member is None:
                raise member_not_found(name)
            await self._store.remove(tx, place, check_target(member, name).id, now)
            return member, []

        member, ended = await self._db.transaction(write)
        self._bus.publish(TEAM_CHANGED, TeamChanged.at(place, member.id if member else None))
        self._tokens.announce(ended)

    async def purge(self) -> int:
        """Removes invitations that nobody took in time; returns how many."""

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, self._clock.now())

        return await self._db.transaction(delete)

    async def _hand_over(self, requester: User, place: OrganizationResource, username: str) -> None:
        name = username.strip().lower()
        now = self._clock.now()

        async def write(tx: Transaction) -> Member:
            organization = await self._organizations.by_id(tx, place.id)
            # Handed over by somebody else while we asked: it is not the requester's to give any more.
            if organization is None or organization.owner != requester.id:
                raise TeamChangeInvalid("The organization has another owner now")
            if organization.is_personal:
                raise TeamChangeInvalid("A personal organization stays its user's: make an organization for a team")
            heir = await self._member(tx, place, name)
            if heir is None:
                raise member_not_found(name)
            if heir.id == requester.id:
                return heir
            await self._store.remove(tx, place, heir.id, now)
            await self._organizations.hand_over(tx, place.id, heir.id, now)
            await self._store.put(tx, place, requester.id, Role.ADMINISTRATOR, now)
            return heir

        heir = await self._db.transaction(write)
        for user in (heir.id, requester.id):
            self._bus.publish(TEAM_CHANGED, TeamChanged.at(place, user))

    async def _member(self, tx: Transaction, place: Place, name: str) -> Member | None:
        everybody = merged(
            await self._store.owner(tx, place),
            await self._store.members(tx, place),
            await self._store.members(tx, above) if (above := _organization_of(place)) is not None else [],
        )
        return next((member for member in everybody if member.username == name), None)

    async def _check_room(self, tx: Transaction, place: Place) -> None:
        if await self._store.size(tx, place) >= MAX_TEAM:
            raise TeamChangeInvalid(f"A team has at most {MAX_TEAM} members: remove one first")

    async def _lifetime_s(self, place: Place, expires_in: str | None) -> int:
        """Raises TeamChangeInvalid."""
        try:
            return await self._tokens.program_lifetime_s(columns(place)[0], expires_in)
        except OAuthError as error:
            raise TeamChangeInvalid(error.message) from error

    async def _new_token(self, tx: Transaction, user: ApiUserAccount, created_by: str, lifetime_s: int) -> str:
        scope, principal = " ".join(user.scopes), _principal(user)
        return await self._tokens.issue_in(tx, API_USER_CLIENT, principal, scope, lifetime_s, created_by)


def _organization_of(place: Place) -> OrganizationResource | None:
    """Whose team counts in a product's as well."""
    if isinstance(place, ProductResource) and place.organization is not None:
        return OrganizationResource(place.organization, None)
    return None


def _principal(user: ApiUserAccount) -> Principal:
    return Principal(PrincipalKind.API_USER, user.id, user.product, user.organization)
