"""Groups of a product's devices."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, route
from cloudchamber.api.routes.paths import PRODUCT

_GROUPS: Final = f"{PRODUCT}/groups"
_GROUP: Final = f"{_GROUPS}/{{group}}"

FAMILY: Final = Family(
    "Groups",
    "Groups of a product's devices, to release firmware to and to filter by.",
    (
        route(
            "GET",
            _GROUPS,
            Bearer(Action.GROUPS_LIST),
            "groups.list",
            "Lists a product's groups.",
            query="GroupsQuery",
            answer="GroupList",
        ),
        route(
            "POST",
            _GROUPS,
            Bearer(Action.GROUPS_CREATE),
            "groups.create",
            "Adds a group to a product.",
            request="NewGroup",
            answer={201: "OneGroup"},
            errors=(409,),
        ),
        route("GET", _GROUP, Bearer(Action.GROUPS_GET), "groups.get", "Shows a group.", answer="OneGroup"),
        route(
            "PUT",
            _GROUP,
            Bearer(Action.GROUPS_UPDATE),
            "groups.update",
            "Changes a group's name, color or description.",
            request="GroupChanges",
            answer="OneGroup",
            errors=(409,),
        ),
        route(
            "DELETE",
            _GROUP,
            Bearer(Action.GROUPS_REMOVE),
            "groups.remove",
            "Removes a group; its devices are in it no more.",
            answer={204: None},
        ),
    ),
)
