"""The API's description of itself: `/openapi.json` for programs, `/docs/api` for people. Both are bytes made once."""

import functools
from typing import Any, Final

from cloudchamber.api.call import Call
from cloudchamber.api.docs_page import CONTENT_SECURITY_POLICY, page
from cloudchamber.api.errors import Header
from cloudchamber.api.openapi import openapi
from cloudchamber.api.reply import Reply, encode_json
from cloudchamber.api.routes import FAMILIES
from cloudchamber.settings import Compat

_JSON: Final[tuple[Header, ...]] = (("content-type", "application/json; charset=utf-8"),)
_HTML: Final[tuple[Header, ...]] = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


@functools.cache  # 40 ms, and one process may start many clouds
def _described(compat: Compat) -> tuple[Reply, Reply]:
    document = openapi(FAMILIES, compat)
    return Reply(encode_json(document), 200, _JSON), Reply(page(document), 200, _HTML)


class DocsResource:
    def __init__(self, compat: Compat) -> None:
        self._openapi, self._page = _described(compat)

    async def openapi(self, _call: Call) -> Any:
        return self._openapi

    async def page(self, _call: Call) -> Any:
        return self._page
