"""Streams of the console end with what opened them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from cloudchamber.console.frame import SIGN_IN
from cloudchamber.testing import Cloud
from tests.pages.browser import Browser
from tests.whole.story import PASSWORD, Story

NAME = "maker@example.com"


async def new_password(story: Story, token: str) -> None:
    sent = {"password": "another password", "current_password": PASSWORD, "invalidate_tokens": "true"}
    await story.ok("PUT", "/v1/user", token, json=sent)


async def all_tokens_revoked(story: Story, token: str) -> None:
    await story.ok("DELETE", "/v1/access_tokens", token)


@pytest.mark.parametrize("end", [new_password, all_tokens_revoked])
async def test_21_a_stream_of_the_console_ends_within_seconds_of_its_session(
    end: Callable[[Story, str], Awaitable[None]],
) -> None:
    async with Cloud() as cloud, Story(cloud) as story, Browser(cloud.url) as browser:
        token = await story.user(NAME)
        product = await story.product(token)
        page = await browser.submit(await browser.get(SIGN_IN), username=NAME, password=PASSWORD)
        assert page.heading == "Products", page.text
        path = f"/console/products/{product.id}/events/live"
        async with browser.http.stream("GET", path, timeout=httpx.Timeout(20)) as stream:
            assert stream.status_code == 200
            chunks = stream.aiter_raw()
            await anext(chunks)
            began = time.monotonic()
            await end(story, token)
            async with asyncio.timeout(15):
                async for _ in chunks:
                    pass
            # It looks once a second; the rest is for a busy machine.
            assert time.monotonic() - began < 3.5
