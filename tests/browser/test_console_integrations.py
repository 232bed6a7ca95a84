"""Webhooks in the console, with a real host behind them: made, tried, changed, and what failed sent again."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from cloudchamber.webhooks import rules
from tests.browser.conftest import check
from tests.browser.consoles import (
    MAKER,
    MAX_PAGE_BYTES,
    VIEWER,
    Open,
    Scene,
    at_desktop,
    open_as,
    scene,
    screen,
    weight,
)
from tests.webhooks.host import Received, hosting, ok, say

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def publish(scene: Scene, name: str, data: str) -> None:
    wanted = {"name": name, "data": data, "private": "true"}
    await scene.story.ok("POST", f"/v1/products/{scene.product.id}/events", scene.product.token, data=wanted)


async def test_a_hook_from_its_making_to_its_end(
    scene: Scene, open_as: Open, screen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_ATTEMPTS", 1)
    event = f"soil-{screen}"

    async def broken(_request: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 500, b"<b>out of order</b>")

    async with hosting() as host:
        page = await open_as(MAKER, f"/products/{scene.product.id}/integrations")
        await page.get_by_role("link", name="New webhook").click()
        await expect(page.get_by_label("Content")).to_be_hidden()
        await page.get_by_label("Event", exact=True).fill(event)
        await page.get_by_label("URL").fill(host.url + "/soil")
        await page.get_by_role("textbox", name="Name").fill(f"Soil {screen}")
        await page.get_by_label("Body").select_option("json")
        await page.get_by_label("Content").fill('{"moisture": "{{{PARTICLE_EVENT_VALUE}}}"}')
        await page.get_by_label("Add the event's own fields").uncheck()
        await page.get_by_text("Headers, log-in, answer").click()
        await page.get_by_label("Headers").fill("X-Api-Key: geheim")
        await check(page, "console-integration-new")
        await page.get_by_role("button", name="Make the webhook").click()
        await expect(page.get_by_role("heading", name=f"Soil {screen}")).to_be_visible()

        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#test output")).to_have_text("thanks")
        assert host.received[0].body == b'{"moisture":"test-event"}'
        assert host.received[0].headers["x-api-key"] == "geheim"

        host.answer = broken
        await publish(scene, event, "7")
        await host.wait_for(2)
        async with asyncio.timeout(10):
            while "failed" not in await page.locator("#log").inner_text():
                await page.reload()
        await page.get_by_text("Request and answer").click()
        await expect(page.locator("#log")).to_contain_text("<b>out of order</b>")
        await expect(page.locator("#log")).to_contain_text("x-api-key: (hidden)", ignore_case=True)
        await check(page, "console-integration")
        assert await weight(page, page.url) < MAX_PAGE_BYTES
        host.answer = ok
        await page.get_by_role("button", name="Send again").click()
        await expect(page.locator("#log").get_by_text("delivered")).to_be_visible()
        assert host.received[2].body == b'{"moisture":"7"}'
        await expect(page.locator("svg.chart")).to_be_visible()

        await page.get_by_role("link", name="Change").click()
        await expect(page.get_by_label("Content")).to_have_value(re.compile("moisture"))
        await page.get_by_label("Body").select_option("form")
        await page.get_by_label("Content").fill("no equals sign")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("name=value")
        page.complaints.clear()  # type: ignore[attr-defined]
        await page.get_by_label("Content").fill("wet={{{PARTICLE_EVENT_VALUE}}}")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status")).to_contain_text("Saved.")
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#test output")).to_have_text("thanks")
        assert host.received[3].body == b"wet=test-event"
        await page.goto(f"{scene.product_url}/integrations")
        await check(page, "console-integrations")
        await page.get_by_role("link", name=f"Soil {screen}").click()
        await page.get_by_text("Remove this webhook…").click()
        await page.get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("status")).to_have_text("The webhook is removed.")


@at_desktop
async def test_who_may_only_look_changes_no_hook(scene: Scene, open_as: Open) -> None:
    wanted = {"event": "seen", "url": "https://example.com/hook", "name": "Seen"}
    path = f"/v1/products/{scene.product.id}/integrations"
    await scene.story.ok("POST", path, scene.tokens[MAKER], json=wanted)
    page = await open_as(VIEWER, f"/products/{scene.product.id}/integrations")
    await page.get_by_role("link", name="Seen").click()
    await expect(page.get_by_role("heading", name="Seen")).to_be_visible()
    assert await page.locator("main form").count() == 0
    assert await page.get_by_role("link", name="Change").count() == 0
