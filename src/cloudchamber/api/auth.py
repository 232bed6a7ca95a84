"""Where a request may carry its credentials. Pure: values in, a token or the vendor's exact refusal out.

A token comes by exactly one of three ways: the Authorization header, `access_token` in the query, `access_token` in a
form body. The header is searched for `Bearer <token>` anywhere in its value, because published samples send a doubled
`Authorization: Authorization: Bearer ...`; the scheme's case does not matter (RFC 9110 11.1). Client and user
credentials come by Basic (RFC 7617). The words "access token" stand in no text here but those that the vendor has:
clients take them for a bad token and log out.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from cloudchamber.oauth.errors import OAuthError

ACCESS_TOKEN: Final = "access_token"  # noqa: S105 - the name of a parameter
FORM: Final = "application/x-www-form-urlencoded"

_BEARER = re.compile(r"Bearer\s+(\S+)", re.IGNORECASE)
_BASIC = re.compile(r"Basic\s+(\S+)", re.IGNORECASE)


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_request", description)


def _missing() -> OAuthError:
    """RFC 6750 3.1: without any token the answer is 401, and its header names no error."""
    return OAuthError("invalid_request", "The access token was not found", standard=(401, "invalid_request"))


def bearer_in_header(authorization: str) -> str:
    """The token in an Authorization header. Raises OAuthError.

    The server joins repeated headers with a comma, which no token contains: a comma means two of them (refused, as
    two answers to "who is asking" must be).
    """
    if authorization.startswith("Bearer ") and (token := authorization[7:]).isalnum():
        return token
    match = _BEARER.search(authorization)
    if match is None or "," in authorization:
        raise _invalid("Malformed auth header")
    return match[1]


def bearer_token(
    method: str,
    authorization: str | None,
    query: Mapping[str, Any],
    body: Mapping[str, Any],
    content_type: str,
    *,
    allow_query: bool,
    allow_body: bool,
) -> str:
    """The one token of a request. `content_type` is the bare media type, in lower case.

    Raises OAuthError (invalid_request) for none, for more than one, and for one in a place where it must not be.
    """
    in_query, in_body = query.get(ACCESS_TOKEN), body.get(ACCESS_TOKEN)
    ways = (authorization is not None) + (in_query is not None) + (in_body is not None)
    if ways > 1:
        raise _invalid("Only one method may be used to authenticate at a time (Auth header,  GET or POST).")
    if authorization is not None:
        return bearer_in_header(authorization)
    if in_body is not None:
        if method in {"GET", "HEAD"}:
            raise _invalid("Method cannot be GET When putting the token in the body.")
        if content_type != FORM:
            raise _invalid(f"When putting the token in the body, content type must be {FORM}.")
        if not allow_body:
            raise _invalid("This server does not take tokens in the body: send an Authorization header.")
        return _single(in_body)
    if in_query is not None:
        if not allow_query:
            raise query_token_refused()
        return _single(in_query)
    raise _missing()


def query_token_refused() -> OAuthError:
    return _invalid("This server does not take tokens in the query string: send an Authorization header.")


def _single(value: object) -> str:
    if not isinstance(value, str):
        # Sent twice, it could mean one thing to a proxy and another to us (RFC 6749 3.2).
        raise _invalid("A parameter was sent more than once")
    if not value:
        raise _missing()
    return value


def basic_credentials(authorization: str | None) -> tuple[str, str] | None:
    """User (or client id) and password of a Basic header; None for every other header and for a broken one.

    A Bearer header is ignored where these are wanted: SDKs send their old token along when they log in.
    """
    if authorization is None or "," in authorization:
        return None
    match = _BASIC.search(authorization)
    if match is None:
        return None
    try:
        raw = base64.b64decode(match[1] + "=" * (-len(match[1]) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def client_basic(authorization: str | None) -> tuple[str, str] | None:
    """A client's id and secret. RFC 6749 2.3.1 has them form-encoded before they are joined, and some clients do it;
    neither ever holds a `%` of its own."""
    basic = basic_credentials(authorization)
    return None if basic is None else (unquote(basic[0]), unquote(basic[1]))


def client_credentials(
    authorization: str | None, form: Mapping[str, Any]
) -> tuple[tuple[str, str] | None, dict[str, str]]:
    """What the token endpoint takes: Basic credentials, and the form's plain fields.

    Raises OAuthError (invalid_request) where a parameter was sent twice, or in brackets (RFC 6749 3.2).
    """
    flat: dict[str, str] = {}
    for name, value in form.items():
        if isinstance(value, str):
            flat[name] = value
        elif name == "grant_type":
            raise _invalid("Invalid or missing grant_type parameter")
        elif value is not None:
            raise _invalid("A parameter was sent more than once")
    return client_basic(authorization), flat
