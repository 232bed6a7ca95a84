"""SQL of organizations, teams, invitations and API users."""

import msgspec

from cloudchamber.access.model import Role
from cloudchamber.clock import Millis
from cloudchamber.ids import ApiUserId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.organizations.model import (
    TEAM_NOTICE,
    ApiUserAccount,
    Invitation,
    Member,
    Organization,
    Place,
    TeamChanged,
    columns,
)
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.storage.notices import put_notice

_ORGANIZATION = (
    "SELECT o.id, o.slug, o.name, o.owner_user_id, o.personal_user_id, o.created_at, o.updated_at,"
    " EXISTS (SELECT 1 FROM invitations i WHERE i.organization_id = o.id), u.username FROM organizations o"
    " JOIN users u ON u.id = o.owner_user_id"
)
_INVITATION = (
    "SELECT id, username, product_id, organization_id, role, invited_by, created_at, expires_at,"
    " (SELECT c.hash FROM invitation_codes c WHERE c.invitation_id = invitations.id) FROM invitations"
)
_API_USER = (
    "SELECT id, username, friendly_name, product_id, organization_id, scopes, created_by, created_at,"
    " (SELECT t.expires_at FROM access_tokens t WHERE t.principal_kind = 'api_user' AND t.principal_id = api_users.id),"
    " EXISTS (SELECT 1 FROM access_tokens t WHERE t.principal_kind = 'api_user' AND t.principal_id = api_users.id)"
    " FROM api_users"
)
# One of the two columns is NULL in every row, and so is one of the two values: the other pair is equal.
_AT = "(product_id = $1 OR organization_id = $2)"


class OrganizationStore:
    async def insert(self, tx: Transaction, organization: Organization) -> None:
        """Raises Duplicate where the slug is taken, or a personal one is there already."""
        await tx.execute(
            "INSERT INTO organizations (id, slug, name, owner_user_id, personal_user_id, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $6)",
            organization.id,
            organization.slug,
            organization.name,
            organization.owner,
            organization.owner if organization.is_personal else None,
            organization.created_at,
        )

    async def by_id(self, db: Reader, organization: OrganizationId) -> Organization | None:
        row = await db.fetch_one(f"{_ORGANIZATION} WHERE o.id = $1", organization)
        return await self._organization(db, row) if row else None

    async def by_slug(self, db: Reader, slug: str) -> Organization | None:
        row = await db.fetch_one(f"{_ORGANIZATION} WHERE o.slug = $1", slug)
        return await self._organization(db, row) if row else None

    async def personal(self, db: Reader, user: UserId) -> Organization | None:
        row = await db.fetch_one(f"{_ORGANIZATION} WHERE o.personal_user_id = $1", user)
        return await self._organization(db, row) if row else None

    async def of_user(self, db: Reader, user: UserId) -> list[Organization]:
        """Those that the user owns or is a member of; their personal one is not among them."""
        rows = await db.fetch_all(
            f"{_ORGANIZATION} WHERE (o.owner_user_id = $1 AND o.personal_user_id IS NULL) OR EXISTS"
            " (SELECT 1 FROM organization_memberships m WHERE m.organization_id = o.id AND m.user_id = $1)"
            " ORDER BY o.created_at, o.id",
            user,
        )
        return [await self._organization(db, row) for row in rows]

    async def count_owned(self, db: Reader, user: UserId) -> int:
        row = await db.fetch_one("SELECT count(*) FROM organizations WHERE owner_user_id = $1", user)
        return int(row[0]) if row else 0

    async def rename(self, tx: Transaction, organization: OrganizationId, name: str, now: Millis) -> None:
        await tx.execute("UPDATE organizations SET name = $2, updated_at = $3 WHERE id = $1", organization, name, now)
        await put_team_notice(tx, TeamChanged(organization=organization), now)

    async def hand_over(self, tx: Transaction, organization: OrganizationId, owner: UserId, now: Millis) -> None:
        await tx.execute(
            "UPDATE organizations SET owner_user_id = $2, updated_at = $3 WHERE id = $1", organization, owner, now
        )

    async def has_products(self, db: Reader, organization: OrganizationId) -> bool:
        return await db.fetch_one("SELECT 1 FROM products WHERE organization_id = $1", organization) is not None

    async def delete(self, tx: Transaction, organization: OrganizationId, now: Millis) -> None:
        """Raises BrokenReference while it has products."""
        await put_team_notice(tx, TeamChanged(organization=organization, is_gone=True), now)
        # They know their owner by kind and id, without a reference.
        await tx.execute("DELETE FROM webhooks WHERE owner_kind = 'organization' AND owner_id = $1", organization)
        await tx.execute("DELETE FROM organizations WHERE id = $1", organization)

    async def _organization(self, db: Reader, row: Row) -> Organization:
        members = await db.fetch_all(
            "SELECT user_id, role FROM organization_memberships WHERE organization_id = $1", row[0]
        )
        owner = UserId(row[3])
        return Organization(
            id=OrganizationId(row[0]),
            slug=row[1],
            name=row[2],
            owner=owner,
            owner_name=row[8],
            is_personal=row[4] is not None,
            team={**{UserId(member[0]): Role[member[1]] for member in members}, owner: Role.OWNER},
            created_at=Millis(row[5]),
            updated_at=Millis(row[6]),
            has_open_invitations=bool(row[7]),
        )


class TeamStore:
    """Members and invitations of products and organizations. An owner is no member here: they stand with what they
    own."""

    async def owner(self, db: Reader, place: Place) -> Member | None:
        row = await db.fetch_one(
            "SELECT u.id, u.username FROM organizations o JOIN users u ON u.id = o.owner_user_id"
            " WHERE o.id = $2 OR o.id = (SELECT organization_id FROM products WHERE id = $1)",
            *columns(place),
        )
        return Member(UserId(row[0]), row[1], Role.OWNER) if row else None

    async def members(self, db: Reader, place: Place) -> list[Member]:
        product, organization = columns(place)
        table, column = _memberships(place)
        rows = await db.fetch_all(
            f"SELECT u.id, u.username, m.role FROM {table} m JOIN users u ON u.id = m.user_id"
            f" WHERE m.{column} = $1 ORDER BY u.username",
            product if product is not None else organization,
        )
        return [Member(UserId(row[0]), row[1], Role[row[2]]) for row in rows]

    async def role(self, db: Reader, place: Place, user: UserId) -> Role | None:
        table, column = _memberships(place)
        row = await db.fetch_one(
            f"SELECT role FROM {table} WHERE {column} = $1 AND user_id = $2",
            place.id,
            user,
        )
        return Role[row[0]] if row else None

    async def put(self, tx: Transaction, place: Place, user: UserId, role: Role, now: Millis) -> None:
        await put_team_notice(tx, TeamChanged.at(place, user), now)
        table, column = _memberships(place)
        await tx.execute(
            f"INSERT INTO {table} ({column}, user_id, role, created_at) VALUES ($1, $2, $3, $4)"
            f" ON CONFLICT ({column}, user_id) DO UPDATE SET role = excluded.role",
            place.id,
            user,
            role.name,
            now,
        )

    async def remove(self, tx: Transaction, place: Place, user: UserId, now: Millis) -> bool:
        await put_team_notice(tx, TeamChanged.at(place, user), now)
        table, column = _memberships(place)
        return (
            await tx.execute(
                f"DELETE FROM {table} WHERE {column} = $1 AND user_id = $2",
                place.id,
                user,
            )
            == 1
        )

    async def size(self, db: Reader, place: Place) -> int:
        """Members, invitations and API users."""
        table, column = _memberships(place)
        row = await db.fetch_one(
            f"SELECT (SELECT count(*) FROM {table} WHERE {column} = $3)"
            f" + (SELECT count(*) FROM invitations WHERE {_AT}) + (SELECT count(*) FROM api_users WHERE {_AT})",
            *columns(place),
            place.id,
        )
        return int(row[0]) if row else 0

    async def invitations(self, db: Reader, place: Place, now: Millis) -> list[Invitation]:
        rows = await db.fetch_all(
            f"{_INVITATION} WHERE {_AT} AND expires_at > $3 ORDER BY username", *columns(place), now
        )
        return [_invitation(row) for row in rows]

    async def invite(self, tx: Transaction, invitation: Invitation, now: Millis) -> None:
        """A second invitation takes the place of the first."""
        await put_team_notice(tx, TeamChanged.at(invitation.place), now)
        await self.withdraw(tx, invitation.product, invitation.organization, invitation.username)
        await tx.execute(
            "INSERT INTO invitations (id, username, product_id, organization_id, role, invited_by, created_at,"
            " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            invitation.id,
            invitation.username,
            invitation.product,
            invitation.organization,
            invitation.role.name,
            invitation.invited_by,
            invitation.created_at,
            invitation.expires_at,
        )
        if invitation.code_hash is not None:
            await tx.execute(
                "INSERT INTO invitation_codes (invitation_id, hash) VALUES ($1, $2)",
                invitation.id,
                invitation.code_hash,
            )

    async def invitation_with(self, db: Reader, code_hash: SecretHash, now: Millis) -> Invitation | None:
        row = await db.fetch_one(
            f"{_INVITATION} WHERE id = (SELECT c.invitation_id FROM invitation_codes c WHERE c.hash = $1)"
            " AND expires_at > $2",
            *(code_hash, now),
        )
        return _invitation(row) if row else None

    async def withdraw(
        self, tx: Transaction, product: ProductId | None, organization: OrganizationId | None, username: str
    ) -> bool:
        return (
            await tx.execute(
                f"DELETE FROM invitations WHERE {_AT} AND username = $3",
                product,
                organization,
                username,
            )
            > 0
        )

    async def delete_expired(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM invitations WHERE expires_at < $1", before)


class ApiUserStore:
    async def insert(self, tx: Transaction, user: ApiUserAccount) -> None:
        await tx.execute(
            "INSERT INTO api_users (id, username, friendly_name, product_id, organization_id, scopes, created_by,"
            " created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
            user.id,
            user.username,
            user.friendly_name,
            user.product,
            user.organization,
            " ".join(user.scopes),
            user.created_by,
            user.created_at,
        )

    async def at(self, db: Reader, place: Place) -> list[ApiUserAccount]:
        rows = await db.fetch_all(f"{_API_USER} WHERE {_AT} ORDER BY created_at, id", *columns(place))
        return [_api_user(row) for row in rows]

    async def named(self, db: Reader, place: Place, username: str) -> ApiUserAccount | None:
        row = await db.fetch_one(f"{_API_USER} WHERE {_AT} AND username = $3", *columns(place), username)
        return _api_user(row) if row else None

    async def is_name(self, db: Reader, username: str) -> bool:
        return await db.fetch_one("SELECT 1 FROM api_users WHERE username = $1", username) is not None

    async def update(
        self, tx: Transaction, user: ApiUserId, friendly_name: str, scopes: tuple[str, ...], now: Millis
    ) -> None:
        await tx.execute(
            "UPDATE api_users SET friendly_name = $2, scopes = $3, updated_at = $4 WHERE id = $1",
            user,
            friendly_name,
            " ".join(scopes),
            now,
        )

    async def delete(self, tx: Transaction, user: ApiUserId) -> None:
        await tx.execute("DELETE FROM api_users WHERE id = $1", user)


async def put_team_notice(tx: Transaction, change: TeamChanged, now: Millis) -> None:
    await put_notice(tx, TEAM_NOTICE, msgspec.json.encode(change).decode(), now)


def _memberships(place: Place) -> tuple[str, str]:
    product, _ = columns(place)
    return ("memberships", "product_id") if product is not None else ("organization_memberships", "organization_id")


def _invitation(row: Row) -> Invitation:
    return Invitation(
        id=row[0],
        username=row[1],
        product=ProductId(row[2]) if row[2] is not None else None,
        organization=OrganizationId(row[3]) if row[3] is not None else None,
        role=Role[row[4]],
        invited_by=row[5],
        created_at=Millis(row[6]),
        expires_at=Millis(row[7]),
        code_hash=SecretHash(bytes(row[8])) if row[8] is not None else None,
    )


def _api_user(row: Row) -> ApiUserAccount:
    return ApiUserAccount(
        id=ApiUserId(row[0]),
        username=row[1],
        friendly_name=row[2],
        product=ProductId(row[3]) if row[3] is not None else None,
        organization=OrganizationId(row[4]) if row[4] is not None else None,
        scopes=tuple(row[5].split()),
        created_by=row[6],
        created_at=Millis(row[7]),
        token_ends_at=Millis(row[8]) if row[8] is not None else None,
        has_token=bool(row[9]),
    )
