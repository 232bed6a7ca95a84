"""The one rule of access: `decide(requester, action, resource)`. Nothing else in the code compares owners.

Deny by default: what no branch allows is refused. The reasons are values, so that the API can answer in the vendor's
shape and a person can be told in words.

The table that the rule carries out:

==================  ======================  =======================  ====================  ================
resource            user                    customer                 product client        device, nobody
==================  ======================  =======================  ====================  ================
own device          its owner               its owner                no                    no
product, its        team member, by role    no                       its own product       no
devices
own things          yes                     yes                      lists only (empty)    no
account             yes                     no                       no                    no
==================  ======================  =======================  ====================  ================

A limited token needs the action's scope besides, whoever holds it. A quarantined or denied device may be seen, not
used.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OwnedByCustomer,
    OwnedByUser,
    Owner,
    OwnThings,
    ProductDeviceResource,
    ProductResource,
    Resource,
    Role,
)
from cloudchamber.access.requester import Anonymous, Customer, Device, ProductClient, Requester, User


class Reason(Enum):
    """Why something was refused. The value is the sentence that explains it to the person who asked."""

    NOT_SIGNED_IN = "This needs a token."
    SCOPE = "The token is limited to other things than this."
    NOT_OWNER = "The device does not belong to whoever holds this token."
    NOT_IN_TEAM = "The user is not in the product's team."
    ROLE = "The user's role in the product does not allow this."
    OTHER_PRODUCT = "The token belongs to another product."
    WRONG_KIND = "A token of this kind cannot be used here."
    QUARANTINED = "The device is in quarantine: approve it in its product first."
    DENIED = "The device is on its product's deny list."


@dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason


Decision = Allowed | Refused
ALLOWED: Final = Allowed()

# The lowest role for each action on a product and its devices; what is missing here no role may do.
MINIMUM_ROLE: Final[dict[Action, Role]] = {
    Action.PRODUCTS_GET: Role.VIEW_ONLY,
    Action.DEVICES_LIST: Role.VIEW_ONLY,
    Action.DEVICES_GET: Role.VIEW_ONLY,
    Action.CUSTOMERS_LIST: Role.VIEW_ONLY,
    Action.CLIENTS_LIST: Role.VIEW_ONLY,
    Action.INTEGRATIONS_LIST: Role.VIEW_ONLY,
    Action.INTEGRATIONS_GET: Role.VIEW_ONLY,
    Action.EVENTS_GET: Role.VIEW_ONLY,
    Action.VARIABLE_GET: Role.SUPPORT,
    Action.FUNCTION_CALL: Role.SUPPORT,
    Action.DEVICES_PING: Role.SUPPORT,
    Action.DEVICES_SIGNAL: Role.SUPPORT,
    Action.EVENTS_SEND: Role.DEVELOPER,
    Action.DEVICES_IMPORT: Role.DEVELOPER,
    Action.DEVICES_UPDATE: Role.DEVELOPER,
    Action.DEVICES_REMOVE: Role.DEVELOPER,
    Action.DEVICES_RELEASE: Role.DEVELOPER,
    Action.CUSTOMERS_CREATE: Role.DEVELOPER,
    Action.CUSTOMERS_UPDATE: Role.DEVELOPER,
    Action.CUSTOMERS_REMOVE: Role.DEVELOPER,
    Action.CLIENTS_CREATE: Role.DEVELOPER,
    Action.CLIENTS_UPDATE: Role.DEVELOPER,
    Action.CLIENTS_REMOVE: Role.DEVELOPER,
    Action.INTEGRATIONS_CREATE: Role.DEVELOPER,
    Action.INTEGRATIONS_UPDATE: Role.DEVELOPER,
    Action.INTEGRATIONS_REMOVE: Role.DEVELOPER,
    Action.INTEGRATIONS_TEST: Role.DEVELOPER,
}

# What the owner of a device may do with it.
_OWNERS: Final = frozenset(
    {
        Action.DEVICES_GET,
        Action.DEVICES_UPDATE,
        Action.DEVICES_RELEASE,
        Action.DEVICES_PING,
        Action.DEVICES_SIGNAL,
        Action.VARIABLE_GET,
        Action.FUNCTION_CALL,
        Action.EVENTS_GET,
    }
)

# What users and customers may do with what is theirs; a device's owner may ask by its name, before it is found.
_OWN_THINGS: Final = _OWNERS | {
    Action.DEVICES_LIST,
    Action.DEVICES_CLAIM,
    Action.CLAIM_CODES_CREATE,
    Action.EVENTS_SEND,
    Action.TOKENS_GET,
    Action.TOKENS_REVOKE,
}

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
    }
)

# What a device must not do, and must not be made to do, while it is quarantined or denied.
_USES_THE_DEVICE: Final = frozenset(
    {Action.VARIABLE_GET, Action.FUNCTION_CALL, Action.DEVICES_PING, Action.DEVICES_SIGNAL, Action.EVENTS_SEND}
)

# A product's token has no devices of its own, yet clients list them with it and expect an empty list.
_PRODUCT_CLIENTS_OWN: Final = frozenset({Action.DEVICES_LIST, Action.TOKENS_GET, Action.TOKENS_REVOKE})


def decide(requester: Requester, action: Action, resource: Resource) -> Decision:
    """May `requester` do `action` to `resource`? Pure; the same question always has the same answer."""
    if isinstance(requester, Anonymous | Device):
        return Refused(Reason.NOT_SIGNED_IN)
    standing = _standing(requester, action, resource)
    if isinstance(standing, Refused):
        return standing
    if not requester.scopes.allow(action):
        return Refused(Reason.SCOPE)
    if isinstance(resource, DeviceResource | ProductDeviceResource) and action in _USES_THE_DEVICE:
        if resource.is_denied:
            return Refused(Reason.DENIED)
        if resource.is_quarantined:
            return Refused(Reason.QUARANTINED)
    return ALLOWED


def _standing(requester: User | Customer | ProductClient, action: Action, resource: Resource) -> Decision:
    match resource:
        case DeviceResource(owner=owner):
            if owner is None or owner != owner_of(requester):
                return Refused(Reason.NOT_OWNER)
            return ALLOWED if action in _OWNERS else Refused(Reason.WRONG_KIND)
        case ProductDeviceResource(product=product):
            return _standing_in_product(requester, action, product)
        case ProductResource():
            return _standing_in_product(requester, action, resource)
        case OwnThings():
            theirs = _PRODUCT_CLIENTS_OWN if isinstance(requester, ProductClient) else _OWN_THINGS
            return ALLOWED if action in theirs else Refused(Reason.WRONG_KIND)
        case Account():
            return ALLOWED if isinstance(requester, User) and action in _ACCOUNT else Refused(Reason.WRONG_KIND)


def _standing_in_product(
    requester: User | Customer | ProductClient, action: Action, product: ProductResource
) -> Decision:
    minimum = MINIMUM_ROLE.get(action)
    match requester:
        case ProductClient():
            if requester.product != product.id:
                return Refused(Reason.OTHER_PRODUCT)
            return ALLOWED if minimum is not None else Refused(Reason.WRONG_KIND)
        case Customer():
            # A customer asks for claim codes under the product's path; everything else there is the team's.
            if action is Action.CLAIM_CODES_CREATE:
                return ALLOWED if requester.product == product.id else Refused(Reason.OTHER_PRODUCT)
            return Refused(Reason.WRONG_KIND)
        case User():
            if product.role is None:
                return Refused(Reason.NOT_IN_TEAM)
            if minimum is None:
                return Refused(Reason.WRONG_KIND)
            return ALLOWED if product.role >= minimum else Refused(Reason.ROLE)


def owner_of(requester: Requester) -> Owner | None:
    """The owner that `requester` is, for things that can be owned."""
    match requester:
        case User(id=user):
            return OwnedByUser(user)
        case Customer(id=customer):
            return OwnedByCustomer(customer)
        case _:
            return None


def may_own(requester: Requester, product: int | None, *, is_member: bool) -> bool:
    """May a device of `product` become this requester's? A customer takes devices of their own product only; a user
    takes free devices, and those of a product whose team they are in."""
    match requester:
        case User():
            return product is None or is_member
        case Customer(product=own):
            return product == own
        case _:
            return False
