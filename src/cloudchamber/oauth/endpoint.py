"""The token endpoint's order of checks, which clients can tell from its messages; the first failure wins:
grant type, client id, client secret, client known, grant allowed, lifetime, the grant itself.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.ids import UserId
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.errors import MfaRequired, OAuthError, client_missing, client_unknown, grant_refused
from cloudchamber.oauth.grants.model import BrowserGrant, Grant
from cloudchamber.oauth.model import Client, Introspection, Issued
from cloudchamber.oauth.rules import client_id_is_well_formed
from cloudchamber.oauth.tokens import Tokens

_REFRESH: Final = "refresh_token"
_CLIENT_CREDENTIALS: Final = "client_credentials"
_PASSWORD: Final = "password"  # noqa: S105 - the name of a grant

# The password grant and its second steps.
_OF_PASSWORDS: Final = frozenset({_PASSWORD, "urn:custom:mfa-otp", "urn:custom:recovery-code"})


class TokenEndpoint:
    def __init__(
        self,
        clients: Clients,
        tokens: Tokens,
        grants: Mapping[str, Grant | None],
        factors: SecondFactors,
        compat_uses: Counter[str],
        browser_grants: Mapping[str, BrowserGrant] | None = None,
    ) -> None:
        """`grants` by `grant_type`; None for one that this server knows and no client may use."""
        self._browser_grants = browser_grants or {}
        self._clients = clients
        self._tokens = tokens
        self._grants = grants
        self._factors = factors
        self._compat_uses = compat_uses

    async def answer(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> Issued:
        """`form` without duplicates, `basic` the client's id and secret from the Authorization header.

        Raises OAuthError; MfaRequired when a right password is not enough; TooManyRequests.
        """
        grant_type = form.get("grant_type")
        is_known = grant_type == _REFRESH or grant_type in self._grants or grant_type in self._browser_grants
        if grant_type is None or not is_known:
            raise OAuthError("invalid_request", "Invalid or missing grant_type parameter")
        began = self._tokens.now()
        client, has_secret = await self._identify(form, basic, may_be_public=grant_type not in self._grants)
        if grant_type == _REFRESH:
            token = form.get("refresh_token")
            if not token:
                raise OAuthError("invalid_request", 'No "refresh_token" parameter')
            return await self._tokens.refresh(client, token, has_secret=has_secret)
        browser_grant = self._browser_grants.get(grant_type)
        grant = None if browser_grant is not None else self._grants[grant_type]
        if grant_type in _OF_PASSWORDS and not client.takes_passwords:
            raise grant_refused()
        lifetime = await self._tokens.lifetime_s(client, form.get("expires_in"), form.get("expires_at"))
        if browser_grant is not None:
            granted = await browser_grant.grant(client, form, has_secret=has_secret)
        elif grant is not None:
            granted = await grant.grant(client, form)
        else:
            raise grant_refused()
        if granted.needs_second_factor:
            user = UserId(granted.principal.id)
            raise MfaRequired(await self._factors.begin_log_in(client.id, user, granted.scope, lifetime, began))
        if granted.lifetime_s is not None:
            lifetime = granted.lifetime_s
        by = f"client:{client.id}" if grant_type == _CLIENT_CREDENTIALS else None
        issued = await self._tokens.issue(
            client,
            granted.principal,
            granted.scope,
            lifetime,
            created_by=by,
            family=granted.family,
            is_public=granted.is_public,
            began=granted.began or began,
        )
        self._compat_uses["password_grant"] += grant_type == _PASSWORD
        self._compat_uses["builtin_clients"] += client.is_builtin
        return issued

    async def revoke(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> None:
        """RFC 7009: ends a token of the client that asks; a public one only names itself. Raises OAuthError."""
        client = await self.identify(form, basic)
        await self._tokens.revoke_as_client(client, _token_in(form))

    async def introspect(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> Introspection | None:
        """RFC 7662: what there is to know of a good token that the client may see. Raises OAuthError."""
        client = await self.authenticate(form, basic)
        return await self._tokens.introspect(client, _token_in(form))

    def introspect_now(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> Introspection | None:
        """As `introspect`, from memory; None where only the database can tell. Raises OAuthError."""
        client = self._clients.authenticate_now(*_credentials(form, basic))
        return None if client is None else self._tokens.introspect_now(client, _token_in(form))

    async def identify(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> Client:
        """A client that proves itself, or a public one that names itself. Raises OAuthError."""
        client, _ = await self._identify(form, basic, may_be_public=True)
        return client

    async def _identify(
        self, form: Mapping[str, str], basic: tuple[str, str] | None, *, may_be_public: bool
    ) -> tuple[Client, bool]:
        """The client, and whether it proved itself: a public one only names itself (RFC 6749 2.1).

        Raises OAuthError.
        """
        client_id = form.get("client_id", "")
        if not may_be_public or basic or form.get("client_secret") or not client_id_is_well_formed(client_id):
            return await self.authenticate(form, basic), True
        client = await self._clients.find(client_id)
        if client is None:
            raise client_unknown()
        return client, False

    async def authenticate(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> Client:
        """The client, from the header, else from the body. Raises OAuthError."""
        return await self._clients.authenticate(*_credentials(form, basic))


def _credentials(form: Mapping[str, str], basic: tuple[str, str] | None) -> tuple[str, str]:
    """A client's id and secret. Raises OAuthError."""
    client_id = basic[0] if basic else form.get("client_id", "")
    if not client_id_is_well_formed(client_id):
        raise client_missing("Invalid or missing client_id parameter")
    secret = basic[1] if basic else form.get("client_secret", "")
    if not secret:
        raise client_missing("Missing client_secret parameter")
    if basic and form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "The client ids of header and body differ")
    return client_id, secret


def _token_in(form: Mapping[str, str]) -> str:
    """`token_type_hint` is not needed: both kinds are looked for."""
    token = form.get("token")
    if not token:
        raise OAuthError("invalid_request", 'No "token" parameter')
    return token
