"""Devices in the console, as a team works with them: found, looked at, asked, changed, imported."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import check
from tests.browser.consoles import (
    BOAT,
    CUSTOMER,
    LAMP,
    MAKER,
    MAX_PAGE_BYTES,
    OFFLINE,
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

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_fleet_is_searched_sorted_and_paged(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/devices")
    rows = page.locator("tbody tr")
    await expect(page.get_by_text(" · 2 online now")).to_be_visible()
    await expect(rows).to_have_count(50)
    await check(page, "console-devices")
    assert await weight(page, page.url) < MAX_PAGE_BYTES
    await page.get_by_role("link", name="Next").click()
    await expect(rows).to_have_count(12)
    assert "page=2" in page.url
    # There is no next page to stay on: the list itself has the focus, and what follows in it is a Tab away.
    await expect(page.locator("#list")).to_be_focused()

    # The list follows what is typed, and the address follows the list.
    search = page.get_by_role("searchbox")
    await search.press_sequentially("POR")
    await expect(rows).to_have_count(1)
    await expect(rows.get_by_role("link", name="porch")).to_be_visible()
    assert "q=POR" in page.url
    await expect(search).to_be_focused()
    await search.fill("")
    await page.get_by_label("State").select_option("online")
    await expect(rows).to_have_count(2)
    if screen == "desktop":
        await page.get_by_label("State").select_option("")
        await expect(rows).to_have_count(50)
        await page.get_by_role("link", name="Id", exact=True).click()
        await expect(rows.nth(0)).to_contain_text(OFFLINE[0])
        await expect(page.get_by_role("columnheader", name=re.compile("Id"))).to_have_attribute(
            "aria-sort", "ascending"
        )
        await expect(page.get_by_role("link", name="Id", exact=True)).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("columnheader", name=re.compile("Id"))).to_have_attribute(
            "aria-sort", "descending"
        )
        await expect(page.get_by_role("link", name="Id", exact=True)).to_be_focused()
    await search.fill("zzz")
    await expect(page.get_by_text("No device is like that.")).to_be_visible()


async def test_a_device_is_asked(scene: Scene, open_as: Open) -> None:
    page = await open_as(SUPPORT, f"/products/{scene.product.id}/devices/{LAMP}")
    await expect(page.get_by_role("heading", name="porch")).to_be_visible()
    await expect(page.get_by_text(CUSTOMER).first).to_be_visible()
    await page.get_by_role("button", name="Read counter").click()
    await expect(page.locator("#variables output").first).to_contain_text(re.compile(r"^\d+ \d+ ms$"))
    await page.get_by_role("button", name="Read all").click()
    await page.get_by_label("lightsOn").fill("livingRoom")
    await page.get_by_role("button", name="Call lightsOn").click()
    await expect(page.locator("[id^=function-] output")).to_contain_text(re.compile(r"^-?\d+ \d+ ms$"))
    await page.get_by_role("button", name="Ping").click()
    await expect(page.locator("#reach output")).to_contain_text("It answered after")
    await page.get_by_role("button", name="Signal").click()
    await expect(page.locator("#reach output")).to_contain_text("rainbow")
    assert scene.lamp.all[0].signals
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("#reach output")).to_contain_text("as it was")
    # What it says comes by itself, as text whatever is in it.
    await scene.story.ok("POST", f"/v1/products/{scene.product.id}/devices/{LAMP}/lightsOn", scene.product.token)
    scene.lamp.all[0].publish("cellar/<b>dry</b>", "<img src=x onerror=alert(1)>")
    await expect(page.locator("#events")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await page.locator("#events img").count() == 0
    await page.get_by_role("button", name="Pause").click()
    scene.lamp.all[0].publish("held", "back")
    await asyncio.sleep(0.3)
    assert "held" not in await page.locator("#events").inner_text()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#events")).to_contain_text("held")
    await check(page, "console-device")
    assert await weight(page, page.url) < MAX_PAGE_BYTES


@at_desktop
async def test_nothing_is_offered_that_would_be_refused(scene: Scene, open_as: Open) -> None:
    page = await open_as(VIEWER, f"/products/{scene.product.id}/devices/{LAMP}")
    await expect(page.get_by_role("heading", name="porch")).to_be_visible()
    offered = await page.locator("main form, main button:visible").evaluate_all("all => all.map(e => e.outerHTML)")
    assert [each for each in offered if not re.search("data-(pause|copy)", each)] == []
    await check(page, "console-device-viewer")
    await page.goto(f"{scene.product_url}/devices")
    assert await page.get_by_role("link", name="Import devices").count() == 0
    forged = await page.context.cookies()
    csrf = next(each["value"] for each in forged if each["name"] == "cc_form")  # type: ignore[typeddict-item]
    answer = await page.request.post(f"{scene.product_url}/devices/{LAMP}/ping", form={"csrf": csrf})
    assert answer.status == 403


async def test_a_device_is_changed_claimed_denied_and_let_in(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/devices/{BOAT}")
    await page.get_by_label("Name").fill(f"boat {screen}")
    await page.get_by_label("Notes").fill("moored in the north")
    await page.get_by_label("Groups").fill("pilot, north")
    await page.get_by_label("Development device").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_have_text("Saved.")
    await expect(page.get_by_role("heading", name=f"boat {screen}")).to_be_visible()
    await expect(page.get_by_label("Groups")).to_have_value(re.compile("north"))
    await page.get_by_label("Groups").fill("not/a/group")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("letters, digits")
    await expect(page.get_by_label("Groups")).to_have_value("not/a/group")
    page.complaints.clear()  # type: ignore[attr-defined]

    await page.get_by_role("button", name="Claim it for yourself").click()
    await expect(page.get_by_text("It belongs to you.")).to_be_visible()
    await page.get_by_text("Unclaim it…").click()
    await check(page, "console-device-owner")
    await page.get_by_role("button", name="Unclaim").click()
    await expect(page.get_by_text("nobody's now")).to_be_visible()

    await page.goto(f"{scene.product_url}/devices/{OFFLINE[1]}")
    await page.get_by_text("Deny it…").click()
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_text("It is denied, and cannot connect.")).to_be_visible()
    await page.goto(f"{scene.product_url}/devices?state=denied")
    await page.get_by_role("link", name=OFFLINE[1]).first.click()
    await page.get_by_role("button", name="Take it off the list").click()
    await expect(page.get_by_text("It may take part now.")).to_be_visible()


async def test_an_import_tells_of_each_line(scene: Scene, open_as: Open, screen: str, tmp_path: Path) -> None:
    other = await scene.story.product(scene.tokens[MAKER], f"Other {screen}")
    taken = f"{'ab' if screen == 'phone' else 'cd'}{0:022x}"
    await scene.story.import_devices(other, [taken])
    new = [f"{'ef' if screen == 'phone' else 'fe'}{number:022x}" for number in range(700)]
    file = tmp_path / "ids.txt"
    file.write_text("Device ID\n" + "\n".join(new))

    page = await open_as(MAKER, f"/products/{scene.product.id}/devices")
    await page.get_by_role("link", name="Import devices").click()
    await check(page, "console-import")
    await page.get_by_label("Device ids").fill(f"{LAMP} nonsense\n{taken}")
    await page.get_by_label("Or a file").set_input_files(file)
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_text("700 devices")).to_be_visible(timeout=20_000)
    refused = page.locator("tbody tr")
    await expect(refused).to_have_count(2)
    await expect(refused.filter(has_text="nonsense")).to_contain_text("is no device id")
    await expect(refused.filter(has_text=taken)).to_contain_text("is in another product")
    await check(page, "console-import-done")


@at_desktop
async def test_forms_work_without_script(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/devices/{LAMP}", java_script_enabled=False)
    await page.get_by_role("button", name="Read counter").click()
    await expect(page.locator("#variables output")).to_contain_text(re.compile(r"\d+ ms$"))
    await page.get_by_role("button", name="Call lightsOn").click()
    await expect(page.locator("[id^=function-] output")).to_be_visible()
    await page.goto(f"{scene.product_url}/devices?q=porch")
    await expect(page.locator("tbody tr")).to_have_count(1)
