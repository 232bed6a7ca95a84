"""`/oauth/applications`: what somebody allowed whom, to be looked at and taken back (statement 30)."""

from typing import Any
from urllib.parse import urlencode

from cloudchamber.api.call import Call
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.permissions import permissions
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.api.pages.sign_in import Place, SignIn
from cloudchamber.api.reply import Reply
from cloudchamber.clock import iso
from cloudchamber.errors import CloudError
from cloudchamber.ids import ClientId
from cloudchamber.oauth.web.authorization import Authorization

PATH = "/oauth/applications"


class ApplicationPages:
    def __init__(self, shell: Shell, people: People, sign_in: SignIn, authorization: Authorization) -> None:
        self._shell = shell
        self._people = people
        self._sign_in = sign_in
        self._authorization = authorization

    async def applications(self, call: Call) -> Any:
        """GET and POST."""
        visit: Visit | None = None
        realm = Realm("users", BRAND)
        try:
            visit = self._shell.visit(call)
            client = await self._people.client(visit.query.get("client_id", ""))
            realm = await self._people.realm(client)
            action = f"{PATH}?{urlencode({'client_id': client.id})}"
            return await self._step(visit, Place(realm, client, action, "to see which applications may act for you"))
        except CloudError as error:
            return self._shell.failure(visit, error, realm.brand)

    async def _step(self, visit: Visit, place: Place) -> Reply:
        session = await self._sign_in.require(visit, place)
        if isinstance(session, Reply):
            return session
        principal = session.principal
        if visit.call.req.method == "POST" and visit.step == "take_back":
            await self._authorization.take_back(principal, ClientId(visit.form.get("client_id", "")))
            return self._shell.redirect(visit, place.action)
        return self._shell.page(
            visit,
            "applications.html",
            title="Your applications",
            brand=place.realm.brand,
            action=place.action,
            username=await self._people.username(principal),
            applications=[
                {
                    "client": consent.client,
                    "client_name": consent.client_name,
                    "since": iso(consent.given_at)[:10],
                    "permissions": ", ".join(permissions(consent.scope, principal)),
                }
                for consent in await self._authorization.consents(principal)
            ],
        )
