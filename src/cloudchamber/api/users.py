"""Accounts: registration, profile and its changes, second factors."""

from typing import Any, Final

from cloudchamber.access.model import Account, Action, OwnedByCustomer, OwnThings
from cloudchamber.access.requester import Anonymous, Bearer, Customer, User
from cloudchamber.access.service import require
from cloudchamber.api import render
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.fields import FieldInvalid
from cloudchamber.api.guards import Guards
from cloudchamber.api.reply import Reply
from cloudchamber.clock import iso, iso_or_none
from cloudchamber.fleet.service import Devices
from cloudchamber.identity.accounts import Accounts
from cloudchamber.identity.errors import UsernameTaken
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.model import UserAccount
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.identity.service import Users

_INVALIDATE: Final = "invalidate_tokens"


class UsersResource:
    def __init__(
        self,
        users: Users,
        accounts: Accounts,
        factors: SecondFactors,
        resets: PasswordResets,
        devices: Devices,
        guards: Guards,
    ) -> None:
        self._users = users
        self._accounts = accounts
        self._factors = factors
        self._resets = resets
        self._devices = devices
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

    # -- the account --------------------------------------------------------------------------------------------------

    async def profile(self, _call: Call, requester: Bearer) -> Any:
        return await self._profile(requester, await self._users.profile(requester))

    async def _profile(self, requester: Bearer, account: UserAccount) -> Any:
        owned = await self._devices.mine(requester) if requester.scopes.allow(Action.DEVICES_LIST) else ()
        cellular = sum(record.is_cellular for record in owned)
        return render.user(
            account,
            has_mfa=await self._factors.is_on(account.id),
            wifi_devices=len(owned) - cellular,
            cellular_devices=cellular,
        )

    async def update(self, call: Call, requester: Bearer) -> Any:
        """One of three changes; which one, the fields tell."""
        require(requester, Action.ACCOUNT_UPDATE, Account())
        data = call.data
        invalidate = data.text(_INVALIDATE)
        if "password" in data:
            await self._accounts.set_password(
                requester, data.text("password") or "", data.text("current_password") or "", invalidate
            )
            return {"ok": True, "message": "User's password updated."}
        if "username" in data:
            await self._accounts.rename(
                requester, data.text("username") or "", data.text("current_password") or "", invalidate
            )
            return {"ok": True, "message": "User's username updated."}
        if "account_info" in data:
            changed = await self._accounts.update_info(requester, data.mapping("account_info"))
            return await self._profile(requester, changed)
        raise FieldInvalid("Nothing to do? Send account_info, or username or password with current_password")

    async def delete(self, call: Call, requester: Bearer) -> Any:
        await self._accounts.delete(requester, call.data.text("password") or "")
        return {"ok": True, "message": "User's account has been deleted."}

    async def identify(self, _call: Call, requester: Bearer) -> Any:
        """Who holds the token: the id that analytics of clients send along, and the address."""
        require(requester, Action.TOKENS_GET, OwnThings())
        match requester:
            case User(id=user):
                account = await self._users.get(user)
                return {"id": user, "email": account.username if account else None}
            case Customer(id=customer):
                return {"id": customer, "email": await self._devices.owner_name(OwnedByCustomer(customer))}
            case _:
                return {"id": requester.client, "email": None}

    # -- resets -------------------------------------------------------------------------------------------------------

    async def request_reset(self, call: Call) -> Any:
        """The same answer for known and unknown names, so that it cannot be used to look for accounts."""
        await self._resets.request(call.data.text("username") or "")
        return {"ok": True, "message": "Password reset email sent."}

    async def complete_reset(self, call: Call) -> Any:
        await self._resets.complete(call.data.text("token") or "", call.data.text("password") or "")
        return {"ok": True}

    # -- second factors -----------------------------------------------------------------------------------------------

    async def begin_mfa(self, _call: Call, requester: Bearer) -> Any:
        begun = await self._factors.begin_enrolment(requester)
        body = {"mfa_token": begun.mfa_token, "qr_url": begun.uri, "secret": begun.secret}
        return Reply(body, headers=NO_STORE)

    async def confirm_mfa(self, call: Call, requester: Bearer) -> Any:
        data = call.data
        codes = await self._factors.confirm_enrolment(
            requester,
            data.text("mfa_token") or "",
            data.text("otp") or "",
            data.text(_INVALIDATE),
            data.text("name"),
            password=data.text("current_password"),
        )
        body: dict[str, Any] = {"enrolled": True}
        if codes is not None:
            body["recovery_codes"] = codes
        return Reply(body, headers=NO_STORE)

    async def disable_mfa(self, call: Call, requester: Bearer) -> Any:
        data = call.data
        await self._factors.disable(requester, data.text("current_password") or "", data.text(_INVALIDATE))
        return {"ok": True}

    async def list_mfa(self, _call: Call, requester: Bearer) -> Any:
        factors, codes_left = await self._factors.of_user(requester)
        return {
            "factors": [
                {
                    "id": factor.id,
                    "name": factor.name,
                    "created_at": iso(factor.created_at),
                    "last_used_at": iso_or_none(factor.last_used_at),
                }
                for factor in factors
            ],
            "recovery_codes_left": codes_left,
        }

    async def remove_mfa(self, call: Call, requester: Bearer) -> Any:
        data = call.data
        await self._factors.remove(
            requester, call.params["factor"], data.text("current_password") or "", data.text(_INVALIDATE)
        )
        return {"ok": True}

    async def new_recovery_codes(self, call: Call, requester: Bearer) -> Any:
        codes = await self._factors.new_recovery_codes(requester, call.data.text("current_password") or "")
        return Reply({"recovery_codes": codes}, headers=NO_STORE)
