"""The typed answer to "who is asking".

A requester is made once for each request, from its token, and handed to every service by argument. Nothing keeps a
current requester anywhere: after an await, a shared one could be somebody else's.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from cloudchamber.ids import ApiUserId, ClientId, CustomerId, DeviceId, OrganizationId, ProductId, SecretHash, UserId

EVERYTHING: Final = "*:*"
# The name that the first generation of clients used for the permission to create customers.
_LEGACY_SCOPES: Final = {"create_customer": "customers:create"}


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a token may be used for: a set of `object:action` names, or everything its principal may do."""

    names: frozenset[str] | None = None

    @classmethod
    def parse(cls, text: str | None) -> "Scopes":
        """A client's scope is a space-separated list; none, or `*:*` in it, limits nothing."""
        names = frozenset(_LEGACY_SCOPES.get(name, name) for name in (text or "").split())
        return UNLIMITED if not names or EVERYTHING in names else cls(names)

    def allow(self, action: str) -> bool:
        return self.names is None or action in self.names


UNLIMITED: Final = Scopes()


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No token. May do only what a route opens to everybody."""


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account, through any client; also what a client that belongs to a user acts as."""

    id: UserId
    client: ClientId
    scopes: Scopes = UNLIMITED
    token: SecretHash | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer of one product, or of one organization and so of all its products: one of the two is None. Never a
    user, even where both have the same e-mail address."""

    id: CustomerId
    product: ProductId | None
    client: ClientId
    scopes: Scopes = UNLIMITED
    token: SecretHash | None = None
    organization: OrganizationId | None = None


@dataclass(frozen=True, slots=True)
class ProductClient:
    """The product itself, through the credentials of a client that belongs to it. Not a person."""

    client: ClientId
    product: ProductId
    scopes: Scopes = UNLIMITED
    token: SecretHash | None = None


@dataclass(frozen=True, slots=True)
class OrganizationClient:
    """An organization itself, and so each of its products, through the credentials of a client that belongs to it."""

    client: ClientId
    organization: OrganizationId
    scopes: Scopes = UNLIMITED
    token: SecretHash | None = None


@dataclass(frozen=True, slots=True)
class ApiUser:
    """A program in the team of one product or of one organization: one of the two is None. It may do what its scopes
    name, in that place and nowhere else; it has no account, no devices and no name to log in with."""

    id: ApiUserId
    client: ClientId
    scopes: Scopes
    token: SecretHash | None = None
    product: ProductId | None = None
    organization: OrganizationId | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device that proved its key on the connection through which it speaks."""

    id: DeviceId


Bearer: TypeAlias = User | Customer | ProductClient | OrganizationClient | ApiUser
Requester: TypeAlias = Bearer | Device | Anonymous


def describe(requester: Requester) -> str:
    """How the custody log and the audit name a requester: kind and id, never a secret."""
    match requester:
        case User(id=id_):
            return f"user:{id_}"
        case Customer(id=id_):
            return f"customer:{id_}"
        case ProductClient(client=client) | OrganizationClient(client=client):
            return f"client:{client}"
        case ApiUser(id=id_):
            return f"api-user:{id_}"
        case Device(id=id_):
            return f"device:{id_}"
        case Anonymous():
            return "anonymous"
