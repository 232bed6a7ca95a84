"""The API's description of itself: `/openapi.json` for programs, `/docs/api` for people. Both are bytes, made once when
they are first asked for, on a thread: 0.1 s and 5 MB, which few servers ever need."""

import asyncio
import functools
from typing import Any, Final

from cloudchamber.api.call import Call
from cloudchamber.api.errors import Header
from cloudchamber.api.reply import Reply, encode_json
from cloudchamber.api.routes import FAMILIES
from cloudchamber.settings import Compat

_JSON: Final[tuple[Header, ...]] = (("content-type", "application/json; charset=utf-8"),)


@functools.cache  # one process may start many clouds
def _described(compat: Compat) -> tuple[Reply, Reply]:
    from cloudchamber.api.docs_page import CONTENT_SECURITY_POLICY, page
    from cloudchamber.api.openapi import openapi

    document = openapi(FAMILIES, compat)
    html: tuple[Header, ...] = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    )
    return Reply(encode_json(document), 200, _JSON), Reply(page(document), 200, html)


class DocsResource:
    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._making: asyncio.Task[tuple[Reply, Reply]] | None = None

    async def openapi(self, _call: Call) -> Any:
        return (await self._both())[0]

    async def page(self, _call: Call) -> Any:
        return (await self._both())[1]

    async def _both(self) -> tuple[Reply, Reply]:
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_described, self._compat))
        return await asyncio.shield(self._making)
