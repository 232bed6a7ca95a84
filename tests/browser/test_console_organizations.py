"""Organizations in the console: made, with products, clients, customers and a team, and how one gets to them."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import check
from tests.browser.consoles import MAKER, SUPPORT, VIEWER, Open, Scene, at_desktop, open_as, scene, screen
from tests.browser.test_console_authentication import made, run

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("screen", ["phone"], indirect=True)
async def test_an_organization_from_its_making_to_its_end(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(SUPPORT)
    await page.get_by_role("link", name="Organizations").click()
    await expect(page.get_by_role("row", name=re.compile("Garden makers"))).to_contain_text("Support")
    await check(page, "console-organizations")
    await page.get_by_label("Name").fill(f"Acme {screen}")
    await page.get_by_role("button", name="Make the organization").click()
    await expect(page.get_by_role("status")).to_have_text(f"Acme {screen} is there. Make its first product next.")
    here = page.url
    await page.get_by_role("textbox", name="Name").fill("Rocket skates")
    await page.get_by_label("Hardware").select_option(label="Boron")
    await page.get_by_role("button", name="Create the product").click()
    await expect(page.get_by_role("heading", name="Rocket skates")).to_be_visible()
    await page.locator("main").get_by_role("link", name=f"Acme {screen}").click()
    await expect(page.get_by_role("row", name=re.compile("Rocket skates"))).to_be_visible()
    await check(page, "console-organization")
    # A client of the organization makes customers of all its products.
    await page.get_by_role("link", name="Authentication").click()
    await made(page, "Two-Legged (server)", "Shop")
    assert "all products of the organization" in await page.locator("main").inner_text()
    for number in (1, 2, 3):
        answer = await run(await page.locator(f"#line-{number}").inner_text())
        assert "access_token" in answer, answer
    await page.get_by_role("link", name="Customers").click()
    await check(page, "console-organization-customers")
    await page.get_by_role("link", name="jane@example.com").click()
    await expect(page.get_by_text("the organization, with all its products")).to_be_visible()
    await page.get_by_role("link", name="Team").click()
    await page.get_by_label("E-mail").fill(VIEWER)
    await page.get_by_label(re.compile("^View-only")).check()
    await page.get_by_role("button", name="Invite").click()
    await expect(page.get_by_role("status")).to_have_text(f"{VIEWER} is invited.")
    await check(page, "console-organization-team")
    # Its team is that of its product as well; an owner gives it away.
    await page.get_by_role("link", name="Settings").click()
    await check(page, "console-organization-settings")
    await page.get_by_text("Hand it to another owner…").click()
    await page.get_by_label("New owner").select_option(VIEWER)
    await page.get_by_role("button", name="Hand it over").click()
    await expect(page.get_by_role("status")).to_contain_text(f"{VIEWER} owns it now")
    assert await page.get_by_role("link", name="Settings").count() == 0
    heir = await open_as(VIEWER, here.removeprefix(scene.url) + "/settings")
    await heir.get_by_role("textbox", name="Name").fill(f"New Acme {screen}")
    await heir.get_by_role("button", name="Save").click()
    await expect(heir.get_by_role("status")).to_have_text("Saved.")
    await expect(heir.get_by_text("An organization can be removed when it has none.")).to_be_visible()
    found = await scene.story.ok("GET", "/v1/orgs", scene.tokens[VIEWER])
    assert f"New Acme {screen}" in {each["name"] for each in found["organizations"]}


@at_desktop
async def test_events_of_all_products_come_live(scene: Scene, open_as: Open) -> None:
    page = await open_as(MAKER, f"/orgs/{scene.organization}/events")
    await page.get_by_label("Name", exact=True).fill("frost/warning")
    await page.get_by_label("Data").fill("-2")
    await asyncio.sleep(0.2)
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("#events")).to_contain_text("frost/warning")


@at_desktop
async def test_the_switcher_works_by_keyboard_and_without_script(scene: Scene, open_as: Open) -> None:
    page = await open_as(MAKER)
    await page.locator("#switcher > summary").focus()
    await page.keyboard.press("Enter")
    entry = page.locator("#switcher").get_by_role("link", name="Garden makers")
    for _ in range(6):
        await page.keyboard.press("Tab")
        if await entry.evaluate("each => each === document.activeElement"):
            break
    await expect(entry).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Garden makers")).to_be_visible()
    await expect(page.locator("#switcher > summary")).to_have_text("Organization: Garden makers")

    plain = await open_as(VIEWER, java_script_enabled=False)
    await plain.locator("#switcher > summary").click()
    await plain.locator("#switcher").get_by_role("link", name=re.compile("Sprinkler")).click()
    await expect(plain.get_by_role("heading", name="Sprinkler")).to_be_visible()
    await plain.locator("#switcher > summary").click()
    await plain.locator("#switcher").get_by_role("link", name="Garden makers").click()
    # Who only looks on is offered nothing to do.
    assert await plain.get_by_role("link", name="New product").count() == 0
    assert await plain.locator("main form, main button:not([data-copy])").count() == 0
    await plain.get_by_role("link", name="Customers").click()
    await expect(plain.get_by_role("link", name="anna@example.com")).to_be_visible()
