"""Claim codes."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import LEGACY_PRODUCT, PRODUCT

FAMILY: Final = Family(
    "Claim codes",
    "Codes with which a device in set-up is claimed.",
    (
        route(
            "POST",
            "/v1/device_claims",
            Bearer(Action.CLAIM_CODES_CREATE),
            "claim_codes.create_own",
            "Makes a code; the device that presents it becomes the requester's.",
            request="NewClaimCode",
            answer="ClaimCode",
        ),
        route(
            "POST",
            (f"{PRODUCT}/device_claims", f"{LEGACY_PRODUCT}/device_claims"),
            Bearer(Action.CLAIM_CODES_CREATE),
            "claim_codes.create_of_product",
            "Makes a code for a customer of the product.",
            request="NewClaimCode",
            answer="ClaimCode",
        ),
    ),
)
