"""Into the console and out of it, and what all of its pages have in common."""

import asyncio
import re
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import expect

from cloudchamber.api.routes import Console, Stream
from cloudchamber.console.sections import ROUTES
from cloudchamber.simulator.firmware import as_module
from tests.browser.conftest import check
from tests.browser.consoles import (
    LAMP,
    MAKER,
    MAX_PAGE_BYTES,
    SUPPORT,
    VIEWER,
    Open,
    Scene,
    at_desktop,
    open_as,
    scene,
    screen,
    weight,
)
from tests.pages.browser import Browser
from tests.whole.story import PASSWORD

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


PAGES = {
    path
    for row in ROUTES
    if row.method == "GET" and isinstance(row.access, Console) and not isinstance((row.answer or {}).get(200), Stream)
    for path in row.paths
}
MOST_MS = 1_000
# What a first visit brings over the wire, and when the page can be used: ms after it was asked for.
MEASURE = """() => {
  const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const ready = performance.getEntriesByName("console-ready")[0]?.startTime ?? 0;
  return {
    bytes: all.reduce((sum, each) => sum + each.encodedBodySize + 300, 0),
    ready: ready && Math.round(Math.max(ready, all[0].domInteractive, all[0].loadEventStart)),
  };
}"""


async def test_a_deep_link_is_kept_through_the_sign_in(scene: Scene, open_as: Open) -> None:
    page = await open_as(MAKER, "?organization=nowhere", afresh=True)
    assert page.url == f"{scene.url}?organization=nowhere"
    await page.goto(scene.url)
    row = page.get_by_role("row", name=re.compile("Garden lamp"))
    await expect(row).to_contain_text("62")
    await expect(row.locator(".lamp.on")).to_be_visible()
    await check(page, "console-home")
    assert await weight(page, scene.url) < MAX_PAGE_BYTES


async def test_light_dark_and_keys(scene: Scene, open_as: Open) -> None:
    page = await open_as(MAKER)
    await page.locator("#me > summary").click()
    await page.get_by_role("button", name="Dark").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await check(page, "console-home-dark")
    # A keyboard gets past the bar at once, and out of what it opened.
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.locator("#switcher > summary").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#switcher").get_by_role("link", name=re.compile("Garden lamp"))).to_be_visible()
    await check(page, "console-switcher")
    await page.keyboard.press("Escape")
    await expect(page.locator("#switcher")).not_to_have_attribute("open", "")


@at_desktop
async def test_signing_out_ends_the_session_on_the_server(scene: Scene, open_as: Open) -> None:
    page = await open_as(SUPPORT, afresh=True)
    other = await open_as(SUPPORT, afresh=True)
    kept = {cookie["name"]: cookie["value"] for cookie in await page.context.cookies()}  # type: ignore[typeddict-item]
    await page.locator("#me > summary").click()
    await page.get_by_role("button", name="Sign out everywhere").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # The cookie of before, and the other browser, are worth nothing now.
    async with httpx.AsyncClient(cookies=kept) as http:
        answer = await http.get(scene.url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in?to=%2Fconsole")
    await other.reload()
    await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


@at_desktop
async def test_every_page_is_light_and_soon_ready(scene: Scene, open_as: Open) -> None:
    """One page of each row of the console, found by its links."""
    story, maker = scene.story, scene.tokens[MAKER]
    hook = {"integration_type": "Webhook", "event": "soil", "url": "https://example.com/soil"}
    binary = as_module("counter", platform_id=6, product_id=scene.product.id, product_version=7)
    upload = {"data": {"version": "7", "title": "Seventh"}, "files": {"binary": ("lamp.bin", binary)}}
    await story.ok("POST", f"/v1/products/{scene.product.id}/firmware", maker, **upload)
    for place in (f"/v1/products/{scene.product.id}", f"/v1/orgs/{scene.organization}"):
        await story.ok("POST", f"{place}/integrations", maker, json=hook)
    # Fields of paths come after words: /devices/import is no device.
    rows = sorted(PAGES, key=lambda path: (path.count("{"), path))
    page = await open_as(MAKER, f"/products/{scene.product.id}/devices/import")
    await page.get_by_label("Device ids").fill("nonsense")
    await page.get_by_role("button", name="Import", exact=True).click()
    await page.wait_for_url(re.compile("/import/."))
    waiting, seen = [scene.url, f"{scene.url}/nothing", scene.product_url, page.url], {}
    while waiting:
        url = waiting.pop(0)
        row = next((row for row in rows if re.fullmatch(re.sub("{[^}]+}", "[^/]+", row), urlsplit(url).path)), url)
        if row in seen:
            continue
        for _ in range(3):
            await page.goto(url)
            seen[row] = await page.evaluate(MEASURE)
            if seen[row]["ready"] < MOST_MS:
                break
        links = await page.locator("a[href]").evaluate_all("all => all.map(each => each.href.split(/[?#]/)[0])")
        waiting += [link for link in links if link.startswith(scene.url) and not link.endswith("/refused")]
    # The list of what an import refused is a file.
    assert set(rows) - set(seen) == {"/console/products/{product}/devices/import/{run}/refused"}
    assert {row: found for row, found in seen.items() if found["bytes"] > MAX_PAGE_BYTES} == {}
    assert {row: found for row, found in seen.items() if not 0 < found["ready"] < MOST_MS} == {}
    assert [text for text in page.complaints if "404" not in text] == []  # type: ignore[attr-defined]
    page.complaints.clear()  # type: ignore[attr-defined]


@at_desktop
async def test_a_product_is_made_in_the_browser(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER)
    await page.get_by_label("Name").fill(f"Kettle {screen}")
    await page.get_by_label("Hardware").select_option(label="Boron")
    await page.get_by_role("button", name="Create the product").click()
    await expect(page.get_by_role("status")).to_contain_text(f"Kettle {screen} is there")


@at_desktop
async def test_whoever_may_not_see_a_product_is_told_that_there_is_none(scene: Scene, open_as: Open) -> None:
    page = await open_as(VIEWER)
    made = await scene.story.product(scene.tokens[MAKER], "Secret")
    for path in (f"/products/{made.id}/", "/products/59999", "/orgs/nowhere"):
        answer = await page.request.get(f"{scene.url}{path}")
        assert answer.status == 404, path
    await page.goto(f"{scene.url}/nothing")
    await check(page, "console-nothing")
    await page.get_by_role("link", name="All products").last.click()
    await expect(page.get_by_role("heading", name="Products")).to_be_visible()
    nobody = await scene.chrome.new_page()
    await nobody.goto(f"{scene.url}/nothing")
    await check(nobody, "console-nothing-signed-out")
    await nobody.get_by_role("link", name="To the console").click()
    await expect(nobody.get_by_role("heading", name="Sign in")).to_be_visible()
    await nobody.close()
    page.complaints.clear()  # type: ignore[attr-defined]


async def test_somebody_new_makes_an_account(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(VIEWER, "/sign-in?to=/console", afresh=True)
    await page.locator("#me > summary").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.get_by_role("link", name="Make an account").click()
    await check(page, "console-sign-up")
    await page.get_by_label("E-mail").fill(f"new-{screen}@example.com")
    await page.get_by_label("Password").fill("another good password")
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_text("No product yet.")).to_be_visible()
    await check(page, "console-home-empty")


async def test_what_is_live_ends_with_the_session(scene: Scene) -> None:
    async with Browser(scene.cloud.url) as browser:
        page = await browser.submit(await browser.get("/console/sign-in"), username=VIEWER, password=PASSWORD)
        url = f"{scene.product_url}/devices/{LAMP}/events"
        async with browser.http.stream("GET", url) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = stream.aiter_lines()
            assert await anext(lines) == ":ok"
            scene.lamp.all[0].publish("tick", "<i>1</i>")
            async with asyncio.timeout(5):
                while "tick" not in (line := await anext(lines)):
                    pass
            assert "&lt;i&gt;1" in line
            csrf = {"csrf": browser.http.cookies["cc_form"], "step": "sign_out"}
            answer = await browser.http.post("/console/sign-out", data=csrf, headers={"Origin": scene.cloud.url})
            assert answer.status_code == 303
            async with asyncio.timeout(2):
                assert [line async for line in lines if line] == []
        assert (await browser.http.get(url)).status_code == 204
    assert page.heading == "Products"
