"""Organizations and who is in them."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route

FAMILY: Final = Family(
    "Organizations",
    "Organizations and who is in them.",
    (route("GET", "/v1/orgs", Bearer(Action.ORGANIZATIONS_LIST), "organizations.list_own"),),
)
