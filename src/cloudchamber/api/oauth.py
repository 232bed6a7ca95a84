"""/oauth/token, /oauth/revoke (RFC 7009), /oauth/introspect (RFC 7662)."""

from typing import Any

from cloudchamber.api.auditing import log_in
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.render import introspection, token_answer
from cloudchamber.api.reply import Reply
from cloudchamber.audit.service import AuditLog
from cloudchamber.oauth.endpoint import TokenEndpoint


class OAuthResource:
    def __init__(self, endpoint: TokenEndpoint, audit: AuditLog | None = None) -> None:
        self._endpoint = endpoint
        self._audit = audit

    async def token(self, call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        issued = await self._endpoint.answer(form, basic)
        # Programs get tokens all day long; people log in.
        if form["grant_type"] not in {"refresh_token", "client_credentials"}:
            log_in(self._audit, call.req, form["grant_type"], issued.acts_for)
        return token_answer(issued)

    async def revoke(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        """200 with an empty object, whatever became of the token (RFC 7009 2.2)."""
        await self._endpoint.revoke(form, basic)
        return Reply({}, headers=NO_STORE)

    async def introspect(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        return Reply(introspection(await self._endpoint.introspect(form, basic)), headers=NO_STORE)
