"""OAuth failures, with the codes of RFC 6749 section 5.2 and the texts that clients compare.

CloudError
├── OAuthError            `error` and `error_description` of an answer
│   ├── InvalidToken      a bearer token that is unknown, revoked or expired
│   ├── MfaRequired       the password was right, and is not enough
│   └── WrongGuess        a secret, password or code that somebody tried and that is wrong
├── NotFound
│   ├── ClientNotFound
│   └── TokenNotFound
└── Invalid
    └── ClientInvalid     a client that cannot be made as asked
"""

from typing import ClassVar, Final

from cloudchamber.errors import CloudError, Invalid, NotFound

_STATUS = {
    "invalid_token": 401,
    "mfa_required": 403,
    "rate_limit_exceeded": 429,
    "server_error": 503,
}


class OAuthError(CloudError):
    """`error` is the vendor's code on the wire; the status follows from it (400 for most).

    `standard` is what the RFCs say, where the vendor does not: status and code, sent while the switch
    `compat.vendor_statuses` is off.
    """

    code: ClassVar[str] = "oauth"
    status: ClassVar[int] = 400

    def __init__(
        self, error: str, description: str, *, detail: str | None = None, standard: tuple[int, str] | None = None
    ) -> None:
        super().__init__(description, detail=detail)
        self.error = error
        self.http_status = _STATUS.get(error, 400)
        self.standard = standard


class InvalidToken(OAuthError):
    code: ClassVar[str] = "invalid_token"
    status: ClassVar[int] = 401


class MfaRequired(OAuthError):
    """The password was right; `mfa_token` is what the second step brings. None where there is no second step, and the
    code has to come with the password."""

    def __init__(self, mfa_token: str | None) -> None:
        super().__init__("mfa_required", "Multi-factor authentication required")
        self.mfa_token = mfa_token


class WrongGuess(OAuthError):
    is_wrong_guess: ClassVar[bool] = True


class ClientNotFound(NotFound):
    code: ClassVar[str] = "client_not_found"


class TokenNotFound(NotFound):
    code: ClassVar[str] = "token_not_found"


class ClientInvalid(Invalid):
    code: ClassVar[str] = "client_invalid"


CLIENT_UNAUTHENTICATED: Final = (401, "invalid_client")
"""RFC 6749 5.2: whenever a client could have authenticated and did not."""


def client_missing(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, standard=CLIENT_UNAUTHENTICATED)


def grant_refused() -> OAuthError:
    return OAuthError(
        "invalid_client",
        "The grant type is unauthorised for this client_id",
        standard=(400, "unauthorized_client"),
    )


def token_not_found() -> TokenNotFound:
    return TokenNotFound("There is no such token in this product")


def token_unknown() -> InvalidToken:
    return InvalidToken("invalid_token", "The access token provided is invalid.")


def token_expired() -> InvalidToken:
    return InvalidToken("invalid_token", "The access token provided has expired.")


def client_unknown() -> OAuthError:
    """The same for an unknown client and a wrong secret, so that ids cannot be probed."""
    return WrongGuess("invalid_client", "Client credentials are invalid", standard=CLIENT_UNAUTHENTICATED)


def user_credentials_invalid() -> OAuthError:
    return WrongGuess("invalid_grant", "User credentials are invalid")


def log_in_ended() -> OAuthError:
    """What was shown was right when it was shown; meanwhile the account's log-ins ended, or it is switched off."""
    return OAuthError("invalid_grant", "User credentials are invalid", detail="ended meanwhile, or switched off")


def refresh_token_invalid(detail: str) -> OAuthError:
    return OAuthError("invalid_grant", "Invalid refresh token", detail=detail)
