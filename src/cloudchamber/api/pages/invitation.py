"""`/oauth/invitation`: whoever holds an invitation's mail takes their place in a team. Opening the link changes
nothing; the person signs in, or makes the account that was invited, and says yes."""

from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.access.requester import User
from cloudchamber.api.call import Call
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.api.pages.sign_in import Place, SignIn
from cloudchamber.api.reply import Reply
from cloudchamber.errors import CloudError
from cloudchamber.ids import UserId
from cloudchamber.oauth.clients import CONSOLE
from cloudchamber.organizations.teams import INVITATION_PATH, Teams

_REALM: Final = Realm("users", BRAND)


class InvitationPages:
    def __init__(self, shell: Shell, people: People, sign_in: SignIn, teams: Teams) -> None:
        self._shell = shell
        self._people = people
        self._sign_in = sign_in
        self._teams = teams

    async def invitation(self, call: Call) -> Any:
        """GET and POST."""
        visit: Visit | None = None
        try:
            visit = self._shell.visit(call)
            code = visit.query.get("code", "")
            action = f"{INVITATION_PATH}?{urlencode({'code': code})}"
            client = await self._people.client(CONSOLE)
            session = await self._sign_in.require(visit, Place(_REALM, client, action, "to join the team"))
            if isinstance(session, Reply):
                return session
            requester = User(UserId(session.principal.id), CONSOLE)
            error, done = None, None
            if call.req.method == "POST" and visit.step == "join":
                try:
                    await self._teams.accept(requester, code)
                    done = "You are in the team now."
                except CloudError as refused:
                    if refused.status >= 429:
                        raise
                    error = refused.message
            return self._shell.page(
                visit,
                "invitation.html",
                title="An invitation",
                brand=BRAND,
                status=200 if error is None else 400,
                error=error,
                done=done,
                action=action,
                username=await self._people.username(session.principal),
            )
        except CloudError as failed:
            return self._shell.failure(visit, failed, BRAND)
