"""`/device`: a person types the code that a device or program shows, and approves it (RFC 8628 3.3)."""

from typing import Any
from urllib.parse import urlencode

from cloudchamber.api.call import Call
from cloudchamber.api.limits import Limits
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.consent import Consents
from cloudchamber.api.pages.shell import Shell, Visit
from cloudchamber.api.pages.sign_in import Place, SignIn
from cloudchamber.api.reply import Reply
from cloudchamber.errors import CloudError
from cloudchamber.oauth.web.authorization import Authorization
from cloudchamber.oauth.web.device_grants import DeviceGrants
from cloudchamber.oauth.web.model import DeviceGrant
from cloudchamber.oauth.web.rules import typed_user_code

PATH = "/device"
_UNKNOWN = "No device waits with this code. Look at it again; codes are good for ten minutes."


class DevicePages:
    def __init__(
        self,
        shell: Shell,
        people: People,
        sign_in: SignIn,
        consents: Consents,
        grants: DeviceGrants,
        authorization: Authorization,
        limits: Limits | None,
    ) -> None:
        self._shell = shell
        self._people = people
        self._sign_in = sign_in
        self._consents = consents
        self._grants = grants
        self._authorization = authorization
        self._limits = limits

    async def device(self, call: Call) -> Any:
        """GET and POST."""
        visit: Visit | None = None
        try:
            visit = self._shell.visit(call)
            typed = visit.query.get("user_code", "")
            if not typed:
                return self._code_page(visit)
            grant = await self._waiting(call, typed)
            if grant is None:
                return self._code_page(visit, typed=typed, error=_UNKNOWN)
            return await self._step(visit, typed_user_code(typed) or "", grant)
        except CloudError as error:
            return self._shell.failure(visit, error, BRAND)

    async def _waiting(self, call: Call, typed: str) -> DeviceGrant | None:
        """A guess at a code counts like a guess at a password (RFC 8628 5.1). Raises TooManyRequests."""
        if self._limits is not None:
            self._limits.check_guess(call.req)
        grant = await self._grants.waiting(typed)
        if grant is None and self._limits is not None:
            self._limits.guessed(call.req, right=False)
        return grant

    async def _step(self, visit: Visit, code: str, grant: DeviceGrant) -> Reply:
        client = await self._people.client(grant.client)
        realm = await self._people.realm(client)
        place = Place(realm, client, f"{PATH}?{urlencode({'user_code': code})}", f"to let {client.name} act for you")
        session = await self._sign_in.require(visit, place)
        if isinstance(session, Reply):
            return session
        if visit.call.req.method == "POST" and visit.step == "approve":
            await self._grants.settle(grant, session)
            await self._authorization.remember(session.principal, client.id, grant.scope)
            return self._end(visit, place, "Done", "It goes on by itself now; you can close this page.")
        if visit.call.req.method == "POST" and visit.step == "deny":
            await self._grants.settle(grant, None)
            return self._end(visit, place, "Not allowed", "It gets nothing. You can close this page.")
        return await self._consents.page(
            visit, place, session.principal, grant.scope, lifetime="90 days, renewed while it is used"
        )

    def _code_page(self, visit: Visit, *, typed: str = "", error: str | None = None) -> Reply:
        return self._shell.page(
            visit,
            "device.html",
            title="Connect a device",
            brand=BRAND,
            status=200 if error is None else 404,
            error=error,
            action=PATH,
            user_code=typed[:20],
        )

    def _end(self, visit: Visit, place: Place, title: str, text: str) -> Reply:
        return self._shell.page(visit, "message.html", title=title, brand=place.realm.brand, text=text, link=None)
