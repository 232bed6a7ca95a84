"""Clients and tokens."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from cloudchamber.access.requester import (
    ApiUser,
    Bearer,
    Customer,
    OrganizationClient,
    ProductClient,
    Scopes,
    User,
)
from cloudchamber.clock import Millis
from cloudchamber.identity.model import CustomerAccount
from cloudchamber.ids import ApiUserId, ClientId, CustomerId, OrganizationId, ProductId, SecretHash, UserId

DEFAULT_LIFETIME_S: Final = 7_776_000
"""90 days: what `expires_in` is when nobody asks for another."""

REFRESH_MARGIN_S: Final = 14 * 24 * 3600
"""A refresh token outlives its access token by 14 days."""


class ClientType(StrEnum):
    INSTALLED = "installed"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Client:
    """An application. It belongs to a user, to a product, to an organization, or (the public ones) to nobody."""

    id: ClientId
    secret_hash: SecretHash | None
    name: str
    type: ClientType
    redirect_uri: str | None
    scope: str | None
    user: UserId | None
    product: ProductId | None
    is_builtin: bool
    is_enabled: bool
    created_at: Millis
    organization: OrganizationId | None = None
    takes_passwords: bool = True
    """Do people log in with their password through it (RFC 9700 2.4: they should not)?"""

    @property
    def scopes(self) -> Scopes:
        return Scopes.parse(self.scope)


class PrincipalKind(StrEnum):
    USER = "user"
    CUSTOMER = "customer"
    PRODUCT = "product"
    ORGANIZATION = "organization"
    API_USER = "api_user"


class Principal(msgspec.Struct, frozen=True):
    """Whom a token acts for. `id` is a user's, customer's or API user's id; for a product or an organization, its
    client's id. Customers and API users belong to a product or to an organization."""

    kind: PrincipalKind
    id: str
    product: ProductId | None = None
    organization: OrganizationId | None = None

    @classmethod
    def of(cls, requester: Bearer) -> "Principal":
        match requester:
            case User(id=user):
                return cls(PrincipalKind.USER, user)
            case Customer(id=customer, product=product, organization=organization):
                return cls(PrincipalKind.CUSTOMER, customer, product, organization)
            case ProductClient(client=client, product=product):
                return cls(PrincipalKind.PRODUCT, client, product)
            case OrganizationClient(client=client, organization=organization):
                return cls(PrincipalKind.ORGANIZATION, client, None, organization)
            case ApiUser(id=api_user, product=product, organization=organization):
                return cls(PrincipalKind.API_USER, api_user, product, organization)

    def requester(self, client: ClientId, scopes: Scopes, token: SecretHash | None) -> Bearer:
        match self.kind:
            case PrincipalKind.USER:
                return User(UserId(self.id), client, scopes, token)
            case PrincipalKind.CUSTOMER:
                return Customer(CustomerId(self.id), self.product, client, scopes, token, self.organization)
            case PrincipalKind.PRODUCT:
                assert self.product is not None
                return ProductClient(client, self.product, scopes, token)
            case PrincipalKind.ORGANIZATION:
                assert self.organization is not None
                return OrganizationClient(client, self.organization, scopes, token)
            case PrincipalKind.API_USER:
                return ApiUser(ApiUserId(self.id), client, scopes, token, self.product, self.organization)


def customer_principal(customer: CustomerAccount) -> Principal:
    return Principal(PrincipalKind.CUSTOMER, customer.id, customer.product, customer.organization)


class AccessToken(msgspec.Struct, frozen=True):
    """A token on record. `family` joins all tokens that came from one log-in by refreshing."""

    hash: SecretHash
    client: ClientId
    principal: Principal
    scope: str | None
    family: str
    sealed: bytes | None
    issued_at: Millis
    expires_at: Millis | None


class RefreshToken(msgspec.Struct, frozen=True):
    """`access_lifetime_s` is what the next access token gets: a refresh keeps the length that was first asked for."""

    hash: SecretHash
    client: ClientId
    principal: Principal
    scope: str | None
    family: str
    access_lifetime_s: int
    issued_at: Millis
    expires_at: Millis
    used_at: Millis | None
    is_public: bool = False
    """Its client shows no secret, so this token alone refreshes the log-in."""


@dataclass(frozen=True, slots=True)
class Issued:
    """The answer to a grant: the only moment at which the secrets exist outside of the client.

    `expires_in` is in seconds, 0 for a token that never expires; such a token has no refresh token.
    """

    access_token: str
    expires_in: int
    refresh_token: str | None
    scope: str | None
    acts_for: str = ""
    """Whom, as `describe` writes requesters; for the audit log."""


class LogIn(msgspec.Struct, frozen=True):
    """What all tokens of a family came from. `created_by` is who began it, as `describe` writes requesters;
    `ends_at` is when it can no longer be refreshed, None for never."""

    family: str
    created_by: str
    created_at: Millis
    ends_at: Millis | None


class LastRefresh(msgspec.Struct, frozen=True):
    """A log-in's last refresh: hashes of the refresh token that was used and of the access token that it gave. `salt`
    is what both new tokens were derived with (refreshing.py); None once one of them was used."""

    family: str
    used: SecretHash
    access: SecretHash
    salt: bytes | None


class NewLogIn(msgspec.Struct, frozen=True):
    """A log-in with its first tokens. `began` is when its first request came; `is_public`: its client has no secret to
    refresh with; `is_of_code`: an authorization code gave it, and knows it by its family."""

    log_in: LogIn
    access: AccessToken
    refresh: RefreshToken | None
    began: Millis
    is_public: bool = False
    is_of_code: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """A token's last use that was written down; what came after it is in memory (tokens.py)."""

    at: Millis
    ip: str


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A living token with all that is known of it."""

    token: AccessToken
    log_in: LogIn | None
    refresh_expires_at: Millis | None
    last_use: Use | None


@dataclass(frozen=True, slots=True)
class ListedToken:
    """One row of a list; `shown` is the whole token or its hash's first digits, as the switch `token_listing` has
    it."""

    shown: str
    known: KnownToken


@dataclass(frozen=True, slots=True)
class Introspection:
    """A good token, as a client may see it (RFC 7662)."""

    client: ClientId
    principal: Principal
    kind: str
    """`access_token` or `refresh_token`."""
    scope: str | None
    issued_at: Millis
    expires_at: Millis | None
