"""Which of a product's devices are connected now."""

from collections.abc import Collection, Mapping

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Requester
from cloudchamber.access.service import require
from cloudchamber.fleet.model import Product
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.audience import Audience


class Presence:
    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    def online_in(self, requester: Requester, product: Product) -> Collection[DeviceId]:
        """Without those that are shut out; a view, so copy it before awaiting. Raises AccessRefused."""
        require(requester, Action.METRICS_ONLINE_GET, product.resource(requester))
        return self._audience.of_product(product.id)

    def versions_in(self, requester: Requester, product: Product) -> Mapping[int | None, int]:
        """How many of them run which version of the product's firmware (None: they told none); a view, as above.

        Raises AccessRefused.
        """
        require(requester, Action.METRICS_ONLINE_GET, product.resource(requester))
        return self._audience.versions(product.id)
