"""Groups of a product's devices."""

from typing import Any

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.fields import Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.fleet.groups.model import Group, GroupChanges
from cloudchamber.fleet.groups.service import Groups
from cloudchamber.fleet.model import Product


class GroupsResource:
    def __init__(self, groups: Groups, places: Places) -> None:
        self._groups = groups
        self._places = places

    async def list(self, call: Call, requester: Bearer) -> Any:
        found = await self._groups.of_product(requester, await self._product(call), call.query.text("name"))
        return {"groups": [_group(group) for group in found]}

    async def get(self, call: Call, requester: Bearer) -> Any:
        group = await self._groups.get(requester, await self._product(call), call.params["group"])
        return {"group": _group(group)}

    async def create(self, call: Call, requester: Bearer) -> Any:
        group = await self._groups.create(requester, await self._product(call), _changes(call.data))
        return Reply({"group": _group(group)}, 201)

    async def update(self, call: Call, requester: Bearer) -> Any:
        product = await self._product(call)
        group = await self._groups.update(requester, product, call.params["group"], _changes(call.data))
        return {"group": _group(group)}

    async def remove(self, call: Call, requester: Bearer) -> Any:
        await self._groups.remove(requester, await self._product(call), call.params["group"])
        return NO_CONTENT

    async def _product(self, call: Call) -> Product:
        return await self._places.product(call)


def _changes(data: Fields) -> GroupChanges:
    """Raises FieldInvalid."""
    return GroupChanges(data.text("name"), data.text("description"), data.text("color"))


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "description": group.description,
        "color": group.color,
        "fw_version": group.fw_version,
        "device_count": group.device_count,
    }
