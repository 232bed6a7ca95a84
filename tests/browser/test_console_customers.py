"""Customers in the console: there from the moment they exist, with what is theirs, helped and removed."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import check
from tests.browser.consoles import (
    CUSTOMER,
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
from tests.whole.story import PASSWORD

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_customers_are_there_as_soon_as_they_exist(scene: Scene, open_as: Open, screen: str) -> None:
    name = f"kim-{screen}@example.com"
    await scene.story.customer(scene.product, name)
    page = await open_as(VIEWER, f"/products/{scene.product.id}/customers")
    await expect(page.get_by_role("link", name=name)).to_be_visible()
    await check(page, "console-customers")
    assert await weight(page, page.url) < MAX_PAGE_BYTES
    await page.get_by_label("Who").select_option("devices")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(CUSTOMER)
    await page.get_by_label("Who").select_option("")
    await expect(rows.filter(has_text=name)).to_have_count(1)
    await page.get_by_role("searchbox").fill("KIM-" + screen)
    await expect(rows).to_have_count(1)
    # Whoever may only look sees neither tokens nor a way to change anything.
    await rows.get_by_role("link").click()
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert await page.locator("main form").count() == 0
    await expect(page.get_by_role("heading", name="Tokens")).to_have_count(0)


async def test_a_customers_things(scene: Scene, open_as: Open) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/customers")
    await scene.story.ok("GET", "/v1/devices", scene.tokens[CUSTOMER])
    await page.get_by_role("link", name=CUSTOMER).click()
    await expect(page.get_by_role("link", name="porch")).to_be_visible()
    await expect(page.get_by_text(re.compile("last used just now"))).to_be_visible()
    assert scene.tokens[CUSTOMER] not in await page.content()
    await page.get_by_text("Remove this customer…").click()
    await expect(page.get_by_text("1 device of this product becomes nobody's")).to_be_visible()
    await check(page, "console-customer")
    await page.get_by_role("link", name="porch").click()
    await page.get_by_role("link", name=CUSTOMER).click()
    await expect(page.get_by_role("heading", name=CUSTOMER)).to_be_visible()


@at_desktop
async def test_a_customer_is_helped_and_removed(scene: Scene, open_as: Open, screen: str) -> None:
    name = f"lee-{screen}@example.com"
    form = {"email": name, "password": PASSWORD}
    made = await scene.story.ok(
        "POST", f"/v1/products/{scene.product.id}/customers", data=form, auth=scene.product.client
    )
    page = await open_as(MAKER, f"/products/{scene.product.id}/customers?q={name}")
    await page.get_by_role("link", name=name).click()
    await page.get_by_role("button", name=re.compile("^Mail a link")).click()
    await expect(page.get_by_role("status")).to_contain_text("on its way")
    await page.get_by_text("Set a password…").click()
    await page.get_by_label("New password").fill("another good password")
    await page.get_by_role("button", name="Set the password").click()
    await expect(page.get_by_role("status")).to_contain_text("The password is set")
    assert (await scene.story.ask("GET", "/v1/devices", made["access_token"])).status_code == 401
    form = {"grant_type": "password", "username": name, "password": "another good password"}
    token = (await scene.story.ok("POST", "/oauth/token", data=form, auth=scene.product.client))["access_token"]
    await page.reload()
    await page.get_by_role("button", name=re.compile("^End")).click()
    await expect(page.get_by_role("status")).to_contain_text("This log-in has ended.")
    assert (await scene.story.ask("GET", "/v1/devices", token)).status_code == 401
    await page.get_by_text("Remove this customer…").click()
    await page.get_by_role("button", name=f"Remove {name}").click()
    await expect(page.get_by_role("status")).to_contain_text(f"{name} is removed")
