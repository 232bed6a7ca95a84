"""What the path of a request stands below: a product, an organization, or a product of an organization."""

from cloudchamber.access.model import OrganizationResource, ProductResource
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import Products
from cloudchamber.organizations.model import Organization
from cloudchamber.organizations.service import Organizations


class Places:
    """Every handler finds its product here, so that none forgets the organization that an older path names."""

    def __init__(self, products: Products, organizations: Organizations) -> None:
        self._products = products
        self._organizations = organizations

    async def product(self, call: Call) -> Product:
        """Raises OrganizationNotFound, ProductNotFound."""
        organization = call.params.get("organization")
        if organization is None:
            return await self._products.find(call.params["product"])
        return await self._products.below(organization, call.params["product"])

    async def organization(self, call: Call) -> Organization:
        """Raises OrganizationNotFound."""
        return await self._organizations.find(call.params["organization"])

    async def of(self, call: Call, requester: Bearer) -> ProductResource | OrganizationResource:
        """The product, where the path names one. Raises OrganizationNotFound, ProductNotFound."""
        if "product" in call.params:
            return (await self.product(call)).resource(requester)
        return (await self.organization(call)).resource(requester)
