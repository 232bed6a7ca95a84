"""Rules of log-ins through a browser: what a client may ask, where answers go, when a code or a poll is good. Pure.

Until the client and its redirect are known to be right, errors are answered here and nothing is sent anywhere: a
redirect to an address that somebody made up is how codes are stolen. The order of checks and their messages are the
vendor's library's (http-api.md 4.2).
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import urlencode, urlsplit

from cloudchamber.clock import SECOND, Millis
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Client, ClientType
from cloudchamber.oauth.rules import client_id_is_well_formed
from cloudchamber.oauth.web.model import (
    AuthorizationCode,
    AuthorizationRequest,
    DeviceGrant,
    GrantState,
    ResponseType,
)

CODE_LIFETIME_MS: Final = 30 * SECOND
"""As the vendor's (http-api.md 4.2), and half of what RFC 9700 allows at the most."""

# RFC 8628 leaves these open; ten minutes are the most that anybody needs to type eight letters.
DEVICE_GRANT_LIFETIME_S: Final = 600
POLL_INTERVAL_S: Final = 5
_SLOWER_S: Final = 5
_LONGEST_INTERVAL_S: Final = 60

# RFC 8628 6.1: no vowels, so that no word comes out, and nothing that looks like something else; 20^8 is 34 bits.
USER_CODE_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE_LENGTH: Final = 8

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_MAX_STATE_LENGTH: Final = 2_048
_LOOPBACK_IPS: Final = frozenset({"127.0.0.1", "::1"})


# -- what a client asks -----------------------------------------------------------------------------------------------


def client_asked(params: Mapping[str, str], *, allows_implicit: bool) -> str:
    """The first three checks, before anybody is looked up: the client's id. Raises OAuthError."""
    kind = params.get("response_type", "")
    if kind not in (ResponseType.CODE, *((ResponseType.TOKEN,) if allows_implicit else ())):
        wanted = "token" if kind == ResponseType.TOKEN and allows_implicit else "code"
        raise OAuthError("invalid_request", f'Invalid response_type parameter (must be "{wanted}")')
    client = params.get("client_id", "")
    if not client_id_is_well_formed(client):
        raise OAuthError("invalid_request", "Invalid or missing client_id parameter")
    return client


def redirect_of(params: Mapping[str, str], client: Client | None) -> str:
    """Where the answer may go. Raises OAuthError: nothing is sent to an address that does not fit."""
    given = params.get("redirect_uri") or None
    if given is None and (client is None or client.redirect_uri is None):
        raise OAuthError("invalid_request", "Invalid or missing redirect_uri parameter")
    if client is None or client.redirect_uri is None:
        raise OAuthError("invalid_client", "Invalid client credentials")
    if given is not None and not redirect_fits(client, given):
        raise OAuthError("invalid_request", "redirect_uri does not match")
    return given or client.redirect_uri


def redirect_fits(client: Client, given: str) -> bool:
    """Exactly the registered one (RFC 9700 2.1); a native app's on its own machine by any port (RFC 8252 7.3)."""
    registered = client.redirect_uri
    if registered is None:
        return False
    if given == registered:
        return True
    if client.type is not ClientType.INSTALLED:
        return False
    return _without_port(given) is not None and _without_port(given) == _without_port(registered)


def _without_port(uri: str) -> tuple[str, str] | None:
    """A loopback URI's host, and all that follows the port as it stands there; None for every other URI."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK_IPS or parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # Spelt the one way that a URI parser gives back, so that no odd spelling of the same address slips through.
    if parts.netloc not in {host, f"{host}:{parts.port}"}:
        return None
    return parts.hostname, uri.removeprefix(f"http://{parts.netloc}")


class Refusal(Exception):
    """An error that goes to the client by its redirect (RFC 6749 4.1.2.1)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def asked(params: Mapping[str, str], client: Client, redirect_uri: str) -> AuthorizationRequest:
    """The rest of the request, for a client and a redirect that are right. Raises Refusal."""
    for name in ("request", "request_uri"):
        # Whoever sends one means its parameters, and not these, which anybody may have changed (RFC 9101 6.3).
        if params.get(name):
            raise Refusal(f"{name}_not_supported", f"{name} is not supported: send the parameters themselves")
    kind = ResponseType(params["response_type"])
    state = params.get("state")
    if state is not None and len(state) > _MAX_STATE_LENGTH:
        raise Refusal("invalid_request", f"state is longer than {_MAX_STATE_LENGTH} characters")
    challenge = params.get("code_challenge")
    method = params.get("code_challenge_method")
    if challenge is not None or method is not None:
        # A method that is left out means `plain` (RFC 7636 4.3), which protects nothing.
        if method != "S256":
            raise Refusal("invalid_request", "code_challenge_method must be S256")
        if challenge is None or not _CHALLENGE.fullmatch(challenge):
            raise Refusal("invalid_request", "code_challenge is a SHA-256 in base64url, 43 characters")
    return AuthorizationRequest(
        response_type=kind,
        client=client.id,
        redirect_uri=redirect_uri,
        is_redirect_given=bool(params.get("redirect_uri")),
        state=state,
        scope=narrowed(params.get("scope"), client),
        code_challenge=challenge,
    )


def narrowed(scope: str | None, client: Client) -> str | None:
    """What a request asks of what the client may have; nothing asked is all of it. Raises Refusal."""
    names = (scope or "").split()
    if not names:
        return None
    allowed = client.scopes
    if any(not allowed.allow(name) for name in names):
        raise Refusal("invalid_scope", "The scope is wider than the client's")
    return " ".join(sorted(set(names)))


# -- where answers go -------------------------------------------------------------------------------------------------


def _with_query(uri: str, fields: Mapping[str, str]) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(fields)}"


def code_redirect(request: AuthorizationRequest, code: str, issuer: str) -> str:
    """`iss` tells a client of several servers which one answered (RFC 9207)."""
    fields = {"code": code} | _state(request.state) | {"iss": issuer}
    return _with_query(request.redirect_uri, fields)


def token_redirect(request: AuthorizationRequest, token: str, expires_in: int) -> str:
    """The implicit flow's answer. Its field is `token` where RFC 6749 4.2.2 says `access_token`: both are there."""
    fields = {"token": token} | _state(request.state)
    fields |= {"access_token": token, "token_type": "bearer", "expires_in": str(expires_in)}
    return f"{request.redirect_uri}#{urlencode(fields)}"


def error_redirect(
    redirect_uri: str, error: str, description: str, state: str | None, issuer: str, *, in_fragment: bool
) -> str:
    fields = {"error": error, "error_description": description} | _state(state) | {"iss": issuer}
    return f"{redirect_uri}#{urlencode(fields)}" if in_fragment else _with_query(redirect_uri, fields)


def _state(state: str | None) -> dict[str, str]:
    return {} if state is None else {"state": state}


# -- exchanging a code ------------------------------------------------------------------------------------------------


class Exchange(Enum):
    GOOD = auto()
    UNKNOWN = auto()
    EXPIRED = auto()
    REPLAYED = auto()
    """Used before: whoever uses it now or used it then is a thief, so what it gave ends (RFC 6749 4.1.2)."""
    OTHER_REDIRECT = auto()
    VERIFIER_WRONG = auto()
    NEEDS_SECRET = auto()
    """Neither a secret nor PKCE: anybody who saw the redirect could come with it."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What came with a code. `has_secret`: the client proved itself."""

    client: str
    redirect_uri: str | None
    verifier: str | None
    has_secret: bool


def exchange(code: AuthorizationCode | None, presented: Presented, now: Millis) -> Exchange:
    """May this code become tokens? The vendor's library ignores the redirect here; RFC 6749 4.1.3 does not, and no
    client is known that leaves it out or sends another."""
    if code is None or code.client != presented.client:
        return Exchange.UNKNOWN
    if code.used_at is not None:
        return Exchange.REPLAYED
    if code.expires_at <= now:
        return Exchange.EXPIRED
    if presented.redirect_uri is not None and code.redirect_uri not in (None, presented.redirect_uri):
        return Exchange.OTHER_REDIRECT
    if code.redirect_uri is not None and presented.redirect_uri is None and not presented.has_secret:
        return Exchange.OTHER_REDIRECT
    if code.code_challenge is not None or presented.verifier is not None:
        return Exchange.GOOD if verifier_fits(code.code_challenge, presented.verifier) else Exchange.VERIFIER_WRONG
    return Exchange.GOOD if presented.has_secret else Exchange.NEEDS_SECRET


def verifier_fits(challenge: str | None, verifier: str | None) -> bool:
    """A verifier without a challenge is an attack on the challenge (RFC 9700 4.8.2), so it does not fit either."""
    if challenge is None or verifier is None or not _VERIFIER.fullmatch(verifier):
        return False
    return hmac.compare_digest(s256(verifier), challenge)


def s256(verifier: str) -> str:
    """RFC 7636 4.2."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


# -- devices that wait ------------------------------------------------------------------------------------------------


class Poll(Enum):
    PENDING = auto()
    SLOW_DOWN = auto()
    DENIED = auto()
    EXPIRED = auto()
    GOOD = auto()
    UNKNOWN = auto()


def poll(grant: DeviceGrant | None, client: str, now: Millis) -> Poll:
    """What a device hears when it asks (RFC 8628 3.5)."""
    if grant is None or grant.client != client or grant.state is GrantState.USED:
        return Poll.UNKNOWN
    if grant.expires_at <= now:
        return Poll.EXPIRED
    if grant.polled_at is not None and now - grant.polled_at < grant.interval_s * SECOND:
        return Poll.SLOW_DOWN
    match grant.state:
        case GrantState.APPROVED:
            return Poll.GOOD
        case GrantState.DENIED:
            return Poll.DENIED
        case _:
            return Poll.PENDING


def slower(interval_s: int) -> int:
    """Five seconds more with each time that it came too early."""
    return min(interval_s + _SLOWER_S, _LONGEST_INTERVAL_S)


def user_code_from(draw: bytes) -> str:
    """Eight letters from random bytes; bytes that would favour some letters are passed over, so draw enough."""
    fair = 256 - 256 % len(USER_CODE_ALPHABET)
    letters = [USER_CODE_ALPHABET[byte % len(USER_CODE_ALPHABET)] for byte in draw if byte < fair]
    assert len(letters) >= USER_CODE_LENGTH, "draw more bytes"
    return "".join(letters[:USER_CODE_LENGTH])


def shown_user_code(code: str) -> str:
    half = USER_CODE_LENGTH // 2
    return f"{code[:half]}-{code[half:]}"


def typed_user_code(text: str) -> str | None:
    """As people type it: any case, with or without the dash; None for what cannot be one."""
    letters = "".join(character for character in text.upper() if character.isalnum())
    return letters if len(letters) == USER_CODE_LENGTH and set(letters) <= set(USER_CODE_ALPHABET) else None
