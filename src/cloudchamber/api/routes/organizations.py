"""Organizations and who is in them; teams of products too, as they are the same."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import ORGANIZATION, PRODUCT

_TEAM: Final = (f"{PRODUCT}/team", f"{ORGANIZATION}/team")
_MEMBER: Final = tuple(f"{team}/{{username}}" for team in _TEAM)

FAMILY: Final = Family(
    "Organizations",
    "Organizations, and who is in the team of an organization or a product.",
    (
        route(
            "GET",
            "/v1/orgs",
            Bearer(Action.ORGANIZATIONS_LIST),
            "organizations.list_own",
            "Lists the organizations that the user is in.",
            answer="OrganizationList",
        ),
        route(
            "POST",
            "/v1/orgs",
            Bearer(Action.ORGANIZATIONS_CREATE),
            "organizations.create",
            "Makes an organization that the user owns.",
            request="NewOrganization",
            answer="OrganizationAnswer",
        ),
        route(
            "GET",
            ORGANIZATION,
            Bearer(Action.ORGANIZATIONS_GET),
            "organizations.get",
            "Shows an organization.",
            answer="OrganizationAnswer",
        ),
        route(
            "PUT",
            ORGANIZATION,
            Bearer(Action.ORGANIZATIONS_UPDATE),
            "organizations.update",
            "Renames an organization; for its owner.",
            request="OrganizationChanges",
            answer="OrganizationAnswer",
        ),
        route(
            "DELETE",
            ORGANIZATION,
            Bearer(Action.ORGANIZATIONS_REMOVE),
            "organizations.remove",
            "Removes an organization that has no products, with its clients and customers; for its owner.",
            answer={204: None},
        ),
        route(
            "GET",
            f"{ORGANIZATION}/products",
            Bearer(Action.PRODUCTS_LIST),
            "organizations.list_products",
            "Lists an organization's products.",
            answer="ProductList",
        ),
        route(
            "POST",
            f"{ORGANIZATION}/products",
            Bearer(Action.PRODUCTS_CREATE),
            "organizations.create_product",
            "Makes a product of an organization.",
            request=("NewProduct", "ProductFields"),
            answer="ProductAnswer",
        ),
        route(
            "GET",
            _TEAM,
            Bearer(Action.TEAM_LIST),
            "teams.list",
            "Lists the team: people, invitations and API users.",
            answer="TeamList",
        ),
        route(
            "POST",
            _TEAM,
            Bearer(Action.TEAM_INVITE),
            "teams.invite",
            "Takes a person into the team, or makes an API user and shows its token.",
            request=("Invitation", "NewApiUser"),
            answer=("InvitedAnswer", "ApiUserCreated"),
        ),
        route(
            "POST",
            "/v1/user/invitations",
            Bearer(Action.ACCOUNT_UPDATE),
            "teams.accept",
            "Takes the place in a team that the user was invited to by mail.",
            request="InvitationCode",
            answer="Ok",
        ),
        *(
            route(
                method,
                _MEMBER,
                Bearer(Action.TEAM_UPDATE),
                "teams.change",
                "Changes a member's role, or an API user's name or scopes.",
                request=("MemberChanges", "ApiUserChanges"),
                answer=("MemberUpdated", "ApiUserUpdated"),
            )
            for method in ("PUT", "POST")
        ),
        route(
            "DELETE",
            _MEMBER,
            Bearer(Action.TEAM_REMOVE),
            "teams.remove",
            "Takes a member, an invitation or an API user out of the team.",
            answer="Ok",
        ),
    ),
)
