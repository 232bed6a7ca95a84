"""The tokens of whoever is signed in: what acts for them where, when it was last used, and its end."""

from typing import Any, Final

from cloudchamber.access.model import Action, OwnThings
from cloudchamber.access.service import require
from cloudchamber.console.frame import REALM, Ask, Frame
from cloudchamber.console.section import PREFIX, Nav, Section, form, page
from cloudchamber.oauth.model import Principal

_HERE: Final = f"{PREFIX}/tokens"
ROUTES: Final = (
    page(_HERE, Action.ACCOUNT_GET, "tokens.list", "Shows one's tokens."),
    form(f"{_HERE}/end", Action.ACCOUNT_GET, "tokens.end", "Ends one log-in."),
    form(f"{_HERE}/end-all", Action.ACCOUNT_GET, "tokens.end_all", "Ends every log-in but this browser's."),
)


class TokenPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def list(self, ask: Ask) -> Any:
        tokens = await self._services.tokens.mine(ask.requester)
        newest = sorted(tokens, key=lambda each: each.known.token.issued_at, reverse=True)
        return await self._frame.page(
            ask, "tokens.html", title="My tokens", section="tokens", tokens=newest, session=ask.session
        )

    async def end(self, ask: Ask) -> Any:
        require(ask.requester, Action.TOKENS_REVOKE, OwnThings())
        await self._services.tokens.revoke_listed(Principal.of(ask.requester), ask.form.get("token", ""))
        return self._frame.redirect(ask, _HERE, "This log-in has ended.")

    async def end_all(self, ask: Ask) -> Any:
        """Browsers' sessions end with the tokens: this one begins anew."""
        require(ask.requester, Action.TOKENS_REVOKE, OwnThings())
        principal = ask.session.principal
        await self._services.tokens.revoke_all(principal)
        self._frame.live.ended_all(principal)
        await self._frame.people.begin(ask.visit, REALM, principal, is_remembered=False)
        return self._frame.redirect(ask, _HERE, "Every other log-in has ended. This browser is signed in anew.")


SECTION: Final = Section("tokens", "My tokens", Nav("account", "tokens", Action.ACCOUNT_GET), ROUTES, TokenPages)
