"""One's own tokens in the console."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import check
from tests.browser.consoles import SUPPORT, Open, Scene, open_as, scene, screen

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_tokens_are_seen_and_ended_but_not_shown(scene: Scene, open_as: Open) -> None:
    one, two = [await scene.story.log_in(SUPPORT) for _ in range(2)]
    other = await open_as(SUPPORT, afresh=True)
    page = await open_as(SUPPORT, afresh=True)
    await scene.story.ok("GET", "/v1/devices", two)
    await page.locator("#me > summary").click()
    await page.locator("#me").get_by_role("link", name="My tokens").click()
    rows = page.locator("tbody tr")
    await expect(rows.first).to_contain_text(re.compile("particle.*just now"))
    content = await page.content()
    assert one not in content
    assert two not in content
    await check(page, "console-tokens")
    count = await rows.count()
    await rows.first.get_by_role("button").click()
    await expect(page.get_by_role("status")).to_have_text("This log-in has ended.")
    await expect(rows).to_have_count(count - 1)
    answers = [(await scene.story.ask("GET", "/v1/devices", token)).status_code for token in (one, two)]
    assert sorted(answers) == [200, 401]
    await page.get_by_text("End everything else…").click()
    await page.get_by_role("button", name="End all but this browser").click()
    await expect(page.get_by_text("None: nothing but this browser acts for you.")).to_be_visible()
    answers = [(await scene.story.ask("GET", "/v1/devices", token)).status_code for token in (one, two)]
    assert answers == [401, 401]
    await other.reload()
    await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="My tokens")).to_be_visible()
