"""Every route of the API, as data: who may call it, what that takes, what it reads and what it answers.

The edge reads nothing else to guard a route, so a route that is not here is not reachable, and one that is here has
said who may call it. The OpenAPI document, the pages of documentation and the tests of who may do what are made from
the same rows.

How a route is written, in the module of its family:

    route(
        "POST",                                  # the method; HEAD comes with GET
        (f"{PRODUCT}/groups", "/v1/..."),        # its path, or several that mean the same and share the handler
        Bearer(Action.GROUPS_CREATE),            # who may call it, and the scope that a limited token needs
        "groups.create",                         # `create` of the object that app.py puts under `groups`
        "Adds a group to a product.",            # one sentence; what a heading of the documentation says
        query="GroupsQuery",                     # the fields of the query, if it reads any
        request="NewGroup",                      # the fields of the body, if it reads one
        answer={201: "GroupMade"},               # each success: status -> document; a document alone is that of a 200
        errors=(409,),                           # statuses of errors that not every route has
        body_limit=IMPORT_BODY_LIMIT,            # bytes, where the default of 1 MiB is wrong
        limit="token",                           # the class of requests it counts for, where addresses are limited
        direct="groups.list_now",                # a second handler, which answers at once or not at all (api/direct.py)
        switch="unauthenticated_revoke",         # the `compat` setting without which it is not there
    )

A guard test fails for a row without its summary, its answers, or (POST, PUT, PATCH) its request. And every answer
that a cloud gives in any test is held to its row, status, content type and each field of the body (tests/contract.py):
one that is not declared fails the test.

Documents are msgspec Structs in `api/schemas/`, one module a family (`schemas/groups.py`), named for what they are
(`Group`, `GroupList`, `NewGroup`); each name exists once. They state the wire: names as clients see them; `x: int |
Maybe = UNSET` may be absent, `x: int | None` may be null. A row names them, since nothing that serves requests looks at
them: `"list[Device]"` is an array, a tuple of names is one of them. `"Nothing"` is a request without fields. A field of
type `File` is a file part of a multipart body. Where there is no body: None (`{204: None}`). What is not JSON:
`Raw("application/octet-stream")`, `Stream()`. A document that may hold more fields than are known is `Open`. A
docstring becomes the description.

Errors that every route can give are not listed (`errors_of` in model.py); `errors=(408,)` adds a route's own. Their
bodies have one of the shapes in `schemas/errors.py`.

Fields of paths (`{device}`, `{product}`, ...) are explained once, in paths.py.

Which family a route belongs to:

    health            the server itself                 devices           /v1/devices, functions and variables
    pages             hosted pages, RFC 8414, RFC 8628
    oauth             /oauth/*, /v1/access_tokens       product_devices   the same below a product
    users             /v1/user, /v1/users, MFA          integrations      /v1/webhooks, /v1/integrations, products' too
    organizations     /v1/orgs, teams, API users        firmware          product firmware, binaries, flash by file
    clients           OAuth clients                     groups            /v1/products/{product}/groups
    products          products, their settings, teams   keys              device keys, provisioning, serial numbers
    customers         customers of a product            diagnostics       vitals, locations
    claim_codes       claim codes                       sims              SIM cards
    events            publish, streams                  compiling         /v1/binaries, versions of Device OS
    docs              /openapi.json, /docs/api          later             what answers 501 until somebody builds it
    metrics           a fleet over time

A new family is a module with a `FAMILY` and a line in `FAMILIES` below.
"""

from collections.abc import Iterable
from typing import Final

from cloudchamber.api.routes import (
    claim_codes,
    clients,
    compiling,
    customers,
    devices,
    diagnostics,
    docs,
    events,
    firmware,
    groups,
    health,
    integrations,
    keys,
    later,
    metrics,
    oauth,
    organizations,
    pages,
    product_devices,
    products,
    sims,
    transfers,
    users,
)
from cloudchamber.api.routes.model import (
    DEFAULT_BODY_LIMIT,
    IMPORT_BODY_LIMIT,
    Access,
    Answer,
    AnyToken,
    Bearer,
    BearerOrClient,
    BearerOrPassword,
    ClientCredentials,
    Console,
    Family,
    Page,
    Public,
    Raw,
    Route,
    Stream,
    route,
)

__all__ = [
    "DEFAULT_BODY_LIMIT",
    "FAMILIES",
    "IMPORT_BODY_LIMIT",
    "ROUTES",
    "Access",
    "Answer",
    "AnyToken",
    "Bearer",
    "BearerOrClient",
    "BearerOrPassword",
    "ClientCredentials",
    "Console",
    "Family",
    "Page",
    "Public",
    "Raw",
    "Route",
    "Stream",
    "enabled",
    "route",
]

FAMILIES: Final[tuple[Family, ...]] = (
    health.FAMILY,
    docs.FAMILY,
    oauth.FAMILY,
    pages.FAMILY,
    users.FAMILY,
    organizations.FAMILY,
    clients.FAMILY,
    products.FAMILY,
    customers.FAMILY,
    claim_codes.FAMILY,
    events.FAMILY,
    devices.FAMILY,
    product_devices.FAMILY,
    groups.FAMILY,
    transfers.FAMILY,
    keys.FAMILY,
    diagnostics.FAMILY,
    metrics.FAMILY,
    firmware.FAMILY,
    integrations.FAMILY,
    sims.FAMILY,
    compiling.FAMILY,
    later.FAMILY,
)

ROUTES: Final[tuple[Route, ...]] = tuple(row for family in FAMILIES for row in family.routes)


def enabled(routes: Iterable[Route], compat: object) -> list[Route]:
    """The routes that the switches leave."""
    return [row for row in routes if row.switch is None or _is_on(row.switch, compat)]


def _is_on(switch: str, compat: object) -> bool:
    name = switch.removeprefix("not ")
    return bool(getattr(compat, name)) is (name == switch)
