"""Pure rules of the OAuth server: lifetimes, scope parameters, redirects, client ids, rotation of refresh tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import urlsplit

from cloudchamber.access.requester import UNLIMITED, Scopes
from cloudchamber.clock import MINUTE, Millis, parse_iso
from cloudchamber.ids import ClientId, slugify
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import DEFAULT_LIFETIME_S, Client, Principal, PrincipalKind, RefreshToken

NEVER: Final = 0
"""The `expires_in` of a token that never expires."""

# Ten years: longer ones are asked for as never-expiring tokens, and a date must stay in range.
MAX_LIFETIME_S: Final = 10 * 365 * 24 * 3600
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{3,40}")
_CUSTOMER = "customer="
_MAX_REDIRECT_LENGTH: Final = 2_048
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def client_id_is_well_formed(text: str) -> bool:
    return _CLIENT_ID.fullmatch(text) is not None


def client_id_for(name: str, number: int) -> str:
    """Slug of the name, a dash, and a random number from 0 to 9999: `test1-7141`. At most 40 characters."""
    return f"{slugify(name)[:35].strip('-') or 'client'}-{number}"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long access tokens may live, however long was asked: at most `max_s` seconds, and without end if
    `has_endless`. A cap leaves none without end."""

    max_s: int | None = None
    has_endless: bool = True

    def within(self, settings: Mapping[str, Any]) -> "Lifetimes":
        """As a product's settings narrow them: `{"tokens": {"max_lifetime_s": 3600, "endless": false}}`."""
        wanted = settings.get("tokens")
        if not isinstance(wanted, Mapping):
            return self
        max_s, endless = wanted.get("max_lifetime_s"), wanted.get("endless", True)
        caps = [cap for cap in (self.max_s, max_s) if isinstance(cap, int) and cap > 0]
        return Lifetimes(min(caps, default=None), self.has_endless and endless is not False)

    def capped(self, seconds: int) -> int:
        """What a refresh gives: the length that was first asked for, under the caps of today."""
        return seconds if self.max_s is None else min(seconds, self.max_s)

    def unasked(self) -> int:
        """What a program's token gets that lives for ever as long as nothing speaks against it."""
        return NEVER if self.has_endless and self.max_s is None else self.capped(DEFAULT_LIFETIME_S)


ANY_LIFETIME: Final = Lifetimes()


def lifetime_s(expires_in: str | None, expires_at: str | None, now: Millis, lifetimes: Lifetimes = ANY_LIFETIME) -> int:
    """How long the access token lives, in whole seconds; NEVER for one without end.

    `expires_at` is an ISO date or date-time. Raises OAuthError (invalid_request).
    """
    asked = _asked_s(expires_in, expires_at, now)
    if asked != NEVER:
        return lifetimes.capped(asked)
    if not lifetimes.has_endless or lifetimes.max_s is not None:
        raise OAuthError("invalid_request", "This server gives no tokens without end: send expires_in in seconds")
    return NEVER


def _asked_s(expires_in: str | None, expires_at: str | None, now: Millis) -> int:
    if expires_in not in (None, ""):
        assert expires_in is not None
        if not expires_in.isascii() or not expires_in.isdecimal() or len(expires_in) > 12:
            raise OAuthError("invalid_request", "expires_in must be a number of seconds, 0 for a token without end")
        return min(int(expires_in), MAX_LIFETIME_S)
    if expires_at not in (None, ""):
        assert expires_at is not None
        at = parse_iso(expires_at)
        if at is None:
            raise OAuthError("invalid_request", "expires_at must be a date like 2030-01-31 or 2030-01-31T12:00:00Z")
        seconds = (at - now) // 1000
        if seconds <= 0:
            raise OAuthError("invalid_request", "expires_at lies in the past")
        return min(seconds, MAX_LIFETIME_S)
    return DEFAULT_LIFETIME_S


def customer_in(scope: str | None) -> str | None:
    """The user name in `scope=customer=<name>`; None when no scope is asked for.

    Raises OAuthError (invalid_scope) for every other scope.
    """
    if not scope:
        return None
    name = scope.removeprefix(_CUSTOMER)
    if name == scope or not name:
        raise OAuthError("invalid_scope", "The scope can only be customer=<name of a customer>")
    return name


def customer_scope(username: str) -> str:
    return _CUSTOMER + username


def scopes_of(client: Client, principal: Principal, scope: str | None) -> Scopes:
    """What a token made with `client` may do at most, as the client is now; `scope` is what stands on the token: a
    person may have allowed less than the client may have.

    A client's scope limits the client, and users who act through it. Customers are limited to what is theirs anyway:
    the apps in their hands log them in with a client that may, for itself, only create customers. An API user has its
    own scopes, and gets another token with others.
    """
    match principal.kind:
        case PrincipalKind.CUSTOMER:
            allowed = UNLIMITED
        case PrincipalKind.API_USER:
            return Scopes(frozenset((scope or "").split()))
        case _:
            allowed = Scopes.parse(client.scope)
    if scope is None or scope.startswith(_CUSTOMER):
        return allowed
    own = Scopes.parse(scope)
    if own.names is None or allowed.names is None:
        return allowed if own.names is None else own
    return Scopes(own.names & allowed.names)


def redirect_is_safe(uri: str) -> bool:
    """May tokens be sent there? Over TLS, to this machine, or into an app by a scheme of its own, which has a dot (RFC
    8252 7.1, RFC 9700 2.6); so `javascript:` and `data:` are out, and so is whatever would end a header's line."""
    if len(uri) > _MAX_REDIRECT_LENGTH or not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri:
        return False
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    match parts.scheme:
        case "https":
            return bool(parts.hostname)
        case "http":
            return parts.hostname in _LOOPBACK
        case scheme:
            return "." in scheme


def redirect_matches(registered: str | None, given: str | None) -> bool:
    """Exactly equal (RFC 9700 2.1), or not given. Anything looser has been used to steal tokens."""
    return registered is not None and (given is None or given == registered)


def may_see(client: Client, token_client: ClientId, principal: Principal) -> bool:
    """May `client` learn whether a token is good (RFC 7662 4)? Its own are; for the client of a product or of an
    organization, all tokens that act for that or for its customers."""
    if token_client == client.id or (client.product is not None and client.product == principal.product):
        return True
    return client.organization is not None and client.organization == principal.organization


# By how much clocks of two machines may differ, and how long a log-in may wait for the database.
_CLOCKS_MS: Final = 5 * MINUTE


def log_in_counts(log_ins_from: Millis, began: Millis, now: Millis, *, is_disabled: bool) -> bool:
    """May a log-in that began then have its tokens `now`, in an account whose log-ins count from `log_ins_from`? A date
    that lies ahead was written while the clock went wrong: it must not lock anybody out until it comes."""
    return not is_disabled and (began >= log_ins_from or log_ins_from > now + _CLOCKS_MS)


class Rotation(Enum):
    """What to do with a refresh token that was found."""

    ROTATE = auto()
    REPEAT = auto()
    """Used moments ago and its answer perhaps lost on the way: the same pair once more."""
    FORGOTTEN = auto()
    """Used moments ago, by a process with another key or of an earlier version: the pair cannot be given again, and
    whether it was used cannot be told. Refused, and nothing ends, or two requests at once would log a person out."""
    EXPIRED = auto()
    REPLAYED = auto()
    """Used before, and its successor too: one of the two holders is a thief. The family ends (RFC 9700 4.14.2)."""


@dataclass(frozen=True, slots=True)
class Successor:
    """The pair that the first use gave: has any of it been used since?"""

    is_used: bool


def rotation(token: RefreshToken, successor: Successor | None, now: Millis, grace_s: int) -> Rotation:
    """`successor` is None when nobody can tell the pair (another key, an earlier version)."""
    if token.used_at is not None:
        if now - token.used_at > grace_s * 1000 or (successor is not None and successor.is_used):
            return Rotation.REPLAYED
        return Rotation.REPEAT if successor is not None else Rotation.FORGOTTEN
    return Rotation.EXPIRED if token.expires_at <= now else Rotation.ROTATE
