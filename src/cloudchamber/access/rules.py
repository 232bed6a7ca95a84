"""The one rule of access: `decide(requester, action, resource)`. Nothing else in the code compares owners.

Deny by default: what no branch allows is refused. The reasons are values, so that the API can answer in the vendor's
shape; `access/explain.py` says them to a person.

The table that the rule carries out:

==================  ===================  ================  ==================  ==================  ====================
resource            user                 customer          product client      organization client  API user
==================  ===================  ================  ==================  ==================  ====================
own device          its owner            its owner         no                  no                   no
product, its        team member, by      claim codes,      its own product,    its organization's   its own product or
devices             role there or in     in a product of   as a Developer      products, as a       organization's, as
                    the organization     theirs                                Developer            an Administrator
organization        team member, by      no                no                  its own, as a        its own, as an
                    role                                                       Developer            Administrator
organization's      as the product       no                no                  as the product       its organization's
device
own things          yes                  yes               lists only (empty)  lists only (empty)   compiling
account             yes                  no                no                  no                   no
==================  ===================  ================  ==================  ==================  ====================

Devices and nobody may do nothing here. A limited token needs the action's scope besides, whoever holds it, and every
API user's is limited. A quarantined or denied device may be seen, not used.

Clients stop at Developer because a Developer can make one: with more, they would lift themselves above their role.
"""

from enum import Enum
from typing import Final

import msgspec

from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OrganizationDeviceResource,
    OrganizationResource,
    OwnedByCustomer,
    OwnedByUser,
    Owner,
    OwnThings,
    ProductDeviceResource,
    ProductResource,
    Resource,
    Role,
)
from cloudchamber.access.requester import (
    Anonymous,
    ApiUser,
    Bearer,
    Customer,
    Device,
    OrganizationClient,
    ProductClient,
    Requester,
    User,
)
from cloudchamber.ids import OrganizationId


class Reason(Enum):
    """Why something was refused. The value is the sentence that explains it to the person who asked."""

    NOT_SIGNED_IN = "This needs a token."
    SCOPE = "The token is limited to other things than this."
    NOT_OWNER = "The device does not belong to whoever holds this token."
    NOT_IN_TEAM = "The user is not in the team."
    ROLE = "The user's role in the team does not allow this."
    OTHER_PRODUCT = "The token belongs to another product."
    OTHER_ORGANIZATION = "The token belongs to another organization."
    WRONG_KIND = "A token of this kind cannot be used here."
    PERSON = "This takes a person in the team: clients and API users go less far."
    API_USER = "API users are not allowed to call this endpoint"
    QUARANTINED = "The device is in quarantine: approve it in its product first."
    DENIED = "The device is on its product's deny list."


class Allowed(msgspec.Struct, frozen=True):
    pass


class Refused(msgspec.Struct, frozen=True):
    reason: Reason


Decision = Allowed | Refused
ALLOWED: Final = Allowed()

# The lowest role for each action on a product and its devices; what is missing here no role may do.
MINIMUM_ROLE: Final[dict[Action, Role]] = {
    # "read everything, subscribe to events"
    Action.PRODUCTS_LIST: Role.VIEW_ONLY,
    Action.PRODUCTS_GET: Role.VIEW_ONLY,
    Action.DEVICES_LIST: Role.VIEW_ONLY,
    Action.DEVICES_GET: Role.VIEW_ONLY,
    Action.DIAGNOSTICS_GET: Role.VIEW_ONLY,
    Action.DIAGNOSTICS_SUMMARY_GET: Role.VIEW_ONLY,
    Action.CONFIGURATION_GET: Role.VIEW_ONLY,
    Action.CUSTOMERS_LIST: Role.VIEW_ONLY,
    Action.CLIENTS_LIST: Role.VIEW_ONLY,
    Action.EVENTS_GET: Role.VIEW_ONLY,
    Action.FIRMWARE_GET: Role.VIEW_ONLY,
    Action.FIRMWARE_LIST: Role.VIEW_ONLY,
    Action.FIRMWARE_BINARY_GET: Role.VIEW_ONLY,
    Action.GROUPS_LIST: Role.VIEW_ONLY,
    Action.GROUPS_GET: Role.VIEW_ONLY,
    Action.GROUPS_IMPACT_GET: Role.VIEW_ONLY,
    Action.INTEGRATIONS_LIST: Role.VIEW_ONLY,
    Action.INTEGRATIONS_GET: Role.VIEW_ONLY,
    Action.LOCATIONS_GET: Role.VIEW_ONLY,
    Action.METRICS_ONLINE_GET: Role.VIEW_ONLY,
    Action.METRICS_EVENTS_GET: Role.VIEW_ONLY,
    Action.METRICS_INTEGRATIONS_GET: Role.VIEW_ONLY,
    Action.SIMS_LIST: Role.VIEW_ONLY,
    Action.SIMS_GET: Role.VIEW_ONLY,
    Action.SIMS_USAGE_GET: Role.VIEW_ONLY,
    Action.SIMS_STATUS_GET: Role.VIEW_ONLY,
    Action.TEAM_LIST: Role.VIEW_ONLY,
    # "vitals refresh, read variables, call functions, ping, SIM activate/deactivate"
    Action.VARIABLE_GET: Role.SUPPORT,
    Action.FUNCTION_CALL: Role.SUPPORT,
    Action.DEVICES_PING: Role.SUPPORT,
    Action.DEVICES_SIGNAL: Role.SUPPORT,
    Action.DIAGNOSTICS_UPDATE: Role.SUPPORT,
    Action.SIMS_UPDATE: Role.SUPPORT,
    # "add, edit, flash, remove devices; groups; publish; SIMs; firmware; integrations; OAuth clients; customers"
    Action.EVENTS_SEND: Role.DEVELOPER,
    Action.DEVICES_IMPORT: Role.DEVELOPER,
    Action.DEVICES_UPDATE: Role.DEVELOPER,
    Action.DEVICES_REMOVE: Role.DEVELOPER,
    Action.DEVICES_RELEASE: Role.DEVELOPER,
    Action.KEYS_UPDATE: Role.DEVELOPER,
    Action.CONFIGURATION_UPDATE: Role.DEVELOPER,
    Action.CUSTOMERS_CREATE: Role.DEVELOPER,
    Action.CUSTOMERS_UPDATE: Role.DEVELOPER,
    Action.CUSTOMERS_REMOVE: Role.DEVELOPER,
    Action.CLIENTS_CREATE: Role.DEVELOPER,
    Action.CLIENTS_UPDATE: Role.DEVELOPER,
    Action.CLIENTS_REMOVE: Role.DEVELOPER,
    Action.FIRMWARE_CREATE: Role.DEVELOPER,
    Action.FIRMWARE_UPDATE: Role.DEVELOPER,
    Action.FIRMWARE_RELEASE: Role.DEVELOPER,
    Action.FIRMWARE_REMOVE: Role.DEVELOPER,
    Action.GROUPS_CREATE: Role.DEVELOPER,
    Action.GROUPS_UPDATE: Role.DEVELOPER,
    Action.GROUPS_REMOVE: Role.DEVELOPER,
    Action.INTEGRATIONS_CREATE: Role.DEVELOPER,
    Action.INTEGRATIONS_UPDATE: Role.DEVELOPER,
    Action.INTEGRATIONS_REMOVE: Role.DEVELOPER,
    Action.INTEGRATIONS_TEST: Role.DEVELOPER,
    Action.SIMS_IMPORT: Role.DEVELOPER,
    Action.SIMS_REMOVE: Role.DEVELOPER,
    # "team management, product settings, billing"
    Action.TEAM_INVITE: Role.ADMINISTRATOR,
    Action.TEAM_UPDATE: Role.ADMINISTRATOR,
    Action.TEAM_REMOVE: Role.ADMINISTRATOR,
    Action.PRODUCTS_UPDATE: Role.ADMINISTRATOR,
    Action.SERVICE_AGREEMENTS_LIST: Role.ADMINISTRATOR,
    Action.SERVICE_AGREEMENTS_NOTIFICATIONS_LIST: Role.ADMINISTRATOR,
    Action.SERVICE_AGREEMENTS_USAGE_REPORTS_LIST: Role.ADMINISTRATOR,
    # "everything"
    Action.PRODUCTS_REMOVE: Role.OWNER,
}

# The same for an organization, apart from its products: what it has itself.
ORGANIZATION_ROLE: Final[dict[Action, Role]] = {
    Action.ORGANIZATIONS_GET: Role.VIEW_ONLY,
    Action.ORGANIZATIONS_UPDATE: Role.OWNER,
    Action.ORGANIZATIONS_REMOVE: Role.OWNER,
    Action.PRODUCTS_LIST: Role.VIEW_ONLY,
    Action.PRODUCTS_CREATE: Role.DEVELOPER,
    **{
        action: MINIMUM_ROLE[action]
        for action in (
            *(Action.CLIENTS_LIST, Action.CLIENTS_CREATE, Action.CLIENTS_UPDATE, Action.CLIENTS_REMOVE),
            *(Action.CUSTOMERS_LIST, Action.CUSTOMERS_CREATE, Action.CUSTOMERS_UPDATE, Action.CUSTOMERS_REMOVE),
            *(Action.EVENTS_GET, Action.EVENTS_SEND),
            *(Action.INTEGRATIONS_LIST, Action.INTEGRATIONS_GET, Action.INTEGRATIONS_CREATE),
            *(Action.INTEGRATIONS_UPDATE, Action.INTEGRATIONS_REMOVE, Action.INTEGRATIONS_TEST),
            *(Action.TEAM_LIST, Action.TEAM_INVITE, Action.TEAM_UPDATE, Action.TEAM_REMOVE),
            Action.SERVICE_AGREEMENTS_LIST,
            Action.SERVICE_AGREEMENTS_NOTIFICATIONS_LIST,
            Action.SERVICE_AGREEMENTS_USAGE_REPORTS_LIST,
        )
    },
}

# How far those go who have no role of their own.
_CLIENTS_ROLE: Final = Role.DEVELOPER
_API_USERS_ROLE: Final = Role.ADMINISTRATOR

# What the owner of a device may do with it.
_OWNERS: Final = frozenset(
    {
        Action.DEVICES_GET,
        Action.DEVICES_UPDATE,
        Action.DEVICES_RELEASE,
        Action.DEVICES_PING,
        Action.DEVICES_SIGNAL,
        Action.DIAGNOSTICS_GET,
        Action.DIAGNOSTICS_SUMMARY_GET,
        Action.DIAGNOSTICS_UPDATE,
        Action.VARIABLE_GET,
        Action.FUNCTION_CALL,
        Action.EVENTS_GET,
    }
)

# A customer's device goes by the key that its maker gave it.
_USERS_DEVICE: Final = _OWNERS | {Action.KEYS_UPDATE}

# What users and customers may do with what is theirs; a device's owner may ask by its name, before it is found.
_OWN_THINGS: Final = _OWNERS | {
    Action.DEVICES_LIST,
    Action.DEVICES_CLAIM,
    Action.DEVICES_TRANSFER,
    Action.SERIAL_NUMBERS_GET,
    Action.CLAIM_CODES_CREATE,
    Action.EVENTS_SEND,
    Action.TOKENS_GET,
    Action.TOKENS_REVOKE,
}
_USERS_OWN: Final = _OWN_THINGS | {Action.BINARY_COMPILE, Action.KEYS_UPDATE}

_ACCOUNT: Final = frozenset(
    {
        Action.ACCOUNT_GET,
        Action.ACCOUNT_UPDATE,
        Action.CLIENTS_LIST,
        Action.CLIENTS_CREATE,
        Action.CLIENTS_UPDATE,
        Action.CLIENTS_REMOVE,
        Action.INTEGRATIONS_LIST,
        Action.INTEGRATIONS_GET,
        Action.INTEGRATIONS_CREATE,
        Action.INTEGRATIONS_UPDATE,
        Action.INTEGRATIONS_REMOVE,
        Action.INTEGRATIONS_TEST,
        Action.PRODUCTS_LIST,
        Action.PRODUCTS_CREATE,
        Action.ORGANIZATIONS_LIST,
        Action.ORGANIZATIONS_CREATE,
    }
)

# What a device must not do, and must not be made to do, while it is quarantined or denied.
_USES_THE_DEVICE: Final = frozenset(
    {
        Action.VARIABLE_GET,
        Action.FUNCTION_CALL,
        Action.DEVICES_PING,
        Action.DEVICES_SIGNAL,
        Action.DIAGNOSTICS_UPDATE,
        Action.EVENTS_SEND,
    }
)

# A client's token has no devices of its own, yet programs list them with it and expect an empty list.
_CLIENTS_OWN: Final = frozenset({Action.DEVICES_LIST, Action.TOKENS_GET, Action.TOKENS_REVOKE})


# Tuples: `A | B` makes a new object each time that it is read.
_WITHOUT_TOKEN: Final = (Anonymous, Device)
_DEVICES: Final = (DeviceResource, ProductDeviceResource, OrganizationDeviceResource)


def decide(requester: Requester, action: Action, resource: Resource) -> Decision:
    """May `requester` do `action` to `resource`? Pure; the same question always has the same answer."""
    if isinstance(requester, _WITHOUT_TOKEN):
        return Refused(Reason.NOT_SIGNED_IN)
    standing = _standing(requester, action, resource)
    if isinstance(standing, Refused):
        return standing
    if not requester.scopes.allow(action):
        return Refused(Reason.SCOPE)
    if action in _USES_THE_DEVICE and isinstance(resource, _DEVICES):
        if resource.is_denied:
            return Refused(Reason.DENIED)
        if resource.is_quarantined:
            return Refused(Reason.QUARANTINED)
    return ALLOWED


def _standing(requester: Bearer, action: Action, resource: Resource) -> Decision:
    match resource:
        case DeviceResource():
            return _standing_with_own_device(requester, action, resource.owner)
        case OwnThings():
            return _standing_with_own_things(requester, action)
        case ProductDeviceResource():
            return _standing_in_product(requester, action, resource.product)
        case ProductResource():
            return _standing_in_product(requester, action, resource)
        case OrganizationResource():
            return _standing_in_organization(requester, action, resource)
        case OrganizationDeviceResource(organization=organization, product=product):
            return _standing_through_organization(requester, action, organization, product)
        case Account():
            if isinstance(requester, ApiUser):
                return Refused(Reason.API_USER)
            return ALLOWED if isinstance(requester, User) and action in _ACCOUNT else Refused(Reason.WRONG_KIND)


def _standing_with_own_device(requester: Bearer, action: Action, owner: Owner | None) -> Decision:
    if isinstance(requester, ApiUser):
        return Refused(Reason.API_USER)
    if not owns(requester, owner):
        return Refused(Reason.NOT_OWNER)
    theirs = _USERS_DEVICE if isinstance(requester, User) else _OWNERS
    return ALLOWED if action in theirs else Refused(Reason.WRONG_KIND)


def _standing_with_own_things(requester: Bearer, action: Action) -> Decision:
    if isinstance(requester, ApiUser):
        return ALLOWED if action is Action.BINARY_COMPILE else Refused(Reason.API_USER)
    theirs = _CLIENTS_OWN
    if isinstance(requester, User):
        theirs = _USERS_OWN
    elif isinstance(requester, Customer):
        theirs = _OWN_THINGS
    return ALLOWED if action in theirs else Refused(Reason.WRONG_KIND)


def _standing_in_product(requester: Bearer, action: Action, product: ProductResource) -> Decision:
    minimum = MINIMUM_ROLE.get(action)
    match requester:
        case User():
            return _by_role(product.role, minimum)
        case Customer():
            # A customer asks for claim codes under the product's path; everything else there is the team's.
            if action is Action.CLAIM_CODES_CREATE:
                return ALLOWED if _is_customer_of(requester, product) else Refused(Reason.OTHER_PRODUCT)
            return Refused(Reason.WRONG_KIND)
        case ProductClient(product=own):
            return _up_to(_CLIENTS_ROLE, minimum) if own == product.id else Refused(Reason.OTHER_PRODUCT)
        case OrganizationClient(organization=organization):
            if organization != product.organization:
                return Refused(Reason.OTHER_ORGANIZATION)
            return _up_to(_CLIENTS_ROLE, minimum)
        case ApiUser(product=own, organization=organization):
            if own is not None:
                return _up_to(_API_USERS_ROLE, minimum) if own == product.id else Refused(Reason.OTHER_PRODUCT)
            if organization is None or organization != product.organization:
                return Refused(Reason.OTHER_ORGANIZATION)
            return _up_to(_API_USERS_ROLE, minimum)


def _standing_in_organization(requester: Bearer, action: Action, organization: OrganizationResource) -> Decision:
    minimum = ORGANIZATION_ROLE.get(action)
    match requester:
        case User():
            return _by_role(organization.role, minimum)
        case Customer() | ProductClient():
            return Refused(Reason.WRONG_KIND)
        case OrganizationClient(organization=own):
            return _up_to(_CLIENTS_ROLE, minimum) if own == organization.id else Refused(Reason.OTHER_ORGANIZATION)
        case ApiUser(organization=own):
            if own is None:
                return Refused(Reason.WRONG_KIND)
            return _up_to(_API_USERS_ROLE, minimum) if own == organization.id else Refused(Reason.OTHER_ORGANIZATION)


def _standing_through_organization(
    requester: Bearer, action: Action, organization: OrganizationId, product: ProductResource
) -> Decision:
    """What is bound to one product has no business on its organization's paths, whatever it may do on the product's."""
    if product.organization != organization:
        return Refused(Reason.OTHER_ORGANIZATION)
    match requester:
        case Customer() | ProductClient() | ApiUser(organization=None):
            return Refused(Reason.WRONG_KIND)
        case User() | OrganizationClient() | ApiUser():
            return _standing_in_product(requester, action, product)


def _by_role(role: Role | None, minimum: Role | None) -> Decision:
    if role is None:
        return Refused(Reason.NOT_IN_TEAM)
    if minimum is None:
        return Refused(Reason.WRONG_KIND)
    return ALLOWED if role >= minimum else Refused(Reason.ROLE)


def _up_to(most: Role, minimum: Role | None) -> Decision:
    if minimum is None:
        return Refused(Reason.WRONG_KIND)
    return ALLOWED if minimum <= most else Refused(Reason.PERSON)


def _is_customer_of(customer: Customer, product: ProductResource) -> bool:
    if customer.organization is not None:
        return customer.organization == product.organization
    return customer.product == product.id


def owned_for(action: Action) -> Account | OwnThings:
    """What `action` is asked about where nothing is named: a person's account, or what is the requester's own."""
    return Account() if action in _ACCOUNT else OwnThings()


def owns(requester: Requester, owner: Owner | None) -> bool:
    """Is `requester` this owner? The same as comparing with `owner_of`, which would make one first."""
    match requester:
        case User():
            return isinstance(owner, OwnedByUser) and owner.id == requester.id
        case Customer():
            return isinstance(owner, OwnedByCustomer) and owner.id == requester.id
        case _:
            return False


def owner_of(requester: Requester) -> Owner | None:
    """The owner that `requester` is, for things that can be owned."""
    match requester:
        case User(id=user):
            return OwnedByUser(user)
        case Customer(id=customer):
            return OwnedByCustomer(customer)
        case _:
            return None


def may_own(
    requester: Requester, product: int | None, *, is_member: bool, organization: OrganizationId | None = None
) -> bool:
    """May a device of `product`, which belongs to `organization`, become this requester's? A customer takes devices of
    their own product only, or of their organization's products; a user takes free devices, and those of a product
    whose team they are in."""
    match requester:
        case User():
            return product is None or is_member
        case Customer(organization=pool) if pool is not None:
            return product is not None and organization == pool
        case Customer(product=own):
            return product is not None and product == own
        case _:
            return False
