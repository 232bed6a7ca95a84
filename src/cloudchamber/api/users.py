"""Accounts: registration and profile."""

from typing import Any

from cloudchamber.access.requester import Anonymous, Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.guards import Guards
from cloudchamber.identity.errors import UsernameTaken
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.identity.service import Users


class UsersResource:
    def __init__(self, users: Users, resets: PasswordResets, guards: Guards) -> None:
        self._users = users
        self._resets = resets
        self._guards = guards

    async def register(self, call: Call) -> Any:
        data = call.data
        username = data.text("username") or data.text("email") or ""
        try:
            await self._users.register(Anonymous(), username, data.text("password") or "", data.mapping("account_info"))
        except UsernameTaken:
            if self._guards.reveals_accounts():
                raise
            # Whoever has the account is told, and nobody else.
            await self._resets.request(username)
        self._guards.compat_uses["anonymous_registration"] += 1
        return {"ok": True}

    async def profile(self, _call: Call, requester: Bearer) -> Any:
        return render.user(await self._users.profile(requester))

    async def request_reset(self, call: Call) -> Any:
        """The same answer for known and unknown names, so that it cannot be used to look for accounts."""
        await self._resets.request(call.data.text("username") or "")
        return {"ok": True, "message": "Password reset email sent."}

    async def complete_reset(self, call: Call) -> Any:
        await self._resets.complete(call.data.text("token") or "", call.data.text("password") or "")
        return {"ok": True}
