"""Accounts: registration and profile."""

from typing import Any

from cloudchamber.access.requester import Anonymous, Bearer
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.identity.service import Users


class UsersResource:
    def __init__(self, users: Users, resets: PasswordResets) -> None:
        self._users = users
        self._resets = resets

    async def register(self, call: Call) -> Any:
        data = call.data
        await self._users.register(
            Anonymous(),
            data.text("username") or data.text("email") or "",
            data.text("password") or "",
            data.mapping("account_info"),
        )
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
