"""Every route of the API, as data: who may call it, and what scope that takes.

The edge reads nothing else to guard a route, so a route that is not here is not reachable, and one that is here has
said who may call it. `handler` names a method of a resource module: `devices.list_own` is `list_own` of the object
that app.py puts under `devices`.

Where two paths of one table row name the same thing (`/v1/products/...` and its older alias under `/v1/orgs/...`),
they share the handler. Path fields: `device` is an id or a name, `product` an id or a slug, `prefix` the rest of the
path, slashes included.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloudchamber.access.model import Action

KIB: Final = 1024
MIB: Final = 1024 * KIB

# The largest honest JSON body is an event with its data, or a webhook with its template: some kilobytes.
DEFAULT_BODY_LIMIT: Final = 1 * MIB
# A file of 100,000 device ids, one on each line, has 2.6 MB.
IMPORT_BODY_LIMIT: Final = 8 * MIB


@dataclass(frozen=True, slots=True)
class Public:
    """Open to everybody, and why. No credentials are looked at: a stale token that an SDK sends along is ignored."""

    reason: str


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client's id and secret, checked by the handler's service in the order that clients can tell."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token. `action` is the scope that a limited token needs; the service decides on whose things it may act."""

    action: Action


@dataclass(frozen=True, slots=True)
class BearerOrClient:
    """A client's id and secret, or the bare id of a web client, or else a token."""

    action: Action


@dataclass(frozen=True, slots=True)
class BearerOrPassword:
    """A user's name and password by Basic, or else a token."""

    action: Action


Access = Public | ClientCredentials | Bearer | BearerOrClient | BearerOrPassword


@dataclass(frozen=True, slots=True)
class Route:
    """`switch` names a setting under `compat` that must be on for this route to be there, or with a leading `not `,
    off."""

    method: str
    paths: tuple[str, ...]
    access: Access
    handler: str
    body_limit: int = DEFAULT_BODY_LIMIT
    switch: str | None = None


_PRODUCT: Final = "/v1/products/{product}"
# Before products had numbers in their paths they stood below their organization.
_LEGACY: Final = "/v1/orgs/{organization}/products/{product}"
_OWN_DEVICE: Final = "/v1/devices/{device}"
_PRODUCT_DEVICE: Final = f"{_PRODUCT}/devices/{{device}}"
_LEGACY_DEVICE: Final = f"{_LEGACY}/devices/{{device}}"


def _route(
    method: str,
    path: str | tuple[str, ...],
    access: Access,
    handler: str,
    *,
    body_limit: int = DEFAULT_BODY_LIMIT,
    switch: str | None = None,
) -> Route:
    return Route(method, (path,) if isinstance(path, str) else path, access, handler, body_limit, switch)


def _events(path: str) -> tuple[str, str]:
    return f"{path}/events", f"{path}/events/{{prefix:path}}"


_EVERYBODY: Final = Public("says nothing but that the server is there")

ROUTES: Final[tuple[Route, ...]] = (
    # Outside of the API: for load balancers and whoever runs the server.
    _route("GET", "/healthz", _EVERYBODY, "health.live"),
    _route("GET", "/readyz", _EVERYBODY, "health.ready"),
    _route("GET", "/version", _EVERYBODY, "health.version"),
    # OAuth and tokens
    # Every method: the wrong one gets the endpoint's own message.
    *(
        _route(method, "/oauth/token", ClientCredentials(), "oauth.token")
        for method in ("POST", "GET", "PUT", "DELETE")
    ),
    _route("GET", "/v1/access_tokens", BearerOrPassword(Action.TOKENS_GET), "access_tokens.list_own"),
    _route("DELETE", "/v1/access_tokens", Bearer(Action.TOKENS_REVOKE), "access_tokens.revoke_all"),
    _route("GET", "/v1/access_tokens/current", Bearer(Action.TOKENS_GET), "access_tokens.current"),
    _route("DELETE", "/v1/access_tokens/current", Bearer(Action.TOKENS_REVOKE), "access_tokens.revoke_current"),
    _route(
        "DELETE",
        "/v1/access_tokens/{token}",
        Public("whoever knows a token may end it; SDK and CLI send no credentials"),
        "access_tokens.revoke",
        switch="unauthenticated_revoke",
    ),
    _route(
        "DELETE",
        "/v1/access_tokens/{token}",
        BearerOrPassword(Action.TOKENS_REVOKE),
        "access_tokens.revoke_as",
        switch="not unauthenticated_revoke",
    ),
    # Users
    _route("POST", "/v1/users", Public("registration, where the server has it open"), "users.register"),
    _route("GET", "/v1/user", Bearer(Action.ACCOUNT_GET), "users.profile"),
    _route(
        "POST",
        "/v1/user/password-reset",
        Public("asks for an e-mail; the answer tells nothing"),
        "users.request_reset",
    ),
    _route("PUT", "/v1/user/password-reset", Public("the mailed token is the credential"), "users.complete_reset"),
    _route("GET", "/v1/user/products", Bearer(Action.PRODUCTS_LIST), "products.list_own"),
    _route("POST", ("/v1/user/products", "/v1/products"), Bearer(Action.PRODUCTS_CREATE), "products.create"),
    _route("GET", "/v1/orgs", Bearer(Action.ORGANIZATIONS_LIST), "organizations.list_own"),
    # OAuth clients
    _route("GET", "/v1/clients", Bearer(Action.CLIENTS_LIST), "clients.list_own"),
    _route("POST", "/v1/clients", Bearer(Action.CLIENTS_CREATE), "clients.create_own"),
    _route("PUT", "/v1/clients/{client}", Bearer(Action.CLIENTS_UPDATE), "clients.update_own"),
    _route("DELETE", "/v1/clients/{client}", Bearer(Action.CLIENTS_REMOVE), "clients.delete_own"),
    _route("GET", f"{_PRODUCT}/clients", Bearer(Action.CLIENTS_LIST), "clients.list_of_product"),
    _route("POST", f"{_PRODUCT}/clients", Bearer(Action.CLIENTS_CREATE), "clients.create_of_product"),
    _route("PUT", f"{_PRODUCT}/clients/{{client}}", Bearer(Action.CLIENTS_UPDATE), "clients.update_of_product"),
    _route("DELETE", f"{_PRODUCT}/clients/{{client}}", Bearer(Action.CLIENTS_REMOVE), "clients.delete_of_product"),
    # Products and customers
    _route("GET", "/v1/products", Bearer(Action.PRODUCTS_LIST), "products.list_own"),
    _route("GET", _PRODUCT, Bearer(Action.PRODUCTS_GET), "products.get"),
    _route("GET", f"{_PRODUCT}/customers", Bearer(Action.CUSTOMERS_LIST), "customers.list"),
    _route("POST", f"{_PRODUCT}/customers", BearerOrClient(Action.CUSTOMERS_CREATE), "customers.create"),
    # Claim codes
    _route("POST", "/v1/device_claims", Bearer(Action.CLAIM_CODES_CREATE), "claim_codes.create_own"),
    _route(
        "POST",
        (f"{_PRODUCT}/device_claims", f"{_LEGACY}/device_claims"),
        Bearer(Action.CLAIM_CODES_CREATE),
        "claim_codes.create_of_product",
    ),
    # Events, before devices: `events` is no device's name
    _route("POST", "/v1/devices/events", Bearer(Action.EVENTS_SEND), "events.publish_own"),
    _route("POST", f"{_PRODUCT}/events", Bearer(Action.EVENTS_SEND), "events.publish_of_product"),
    _route("GET", _events("/v1"), Bearer(Action.EVENTS_GET), "events.stream_public"),
    _route("GET", _events("/v1/devices"), Bearer(Action.EVENTS_GET), "events.stream_own"),
    _route("GET", _events(_OWN_DEVICE), Bearer(Action.EVENTS_GET), "events.stream_device"),
    _route("GET", (*_events(_PRODUCT), *_events(_LEGACY)), Bearer(Action.EVENTS_GET), "events.stream_product"),
    _route("GET", _events(_PRODUCT_DEVICE), Bearer(Action.EVENTS_GET), "events.stream_product_device"),
    # Devices of one's own
    _route("GET", "/v1/devices", Bearer(Action.DEVICES_LIST), "devices.list_own"),
    _route("POST", "/v1/devices", Bearer(Action.DEVICES_CLAIM), "devices.claim"),
    _route("GET", _OWN_DEVICE, Bearer(Action.DEVICES_GET), "devices.get_own"),
    _route("PUT", _OWN_DEVICE, Bearer(Action.DEVICES_UPDATE), "devices.update_own"),
    _route("DELETE", _OWN_DEVICE, Bearer(Action.DEVICES_RELEASE), "devices.release_own"),
    _route("PUT", f"{_OWN_DEVICE}/ping", Bearer(Action.DEVICES_PING), "calls.ping_own"),
    # PUT is ping's; a variable or function may have that name, and POST /events is a function too.
    _route(
        "GET",
        (f"{_OWN_DEVICE}/{{name}}", f"{_OWN_DEVICE}/ping"),
        Bearer(Action.VARIABLE_GET),
        "calls.read_own",
    ),
    _route(
        "POST",
        (f"{_OWN_DEVICE}/{{name}}", f"{_OWN_DEVICE}/ping", f"{_OWN_DEVICE}/events"),
        Bearer(Action.FUNCTION_CALL),
        "calls.call_own",
    ),
    # Devices of a product
    _route(
        "GET",
        (f"{_PRODUCT}/devices", f"{_LEGACY}/devices"),
        Bearer(Action.DEVICES_LIST),
        "product_devices.list",
    ),
    _route(
        "POST",
        f"{_PRODUCT}/devices",
        Bearer(Action.DEVICES_IMPORT),
        "product_devices.import_",
        body_limit=IMPORT_BODY_LIMIT,
    ),
    _route("GET", (_PRODUCT_DEVICE, _LEGACY_DEVICE), Bearer(Action.DEVICES_GET), "product_devices.get"),
    _route("PUT", _PRODUCT_DEVICE, Bearer(Action.DEVICES_UPDATE), "product_devices.update"),
    _route("DELETE", _PRODUCT_DEVICE, Bearer(Action.DEVICES_REMOVE), "product_devices.remove"),
    _route("DELETE", f"{_PRODUCT_DEVICE}/owner", Bearer(Action.DEVICES_RELEASE), "product_devices.release"),
    _route("PUT", f"{_PRODUCT_DEVICE}/ping", Bearer(Action.DEVICES_PING), "calls.ping_of_product"),
    _route(
        "GET",
        (f"{_PRODUCT_DEVICE}/{{name}}", f"{_PRODUCT_DEVICE}/ping", f"{_PRODUCT_DEVICE}/owner"),
        Bearer(Action.VARIABLE_GET),
        "calls.read_of_product",
    ),
    _route(
        "POST",
        (
            f"{_PRODUCT_DEVICE}/{{name}}",
            f"{_PRODUCT_DEVICE}/ping",
            f"{_PRODUCT_DEVICE}/owner",
            f"{_PRODUCT_DEVICE}/events",
        ),
        Bearer(Action.FUNCTION_CALL),
        "calls.call_of_product",
    ),
    # Webhooks: two names for the same things, with different keys in the answers
    _route("GET", "/v1/webhooks", Bearer(Action.INTEGRATIONS_LIST), "webhooks.list_own"),
    _route("POST", "/v1/webhooks", Bearer(Action.INTEGRATIONS_CREATE), "webhooks.create_own"),
    _route("GET", "/v1/webhooks/{hook}", Bearer(Action.INTEGRATIONS_GET), "webhooks.get_webhook"),
    _route("GET", "/v1/integrations", Bearer(Action.INTEGRATIONS_LIST), "webhooks.list_own"),
    _route("POST", "/v1/integrations", Bearer(Action.INTEGRATIONS_CREATE), "webhooks.create_own"),
    _route("GET", "/v1/integrations/{hook}", Bearer(Action.INTEGRATIONS_GET), "webhooks.get_integration"),
    _route(
        "DELETE",
        ("/v1/webhooks/{hook}", "/v1/integrations/{hook}"),
        Bearer(Action.INTEGRATIONS_REMOVE),
        "webhooks.delete_own",
    ),
)


def enabled(routes: Iterable[Route], compat: object) -> list[Route]:
    """The routes that the switches leave."""
    return [route for route in routes if route.switch is None or _is_on(route.switch, compat)]


def _is_on(switch: str, compat: object) -> bool:
    name = switch.removeprefix("not ")
    return bool(getattr(compat, name)) is (name == switch)
