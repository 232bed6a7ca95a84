"""The shapes of errors. Which one a client meets follows from what went wrong, not from the route; statuses say what.

400 a request that makes no sense, a token in the wrong place, a limited token's missing scope; 401 a token that is
unknown or expired, and nothing else; 403 not for this requester; 404 no such thing, or none that the requester may
know of; 409 not in the state that things are in; 413 too large; 429 too many; 503 not now.
"""

from typing import Any, Literal

from msgspec import UNSET, Struct

from cloudchamber.api.schemas.common import Maybe


class OAuthFailure(Struct):
    """Everything about tokens, clients and log-ins. `mfa_token` comes with `mfa_required`."""

    error: str
    error_description: str
    mfa_token: str | Maybe = UNSET


class Failure(Struct):
    """Most resources."""

    ok: bool
    error: str


class Failures(Struct):
    """Claiming, listing tokens, making accounts. An item is a text, or `[text, status]` or `{"error": text}` as the
    vendor's older answers have it."""

    ok: bool
    errors: list[Any]
    code: int | Maybe = UNSET
    error: str | Maybe = UNSET


class PermissionDenied(Struct):
    """A device that is not there, or not the requester's: outwardly the same."""

    error: Literal["Permission Denied"]
    info: str


class Bare(Struct):
    """A variable of a device that is offline, and a few others that say no more."""

    error: str


ERRORS = (OAuthFailure, Failure, Failures, PermissionDenied, Bare)

STATUSES = {
    400: "The request makes no sense, its token stands in the wrong place, or the token lacks the scope.",
    401: "The token is unknown, revoked or expired.",
    403: "Not for this requester; for a device, also one that does not exist.",
    404: "There is no such thing, or none that the requester may know of.",
    406: "The sources do not compile.",
    408: "The device is offline or did not answer in time.",
    409: "Not in the state that things are in.",
    413: "The body is too large.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "The device did not answer in time.",
    501: "Not built yet; the text says what it would do.",
    503: "Not now; the same request may work later.",
}
