"""Actions, roles and resources: the words in which rights are decided."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from cloudchamber.ids import CustomerId, DeviceId, ProductId, UserId


class Action(StrEnum):
    """What can be asked. The value is the scope that a limited token needs for it (the API's permission names)."""

    CLIENTS_LIST = "clients:list"
    CLIENTS_CREATE = "clients:create"
    CLIENTS_UPDATE = "clients:update"
    CLIENTS_REMOVE = "clients:remove"
    CUSTOMERS_LIST = "customers:list"
    CUSTOMERS_CREATE = "customers:create"
    CUSTOMERS_UPDATE = "customers:update"
    CUSTOMERS_REMOVE = "customers:remove"
    DEVICES_LIST = "devices:list"
    DEVICES_GET = "devices:get"
    DEVICES_IMPORT = "devices:import"
    DEVICES_UPDATE = "devices:update"
    DEVICES_REMOVE = "devices:remove"
    DEVICES_RELEASE = "devices:release"
    DEVICES_PING = "devices:ping"
    DEVICES_SIGNAL = "devices:signal"
    VARIABLE_GET = "devices.variable:get"
    FUNCTION_CALL = "devices.function:call"
    EVENTS_GET = "events:get"
    EVENTS_SEND = "events:send"
    INTEGRATIONS_LIST = "integrations:list"
    INTEGRATIONS_GET = "integrations:get"
    INTEGRATIONS_CREATE = "integrations:create"
    INTEGRATIONS_UPDATE = "integrations:update"
    INTEGRATIONS_REMOVE = "integrations:remove"
    INTEGRATIONS_TEST = "integrations:test"
    PRODUCTS_LIST = "products:list"
    PRODUCTS_GET = "products:get"
    # Names of our own: the vendor's list has none for them.
    PRODUCTS_CREATE = "products:create"
    DEVICES_CLAIM = "devices:claim"
    CLAIM_CODES_CREATE = "claim_codes:create"
    ACCOUNT_GET = "account:get"
    ACCOUNT_UPDATE = "account:update"
    TOKENS_GET = "tokens:get"
    TOKENS_REVOKE = "tokens:revoke"
    ORGANIZATIONS_LIST = "organizations:list"


class Role(IntEnum):
    """A team member's role in a product; each may do all that the one below may."""

    VIEW_ONLY = 1
    SUPPORT = 2
    DEVELOPER = 3
    ADMINISTRATOR = 4
    OWNER = 5


@dataclass(frozen=True, slots=True)
class OwnedByUser:
    id: UserId


@dataclass(frozen=True, slots=True)
class OwnedByCustomer:
    id: CustomerId


Owner = OwnedByUser | OwnedByCustomer


@dataclass(frozen=True, slots=True)
class ProductResource:
    """A product, and the role in it of the user who asks (None for everybody who is not in its team)."""

    id: ProductId
    role: Role | None


@dataclass(frozen=True, slots=True)
class DeviceResource:
    """A device reached as somebody's own: `/v1/devices/:id`."""

    id: DeviceId
    owner: Owner | None
    product: ProductId | None
    is_quarantined: bool = False
    is_denied: bool = False


@dataclass(frozen=True, slots=True)
class ProductDeviceResource:
    """A device reached through its product: `/v1/products/:p/devices/:id`."""

    id: DeviceId
    product: ProductResource
    is_quarantined: bool = False
    is_denied: bool = False


@dataclass(frozen=True, slots=True)
class OwnThings:
    """What belongs to whoever asks: their list of devices, their tokens, their claim codes, their events."""


@dataclass(frozen=True, slots=True)
class Account:
    """What only a person with a user account has: profile, clients and products of their own."""


Resource = ProductResource | DeviceResource | ProductDeviceResource | OwnThings | Account
