"""Actions, roles and resources: the words in which rights are decided."""

from enum import IntEnum, StrEnum

import msgspec

from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, UserId


class Action(StrEnum):
    """What can be asked. The value is the scope that a limited token needs for it (the API's permission names)."""

    CLIENTS_LIST = "clients:list"
    CLIENTS_CREATE = "clients:create"
    CLIENTS_UPDATE = "clients:update"
    CLIENTS_REMOVE = "clients:remove"
    CONFIGURATION_GET = "configuration:get"
    CONFIGURATION_UPDATE = "configuration:update"
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
    VARIABLE_GET = "devices.variable:get"
    FUNCTION_CALL = "devices.function:call"
    DIAGNOSTICS_GET = "devices.diagnostics:get"
    DIAGNOSTICS_UPDATE = "devices.diagnostics:update"
    DIAGNOSTICS_SUMMARY_GET = "devices.diagnostics.summary:get"
    EVENTS_GET = "events:get"
    EVENTS_SEND = "events:send"
    FIRMWARE_GET = "firmware:get"
    FIRMWARE_LIST = "firmware:list"
    FIRMWARE_CREATE = "firmware:create"
    FIRMWARE_UPDATE = "firmware:update"
    FIRMWARE_RELEASE = "firmware:release"
    FIRMWARE_REMOVE = "firmware:remove"
    FIRMWARE_BINARY_GET = "firmware.binary:get"
    GROUPS_LIST = "groups:list"
    GROUPS_GET = "groups:get"
    GROUPS_CREATE = "groups:create"
    GROUPS_UPDATE = "groups:update"
    GROUPS_REMOVE = "groups:remove"
    GROUPS_IMPACT_GET = "groups.impact:get"
    INTEGRATIONS_LIST = "integrations:list"
    INTEGRATIONS_GET = "integrations:get"
    INTEGRATIONS_CREATE = "integrations:create"
    INTEGRATIONS_UPDATE = "integrations:update"
    INTEGRATIONS_REMOVE = "integrations:remove"
    INTEGRATIONS_TEST = "integrations:test"
    LOCATIONS_GET = "locations:get"
    METRICS_ONLINE_GET = "metrics.online:get"
    METRICS_EVENTS_GET = "metrics.events:get"
    METRICS_INTEGRATIONS_GET = "metrics.integrations:get"
    PRODUCTS_LIST = "products:list"
    PRODUCTS_GET = "products:get"
    SIMS_LIST = "sims:list"
    SIMS_GET = "sims:get"
    SIMS_UPDATE = "sims:update"
    SIMS_IMPORT = "sims:import"
    SIMS_REMOVE = "sims:remove"
    SIMS_USAGE_GET = "sims.usage:get"
    SIMS_STATUS_GET = "sims.status:get"
    SERVICE_AGREEMENTS_LIST = "service_agreements:list"
    SERVICE_AGREEMENTS_NOTIFICATIONS_LIST = "service_agreements.notifications:list"
    SERVICE_AGREEMENTS_USAGE_REPORTS_LIST = "service_agreements.usage_reports:list"
    TEAM_LIST = "teams.users:list"
    TEAM_INVITE = "teams.users:invite"
    TEAM_UPDATE = "teams.users:update"
    TEAM_REMOVE = "teams.users:remove"
    BINARY_COMPILE = "binary:compile"
    # Names of our own: the vendor's list has none for them.
    DEVICES_SIGNAL = "devices:signal"
    PRODUCTS_CREATE = "products:create"
    PRODUCTS_UPDATE = "products:update"
    PRODUCTS_REMOVE = "products:remove"
    DEVICES_CLAIM = "devices:claim"
    DEVICES_TRANSFER = "devices:transfer"
    KEYS_UPDATE = "keys:update"
    SERIAL_NUMBERS_GET = "serial_numbers:get"
    CLAIM_CODES_CREATE = "claim_codes:create"
    ACCOUNT_GET = "account:get"
    ACCOUNT_UPDATE = "account:update"
    TOKENS_GET = "tokens:get"
    TOKENS_REVOKE = "tokens:revoke"
    ORGANIZATIONS_LIST = "organizations:list"
    ORGANIZATIONS_GET = "organizations:get"
    ORGANIZATIONS_CREATE = "organizations:create"
    ORGANIZATIONS_UPDATE = "organizations:update"
    ORGANIZATIONS_REMOVE = "organizations:remove"


class Role(IntEnum):
    """A team member's role in a product or an organization; each may do all that the one below may. A role in an
    organization counts in all of its products."""

    VIEW_ONLY = 1
    SUPPORT = 2
    DEVELOPER = 3
    ADMINISTRATOR = 4
    OWNER = 5

    @property
    def title(self) -> str:
        return self.name.capitalize().replace("_", "-")


# Made and compared several times for each request: as Structs they cost a fifth of what dataclasses do.
class OwnedByUser(msgspec.Struct, frozen=True):
    id: UserId


class OwnedByCustomer(msgspec.Struct, frozen=True):
    id: CustomerId


Owner = OwnedByUser | OwnedByCustomer


class OrganizationResource(msgspec.Struct, frozen=True):
    """An organization, and the role in it of the user who asks (None for everybody who is not in its team)."""

    id: OrganizationId
    role: Role | None


class ProductResource(msgspec.Struct, frozen=True):
    """A product, and the role in it of the user who asks (None for everybody who is not in its team). The role is the
    higher one of those that the user has in the product and in its organization."""

    id: ProductId
    role: Role | None
    organization: OrganizationId | None = None


class DeviceResource(msgspec.Struct, frozen=True):
    """A device reached as somebody's own: `/v1/devices/:id`."""

    id: DeviceId
    owner: Owner | None
    product: ProductId | None
    is_quarantined: bool = False
    is_denied: bool = False


class ProductDeviceResource(msgspec.Struct, frozen=True):
    """A device reached through its product: `/v1/products/:p/devices/:id`."""

    id: DeviceId
    product: ProductResource
    is_quarantined: bool = False
    is_denied: bool = False


class OrganizationDeviceResource(msgspec.Struct, frozen=True):
    """A device of any product of an organization, reached through that: `/v1/orgs/:o/devices/:id`."""

    id: DeviceId
    organization: OrganizationId
    product: ProductResource
    is_quarantined: bool = False
    is_denied: bool = False


class OwnThings(msgspec.Struct, frozen=True):
    """What belongs to whoever asks: their list of devices, their tokens, their claim codes, their events."""


class Account(msgspec.Struct, frozen=True):
    """What only a person with a user account has: profile, clients and products of their own, organizations."""


Resource = (
    OrganizationResource
    | ProductResource
    | DeviceResource
    | ProductDeviceResource
    | OrganizationDeviceResource
    | OwnThings
    | Account
)
