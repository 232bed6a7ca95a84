"""POST /oauth/token."""

from collections import Counter
from typing import Any

from cloudchamber.api.call import Call
from cloudchamber.api.render import token_answer
from cloudchamber.oauth.endpoint import TokenEndpoint


class OAuthResource:
    def __init__(self, endpoint: TokenEndpoint, compat_uses: Counter[str]) -> None:
        self._endpoint = endpoint
        self._compat_uses = compat_uses

    async def token(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        issued = await self._endpoint.answer(form, basic)
        if form.get("grant_type") == "password":
            self._compat_uses["password_grant"] += 1
        return token_answer(issued)
