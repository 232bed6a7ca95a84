"""What programs ask the authorization server besides tokens: its metadata, and codes for devices without a keyboard."""

from typing import Any, Final

from cloudchamber.api.call import Call
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.reply import Reply
from cloudchamber.oauth.endpoint import TokenEndpoint
from cloudchamber.oauth.web.device_grants import DeviceGrants
from cloudchamber.settings import Compat

_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


class WebOAuthResource:
    def __init__(self, endpoint: TokenEndpoint, grants: DeviceGrants, compat: Compat, public_url: str) -> None:
        self._endpoint = endpoint
        self._grants = grants
        self._public_url = public_url
        self._metadata = _metadata(public_url, compat)

    async def metadata(self, _call: Call) -> Any:
        return self._metadata

    async def device_authorization(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        """A public client names itself, a confidential one proves itself. Raises OAuthError."""
        client = await self._endpoint.identify(form, basic)
        begun = await self._grants.begin(client, form.get("scope"))
        page = f"{self._public_url}/device"
        body = {
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={begun.user_code}",
            "expires_in": begun.expires_in,
            "interval": begun.interval,
        }
        return Reply(body, 200, NO_STORE)


def _metadata(public_url: str, compat: Compat) -> dict[str, Any]:
    """RFC 8414 section 2."""
    grants = ["authorization_code", "client_credentials", "refresh_token", _DEVICE_GRANT]
    if compat.password_grant:
        grants.append("password")
    return {
        "issuer": public_url,
        "authorization_endpoint": f"{public_url}/oauth/authorize",
        "token_endpoint": f"{public_url}/oauth/token",
        "revocation_endpoint": f"{public_url}/oauth/revoke",
        "introspection_endpoint": f"{public_url}/oauth/introspect",
        "device_authorization_endpoint": f"{public_url}/oauth/device_authorization",
        "response_types_supported": ["code", *(["token"] if compat.implicit_grant else [])],
        "response_modes_supported": ["query", *(["fragment"] if compat.implicit_grant else [])],
        "grant_types_supported": grants,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        # Left out it would mean yes (OpenID Connect Discovery 3).
        "request_uri_parameter_supported": False,
        "service_documentation": f"{public_url}/docs/api",
    }
