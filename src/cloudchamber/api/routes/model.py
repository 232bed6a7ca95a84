"""What a row of the route table says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloudchamber.access.model import Action

KIB: Final = 1024
MIB: Final = 1024 * KIB

# The largest honest JSON body is an event with its data, or a webhook with its template: some kilobytes.
DEFAULT_BODY_LIMIT: Final = 1 * MIB
# A file of 100,000 device ids, one on each line, has 2.6 MB.
IMPORT_BODY_LIMIT: Final = 8 * MIB
# The largest firmware (`firmware.model.MAX_BINARY`), in a multipart body.
FIRMWARE_BODY_LIMIT: Final = 5 * MIB + 64 * KIB


@dataclass(frozen=True, slots=True)
class Public:
    """Open to everybody, and why. No credentials are looked at: a stale token that an SDK sends along is ignored."""

    reason: str


@dataclass(frozen=True, slots=True)
class Page(Public):
    """A hosted page. Whoever comes signs in on it; a form counts only when it came from the page itself, and no page of
    another origin may read it."""


@dataclass(frozen=True, slots=True)
class Console(Page):
    """A page of the console, for a user who is signed in; everybody else is sent to sign in. `action` is what the user
    needs on the product or organization of the path, and where there is neither, on their account. The body is left
    unread until the user is known."""

    action: Action


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client's id and secret, checked by the handler's service in the order that clients can tell."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token. `action` is the scope that a limited token needs; the service decides on whose things it may act."""

    action: Action


@dataclass(frozen=True, slots=True)
class AnyToken:
    """A token of any kind, whatever its scopes: for what answers everybody alike."""


@dataclass(frozen=True, slots=True)
class BearerOrClient:
    """A client's id and secret, or the bare id of a web client, or else a token."""

    action: Action


@dataclass(frozen=True, slots=True)
class BearerOrPassword:
    """A user's name and password by Basic, or else a token."""

    action: Action


Access = Public | ClientCredentials | Bearer | AnyToken | BearerOrClient | BearerOrPassword


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is not JSON: a file's bytes, a page. `content_type` is its media type."""

    content_type: str


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on until one side hangs up: server-sent events."""

    content_type: str = "text/event-stream"


# A msgspec Struct, or a list of one: JSON. msgspec has no unions of Structs, so a tuple means "one of these".
Document = Any
Answer = Document | Raw | Stream | tuple[Any, ...] | None
"""None: no body."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row. Written with `route(...)`; see the package's docstring for how.

    `switch` names a setting under `compat` that must be on for this route to be there, or with a leading `not `, off.
    `limit` names the class of requests that this one counts for where they are limited by address. `errors` are
    statuses of errors beyond those that every route with its kind of access can give (`errors_of`). `direct` names a
    handler that answers without an ASGI request (api/direct.py).
    """

    method: str
    paths: tuple[str, ...]
    access: Access
    handler: str
    summary: str = ""
    query: type | None = None
    request: Document = None
    answer: Mapping[int, Answer] | None = None
    errors: tuple[int, ...] = ()
    body_limit: int = DEFAULT_BODY_LIMIT
    limit: str | None = None
    switch: str | None = None
    direct: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Routes that are read together: a heading of the documentation, a tag of the OpenAPI document."""

    name: str
    about: str
    routes: tuple[Route, ...]


def route(
    method: str,
    path: str | tuple[str, ...],
    access: Access,
    handler: str,
    summary: str = "",
    *,
    query: type | None = None,
    request: Document = None,
    answer: Document | Mapping[int, Answer] = None,
    errors: tuple[int, ...] = (),
    body_limit: int = DEFAULT_BODY_LIMIT,
    limit: str | None = None,
    switch: str | None = None,
    direct: str | None = None,
) -> Route:
    """A row. `answer` may be the document of a plain 200 alone."""
    paths = (path,) if isinstance(path, str) else path
    answers = answer if answer is None or isinstance(answer, Mapping) else {200: answer}
    return Route(
        *(method, paths, access, handler, summary, query, request, answers, errors, body_limit, limit, switch, direct)
    )


def errors_of(row: Route) -> tuple[int, ...]:
    """The statuses of errors that a route can give, whatever it does, and its own.

    What any of them means stands in `api/schemas/errors.py`.
    """
    # A request that cannot be read; one that is too large; a database that is not there; too many requests.
    found = {400, 413, 429, 503, *row.errors}
    if not isinstance(row.access, Public):
        found |= {401, 403}
    if any("{" in path for path in row.paths):
        found.add(404)
    return tuple(sorted(found))
