"""Tokens that exist: listing and revoking them."""

from typing import Any

from cloudchamber.access.model import Action, OwnThings
from cloudchamber.access.requester import Bearer
from cloudchamber.access.service import require
from cloudchamber.api.auth import basic_credentials
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.guards import Guards
from cloudchamber.api.reply import Reply
from cloudchamber.clock import iso_or_none
from cloudchamber.oauth.model import Principal
from cloudchamber.oauth.tokens import Tokens


class AccessTokensResource:
    def __init__(self, tokens: Tokens, guards: Guards) -> None:
        self._tokens = tokens
        self._guards = guards

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.TOKENS_GET, OwnThings())
        listed = await self._tokens.of_principal(Principal.of(requester))
        rows = [
            {"token": each.token, "expires_at": iso_or_none(each.expires_at), "client": each.client} for each in listed
        ]
        return Reply(rows, headers=NO_STORE)

    async def current(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.TOKENS_GET, OwnThings())
        assert requester.token is not None, "the route takes bearer tokens only"
        expires_at = await self._tokens.expires_at(requester.token)
        return {
            "expires_at": iso_or_none(expires_at),
            "client": requester.client,
            "client_id": requester.client,
            "scopes": sorted(requester.scopes.names or ()),
            "orgs": [],
        }

    async def revoke_current(self, call: Call, requester: Bearer) -> Any:
        require(requester, Action.TOKENS_REVOKE, OwnThings())
        await self._tokens.revoke(call.req.token)
        return {"ok": True}

    async def revoke_all(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.TOKENS_REVOKE, OwnThings())
        await self._tokens.revoke_all(Principal.of(requester))
        return {"ok": True}

    async def revoke(self, call: Call) -> Any:
        """Knowing the token is enough, as SDK and CLI send nothing else; a wrong password beside it is still told."""
        if basic_credentials(call.req.auth) is not None:
            await self._guards.password(call.req, {}, {})
        else:
            self._guards.compat_uses["unauthenticated_revoke"] += 1
        await self._tokens.revoke(call.params["token"])
        return {"ok": True}

    async def revoke_as(self, call: Call, requester: Bearer) -> Any:
        require(requester, Action.TOKENS_REVOKE, OwnThings())
        await self._tokens.revoke(call.params["token"])
        return {"ok": True}
