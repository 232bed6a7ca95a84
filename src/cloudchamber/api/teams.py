"""Teams of products and organizations: `.../team`. A body with `friendly_name` or `scopes` is about an API user."""

from typing import Any

from cloudchamber.access.model import Role
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import Reply
from cloudchamber.clock import iso
from cloudchamber.organizations.errors import TeamChangeInvalid
from cloudchamber.organizations.model import ApiUserAccount, Invitation, Member, Place
from cloudchamber.organizations.rules import ROLE_IDS
from cloudchamber.organizations.teams import Teams


class TeamsResource:
    def __init__(self, teams: Teams, places: Places) -> None:
        self._teams = teams
        self._places = places

    async def list(self, call: Call, requester: Bearer) -> Any:
        place = await self._places.of(call, requester)
        team = await self._teams.of(requester, place)
        return {
            "ok": True,
            "team": [
                *(_member(member) for member in team.members),
                *(_invitation(invitation) for invitation in team.invitations),
                *(_api_user(user, place) for user in team.api_users),
            ],
        }

    async def invite(self, call: Call, requester: Bearer) -> Any:
        place = await self._places.of(call, requester)
        data = call.data
        if _is_about_api_user(data):
            made, token = await self._teams.add_api_user(
                requester, place, data.text("friendly_name") or "", data.texts("scopes"), data.text("expires_in")
            )
            return Reply({"ok": True, "created": _with_token(made, token)}, headers=NO_STORE)
        name = await self._teams.invite(requester, place, data.text("username") or "", _role(data))
        return {"ok": True, "invited": {"username": name}}

    async def accept(self, call: Call, requester: Bearer) -> Any:
        await self._teams.accept(requester, call.data.text("code") or "")
        return {"ok": True}

    async def change(self, call: Call, requester: Bearer) -> Any:
        place = await self._places.of(call, requester)
        data, username = call.data, call.params["username"]
        if _is_about_api_user(data):
            scopes = data.texts("scopes") if data.get("scopes") is not None else None
            changed = await self._teams.change_api_user(
                requester, place, username, data.text("friendly_name"), scopes, data.text("expires_in")
            )
            return Reply({"ok": True, "updated": _with_token(changed.user, changed.token)}, headers=NO_STORE)
        role = _role(data)
        if role is None:
            raise TeamChangeInvalid("Send a role for a person; friendly_name or scopes for an API user")
        name, given = await self._teams.change_role(requester, place, username, role)
        return {"ok": True, "updated": {"username": name, "role": _role_of(given)}}

    async def remove(self, call: Call, requester: Bearer) -> Any:
        await self._teams.remove(requester, await self._places.of(call, requester), call.params["username"])
        return {"ok": True}


def _is_about_api_user(data: Fields) -> bool:
    return "friendly_name" in data or "scopes" in data or "expires_in" in data


def _role(data: Fields) -> str | None:
    """A name, an id, or the object with both that the list shows."""
    value = data.get("role")
    if isinstance(value, dict):
        fields = Fields(value)
        found = fields.text("id") or fields.text("name")
        if not found:
            raise FieldInvalid("role must have a name or an id")
        return found
    return data.text("role")


def _role_of(role: Role) -> dict[str, str]:
    return {"id": ROLE_IDS[role], "name": role.title}


def _member(member: Member) -> dict[str, Any]:
    body: dict[str, Any] = {"_id": member.id, "username": member.username, "role": _role_of(member.role)}
    return body | {"inherited": True} if member.is_inherited else body


def _invitation(invitation: Invitation) -> dict[str, Any]:
    return {
        "_id": invitation.id,
        "username": invitation.username,
        "role": _role_of(invitation.role),
        "pending": True,
    }


def _api_user(user: ApiUserAccount, place: Place) -> dict[str, Any]:
    body: dict[str, Any] = {
        "_id": user.id,
        "username": user.username,
        "friendly_name": user.friendly_name,
        # Clients read a role of everybody; this one's is what its scopes make it.
        "role": {"id": "0" * 24, "name": "API user"},
        "is_programmatic": True,
        "scopes": list(user.scopes),
    }
    if user.token_ends_at is not None:
        body["expires_at"] = iso(user.token_ends_at)
    return body if place.id in (user.product, user.organization) else body | {"inherited": True}


def _with_token(user: ApiUserAccount, token: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {"username": user.username, "is_programmatic": True}
    return body | {"tokens": [{"token": token}]} if token is not None else body
