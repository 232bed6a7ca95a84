"""Who is in the team of a product or an organization, and what they may do; API users, with their tokens."""

from typing import Any, Final

from cloudchamber.access.model import Action, Role
from cloudchamber.access.rules import MINIMUM_ROLE
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import Nav, Section, either, form, page
from cloudchamber.errors import CloudError
from cloudchamber.organizations.model import columns

ROUTES: Final = (
    page(either("/team"), Action.TEAM_LIST, "team.show", "Shows a team."),
    form(either("/team/invite"), Action.TEAM_INVITE, "team.invite", "Invites somebody into a team."),
    form(either("/team/role"), Action.TEAM_UPDATE, "team.role", "Gives a member of a team another role."),
    form(either("/team/remove"), Action.TEAM_REMOVE, "team.remove", "Takes somebody out of a team."),
    form(either("/team/api-user"), Action.TEAM_INVITE, "team.api_user", "Makes an API user."),
)

ROLES: Final = {
    Role.VIEW_ONLY: "sees everything, changes nothing",
    Role.SUPPORT: "besides calls functions, reads variables, pings and signals devices",
    Role.DEVELOPER: "besides changes devices, customers, clients, integrations and firmware",
    Role.ADMINISTRATOR: "besides changes the team and products' settings",
}
_API_USERS_SCOPES: Final[tuple[str, ...]] = tuple(
    sorted(action.value for action, role in MINIMUM_ROLE.items() if role <= Role.ADMINISTRATOR)
)


class TeamPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._teams = frame.services.teams

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask)

    async def invite(self, ask: Ask) -> Any:
        try:
            name = await self._teams.invite(
                ask.requester, ask.owner, ask.form.get("username", ""), ask.form.get("role") or None
            )
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, self._url(ask), f"{name} is invited.")

    async def role(self, ask: Ask) -> Any:
        try:
            name, role = await self._teams.change_role(
                ask.requester, ask.owner, ask.form.get("username", ""), ask.form.get("role", "")
            )
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, self._url(ask), f"{name} has the role {role.title}.")

    async def remove(self, ask: Ask) -> Any:
        name = ask.form.get("username", "")
        try:
            await self._teams.remove(ask.requester, ask.owner, name)
        except CloudError as error:
            return await self._page(ask, error)
        return self._frame.redirect(ask, self._url(ask), f"{name} is out of the team, at once and everywhere.")

    async def api_user(self, ask: Ask) -> Any:
        """The token is on the page that answers, and never again."""
        scopes = [scope for scope in _API_USERS_SCOPES if scope in ask.call.data.texts("scopes")]
        name = ask.form.get("friendly_name", "")
        try:
            made, token = await self._teams.add_api_user(ask.requester, ask.owner, name, scopes, None)
        except CloudError as error:
            return await self._page(ask, error)
        return await self._page(ask, made=(made.friendly_name, token))

    async def _page(self, ask: Ask, error: CloudError | None = None, made: tuple[str, str | None] | None = None) -> Any:
        team = await self._teams.of(ask.requester, ask.owner)
        return await self._frame.page(
            ask,
            "team.html",
            title="Team",
            section="team",
            error=error,
            team=team,
            roles=[(role.title, what) for role, what in ROLES.items()],
            scopes=_API_USERS_SCOPES,
            made=made,
            me=ask.username,
            own=columns(ask.owner),
        )

    def _url(self, ask: Ask) -> str:
        return f"{ask.base}/team"


SECTION: Final = Section("team", "Team", Nav("either", "team", Action.TEAM_LIST), ROUTES, TeamPages)
