"""`grant_type=authorization_code` (RFC 6749 4.1.3) with PKCE (RFC 7636).

A client that shows no secret is a public one and needs the verifier; what it gets can be refreshed without a secret,
because each refresh token works once.
"""

from cloudchamber.oauth.errors import OAuthError, client_missing
from cloudchamber.oauth.grants.model import Form, Granted
from cloudchamber.oauth.model import Client
from cloudchamber.oauth.web.authorization import Authorization
from cloudchamber.oauth.web.rules import Presented


class AuthorizationCodeGrant:
    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization

    async def grant(self, client: Client, form: Form, *, has_secret: bool) -> Granted:
        """Raises OAuthError."""
        secret = form.get("code")
        if not secret:
            raise OAuthError("invalid_request", 'No "code" parameter')
        verifier = form.get("code_verifier")
        if not has_secret and not verifier:
            raise client_missing("Missing client_secret parameter")
        presented = Presented(client.id, form.get("redirect_uri") or None, verifier or None, has_secret)
        code = await self._authorization.redeem(client, secret, presented)
        return Granted(code.principal, code.scope, family=code.family, is_public=not has_secret)
