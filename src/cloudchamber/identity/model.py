"""Accounts. Who changes a user's name publishes USER_RENAMED, for those who keep names (fleet/service.py)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from cloudchamber.clock import Millis
from cloudchamber.ids import ClientId, CustomerId, OrganizationId, ProductId, SecretHash, UserId


class UserAccount(msgspec.Struct, frozen=True):
    id: UserId
    username: str
    password_hash: str | None
    account_info: dict[str, Any]
    is_admin: bool
    created_at: Millis


class Factor(msgspec.Struct, frozen=True):
    """An authenticator app that a user has set up. `sealed` is the secret that it shares with us."""

    id: str
    user: UserId
    name: str
    sealed: bytes
    last_step: int
    created_at: Millis
    last_used_at: Millis | None


class ChallengeKind(StrEnum):
    ENROLMENT = "enrolment"
    LOG_IN = "log-in"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What is open between two requests, found again by its `mfa_token`: an app that is being set up (`sealed` is its
    secret), or a log-in whose password was right. A log-in belongs to the client that began it, and its token will be
    as its first request asked (`scope`, `lifetime_s`)."""

    hash: SecretHash
    kind: ChallengeKind
    user: UserId
    client: ClientId | None
    scope: str | None
    lifetime_s: int | None
    sealed: bytes | None
    attempts: int
    created_at: Millis
    expires_at: Millis


class CodeFailures(msgspec.Struct, frozen=True):
    """Wrong codes in a row, over all log-ins of a user."""

    count: int
    last_at: Millis


NO_FAILURES: Final = CodeFailures(0, Millis(0))


@dataclass(frozen=True, slots=True)
class CustomerAccount:
    """A customer of one product, or of one organization and so of all its products: one of the two is None.
    `username` is an e-mail address or any other string that the product's creator knows the customer by."""

    id: CustomerId
    product: ProductId | None
    username: str
    password_hash: str | None
    created_at: Millis
    organization: OrganizationId | None = None
