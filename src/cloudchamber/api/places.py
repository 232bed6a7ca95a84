"""What the path of a request stands below: a product, an organization, or a product of an organization."""

from cloudchamber.access.model import Action, OrganizationResource, ProductResource
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.through import OrganizationDevices
from cloudchamber.organizations.model import Organization
from cloudchamber.organizations.service import Organizations


class Places:
    """Every handler finds its product here, so that none forgets the organization that an older path names."""

    def __init__(self, products: Products, organizations: Organizations, through: OrganizationDevices) -> None:
        self._products = products
        self._organizations = organizations
        self._through = through

    async def product(self, call: Call) -> Product:
        """Raises OrganizationNotFound, ProductNotFound."""
        organization = call.params.get("organization")
        if organization is None:
            return await self._products.find(call.params["product"])
        return await self._products.below(organization, call.params["product"])

    def product_now(self, reference: str) -> Product | None:
        """As `product`, from memory, where no organization stands before it; None where only the database can tell."""
        return self._products.find_now(reference)

    async def holding(self, call: Call, requester: Bearer, action: Action) -> Product:
        """The product of the path's device, which an older path finds by the organization alone.

        Raises OrganizationNotFound, ProductNotFound, DeviceNotInProduct, AccessRefused.
        """
        if "product" in call.params:
            return await self.product(call)
        organization = await self.organization(call)
        return await self._through.product_of(requester, organization, call.params["device"], action)

    async def organization(self, call: Call) -> Organization:
        """Raises OrganizationNotFound."""
        return await self._organizations.find(call.params["organization"])

    async def of(self, call: Call, requester: Bearer) -> ProductResource | OrganizationResource:
        """The product, where the path names one. Raises OrganizationNotFound, ProductNotFound."""
        if "product" in call.params:
            return (await self.product(call)).resource(requester)
        return (await self.organization(call)).resource(requester)
