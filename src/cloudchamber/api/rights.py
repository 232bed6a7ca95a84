"""Whether whoever asks may do what a row of the route table says, to what its path names.

What is wrong with a request is no business of those who may not make it: a stranger who sends a bad page number and is
told so, where a good one is told "not found", learns that somebody looked. Services ask for the right before they do
anything, but what a query or body says is often read before a service is called, and some of it cannot be read at all.
So the edge holds every complaint about a request back until it has asked here; a request about which there is nothing
to complain pays nothing, as its service refuses by itself.

What is asked follows from the path alone: a device in its product, a product, an organization, a device of one's own,
an account or what is one's own. The matrix (tests/matrix) derives the same for itself and compares the answers.
"""

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.access.rules import owned_for
from cloudchamber.access.service import require
from cloudchamber.api.call import Call
from cloudchamber.api.places import Places
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices


class Rights:
    def __init__(self, places: Places, products: Products, devices: Devices) -> None:
        self._places = places
        self._products = products
        self._devices = devices

    async def ask(self, call: Call, requester: Bearer, action: Action) -> None:
        """Raises the refusal that the row's handler would give to a request without a fault: AccessRefused,
        OrganizationNotFound, ProductNotFound, DeviceUnknown, DeviceNotInProduct."""
        params = call.params
        device = params.get("device")
        if "product" in params or "organization" in params:
            if device is None:
                require(requester, action, await self._places.of(call, requester))
            else:
                product = await self._places.holding(call, requester, action)
                await self._devices.in_product(requester, product, device, action)
        elif device is not None:
            await self._devices.own(requester, device, action)
        elif action is Action.PRODUCTS_LIST:
            # That of a client or an API user is the list of what it belongs to.
            await self._products.of_requester(requester)
        else:
            require(requester, action, owned_for(action))
