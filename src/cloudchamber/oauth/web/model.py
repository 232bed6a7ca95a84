"""Values of log-ins through a browser."""

from dataclasses import dataclass
from enum import StrEnum

from cloudchamber.clock import Millis
from cloudchamber.ids import ClientId, SecretHash
from cloudchamber.oauth.model import Principal


class ResponseType(StrEnum):
    CODE = "code"
    TOKEN = "token"  # noqa: S105 - the name of a flow


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a client asks a person for, checked. `redirect_uri` is where the answer goes; `is_redirect_given` whether
    the request named it, because then the exchange of the code has to name it too (RFC 6749 4.1.3)."""

    response_type: ResponseType
    client: ClientId
    redirect_uri: str
    is_redirect_given: bool
    state: str | None
    scope: str | None
    code_challenge: str | None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code on record. It works once; `family` names the tokens that it gave, which a second use ends."""

    hash: SecretHash
    client: ClientId
    principal: Principal
    scope: str | None
    redirect_uri: str | None
    code_challenge: str | None
    expires_at: Millis
    used_at: Millis | None
    family: str


class GrantState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """A device without a keyboard that waits for somebody to approve it. `interval_s` grows when it asks too often."""

    hash: SecretHash
    user_code: SecretHash
    client: ClientId
    scope: str | None
    state: GrantState
    principal: Principal | None
    interval_s: int
    polled_at: Millis | None
    expires_at: Millis


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Somebody who is signed in to the hosted pages of one client's product, or of the cloud."""

    hash: SecretHash
    principal: Principal
    created_at: Millis
    expires_at: Millis


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person allowed an application."""

    client: ClientId
    client_name: str
    scope: str | None
    given_at: Millis
