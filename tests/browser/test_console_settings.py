"""A product's settings in the console."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import check
from tests.browser.consoles import MAKER, SUPPORT, Open, Scene, open_as, scene, screen

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_product_is_renamed_branded_and_removed(scene: Scene, open_as: Open, screen: str) -> None:
    made = await scene.story.product(scene.tokens[MAKER], f"Draft {screen}")
    page = await open_as(MAKER, f"/products/{made.id}/settings")
    await page.get_by_role("textbox", name="Name", exact=True).fill(f"Kettle {screen}")
    await page.get_by_label("What your customers know it by").fill("Acme Kettle")
    await page.get_by_label("wait in quarantine").uncheck()
    await check(page, "console-settings")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_have_text("Saved.")
    found = (await scene.story.ok("GET", f"/v1/products/{made.id}", scene.tokens[MAKER]))["product"]
    assert found["name"] == f"Kettle {screen}"
    assert (found["settings"]["quarantine"], found["settings"]["branding"]) == (False, {"name": "Acme Kettle"})
    await page.get_by_text("Remove this product…").click()
    await page.get_by_label("Type its name").fill("something else")
    await page.get_by_role("button", name="Remove the product").click()
    await expect(page.get_by_role("alert")).to_contain_text("Type the product's name")
    page.complaints.clear()  # type: ignore[attr-defined]
    await page.get_by_text("Remove this product…").click()
    await page.get_by_label("Type its name").fill(f"Kettle {screen}")
    await page.get_by_role("button", name="Remove the product").click()
    await expect(page.get_by_role("status")).to_have_text(f"Kettle {screen} is removed.")
    # A product that has devices stays, and only who may change it has the entry at all.
    await page.goto(f"{scene.product_url}/settings")
    await expect(page.get_by_text("A product can be removed when it has none.")).to_be_visible()
    other = await open_as(SUPPORT, f"/products/{scene.product.id}")
    await expect(other.get_by_role("link", name="Devices")).to_be_visible()
    assert await other.get_by_role("link", name="Settings").count() == 0
