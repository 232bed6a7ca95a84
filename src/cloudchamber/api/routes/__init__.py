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
        query=Page,                              # the fields of the query, if it reads any
        request=NewGroup,                        # the fields of the body, if it reads one
        answer={201: GroupMade},                 # each success: status -> document; a document alone is that of a 200
        body_limit=IMPORT_BODY_LIMIT,            # bytes, where the default of 1 MiB is wrong
        limit="token",                           # the class of requests it counts for, where addresses are limited
        switch="unauthenticated_revoke",         # the `compat` setting without which it is not there
    )

Documents are msgspec Structs in `api/schemas/`, one module a family (`schemas/groups.py`), named for what they are
(`Group`, `GroupList`, `NewGroup`). They state the wire: names as clients see them, `UNSET` for what may be absent,
`| None` for what may be null. `list[Device]` is an array. Where there is no body: None (`{204: None}`). What is not
JSON: `Raw("application/octet-stream")`, `Stream()`. Errors are not listed: each kind of access has its own, and
every handler may answer with those of `api/errors.py`.

Path fields: `device` is an id or a name, `product` an id or a slug, `prefix` the rest of the path, slashes included.

Which family a route belongs to:

    health            the server itself                 devices           /v1/devices, functions and variables
    oauth             /oauth/*, /v1/access_tokens       product_devices   the same below a product
    users             /v1/user, /v1/users, MFA          integrations      /v1/webhooks, /v1/integrations, products' too
    organizations     /v1/orgs, teams, API users        firmware          product firmware, binaries, flash by file
    clients           OAuth clients                     groups            /v1/products/{product}/groups
    products          products, their settings, teams   keys              device keys, provisioning, serial numbers
    customers         customers of a product            diagnostics       vitals, locations, SIMs
    claim_codes       claim codes                       later             what answers 501 until somebody builds it
    events            publish, streams

A new family is a module with a `FAMILY` and a line in `FAMILIES` below.
"""

from collections.abc import Iterable
from typing import Final

from cloudchamber.api.routes import (
    claim_codes,
    clients,
    customers,
    devices,
    events,
    health,
    integrations,
    oauth,
    organizations,
    product_devices,
    products,
    users,
)
from cloudchamber.api.routes.model import (
    DEFAULT_BODY_LIMIT,
    IMPORT_BODY_LIMIT,
    Access,
    Answer,
    Bearer,
    BearerOrClient,
    BearerOrPassword,
    ClientCredentials,
    Document,
    Family,
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
    "Bearer",
    "BearerOrClient",
    "BearerOrPassword",
    "ClientCredentials",
    "Document",
    "Family",
    "Public",
    "Raw",
    "Route",
    "Stream",
    "enabled",
    "route",
]

FAMILIES: Final[tuple[Family, ...]] = (
    health.FAMILY,
    oauth.FAMILY,
    users.FAMILY,
    organizations.FAMILY,
    clients.FAMILY,
    products.FAMILY,
    customers.FAMILY,
    claim_codes.FAMILY,
    events.FAMILY,
    devices.FAMILY,
    product_devices.FAMILY,
    integrations.FAMILY,
)

ROUTES: Final[tuple[Route, ...]] = tuple(row for family in FAMILIES for row in family.routes)


def enabled(routes: Iterable[Route], compat: object) -> list[Route]:
    """The routes that the switches leave."""
    return [row for row in routes if row.switch is None or _is_on(row.switch, compat)]


def _is_on(switch: str, compat: object) -> bool:
    name = switch.removeprefix("not ")
    return bool(getattr(compat, name)) is (name == switch)
