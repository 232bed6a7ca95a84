"""Devices reached through an organization, whatever its product: `/v1/orgs/:organization/devices/:device`."""

from typing import Final

from cloudchamber.access.model import Action, OrganizationDeviceResource, ProductResource
from cloudchamber.access.requester import Requester
from cloudchamber.access.service import require
from cloudchamber.fleet.errors import device_not_in_product
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices
from cloudchamber.ids import DeviceId, ProductId, parse_device_id
from cloudchamber.organizations.model import Organization

_NO_PRODUCT: Final = ProductId(0)


class OrganizationDevices:
    def __init__(self, devices: Devices, products: Products) -> None:
        self._devices = devices
        self._products = products

    async def product_of(
        self, requester: Requester, organization: Organization, reference: str, action: Action
    ) -> Product:
        """The product that holds the device; what may be done with the device there is the next question.

        Raises AccessRefused, DeviceNotInProduct.
        """
        device = parse_device_id(reference)
        record = await self._devices.get(device) if device is not None else None
        product = await self._products.by_id(record.product) if record is not None and record.product else None
        if product is not None and product.organization == organization.id:
            assert record is not None
            resource = product.resource(requester)
            require(requester, action, OrganizationDeviceResource(record.id, organization.id, resource))
            return product
        # Refused like the rest of the organization, so that nobody outside learns which devices are there.
        nothing = ProductResource(_NO_PRODUCT, organization.resource(requester).role, organization.id)
        require(requester, action, OrganizationDeviceResource(device or DeviceId(""), organization.id, nothing))
        raise device_not_in_product()
