"""/oauth/token, /oauth/revoke (RFC 7009), /oauth/introspect (RFC 7662)."""

from collections.abc import Awaitable
from typing import Any, Final

from cloudchamber.api.auditing import log_in
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.render import introspection, token_answer
from cloudchamber.api.reply import Reply
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.audit.service import AuditLog
from cloudchamber.identity.errors import PasswordsBusy
from cloudchamber.oauth.endpoint import TokenEndpoint

_CLIENT_CREDENTIALS: Final = "client_credentials"
_LOG_IN: Final = "password"


class OAuthResource:
    def __init__(self, endpoint: TokenEndpoint, audit: AuditLog | None = None) -> None:
        self._endpoint = endpoint
        self._audit = audit

    async def token(self, call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        if form.get("grant_type") == _LOG_IN:
            # They wait for each other: a flood that has left must not keep its places.
            with WhileConnected(call.req, PasswordsBusy):
                issued = await self._endpoint.answer(form, basic)
        else:
            issued = await self._endpoint.answer(form, basic)
        # Programs get tokens all day long; people log in.
        if form["grant_type"] not in {"refresh_token", _CLIENT_CREDENTIALS}:
            log_in(self._audit, call.req, form["grant_type"], issued.acts_for)
        return token_answer(issued)

    async def revoke(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        """200 with an empty object, whatever became of the token (RFC 7009 2.2)."""
        await self._endpoint.revoke(form, basic)
        return Reply({}, headers=NO_STORE)

    def token_soon(self, basic: tuple[str, str] | None, form: dict[str, str]) -> Awaitable[Any] | None:
        """For programs, which ask all day long. What fails has changed nothing, and is asked again the long way."""
        return self._issue(basic, form) if form.get("grant_type") == _CLIENT_CREDENTIALS else None

    async def _issue(self, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        return token_answer(await self._endpoint.answer(form, basic)).body

    def introspect_now(self, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        found = self._endpoint.introspect_now(form, basic)
        return None if found is None else introspection(found)

    async def introspect(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        return Reply(introspection(await self._endpoint.introspect(form, basic)), headers=NO_STORE)
