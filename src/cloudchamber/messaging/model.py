"""Events and who listens to them."""

from typing import Final

from msgspec import Struct

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId, OrganizationId, ProductId

DEFAULT_TTL_S: Final = 60
FROM_API: Final = "001"
"""The `coreid` of events that an application published: no device has this id."""
FROM_CLOUD: Final = "particle-internal"
"""The `coreid` of what the cloud says about a webhook (http-api.md 14.4)."""


class Event(Struct, frozen=True):
    """`source` is a device's id, FROM_API or FROM_CLOUD. `owner` and `product` are those of the source at the moment of
    publication: whoever gets the device later hears nothing of before, and whoever lost it nothing of after.
    `organization` is set for what was published to a whole organization, or by a customer of one."""

    name: str
    data: str | None
    ttl_s: int
    published_at: Millis
    source: str
    is_public: bool
    owner: Owner | None
    product: ProductId | None
    version: int | None = None
    organization: OrganizationId | None = None

    @property
    def is_organizations(self) -> bool:
        """Published to a whole organization, and so to each of its products."""
        return self.organization is not None and self.product is None and self.owner is None

    @property
    def product_id(self) -> ProductId | None:
        return self.product

    @property
    def user_id(self) -> str | None:
        return self.owner.id if self.owner is not None else None


class OwnEvents(Struct, frozen=True):
    """Events of everything that `owner` owns."""

    owner: Owner


class OwnAndPublicEvents(Struct, frozen=True):
    """Public events of everybody, and all of one's own."""

    owner: Owner


class OwnDeviceEvents(Struct, frozen=True):
    """Events of one device, for as long as it belongs to `owner`."""

    owner: Owner
    device: DeviceId


class ProductEvents(Struct, frozen=True):
    """Events of a whole product, whoever owns its devices, and what is published to its whole organization."""

    product: ProductId
    organization: OrganizationId


class ProductDeviceEvents(Struct, frozen=True):
    """Events of one device, for as long as it is in `product`."""

    product: ProductId
    organization: OrganizationId
    device: DeviceId


class OrganizationEvents(Struct, frozen=True):
    """Events of all products of an organization, and what is published to it."""

    organization: OrganizationId


Listening = OwnEvents | OwnAndPublicEvents | OwnDeviceEvents | ProductEvents | ProductDeviceEvents | OrganizationEvents
