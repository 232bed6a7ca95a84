"""Organizations and who is in them."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.schemas.organizations import OrganizationList

FAMILY: Final = Family(
    "Organizations",
    "Organizations and who is in them.",
    (
        route(
            "GET",
            "/v1/orgs",
            Bearer(Action.ORGANIZATIONS_LIST),
            "organizations.list_own",
            "Lists the organizations that the user is in.",
            answer=OrganizationList,
        ),
    ),
)
