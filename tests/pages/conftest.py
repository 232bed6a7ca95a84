"""A cloud, a maker with a product, a web app and a native one, and a customer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cloudchamber.testing import Cloud
from tests.api.conftest import Maker, bearer, make_maker
from tests.pages.browser import Browser

REDIRECT = "https://app.example/back?x=1"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Scene:
    cloud: Cloud
    http: httpx.AsyncClient
    maker: Maker
    web: tuple[str, str]
    native: tuple[str, str]

    def browser(self) -> Browser:
        return Browser(self.cloud.url)

    async def client(self, **fields: str) -> tuple[str, str]:
        path = f"/v1/products/{self.maker.product}/clients"
        made = (await self.http.post(path, json=fields, headers=bearer(self.maker.token))).json()["client"]
        return made["id"], made["secret"]

    async def sign_up(self, browser: Browser, email: str = "kim@example.com") -> None:
        page = await browser.get(f"/setup?client_id={self.web[0]}&screen=sign_up")
        page = await browser.submit(page, username=email, password=PASSWORD)
        assert page.heading == "Devices", page.text


@pytest.fixture
def settings() -> dict[str, Any]:
    """Of the cloud; a test module may have its own."""
    return {}


@pytest.fixture
async def scene(settings: dict[str, Any]) -> AsyncIterator[Scene]:
    async with Cloud(**settings) as cloud, httpx.AsyncClient(base_url=cloud.url, timeout=20) as http:
        maker = await make_maker(http, "maker@example.com")
        empty = Scene(cloud, http, maker, ("", ""), ("", ""))
        web = await empty.client(name="Lamp Web", type="web", redirect_uri=REDIRECT, scope="customers:create")
        native = await empty.client(name="Lamp Tool", type="installed", redirect_uri="http://127.0.0.1/cb")
        yield Scene(cloud, http, maker, web, native)
