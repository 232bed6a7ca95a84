"""What each cell of the matrix must answer: derived from the row of the route table and from the rule of access, by
nothing that the server does.

The resource that a row speaks of follows from its path: `/v1/products/{product}/devices/{device}` is a device in its
product, `/v1/orgs/{organization}` what is an organization's, `/v1/devices/{device}` one of one's own, a path without
any of them is what is one's own or (where the action is one of an account) an account's. A refusal is known to the
letter, as the edge renders it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OrganizationDeviceResource,
    OrganizationResource,
    OwnThings,
    ProductDeviceResource,
    ProductResource,
    Resource,
)
from cloudchamber.access.requester import ApiUser, Bearer, OrganizationClient, ProductClient, User
from cloudchamber.access.rules import ALLOWED, Reason, Refused, decide
from cloudchamber.api.errors import (
    ApiUserRefused,
    PasswordRefused,
    Rendered,
    ScopeMissing,
    device_not_recognized,
    render,
)
from cloudchamber.api.routes import AnyToken, BearerOrPassword, ClientCredentials, Public, Route
from cloudchamber.fleet.errors import device_not_in_product, product_not_found
from cloudchamber.ids import ClientId, DeviceId, OrganizationId, ProductId, UserId
from cloudchamber.oauth.errors import OAuthError, token_unknown
from cloudchamber.organizations.errors import organization_not_found
from tests.matrix.universe import ACCOUNT_OF, Kind, Place, Thing, Universe

SOMEBODY: Final = User(UserId("0" * 24), ClientId("x"))


@dataclass(frozen=True, slots=True)
class Open:
    """The row is not guarded by a token: nobody is refused for who they are."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The requester may: the answer is the handler's, whatever it is, and no refusal."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """This answer and no other."""

    answer: Rendered
    why: str


@dataclass(frozen=True, slots=True)
class NotTheirs:
    """They have such things, but this one is another's: as if it were not there."""


Verdict = Open | Reached | Exactly | NotTheirs


def verdict(row: Route, template: str, kind: Kind, place: Place, universe: Universe) -> Verdict:
    if isinstance(row.access, Public | ClientCredentials):
        return Open()
    if kind.of is None:
        return Exactly(*_without_a_token(row, kind))
    requester = universe.requesters[kind.name]
    if isinstance(requester, ApiUser) and not template.startswith(("/v1/products", "/v1/orgs/", "/v1/binaries")):
        return Exactly(render(ApiUserRefused()), "no API users")
    if isinstance(row.access, AnyToken):
        return Reached()
    action = row.access.action
    if not requester.scopes.allow(action):
        return Exactly(render(ScopeMissing(action)), "scope")
    if "{organization}" in template and place.organization is None:
        return Exactly(render(organization_not_found()), "no such organization")
    if "{product}" in template:
        is_there = place.product is not None and (
            place.organization is None or universe.organizations[place.product] == place.organization
        )
        if not is_there:
            return Exactly(render(product_not_found()), "no such product")
    for question in questions(row, template, action, kind, place, universe):
        if isinstance(question, Rendered):
            return Exactly(question, "no such device")
        decision = decide(requester, *question)
        if isinstance(decision, Refused):
            return Exactly(refusal(template, *question, decision.reason), decision.reason.name)
    is_accounts = place.product is None and place.device is None and place.organization is None
    if is_accounts and kind.name not in ACCOUNT_OF and any(f"{{{name}}}" in template for name in universe.values[None]):
        return NotTheirs()
    return Reached()


def questions(
    row: Route, template: str, action: Action, kind: Kind, place: Place, universe: Universe
) -> Iterator[tuple[Action, Resource] | Rendered]:
    """What the rule is asked, one after the other; the first refusal counts."""
    requester, device = universe.requesters[kind.name], place.device
    if row.handler in {"products.list_all", "products.list_outside_organizations"} and (own := home_of(requester)):
        # The list of a client or an API user is that of what it belongs to.
        yield action, own
    elif place.product is not None:
        product = product_resource(place.product, kind, universe)
        yield action, product
        if device is not None and device.product != place.product:
            yield render(device_not_in_product())
        elif device is not None:
            yield action, ProductDeviceResource(device.id, product)
    elif place.organization is not None and device is not None:
        yield from questions_through_organization(action, kind, place.organization, device, universe)
    elif place.organization is not None:
        role = kind.role_in(place.organization, universe.organizations[universe.home])
        yield action, OrganizationResource(place.organization, role)
    elif device is not None:
        # By name, an own device is looked for among one's own: so that is asked first.
        yield action, OwnThings()
        if not device.exists:
            yield device_not_recognized()
        yield action, DeviceResource(device.id, device.owner, device.product)
    else:
        yield action, what_is_ones_own(action)


def questions_through_organization(
    action: Action, kind: Kind, organization: OrganizationId, device: Thing, universe: Universe
) -> Iterator[tuple[Action, Resource] | Rendered]:
    if device.product is not None and universe.organizations.get(device.product) == organization:
        product = product_resource(device.product, kind, universe)
        yield action, OrganizationDeviceResource(device.id, organization, product)
        return
    # What is not there is refused as the rest of the organization is: nobody outside learns what is.
    nothing = ProductResource(
        ProductId(0), kind.role_in(organization, universe.organizations[universe.home]), organization
    )
    yield action, OrganizationDeviceResource(device.id, organization, nothing)
    yield render(device_not_in_product())


def product_resource(product: ProductId, kind: Kind, universe: Universe) -> ProductResource:
    return ProductResource(product, kind.role_in(product, universe.home), universe.organizations[product])


def home_of(requester: Bearer) -> Resource | None:
    match requester:
        case ProductClient(product=product) | ApiUser(product=product) if product is not None:
            return ProductResource(product, None)
        case OrganizationClient(organization=organization) | ApiUser(organization=organization) if organization:
            return OrganizationResource(organization, None)
        case _:
            return None


def what_is_ones_own(action: Action) -> Resource:
    return Account() if decide(SOMEBODY, action, Account()) is ALLOWED else OwnThings()


def refusal(template: str, action: Action, resource: Resource, reason: Reason) -> Rendered:
    return render(AccessRefused(action, resource, reason), below_organization="{organization}" in template)


def every_refusal(row: Route, template: str) -> list[Rendered]:
    """All that the edge says to those who may not do what the row does."""
    if isinstance(row.access, Public | ClientCredentials):
        return []
    found = [render(token_unknown()), render(ApiUserRefused()), device_not_recognized()]
    if isinstance(row.access, AnyToken):
        return found
    action, device = row.access.action, DeviceId("0" * 24)
    product = ProductResource(ProductId(1), None)
    organization = OrganizationId("0" * 24)
    asked = (
        OwnThings(),
        Account(),
        OrganizationResource(organization, None),
        OrganizationDeviceResource(device, organization, product),
        product,
        ProductDeviceResource(device, product),
        DeviceResource(device, None, None),
    )
    return [*found, *(refusal(template, action, each, reason) for each in asked for reason in Reason)]


def _without_a_token(row: Route, kind: Kind) -> tuple[Rendered, str]:
    if kind.name != "nobody":
        return render(token_unknown()), "unknown token"
    if isinstance(row.access, BearerOrPassword):
        does = "view your access tokens" if row.method == "GET" else "delete an access token"
        text = f"Unauthorized. You must send username and password in HTTP Basic Auth to {does}."
        return render(PasswordRefused(text)), "no token"
    return render(OAuthError("invalid_request", "The access token was not found")), "no token"
