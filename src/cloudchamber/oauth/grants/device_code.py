"""`grant_type=urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 3.4): a device asks if somebody approved it."""

from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.grants.model import Form, Granted
from cloudchamber.oauth.model import Client
from cloudchamber.oauth.web.device_grants import DeviceGrants


class DeviceCodeGrant:
    def __init__(self, grants: DeviceGrants) -> None:
        self._grants = grants

    async def grant(self, client: Client, form: Form, *, has_secret: bool) -> Granted:
        """Raises OAuthError."""
        device_code = form.get("device_code")
        if not device_code:
            raise OAuthError("invalid_request", 'No "device_code" parameter')
        grant = await self._grants.redeem(client, device_code)
        assert grant.principal is not None, "somebody approved it"
        return Granted(grant.principal, grant.scope, is_public=not has_secret)
