"""Who is asking: one function for each declaration of the route table. Nothing is returned for a refused request.

Customer creation is open to three kinds of credentials, looked for in this order, which clients can tell apart:
a web client's bare id with `response_type=token` (the implicit flow), a client's id and secret, a token. A web client's
bare id without `response_type` counts as the implicit flow too, because the SDK sends it so, with JSON for an answer.
A Bearer header beside client credentials is ignored: SDKs send stale ones.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer, OrganizationClient, ProductClient, Scopes, User
from cloudchamber.api.auth import (
    ACCESS_TOKEN,
    FORM,
    basic_credentials,
    bearer_in_header,
    bearer_token,
    client_basic,
    query_token_refused,
)
from cloudchamber.api.bodies import Tree, media_type
from cloudchamber.api.call import EdgeRequest, Implicit
from cloudchamber.api.errors import BadPassword, PasswordRefused, ScopeMissing, UnknownUser
from cloudchamber.api.limits import Limits
from cloudchamber.clock import Millis
from cloudchamber.errors import CloudError
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.service import Users
from cloudchamber.ids import ClientId
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.endpoint import TokenEndpoint
from cloudchamber.oauth.errors import MfaRequired, OAuthError, client_unknown
from cloudchamber.oauth.model import Client, ClientType
from cloudchamber.oauth.rules import redirect_matches
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.settings import Compat

_CREATE_ONLY: Final = Scopes(frozenset({Action.CUSTOMERS_CREATE.value}))


class Guards:
    def __init__(
        self,
        tokens: Tokens,
        clients: Clients,
        endpoint: TokenEndpoint,
        users: Users,
        factors: SecondFactors,
        compat: Compat,
        compat_uses: Counter[str],
        limits: Limits | None = None,
        query_tokens_end_at: Millis | None = None,
    ) -> None:
        """`query_tokens_end_at`: accounts made then or later send no tokens in the query string."""
        self.tokens = tokens
        self.compat_uses = compat_uses
        self._clients = clients
        self._endpoint = endpoint
        self._users = users
        self._factors = factors
        self._compat = compat
        self._limits = limits
        self._query_tokens_end_at = query_tokens_end_at

    async def bearer(self, req: EdgeRequest, query: Tree, body: Tree) -> Bearer:
        """Raises OAuthError."""
        token = bearer_token(
            req.method,
            req.auth,
            query,
            body,
            media_type(req.content_type),
            allow_query=self._compat.query_token,
            allow_body=self._compat.body_token,
        )
        is_in_query = bool(query) and ACCESS_TOKEN in query
        if is_in_query:
            self.compat_uses["query_token"] += 1
        elif body and ACCESS_TOKEN in body:
            self.compat_uses["body_token"] += 1
        req.token = token
        requester = self.tokens.cached(token, req.client_ip) or await self.tokens.load(token, req.client_ip)
        if is_in_query and self._query_tokens_end_at is not None:
            made_at = await self.tokens.account_made_at(requester)
            if made_at is None or made_at >= self._query_tokens_end_at:
                raise query_token_refused()
        return requester

    async def bearer_in_header(self, req: EdgeRequest, authorization: str) -> Bearer:
        """For requests that carry nothing else, which most do. Raises OAuthError."""
        req.token = token = bearer_in_header(authorization)
        return self.tokens.cached(token, req.client_ip) or await self.tokens.load(token, req.client_ip)

    async def password(self, req: EdgeRequest, query: Tree, body: Tree) -> Bearer:
        """A user by Basic, with `?otp=` where they have a second factor; else a token.

        Raises PasswordRefused, UnknownUser, MfaRequired, CodeWrong, OAuthError.
        """
        basic = basic_credentials(req.auth)
        if basic is None:
            if req.auth is None and ACCESS_TOKEN not in query and ACCESS_TOKEN not in body:
                does = "view your access tokens" if req.method == "GET" else "delete an access token"
                raise PasswordRefused(
                    f"Unauthorized. You must send username and password in HTTP Basic Auth to {does}."
                )
            return await self.bearer(req, query, body)
        if self._limits is None:
            return await self._by_password(basic, query)
        self._limits.check_guess(req)
        try:
            user = await self._by_password(basic, query)
        except CloudError as error:
            if error.is_wrong_guess:
                self._limits.guessed(req, right=False)
            raise
        self._limits.guessed(req, right=True)
        return user

    async def _by_password(self, basic: tuple[str, str], query: Tree) -> User:
        user = await self._users.with_password(*basic)
        if user is None:
            if self.reveals_accounts() and await self._users.find(basic[0]) is None:
                raise UnknownUser("Unknown user")
            raise BadPassword("Bad password")
        if await self._factors.is_on(user.id):
            otp = _text(query, "otp")
            if not otp:
                raise MfaRequired(None)
            await self._factors.check_code(user.id, otp)
        return User(user.id, ClientId(""))

    def reveals_accounts(self) -> bool:
        """May an answer tell whether an account exists? Asked where one is about to; the metrics count it."""
        if self._compat.reveals_accounts:
            self.compat_uses["reveals_accounts"] += 1
        return self._compat.reveals_accounts

    async def client(self, req: EdgeRequest, query: Tree, body: Tree) -> tuple[Bearer, Implicit | None]:
        """A client, by the rules of the header. Raises OAuthError."""
        basic = client_basic(req.auth)
        client_id = basic[0] if basic else _text(body, "client_id")
        secret = basic[1] if basic else _text(body, "client_secret")
        if body.get("response_type") == "token" and client_id:
            return await self._implicit(client_id, body, req.get_header("accept"))
        if client_id and secret:
            form = {"client_id": _text(body, "client_id") or client_id, "client_secret": secret}
            acting = _acting(await self._client(req, form, basic))
            if isinstance(acting, User) and not await self._users.is_enabled(acting.id):
                raise client_unknown()
            return acting, None
        if client_id and self._compat.implicit_grant:
            found = await self._clients.find(client_id)
            if found is not None and found.type is ClientType.WEB:
                return self._public(found), Implicit(found, None, None)
        return await self.bearer(req, query, body), None

    async def _client(self, req: EdgeRequest, form: Mapping[str, str], basic: tuple[str, str] | None) -> Client:
        """Wrong secrets count for the address, as at the token endpoint. Raises OAuthError, TooManyRequests."""
        if self._limits is None:
            return await self._endpoint.authenticate(form, basic)
        self._limits.check_guess(req)
        try:
            client = await self._endpoint.authenticate(form, basic)
        except CloudError as error:
            if error.is_wrong_guess:
                self._limits.guessed(req, right=False)
            raise
        self._limits.guessed(req, right=True)
        return client

    async def _implicit(self, client_id: str, body: Tree, accept: str | None) -> tuple[Bearer, Implicit]:
        if not self._compat.implicit_grant:
            raise OAuthError("invalid_request", "Invalid response_type parameter: this server has no implicit flow")
        client = await self._clients.find(client_id)
        if client is None or client.type is not ClientType.WEB:
            raise OAuthError("invalid_client", "Invalid client credentials")
        given = body.get("redirect_uri")
        if given is not None and not isinstance(given, str):
            raise OAuthError("invalid_request", "A parameter was sent more than once")
        if not redirect_matches(client.redirect_uri, given or None):
            raise OAuthError("invalid_request", "redirect_uri does not match")
        wants_json = media_type(accept) == "application/json"
        return self._public(client), Implicit(
            client, None if wants_json else client.redirect_uri, _text(body, "state") or None
        )

    def _public(self, client: Client) -> Bearer:
        """An id alone proves nothing: whatever the client may do, this may make customers and nothing else."""
        if not client.scopes.allow(Action.CUSTOMERS_CREATE):
            raise ScopeMissing(Action.CUSTOMERS_CREATE)
        acting: Bearer
        if client.product is not None:
            acting = ProductClient(client.id, client.product, _CREATE_ONLY)
        elif client.organization is not None:
            acting = OrganizationClient(client.id, client.organization, _CREATE_ONLY)
        else:
            raise OAuthError("invalid_client", "Invalid client credentials")
        self.compat_uses["implicit_grant"] += 1
        return acting


def _acting(client: Client) -> Bearer:
    """Whom a client with its secret acts for: its product, its organization or its user."""
    if client.product is not None:
        return ProductClient(client.id, client.product, client.scopes)
    if client.organization is not None:
        return OrganizationClient(client.id, client.organization, client.scopes)
    if client.user is not None:
        return User(client.user, client.id, client.scopes)
    raise OAuthError("invalid_grant", "Client credentials are invalid", detail="the client has no owner")


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise OAuthError("invalid_request", "A parameter was sent more than once")
    return value


def require_form(req: EdgeRequest) -> None:
    """The token endpoint's first check. Raises OAuthError."""
    if req.method != "POST" or media_type(req.content_type) != FORM:
        raise OAuthError("invalid_request", f"Method must be POST with {FORM} encoding")
