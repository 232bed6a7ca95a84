"""From errors to the vendor's answers: status, body, headers.

Clients pick different keys out of an error body, compare its words, and expect different shapes at different places:

=====================================================  ==============================================================
OAuth and token checks                                 `{"error": code, "error_description": text}`
most resources                                         `{"ok": false, "error": text}`
claiming, listing tokens, making accounts              `{"ok": false, "errors": [text]}`
a device that is not there, or not the requester's     `{"error": "Permission Denied", "info": text}`
=====================================================  ==============================================================

The shape follows from the error alone, so that one refusal looks the same wherever it happens. The one exception:
below `/v1/orgs/...`, what is not there for a kind of token (a customer's, a product client's) is a 404, where the
product's own path answers 403.
"""

from typing import Any, ClassVar, Final, NamedTuple

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Account, Action, DeviceResource, OwnThings
from cloudchamber.access.rules import Reason
from cloudchamber.errors import CloudError, Invalid, TooLarge, TooManyRequests, Unauthenticated, Unavailable
from cloudchamber.firmware.errors import FlashRefused, FlashTimedOut, UpdateRunning
from cloudchamber.fleet.errors import DeviceUnknown
from cloudchamber.messaging.errors import SignalTimedOut, VariableTimedOut
from cloudchamber.oauth.errors import MfaRequired, OAuthError
from cloudchamber.ownership.errors import DeviceOffline

Header = tuple[str, str]

NO_STORE: Final[tuple[Header, ...]] = (("cache-control", "no-store"), ("pragma", "no-cache"))
_BASIC: Final[Header] = ("www-authenticate", 'Basic realm="Service"')
_BEARER: Final = 'Bearer realm="Service"'

# `access_token=undefined` is what the production cloud really says; clients compare the beginning.
NOT_RECOGNIZED: Final = (
    "I didn't recognize that device name or ID, try opening https://api.particle.io/v1/devices?access_token=undefined"
)
PERMISSION_DENIED: Final = "Permission denied"


class Rendered(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: tuple[Header, ...] = ()


class BodyTooLarge(TooLarge):
    code: ClassVar[str] = "body_too_large"


class ScopeMissing(OAuthError):
    """The token is limited, and not to this."""

    code: ClassVar[str] = "scope_missing"

    def __init__(self, action: Action) -> None:
        super().__init__(
            "invalid_scope", f"Token does not have scope {action.value}", standard=(403, "insufficient_scope")
        )


class ApiUserRefused(OAuthError):
    """An API user asks for what only people, or customers, have."""

    code: ClassVar[str] = "api_user_refused"

    def __init__(self) -> None:
        super().__init__("unauthorized", Reason.API_USER.value, standard=(403, "unauthorized"))


class PasswordRefused(Unauthenticated):
    """User name and password are missing where they are needed."""

    code: ClassVar[str] = "password_refused"


class BadPassword(PasswordRefused):
    """Those in a Basic header are wrong."""

    is_wrong_guess: ClassVar[bool] = True


class UnknownUser(Invalid):
    """The vendor's answer to a user name that it does not know, where it tells (Basic on the token list)."""

    code: ClassVar[str] = "unknown_user"
    is_wrong_guess: ClassVar[bool] = True


# Codes whose answer is `{"ok": false, "errors": [text]}`.
_LIST_SHAPE: Final = frozenset(
    {
        "belongs_to_another",
        "client_invalid",
        "credentials_missing",
        "device_does_not_exist",
        "device_id_missing",
        "password_refused",
        "unknown_user",
    }
)
# Codes whose shape no source tells: whichever key a client reads, it finds the text.
_BOTH_SHAPE: Final = frozenset(
    {
        "account_info_unusable",
        "challenge_unknown",
        "code_wrong",
        "current_password_wrong",
        "customer_exists",
        "email_missing",
        "owns_products",
        "password_unusable",
        "registration_closed",
        "username_taken",
        "username_unusable",
    }
)


# Codes whose answer is `{"error": text}`.
_BARE_SHAPE: Final = frozenset({"provisioning_invalid"})


_OUTSIDE: Final = frozenset({Reason.NOT_IN_TEAM, Reason.OTHER_PRODUCT, Reason.OTHER_ORGANIZATION})


def text_error(status: int, text: str, *headers: Header) -> Rendered:
    return Rendered(status, {"ok": False, "error": text}, headers)


def oauth_shaped(error: Rendered) -> Rendered:
    """The same in the shape in which an authorization server fails (RFC 6749 5.2, http-api.md 2.5): its clients look
    for nothing else. For what is refused before anybody looks at what is asked."""
    text = error.body.get("error")
    if text is None or "error_description" in error.body:
        return error
    code = "server_error" if error.status >= 500 else "invalid_request"
    return Rendered(error.status, {"error": code, "error_description": text}, (*NO_STORE, *error.headers))


def device_not_recognized() -> Rendered:
    return Rendered(403, {"error": "Permission Denied", "info": NOT_RECOGNIZED})


def render(error: CloudError, *, below_organization: bool = False, vendor_statuses: bool = True) -> Rendered:
    """The answer to an error. Details are not in it; they are for the log."""
    if isinstance(error, AccessRefused) and error.reason is Reason.SCOPE:
        error = ScopeMissing(error.action)
    elif isinstance(error, AccessRefused) and error.reason is Reason.API_USER:
        error = ApiUserRefused()
    if isinstance(error, OAuthError):
        return _oauth(error, vendor_statuses=vendor_statuses)
    if isinstance(error, AccessRefused):
        return _refused(error, below_organization)
    if isinstance(error, TooManyRequests):
        return _too_many(error)
    if isinstance(error, DeviceUnknown):
        return device_not_recognized()
    if error.code in _LIST_SHAPE:
        return Rendered(error.status, {"ok": False, "errors": [error.message]})
    if error.code in _BOTH_SHAPE:
        return Rendered(error.status, {"ok": False, "error": error.message, "errors": [error.message]})
    if isinstance(error, DeviceOffline):
        return Rendered(error.status, {"ok": False, "errors": [[error.message, error.status]]})
    if isinstance(error, SignalTimedOut):
        return Rendered(error.status, {"ok": False, "code": error.status, "errors": [{"error": error.message}]})
    if isinstance(error, FlashTimedOut | FlashRefused | UpdateRunning):
        return Rendered(error.status, {"ok": False, "code": error.status, "errors": [error.message]})
    if isinstance(error, VariableTimedOut) or error.code in _BARE_SHAPE:
        return Rendered(error.status, {"error": error.message})
    if isinstance(error, BodyTooLarge):
        # What is left of the body stays unread: the connection cannot carry another request.
        return text_error(error.status, error.message, ("connection", "close"))
    if isinstance(error, Unavailable):
        return text_error(error.status, error.message, ("retry-after", "1"))
    return text_error(error.status, error.message)


def _oauth(error: OAuthError, *, vendor_statuses: bool) -> Rendered:
    status, code = error.http_status, error.error
    if error.standard is not None and not vendor_statuses:
        status, code = error.standard
    headers = NO_STORE
    if code == "invalid_client":
        headers = (*NO_STORE, _BASIC)
    elif code in {"invalid_token", "insufficient_scope"}:
        headers = (*NO_STORE, ("www-authenticate", f'{_BEARER}, error="{code}"'))
    elif status == 401:
        headers = (*NO_STORE, ("www-authenticate", _BEARER))
    body = {"error": code, "error_description": error.message}
    if isinstance(error, MfaRequired) and error.mfa_token is not None:
        body["mfa_token"] = error.mfa_token
    return Rendered(status, body, headers)


def _too_many(error: TooManyRequests) -> Rendered:
    headers = (*NO_STORE, ("retry-after", str(error.retry_after_s)))
    return Rendered(error.status, {"error": error.code, "error_description": error.message}, headers)


def _refused(error: AccessRefused, below_organization: bool) -> Rendered:
    reason, resource = error.reason, error.resource
    if reason in {Reason.QUARANTINED, Reason.DENIED}:
        return text_error(403, reason.value)
    if isinstance(resource, DeviceResource):
        return device_not_recognized()
    if isinstance(resource, OwnThings | Account):
        return text_error(403, PERMISSION_DENIED)
    # In a product: those outside of it are told "not found", those inside what they lack.
    if error.action is Action.DEVICES_IMPORT and reason is Reason.WRONG_KIND:
        return text_error(404, "Organization not found for user's role.")
    if error.action is Action.CLAIM_CODES_CREATE and reason is Reason.WRONG_KIND:
        return text_error(403, f"{PERMISSION_DENIED}: use a customer's token to get claim codes of a product")
    is_outside = reason in _OUTSIDE or (below_organization and reason is Reason.WRONG_KIND)
    if is_outside and not (error.action is Action.CUSTOMERS_CREATE and reason is not Reason.NOT_IN_TEAM):
        return text_error(404, PERMISSION_DENIED)
    return text_error(403, PERMISSION_DENIED)
