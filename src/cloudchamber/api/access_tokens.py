"""Tokens that exist: listing and revoking them."""

from typing import Any

from cloudchamber.access.model import Action, OwnThings
from cloudchamber.access.requester import UNLIMITED, Bearer, describe
from cloudchamber.access.service import require
from cloudchamber.api import render
from cloudchamber.api.auth import basic_credentials
from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.guards import Guards
from cloudchamber.api.paging import paging
from cloudchamber.api.places import Places
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.clock import iso, iso_or_none
from cloudchamber.oauth.model import AccessToken, ListedToken, Principal
from cloudchamber.oauth.tokens import Tokens


class AccessTokensResource:
    def __init__(self, tokens: Tokens, places: Places, guards: Guards) -> None:
        self._tokens = tokens
        self._places = places
        self._guards = guards

    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.TOKENS_GET, OwnThings())
        listed = await self._tokens.of_principal(Principal.of(requester))
        return Reply([_listed(each) for each in listed], headers=NO_STORE)

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
            return await self.revoke_as(call, await self._guards.password(call.req, dict(call.query), {}))
        self._guards.compat_uses["unauthenticated_revoke"] += 1
        await self._tokens.revoke(call.params["token"])
        return {"ok": True}

    async def revoke_as(self, call: Call, requester: Bearer) -> Any:
        """Ends a token by itself, or one of the requester's own by what their list calls it."""
        require(requester, Action.TOKENS_REVOKE, OwnThings())
        token = call.params["token"]
        await self._tokens.revoke(token)
        await self._tokens.revoke_listed(Principal.of(requester), token)
        return {"ok": True}

    async def of_product(self, call: Call, requester: Bearer) -> Any:
        page, per_page = paging(call.query)
        product = (await self._places.product(call)).resource(requester)
        found, total = await self._tokens.of_product(
            requester, product, only_endless=bool(call.query.flag("endless")), page=page, per_page=per_page
        )
        rows = [_listed(each) | {"acts_for": describe(_acts_for(each.known.token))} for each in found]
        return Reply({"access_tokens": rows, "meta": render.pages(total, per_page)}, headers=NO_STORE)

    async def revoke_of_product(self, call: Call, requester: Bearer) -> Any:
        product = (await self._places.product(call)).resource(requester)
        await self._tokens.revoke_of_product(requester, product, call.params["token"])
        return NO_CONTENT


def _listed(each: ListedToken) -> dict[str, Any]:
    """The vendor's three fields, and beyond them where the token comes from and when it was used."""
    known, log_in, use = each.known, each.known.log_in, each.known.last_use
    return {
        "token": each.shown,
        "expires_at": iso_or_none(known.token.expires_at),
        "client": known.token.client,
        "created_at": iso(known.token.issued_at),
        "created_by": log_in.created_by if log_in else None,
        "last_used_at": iso_or_none(use.at if use else None),
        "last_used_ip": (use.ip or None) if use else None,
        "refresh_expires_at": iso_or_none(known.refresh_expires_at),
        "log_in_ends_at": iso_or_none(log_in.ends_at if log_in else None),
    }


def _acts_for(token: AccessToken) -> Bearer:
    return token.principal.requester(token.client, UNLIMITED, None)
