"""POST /oauth/token."""

from typing import Any

from cloudchamber.api.call import Call
from cloudchamber.api.render import token_answer
from cloudchamber.oauth.endpoint import TokenEndpoint


class OAuthResource:
    def __init__(self, endpoint: TokenEndpoint) -> None:
        self._endpoint = endpoint

    async def token(self, _call: Call, basic: tuple[str, str] | None, form: dict[str, str]) -> Any:
        return token_answer(await self._endpoint.answer(form, basic))
