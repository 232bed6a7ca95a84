"""Organizations: making them, finding them by slug or id, renaming and removing them.

Who is in the team of an organization is kept in memory with it, so that a request is decided without the database.
Every change of a team is published on the bus and drops what it makes untrue (TEAM_CHANGED). Somebody can also join by
making an account through another process, which is not heard of here: so what has open invitations is kept for a second
only.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from cloudchamber.access.model import Account, Action, OrganizationResource, Role
from cloudchamber.access.requester import Requester, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import SECOND, Clock, Millis
from cloudchamber.identity.model import UserAccount
from cloudchamber.identity.ports import USER_RENAMED
from cloudchamber.identity.service import USER_CREATED, Users
from cloudchamber.ids import OrganizationId, SecretHash, UserId, new_id
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.organizations.errors import OrganizationInvalid, organization_not_found
from cloudchamber.organizations.model import TEAM_CHANGED, Organization, TeamChanged
from cloudchamber.organizations.rules import check_name, check_slug, id_in, personal_slug, slugs
from cloudchamber.organizations.store import OrganizationStore
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference, Duplicate

_MAX_CACHED: Final = 10_000
# What a person can own; each has pools and clients of its own, and nobody has to be asked for one.
MAX_OWNED: Final = 100
_ATTEMPTS: Final = 50


class Organizations:
    def __init__(
        self, db: Database, store: OrganizationStore, users: Users, tokens: Tokens, bus: InProcessBus, clock: Clock
    ) -> None:
        self._db = db
        self._store = store
        self._users = users
        self._tokens = tokens
        self._bus = bus
        self._clock = clock
        self._cache: OrderedDict[str, tuple[Organization, Millis | None]] = OrderedDict()
        self._changes = 0
        bus.subscribe(TEAM_CHANGED, self._changed)
        bus.subscribe(USER_CREATED, self._joined)
        bus.subscribe(USER_RENAMED, self._renamed)

    # -- finding ------------------------------------------------------------------------------------------------------

    async def find(self, reference: str) -> Organization:
        """An organization by slug or id; who may see it is the caller's question. Raises OrganizationNotFound."""
        kept = self._cache.get(reference)
        if kept is not None and (kept[1] is None or self._clock.now() < kept[1]):
            return kept[0]
        changes = self._changes
        id_ = id_in(reference)
        found = await (
            self._store.by_slug(self._db, reference)
            if id_ is None
            else self._store.by_id(self._db, OrganizationId(id_))
        )
        if found is None:
            raise organization_not_found()
        # A change while we read would have dropped nothing: then this answer is for this request alone.
        if changes == self._changes:
            self._cache[reference] = (
                found,
                kept_until(self._clock.now(), has_open_invitations=found.has_open_invitations),
            )
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return found

    async def by_id(self, organization: OrganizationId) -> Organization:
        """Raises OrganizationNotFound."""
        return await self.find(organization)

    async def get(self, requester: Requester, reference: str) -> Organization:
        """Raises OrganizationNotFound, AccessRefused."""
        found = await self.find(reference)
        require(requester, Action.ORGANIZATIONS_GET, found.resource(requester))
        return found

    async def resource(self, requester: Requester, reference: str) -> OrganizationResource:
        """Raises OrganizationNotFound."""
        return (await self.find(reference)).resource(requester)

    async def of_requester(self, requester: Requester) -> list[Organization]:
        """Those that a user owns or is in; the user's personal one is no organization in their eyes.

        Raises AccessRefused.
        """
        require(requester, Action.ORGANIZATIONS_LIST, Account())
        assert isinstance(requester, User)
        return await self._store.of_user(self._db, requester.id)

    # -- changing -----------------------------------------------------------------------------------------------------

    async def create(self, requester: Requester, *, name: str, slug: str | None) -> Organization:
        """An organization that the user who asks owns. Raises AccessRefused, OrganizationInvalid."""
        require(requester, Action.ORGANIZATIONS_CREATE, Account())
        assert isinstance(requester, User)
        check_name(name)
        if slug is not None:
            check_slug(slug)
        if await self._store.count_owned(self._db, requester.id) >= MAX_OWNED:
            raise OrganizationInvalid(f"One person owns at most {MAX_OWNED} organizations: remove one first")
        account = await self._users.get(requester.id)
        assert account is not None, "a token outlived its user"
        for choice in [slug] if slug is not None else islice(slugs(name), _ATTEMPTS):
            made = self._made(OrganizationId(new_id()), choice, name, account, is_personal=False)
            if await self._insert(made):
                return made
        raise OrganizationInvalid("This slug is taken: choose another" if slug else "Choose another name")

    async def personal(self, user: UserId) -> Organization:
        """A user's personal organization, made when it is first asked for."""
        found = await self._store.personal(self._db, user)
        if found is None:
            account = await self._users.get(user)
            assert account is not None, "a token outlived its user"
            id_ = OrganizationId(new_id())
            made = self._made(id_, personal_slug(id_), account.username, account, is_personal=True)
            # Two requests at once: the one that comes second finds what the first made.
            found = made if await self._insert(made) else await self._store.personal(self._db, user)
            assert found is not None
        return found

    async def rename(self, requester: Requester, reference: str, name: str) -> Organization:
        """The slug stays: paths in the programs of others hold it.

        Raises OrganizationNotFound, AccessRefused, OrganizationInvalid.
        """
        found = await self.find(reference)
        require(requester, Action.ORGANIZATIONS_UPDATE, found.resource(requester))
        check_name(name)

        async def write(tx: Transaction) -> None:
            await self._store.rename(tx, found.id, name, self._clock.now())

        await self._db.transaction(write)
        self._bus.publish(TEAM_CHANGED, TeamChanged(organization=found.id))
        return await self.by_id(found.id)

    async def remove(self, requester: Requester, reference: str) -> None:
        """With its team, its clients, its API users and its customers; not while it has products.

        Raises OrganizationNotFound, AccessRefused, OrganizationInvalid.
        """
        found = await self.find(reference)
        require(requester, Action.ORGANIZATIONS_REMOVE, found.resource(requester))
        if found.is_personal:
            raise OrganizationInvalid("A personal organization goes with its user's account")
        now = self._clock.now()
        still_used = "The organization has products: remove them first"

        async def write(tx: Transaction) -> list[SecretHash] | None:
            if await self._store.has_products(tx, found.id):
                return None
            ended = await self._tokens.end_in_organization(tx, found.id)
            await self._store.delete(tx, found.id, now)
            return ended

        try:
            ended = await self._db.transaction(write)
        except BrokenReference as error:
            raise OrganizationInvalid(still_used) from error
        if ended is None:
            raise OrganizationInvalid(still_used)
        self._gone(found.id, ended)

    async def leave(self, tx: Transaction, user: UserId, now: Millis) -> Callable[[], None]:
        """The personal organization of a user who goes ends with the account, and what acts for it ends here. One with
        products keeps the account from going, and so does any other that the user owns."""
        personal = await self._store.personal(tx, user)
        if personal is None:
            return lambda: None
        ended = await self._tokens.end_in_organization(tx, personal.id)
        # PostgreSQL looks whether it still names its owner before it cascades.
        await self._store.delete(tx, personal.id, now)
        return lambda: self._gone(personal.id, ended)

    def _gone(self, organization: OrganizationId, ended: Iterable[SecretHash]) -> None:
        self._bus.publish(TEAM_CHANGED, TeamChanged(organization=organization, is_gone=True))
        self._tokens.announce(ended)

    def _made(
        self, id_: OrganizationId, slug: str, name: str, owner: UserAccount, *, is_personal: bool
    ) -> Organization:
        now = self._clock.now()
        return Organization(
            id=id_,
            slug=slug,
            name=name,
            owner=owner.id,
            owner_name=owner.username,
            is_personal=is_personal,
            team={owner.id: Role.OWNER},
            has_open_invitations=False,
            created_at=now,
            updated_at=now,
        )

    async def _insert(self, organization: Organization) -> bool:
        """False when its slug is taken, or the user has a personal one already."""

        async def insert(tx: Transaction) -> None:
            await self._store.insert(tx, organization)

        try:
            await self._db.transaction(insert)
        except Duplicate:
            return False
        return True

    def _changed(self, change: TeamChanged) -> None:
        if change.organization is not None:
            self._drop(lambda kept: kept.id == change.organization)
            if change.is_gone:
                self._tokens.forget_in(organization=change.organization)

    def _joined(self, _user: UserId) -> None:
        """Somebody made an account, and may be in a team by an invitation now."""
        self._drop(lambda kept: kept.has_open_invitations)

    def _renamed(self, user: UserId) -> None:
        """Its new name may be one that an invitation waited for, too."""
        self._drop(lambda kept: kept.owner == user or kept.has_open_invitations)

    def _drop(self, is_concerned: Callable[[Organization], bool]) -> None:
        self._changes += 1
        for reference in [reference for reference, (kept, _) in self._cache.items() if is_concerned(kept)]:
            del self._cache[reference]


def kept_until(now: Millis, *, has_open_invitations: bool) -> Millis | None:
    """How long what was read may be kept; None for as long as nothing is heard of a change."""
    return Millis(now + SECOND) if has_open_invitations else None
