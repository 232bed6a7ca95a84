"""SIM cards, of which nobody has any here: what clients ask for in passing. The rest is in later.py."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import AnyToken, Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT

FAMILY: Final = Family(
    "SIM cards",
    "SIM cards. This server manages none.",
    (
        route("GET", "/v1/sims", AnyToken(), "sims.list_own", "Lists one's own SIM cards: none.", answer="SimList"),
        route(
            "GET",
            f"{PRODUCT}/sims",
            Bearer(Action.SIMS_LIST),
            "sims.list_of_product",
            "Lists a product's SIM cards: none.",
            answer="SimList",
        ),
        # The SDK takes an empty 200 for a failure.
        route(
            "HEAD",
            "/v1/sims/{iccid}",
            AnyToken(),
            "sims.check",
            "Tells that a SIM card may be used.",
            answer={204: None},
        ),
    ),
)
