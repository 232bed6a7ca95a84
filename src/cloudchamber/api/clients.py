"""OAuth clients, of a user, of a product and of an organization."""

from typing import Any

from cloudchamber.access.requester import Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.oauth.clients import Clients, Place
from cloudchamber.organizations.service import Organizations


class ClientsResource:
    def __init__(self, clients: Clients, organizations: Organizations, places: Places) -> None:
        self._clients = clients
        self._organizations = organizations
        self._places = places

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        found = await self._clients.of_user(requester)
        return {"ok": True, "clients": [render.client(each) for each in found]}

    async def list(self, call: Call, requester: Bearer) -> Any:
        found = await self._clients.of(requester, await self._places.of(call, requester))
        return {"ok": True, "clients": [render.client(each) for each in found]}

    async def create_own(self, call: Call, requester: Bearer) -> Any:
        """Of the user, or of the organization that `organization` names: the way before organizations had paths."""
        organization = call.data.text("organization")
        place = await self._organizations.resource(requester, organization) if organization else None
        return await self._create(call, requester, place)

    async def create(self, call: Call, requester: Bearer) -> Any:
        return await self._create(call, requester, await self._places.of(call, requester))

    async def update_own(self, call: Call, requester: Bearer) -> Any:
        return await self._update(call, requester, await self._place_of_own(call, requester))

    async def update(self, call: Call, requester: Bearer) -> Any:
        return await self._update(call, requester, await self._places.of(call, requester))

    async def delete_own(self, call: Call, requester: Bearer) -> Any:
        place = await self._place_of_own(call, requester)
        await self._clients.delete(requester, place, call.params["client"])
        return NO_CONTENT

    async def delete(self, call: Call, requester: Bearer) -> Any:
        await self._clients.delete(requester, await self._places.of(call, requester), call.params["client"])
        return NO_CONTENT

    async def _place_of_own(self, call: Call, requester: Bearer) -> Place | None:
        """Where a client was made by `/v1/clients`, it is changed there, too: that of an organization whose team the
        user is in. To everybody else it is as unknown as any."""
        found = await self._clients.find(call.params["client"])
        if found is None or found.organization is None:
            return None
        place = await self._organizations.resource(requester, found.organization)
        return place if place.role is not None else None

    async def _create(self, call: Call, requester: Bearer, place: Place | None) -> Any:
        data = call.data
        made, secret = await self._clients.create(
            requester,
            place,
            name=data.text("name") or "",
            type_=data.text("type") or "",
            redirect_uri=data.text("redirect_uri"),
            scope=_scope(data),
            takes_passwords=data.flag("password_grant"),
        )
        return Reply({"ok": True, "client": render.client(made, secret)}, headers=NO_STORE)

    async def _update(self, call: Call, requester: Bearer, place: Place | None) -> Any:
        changed = await self._clients.update(
            requester,
            place,
            call.params["client"],
            name=call.data.text("name"),
            scope=_scope(call.data),
            takes_passwords=call.data.flag("password_grant"),
        )
        return {"ok": True, "client": render.client(changed)}


def _scope(data: Fields) -> str | None:
    """A list of names with blanks between them; the SDK's typing allows an array, and an object with them as keys."""
    value = data.get("scope")
    if not isinstance(value, dict | list):
        return data.text("scope")
    names = list(value)
    if not all(isinstance(name, str) for name in names):
        raise FieldInvalid("scope must be a list of names")
    return " ".join(names)
