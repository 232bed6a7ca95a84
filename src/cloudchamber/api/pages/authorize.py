"""`/oauth/authorize`: a person signs in and lets an application act for them (http-api.md 4.2).

The query is the state: every step sends it along and it is checked anew each time, so there is nothing to lose between
two steps and nothing to tamper with.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from cloudchamber.api.call import Call
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.consent import Consents
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.api.pages.sign_in import Place, SignIn
from cloudchamber.api.reply import Reply
from cloudchamber.errors import CloudError
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.web.authorization import Asked, Authorization, RefusedByRedirect
from cloudchamber.oauth.web.model import ResponseType

PATH = "/oauth/authorize"


class AuthorizePages:
    def __init__(
        self, shell: Shell, people: People, sign_in: SignIn, consents: Consents, authorization: Authorization
    ) -> None:
        self._shell = shell
        self._people = people
        self._sign_in = sign_in
        self._consents = consents
        self._authorization = authorization

    async def authorize(self, call: Call) -> Any:
        """GET and POST. Until the client is known to be right, errors are JSON, as the vendor's server has them."""
        try:
            asked = await self._authorization.check(_plain(call.query))
        except RefusedByRedirect as refused:
            return Reply(b"", 303, (("location", refused.url), ("cache-control", "no-store")))
        visit: Visit | None = None
        realm = Realm("users", BRAND)
        try:
            realm = await self._people.realm(asked.client)
            visit = self._shell.visit(call)
            return await self._step(visit, realm, asked)
        except CloudError as error:
            return self._shell.failure(visit, error, realm.brand)

    async def _step(self, visit: Visit, realm: Realm, asked: Asked) -> Reply:
        action = f"{PATH}?{urlencode({name: value for name, value in visit.query.items() if name != 'screen'})}"
        place = Place(realm, asked.client, action, f"to go on to {asked.client.name}")
        if visit.call.req.method == "POST" and visit.step == "deny":
            return self._shell.redirect(visit, self._authorization.deny(asked))
        session = await self._sign_in.require(visit, place)
        if isinstance(session, Reply):
            return session
        request = asked.request
        if visit.call.req.method == "POST" and visit.step == "approve":
            return self._shell.redirect(visit, await self._authorization.approve(asked, session))
        renewed = "" if request.response_type is ResponseType.TOKEN else ", renewed while it is used"
        return await self._consents.page(
            visit,
            place,
            session.principal,
            request.scope,
            lifetime=f"90 days{renewed}",
            return_host=urlsplit(request.redirect_uri).netloc or request.redirect_uri,
            form_target=request.redirect_uri,
        )


def _plain(fields: Mapping[str, Any]) -> dict[str, str]:
    """Raises OAuthError: a parameter that is sent twice could mean either (RFC 6749 3.1)."""
    if any(not isinstance(value, str) for value in fields.values()):
        raise OAuthError("invalid_request", "A parameter was sent more than once")
    return dict(fields)
