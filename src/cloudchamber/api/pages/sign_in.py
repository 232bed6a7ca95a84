"""The steps that every page begins with: nobody gets past `require` who is not signed in."""

from urllib.parse import urlencode

import msgspec

from cloudchamber.api.pages.account import NeedsCode, People
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.api.reply import Reply
from cloudchamber.errors import CloudError
from cloudchamber.identity.errors import CodeWrong
from cloudchamber.oauth.model import Client, Principal
from cloudchamber.oauth.web.model import BrowserSession

_WRONG = "E-mail or password is wrong."


class Place(msgspec.Struct, frozen=True):
    """A page that somebody signs in for. `action` is its own address, to which every form goes and comes back from."""

    realm: Realm
    client: Client
    action: str
    reason: str


class SignIn:
    def __init__(self, shell: Shell, people: People) -> None:
        self._shell = shell
        self._people = people

    async def require(self, visit: Visit, place: Place) -> BrowserSession | Reply:
        """Who is signed in, or the page that has to be shown first. Raises CloudError."""
        if visit.call.req.method == "POST":
            match visit.step:
                case "sign_in":
                    return await self._sign_in(visit, place)
                case "otp":
                    return await self._otp(visit, place)
                case "sign_up":
                    return await self._sign_up(visit, place)
                case "sign_out" | "sign_out_everywhere":
                    everywhere = visit.step == "sign_out_everywhere"
                    await self._people.sign_out(visit, place.realm, everywhere=everywhere)
                    return self._shell.redirect(visit, place.action)
        session = await self._people.current(visit, place.realm)
        if session is not None:
            return session
        if visit.query.get("screen") == "sign_up" and self._people.may_sign_up(place.client):
            return self._sign_up_page(visit, place)
        return self._sign_in_page(visit, place)

    async def _sign_in(self, visit: Visit, place: Place) -> Reply:
        form = visit.form
        found = await self._people.sign_in(visit, place.client, form.get("username", ""), form.get("password", ""))
        if found is None:
            return self._sign_in_page(visit, place, error=_WRONG)
        if isinstance(found, NeedsCode):
            return self._otp_page(visit, place, found.mfa_token)
        return await self._begun(visit, place, found)

    async def _otp(self, visit: Visit, place: Place) -> Reply:
        form = visit.form
        token = form.get("mfa_token", "")
        try:
            found = await self._people.second_factor(visit, place.client, token, form.get("otp", ""))
        except CodeWrong as error:
            return self._otp_page(visit, place, token, error=error.message)
        except CloudError as error:
            if error.status >= 429:
                raise
            return self._sign_in_page(visit, place, error=error.message)
        return await self._begun(visit, place, found)

    async def _sign_up(self, visit: Visit, place: Place) -> Reply:
        form = visit.form
        if not self._people.may_sign_up(place.client):
            return self._sign_in_page(visit, place, error="Accounts are not made here.")
        try:
            found = await self._people.sign_up(place.client, form.get("username", ""), form.get("password", ""))
        except CloudError as error:
            if error.status >= 429:
                raise
            return self._sign_up_page(visit, place, error=error.message)
        return await self._begun(visit, place, found)

    async def _begun(self, visit: Visit, place: Place, principal: Principal) -> Reply:
        await self._people.begin(visit, place.realm, principal, is_remembered=visit.form.get("remember") == "1")
        return self._shell.redirect(visit, place.action)

    # -- pages --------------------------------------------------------------------------------------------------------

    def _sign_in_page(self, visit: Visit, place: Place, *, error: str | None = None) -> Reply:
        may_sign_up = self._people.may_sign_up(place.client)
        return self._shell.page(
            visit,
            "sign_in.html",
            title="Sign in",
            brand=place.realm.brand,
            status=200 if error is None else 403,
            error=error,
            reason=place.reason,
            action=place.action,
            username=visit.form.get("username", ""),
            sign_up_url=f"{place.action}&screen=sign_up" if may_sign_up else None,
            forgot_url=f"/oauth/forgot?{urlencode({'client_id': place.client.id, 'back': place.action})}",
        )

    def _otp_page(self, visit: Visit, place: Place, token: str, *, error: str | None = None) -> Reply:
        return self._shell.page(
            visit,
            "otp.html",
            title="One more step",
            brand=place.realm.brand,
            status=200 if error is None else 403,
            error=error,
            action=place.action,
            mfa_token=token,
            remember=visit.form.get("remember", ""),
        )

    def _sign_up_page(self, visit: Visit, place: Place, *, error: str | None = None) -> Reply:
        return self._shell.page(
            visit,
            "sign_up.html",
            title="Make an account",
            brand=place.realm.brand,
            status=200 if error is None else 400,
            error=error,
            action=place.action,
            username=visit.form.get("username", ""),
            shortest=self._people.shortest_password,
            sign_in_url=place.action,
        )
